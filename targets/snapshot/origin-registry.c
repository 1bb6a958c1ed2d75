/* SPDX-License-Identifier: BSD-3-Clause */
/* Which targets have to do with one another: those that name one origin. */

#include "targets/snapshot/origin-registry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static struct {
  struct latch latch;        /* guards what is here and all users' flags */
  struct list list;          /* struct origin */
} origins = { LATCH_INIT, LIST_HEAD_INIT (origins.list) };

/* ------------------------------------------------------------------
 * Membership.  All the static functions under origins.latch.
 */

static struct origin *
origin_find (struct block_device *bdev)
{
  struct origin *o;

  list_for_each (o, &origins.list, link)
    if (bdev_same (list_first (&o->users, struct origin_user, link)->bdev,
                   bdev))
      return o;
  return NULL;
}

static struct origin *
origin_new (void)
{
  struct origin *o = calloc (1, sizeof *o);

  if (o == NULL)
    return NULL;
  list_init (&o->users);
  list_init (&o->preserved);
  latch_init (&o->latch);
  latch_cond_init (&o->changed);
  list_add_tail (&origins.list, &o->link);
  return o;
}

static void
origin_free (struct origin *o)
{
  assert (list_empty (&o->preserved) && o->inside == 0 && !o->quiet);
  pthread_cond_destroy (&o->changed);
  latch_destroy (&o->latch);
  free (o);
}

static bool
origin_shares_cow (const struct origin_user *user,
                   const struct origin_user *other)
{
  return user != other && user->cow && other->cow &&
    bdev_same (user->cow, other->cow);
}

static struct origin_user *
origin_partner (const struct origin *o, const struct origin_user *user,
                bool active)
{
  struct origin_user *other;

  list_for_each (other, &o->users, link)
    if (origin_shares_cow (user, other) && other->active == active)
      return other;
  return NULL;
}

static unsigned
origin_count_active (const struct origin *o, const struct origin_user *user)
{
  struct origin_user *other;
  unsigned n = 0;

  list_for_each (other, &o->users, link)
    n += origin_shares_cow (user, other) && other->active;
  return n;
}

static bool
origin_has_merge (const struct origin *o)
{
  struct origin_user *other;

  list_for_each (other, &o->users, link)
    if (other->role == ORIGIN_MERGE)
      return true;
  return false;
}

static int
origin_find_pair (const struct origin *o, const struct origin_user *user,
                  enum origin_pair *pair, struct message *msg)
{
  if (origin_partner (o, user, false) || origin_count_active (o, user) > 1)
    return message_set (msg, EINVAL, "Snapshot cow pairing for exception "
                        "table handover failed");
  if (user->role == ORIGIN_MERGE && origin_has_merge (o))
    return message_set (msg, EINVAL, "A snapshot is already merging.");
  *pair = origin_partner (o, user, true) ? ORIGIN_TAKES_OVER : ORIGIN_ALONE;
  return 0;
}

