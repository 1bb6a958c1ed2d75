/* SPDX-License-Identifier: BSD-3-Clause */
/* Events, of one device and of all, who waits for them, and breaking off. */

#include <assert.h>

#include "server/dm-core.h"

void
dm_wait_init (struct dm_wait *wait)
{
  sem_init (&wait->sem, 0, 0);
  wait->cancelled = false;
}

void
dm_wait_destroy (struct dm_wait *wait)
{
  sem_destroy (&wait->sem);
}

void
dm_wait_cancel (struct dm_wait *wait)
{
  wait->cancelled = true;
  sem_post (&wait->sem);
}

/* Move who has nothing more to wait for to due.  md->lock held. */
static void
md_collect_waiters (struct mapped_device *md, struct list *due)
{
  struct dm_event_waiter *w, *tmp;

  list_init (due);
  list_for_each_safe (w, tmp, &md->event_waiters, link)
    if (md->gone || w->event_nr != md->event_nr) {
      list_del (&w->link);
      list_add_tail (due, &w->link);
      w->queued = false;
    }
  if (!list_empty (due))
    md->firing++;
}

/* A waiter in due stays as long as md->firing says that somebody is here. */
static void
md_fire_waiters (struct mapped_device *md, struct list *due)
{
  struct dm_event_waiter *w, *tmp;

  if (list_empty (due))
    return;
  assert_no_latch_held ();
  list_for_each_safe (w, tmp, due, link)
    w->fire (w);
  latch_acquire (&md->lock);
  md->firing--;
  pthread_cond_broadcast (&md->fired);
  latch_release (&md->lock);
}

void
md_event (struct mapped_device *md)
{
  struct list due;

  latch_acquire (&md->lock);
  md->event_nr++;
  md_collect_waiters (md, &due);
  latch_release (&md->lock);
  md_fire_waiters (md, &due);
  registry_event (md->registry);
}

void
md_event_if_live (struct mapped_device *md)
{
  bool live;

  latch_acquire (&md->lock);
  live = md->live != NULL;
  latch_release (&md->lock);
  if (live)
    md_event (md);
}

struct dm_table *
md_last_event (struct mapped_device *md)
{
  struct dm_table *inactive;
  struct list due;
  bool live;

  latch_acquire (&md->lock);
  live = md->live != NULL;
  if (live)
    md->event_nr++;
  md->gone = true;
  md_collect_waiters (md, &due);
  inactive = md->inactive;
  md->inactive = NULL;
  latch_release (&md->lock);
  md_fire_waiters (md, &due);
  if (live)
    registry_event (md->registry);
  return inactive;
}

bool
md_wait_event (struct mapped_device *md, struct dm_event_waiter *waiter)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  waiter->queued = !md->gone && waiter->event_nr == md->event_nr;
  if (waiter->queued)
    list_add_tail (&md->event_waiters, &waiter->link);
  return waiter->queued;
}

bool
md_cancel_wait (struct mapped_device *md, struct dm_event_waiter *waiter)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (waiter->queued) {
    list_del (&waiter->link);
    waiter->queued = false;
    return true;
  }
  while (md->firing > 0)
    latch_wait (&md->lock, &md->fired);
  return false;
}

/* ------------------------------------------------------------------
 * The global event counter.
 */

void
registry_on_event (struct registry *reg, void (*fn) (void *opaque),
                   void *opaque)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  reg->poll_event = fn;
  reg->poll_opaque = opaque;
  while (reg->polling > 0)
    latch_wait (&reg->latch, &reg->put);
}

uint32_t
registry_event_nr (struct registry *reg)
{
  return reg->event_nr;
}

void
registry_event (struct registry *reg)
{
  void (*fn) (void *);
  void *opaque;

  reg->event_nr++;
  latch_acquire (&reg->latch);
  fn = reg->poll_event;
  opaque = reg->poll_opaque;
  if (fn)
    reg->polling++;
  latch_release (&reg->latch);
  if (fn == NULL)
    return;
  fn (opaque);
  latch_acquire (&reg->latch);
  reg->polling--;
  pthread_cond_broadcast (&reg->put);
  latch_release (&reg->latch);
}
