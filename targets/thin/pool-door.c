/* SPDX-License-Identifier: BSD-3-Clause */
/* A door: any number may be inside; who closes it waits until nobody is. */

#include "targets/thin/pool-door.h"

#include "common/shard.h"

void
door_init (struct door *door)
{
  unsigned i;

  for (i = 0; i < DOOR_SHARDS; i++)
    door->shards[i].inside = 0;
  door->closed = 0;
  latch_init (&door->latch);
  latch_cond_init (&door->moved);
}

void
door_destroy (struct door *door)
{
  pthread_cond_destroy (&door->moved);
  latch_destroy (&door->latch);
}

static atomic_long *
door_shard (struct door *door)
{
  return &door->shards[shard_number () % DOOR_SHARDS].inside;
}

/* Exact once it is closed, but for those on their way out again. */
static long
door_inside (const struct door *door)
{
  long n = 0;
  unsigned i;

  for (i = 0; i < DOOR_SHARDS; i++)
    n += door->shards[i].inside;
  return n;
}

void
door_wake (struct door *door)
{
  ACQUIRE_LATCH_FOR_SCOPE (&door->latch);

  pthread_cond_broadcast (&door->moved);
}

/* False if it is still closed and *leave. */
static bool
door_wait (struct door *door, const atomic_bool *leave)
{
  ACQUIRE_LATCH_FOR_SCOPE (&door->latch);

  pthread_cond_broadcast (&door->moved); /* we were counted for a moment */
  while (door->closed > 0 && !(leave && *leave))
    latch_wait (&door->latch, &door->moved);
  return door->closed == 0;
}

bool
door_enter (struct door *door, const atomic_bool *leave)
{
  atomic_long *shard = door_shard (door);

  for (;;) {
    atomic_fetch_add (shard, 1);
    if (__builtin_expect (door->closed == 0, true))
      return true;
    atomic_fetch_sub (shard, 1);
    if (!door_wait (door, leave))
      return false;
  }
}

void
door_exit (struct door *door)
{
  atomic_fetch_sub (door_shard (door), 1);
  if (__builtin_expect (door->closed > 0, false))
    door_wake (door);
}

void
door_close (struct door *door)
{
  ACQUIRE_LATCH_FOR_SCOPE (&door->latch);

  door->closed++;
  while (door_inside (door) > 0)
    latch_wait (&door->latch, &door->moved);
}

void
door_open (struct door *door)
{
  ACQUIRE_LATCH_FOR_SCOPE (&door->latch);

  door->closed--;
  pthread_cond_broadcast (&door->moved);
}