int
origin_join (struct origin_user *user, enum origin_pair *pair,
             struct message *msg)
{
  struct origin *o;
  int r;
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  *pair = ORIGIN_ALONE;
  o = origin_find (user->bdev);
  if (o == NULL)
    o = origin_new ();
  if (o == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  r = origin_find_pair (o, user, pair, msg);
  if (r < 0)
    return r; /* so there are others: it is no new one */
  list_init (&user->preserved_link);
  list_add_tail (&o->users, &user->link);
  user->origin = o;
  return 0;
}

/* True if it was the last one: nobody will find the origin any more. */
static bool
origin_remove_user (struct origin *o, struct origin_user *user)
{
  struct origin_user *waiting;
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  waiting = user->active ? origin_partner (o, user, false) : NULL;
  if (waiting)
    waiting->orphan = true;
  list_del (&user->link);
  if (!list_empty (&o->users))
    return false;
  list_del (&o->link);
  return true;
}

void
origin_leave (struct origin_user *user)
{
  struct origin *o = user->origin;
  bool was_active, last;

  if (o == NULL)
    return;
  was_active = user->active;
  if (was_active) {
    origin_quiesce (o);
    origin_forget (user);
  }
  last = origin_remove_user (o, user);
  if (was_active)
    origin_unquiesce (o);
  user->origin = NULL;
  if (last)
    origin_free (o);
}

struct origin_user *
origin_find_source (struct origin_user *user)
{
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  return origin_partner (user->origin, user, true);
}

struct origin_user *
origin_find_snapshot (struct origin *o, struct block_device *cow)
{
  struct origin_user *user;

  list_for_each (user, &o->preserved, preserved_link)
    if (bdev_same (user->cow, cow))
      return user;
  return NULL;
}

/* A store is handed over in one order only (Linux 6.1). */
static int
origin_check_handover (const struct origin_user *user, struct message *msg)
{
  const struct origin_user *source;

  if (user->active) {
    if (origin_partner (user->origin, user, false))
      return message_set (msg, EINVAL, "Unable to resume snapshot source until "
                          "handover completes.");
    return 0;
  }
  source = origin_partner (user->origin, user, true);
  if (source && source->running)
    return message_set (msg, EINVAL, "Unable to perform snapshot handover "
                        "until source is suspended.");
  return 0;
}

/* Merging changes the origin behind the back of a snapshot-origin, and what a
 * half-merged origin holds is no state of anything.
 */
static int
origin_check_merge (const struct origin_user *user, struct message *msg)
{
  bool is_new = !user->active && user->role == ORIGIN_SNAPSHOT &&
    origin_partner (user->origin, user, true) == NULL;
  const struct origin_user *other;

  list_for_each (other, &user->origin->users, link) {
    if (user->role == ORIGIN_MERGE && other->role == ORIGIN_ITSELF &&
        other->running)
      return message_set (msg, EINVAL, "Unable to merge while a "
                          "snapshot-origin of the same device is active.");
    if (user->role == ORIGIN_ITSELF && other->role == ORIGIN_MERGE &&
        other->running)
      return message_set (msg, EINVAL, "Unable to resume a snapshot-origin "
                          "while a snapshot is merged into its device.");
    if (is_new && other->half_merged)
      return message_set (msg, EINVAL, "Unable to take a snapshot of an origin "
                          "that another one is merged into.");
  }
  return 0;
}

int
origin_may_run (struct origin_user *user, struct message *msg)
{
  int r;
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  r = origin_check_handover (user, msg);
  if (r == 0)
    r = origin_check_merge (user, msg);
  if (r == 0)
    user->running = true;
  return r;
}

void
origin_stopped (struct origin_user *user)
{
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  user->running = false;
}

void
origin_set_half_merged (struct origin_user *user, bool half_merged)
{
  ACQUIRE_LATCH_FOR_SCOPE (&origins.latch);

  user->half_merged = half_merged;
}

/* ------------------------------------------------------------------
 * Writers and the others.
 */

void
origin_enter (struct origin *o)
{
  ACQUIRE_LATCH_FOR_SCOPE (&o->latch);

  while (o->quiet)
    latch_wait (&o->latch, &o->changed);
  o->inside++;
}

void
origin_exit (struct origin *o)
{
  ACQUIRE_LATCH_FOR_SCOPE (&o->latch);

  if (--o->inside == 0 && o->quiet)
    pthread_cond_broadcast (&o->changed);
}

void
origin_quiesce (struct origin *o)
{
  ACQUIRE_LATCH_FOR_SCOPE (&o->latch);

  while (o->quiet)
    latch_wait (&o->latch, &o->changed);
  o->quiet = true;
  while (o->inside > 0)
    latch_wait (&o->latch, &o->changed);
}

void
origin_unquiesce (struct origin *o)
{
  ACQUIRE_LATCH_FOR_SCOPE (&o->latch);

  o->quiet = false;
  pthread_cond_broadcast (&o->changed);
}

static void
origin_preserve (struct origin_user *user)
{
  struct list *preserved = &user->origin->preserved;
  struct origin_user *other;

  list_for_each (other, preserved, preserved_link)
    if (other->chunk_sectors < user->chunk_sectors)
      break;
  list_add_before (&other->preserved_link, &user->preserved_link);
}

void
origin_activate (struct origin_user *user, uint32_t chunk_sectors)
{
  assert (user->origin->quiet);
  latch_acquire (&origins.latch);
  user->active = true;
  latch_release (&origins.latch);
  user->chunk_sectors = chunk_sectors;
  if (user->role == ORIGIN_SNAPSHOT)
    origin_preserve (user);
}

void
origin_forget (struct origin_user *user)
{
  assert (user->origin->quiet);
  list_del (&user->preserved_link);
}
