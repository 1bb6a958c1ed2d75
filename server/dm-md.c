/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapped devices: their states, and the gate from the side of the verbs. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * Birth.
 */

static void
md_init_locks (struct mapped_device *md)
{
  latch_init (&md->lock);
  latch_cond_init (&md->fired);
  gate_init (&md->load_gate, GATE_LOAD);
  gate_init (&md->message_gate, GATE_LOAD);
  gate_init (&md->suspend_gate, GATE_SUSPEND);
}

struct mapped_device *
md_new (struct registry *registry, const char *name, const char *uuid,
        uint32_t minor)
{
  struct mapped_device *md = calloc (1, sizeof *md);

  if (md == NULL)
    return NULL;
  md->bdev.ops = &md_ops;
  md->bdev.number = DM_NUMBER (DM_BLOCK_MAJOR, minor);
  md->registry = registry;
  md->minor = minor;
  assert (strlen (name) < DM_NAME_LEN && strlen (uuid) < DM_UUID_LEN);
  strcpy (md->name, name);
  strcpy (md->uuid, uuid);
  list_init (&md->idle_link);
  tree_init (&md->lower_edges, edge_compare);
  list_init (&md->upper_edges);
  md->depth = 1;
  list_init (&md->parked);
  list_init (&md->event_waiters);
  md->queue_limits = QUEUE_LIMITS_DEFAULT;
  md_init_locks (md);
  stats_init (&md->stats);
  return md;
}

static void
md_free (struct mapped_device *md)
{
  stats_destroy (&md->stats);
  gate_destroy (&md->suspend_gate);
  gate_destroy (&md->message_gate);
  gate_destroy (&md->load_gate);
  pthread_cond_destroy (&md->fired);
  latch_destroy (&md->lock);
  free (md);
}

/* ------------------------------------------------------------------
 * States.
 */

void
assert_md_state (struct mapped_device *md)
{
#ifdef NBDM_LOCK_CHECKS
  assert_latch_held (&md->lock);
  switch (md->state) {
  case MD_NEW:
    assert (!md->block_io && md->live == NULL);
    break;
  case MD_ACTIVE:
    assert (!md->block_io && md->live != NULL);
    break;
  case MD_SUSPENDING:
    assert (md->block_io && md->suspender != NULL);
    break;
  case MD_SUSPENDED:
    assert (md->block_io && md->suspender == NULL);
    break;
  case MD_DYING:
    assert (md->block_io);
    break;
  }
#endif
}

static enum md_state
md_get_state (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  assert_md_state (md);
  return md->state;
}

bool
md_is_suspended (struct mapped_device *md)
{
  return md_get_state (md) == MD_SUSPENDED;
}

/* What a verb gets that comes too late. */
static int
md_dying_error (struct mapped_device *md)
{
  return md->registry->dying ? -ESHUTDOWN : -ENXIO;
}

/* Open the gate in one of the states where it is.  md->lock held. */
static void
md_open_gate (struct mapped_device *md)
{
  md->state = md->live ? MD_ACTIVE : MD_NEW;
  md->block_io = false;
  md_release_parked (md);
  assert_md_state (md);
}

/* Close the gate for good.  md->lock held. */
static void
md_die (struct mapped_device *md, int error)
{
  md->state = MD_DYING;
  md->block_io = true;
  md_fail_parked (md, error);
}

/* Hooks come in pairs whatever verbs come together: suspend_gate is held. */

static void
md_presuspend (struct mapped_device *md)
{
  if (md->hooks == MD_HOOKS_RUNNING) {
    table_presuspend (md->live);
    md->hooks = MD_HOOKS_PRESUSPENDED;
  }
}

static void
md_presuspend_undo (struct mapped_device *md)
{
  if (md->hooks == MD_HOOKS_PRESUSPENDED) {
    table_presuspend_undo (md->live);
    md->hooks = MD_HOOKS_RUNNING;
  }
}

static void
md_postsuspend (struct mapped_device *md)
{
  if (md->hooks == MD_HOOKS_PRESUSPENDED) {
    table_postsuspend (md->live);
    md->hooks = MD_HOOKS_STOPPED;
  }
}

/* ------------------------------------------------------------------
 * Suspend.
 */

#define NO_DEADLINE UINT64_MAX

/* Wait until nothing is in flight.  The gate is closed and wait is
 * md->suspender: whoever leaves from now on posts it after it has counted
 * itself out, so that a count that was too high wakes us up to count again.
 */
static int
md_drain (struct mapped_device *md, struct dm_wait *wait,
          uint64_t deadline_ns)
{
  struct timespec ts = { .tv_sec = deadline_ns / 1000000000,
                         .tv_nsec = deadline_ns % 1000000000 };

  while (md_in_flight (md) != 0) {
    if (wait->cancelled)
      return -EINTR;
    if (sem_clockwait (&wait->sem, CLOCK_MONOTONIC, &ts) < 0 &&
        errno == ETIMEDOUT)
      return md_in_flight (md) == 0 ? 0 : -ETIMEDOUT;
  }
  return 0;
}

static int
md_suspend_begin (struct mapped_device *md, struct dm_wait *wait)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->state == MD_DYING || md->registry->dying)
    return md_dying_error (md);
  md->state = MD_SUSPENDING;
  md->suspender = wait;
  md->block_io = true;
  assert_md_state (md);
  return 0;
}

/* r: 0 if the device has drained.  Returns what has become of the suspend.
 * registry.dying is looked at here and in md_suspend_begin, both times under
 * the lock, so that md_shutdown_begin cannot come and go unnoticed in between.
 */
static int
md_suspend_end (struct mapped_device *md, int r)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  md->suspender = NULL;
  md->noflush_suspending = false;
  if (md->state == MD_DYING)
    return md_dying_error (md);
  if (md->registry->dying)
    r = -ESHUTDOWN;
  if (r == 0) {
    md->state = MD_SUSPENDED;
    md->nr_suspends++;
  }
  else
    md_open_gate (md);
  assert_md_state (md);
  return r;
}

/* suspend_gate held; the device is NEW or ACTIVE, or going to be DYING. */
static int
md_do_suspend (struct mapped_device *md, unsigned flags, struct dm_wait *wait)
{
  int r;

  md->noflush_suspending = flags & DM_NOFLUSH_FLAG;
  md_presuspend (md);
  r = md_suspend_begin (md, wait);
  if (r == 0)
    r = md_drain (md, wait, NO_DEADLINE);
  r = md_suspend_end (md, r);
  if (r < 0)
    md_presuspend_undo (md);
  else
    md_postsuspend (md);
  return r;
}

int
md_suspend (struct mapped_device *md, unsigned flags, struct dm_wait *wait)
{
  struct dm_wait own;
  int r;

  assert_no_latch_held ();
  if (wait == NULL) {
    dm_wait_init (&own);
    r = md_suspend (md, flags, &own);
    dm_wait_destroy (&own);
    return r;
  }

  ACQUIRE_GATE_FOR_SCOPE (&md->suspend_gate);
  switch (md_get_state (md)) {
  case MD_SUSPENDED:
    return 0;
  case MD_DYING:
    return md_dying_error (md);
  default:
    return md_do_suspend (md, flags, wait);
  }
}

/* ------------------------------------------------------------------
 * Swap and resume.
 */

/* A new device has no hooks to call and its bios only come to fail, so this
 * does not wait for anything.  suspend_gate held.
 */
static int
md_suspend_new (struct mapped_device *md)
{
  struct dm_wait wait;
  int r;

  dm_wait_init (&wait);
  r = md_do_suspend (md, 0, &wait);
  dm_wait_destroy (&wait);
  return r;
}

/* What the device has now, for table_limits; NULL if it never had a table. */
static const struct queue_limits *
md_current_limits (struct mapped_device *md, struct queue_limits *limits)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  *limits = md->queue_limits;
  return md->live ? limits : NULL;
}

static int
md_bind (struct mapped_device *md, struct dm_table *table,
         const struct queue_limits *limits, struct dm_table **old)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->state == MD_DYING)
    return md_dying_error (md);
  *old = md->live;
  if (*old)
    (*old)->is_live = false;
  table->is_live = true;
  md->live = table;
  md->queue_limits = *limits;
  md->readonly = table->readonly;
  md->immutable_type = table->immutable_type;
  md->nr_swaps++;
  if (md->bdev.size != table->size)
    memset (&md->geometry, 0, sizeof md->geometry);
  md->bdev.size = table->size;
  return 0;
}

/* suspend_gate held. */
static int
md_do_swap (struct mapped_device *md, struct dm_table *table,
            struct dm_table **old, struct message *msg)
{
  struct queue_limits now, limits;
  enum md_state state = md_get_state (md);
  char name[DM_NAME_LEN];
  int r;

  if (state == MD_ACTIVE)
    return message_set (msg, EINVAL, "%s: not suspended",
                        md_copy_name (md, name));
  r = table_limits (table, md_current_limits (md, &now), &limits, msg);
  if (r == 0 && state == MD_NEW)
    r = md_suspend_new (md);
  if (r == 0)
    r = md_bind (md, table, &limits, old);
  return r;
}

int
md_swap_table (struct mapped_device *md, struct dm_table *table,
               struct dm_table **old, struct message *msg)
{
  int r;

  *old = NULL;
  gate_acquire (&md->suspend_gate);
  r = md_do_swap (md, table, old, msg);
  gate_release (&md->suspend_gate);
  if (r == 0)
    registry_event (md->registry);
  return r;
}

static int
md_resume_end (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->state == MD_DYING)
    return md_dying_error (md);
  md_open_gate (md);
  return 0;
}

/* suspend_gate held; the device is SUSPENDED. */
static int
md_do_resume (struct mapped_device *md, struct message *msg)
{
  char name[DM_NAME_LEN];
  int r;

  if (md->live == NULL || md->live->size == 0)
    return message_set (msg, EINVAL, "%s: cannot resume without a table",
                        md_copy_name (md, name));
  r = table_preresume (md->live, msg);
  if (r < 0)
    return r;
  table_resume (md->live);
  md->hooks = MD_HOOKS_RUNNING;
  return md_resume_end (md);
}

int
md_resume (struct mapped_device *md, struct message *msg)
{
  assert_no_latch_held ();
  ACQUIRE_GATE_FOR_SCOPE (&md->suspend_gate);
  switch (md_get_state (md)) {
  case MD_SUSPENDED:
    return md_do_resume (md, msg);
  case MD_DYING:
    return md_dying_error (md);
  default:
    return 0;
  }
}

/* ------------------------------------------------------------------
 * Death.
 */

void
md_shutdown_begin (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->suspender)
    dm_wait_cancel (md->suspender);
  if (md->state == MD_SUSPENDED)
    md_die (md, -ESHUTDOWN);
}

static void
md_set_suspender (struct mapped_device *md, struct dm_wait *wait)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  md->suspender = wait;
}

/* Let the targets let go, wait, stop them.  suspend_gate held; DYING. */
static bool
md_quiesce (struct mapped_device *md, uint64_t deadline_ns)
{
  struct dm_wait wait;
  bool drained;

  md_presuspend (md);
  dm_wait_init (&wait);
  md_set_suspender (md, &wait);
  drained = md_drain (md, &wait, deadline_ns) == 0;
  md_set_suspender (md, NULL);
  dm_wait_destroy (&wait);
  if (drained)
    md_postsuspend (md);
  return drained;
}

static void
md_end_verbs (struct mapped_device *md, int error)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->suspender)
    dm_wait_cancel (md->suspender);
  md_die (md, error);
}

bool
md_shutdown (struct mapped_device *md, uint64_t deadline_ns)
{
  assert_no_latch_held ();
  md_end_verbs (md, -ESHUTDOWN);
  ACQUIRE_GATE_FOR_SCOPE (&md->suspend_gate);
  return md_quiesce (md, deadline_ns);
}

/* Wait until nobody holds the device; nobody can find it any more. */
static void
md_wait_for_holders (struct mapped_device *md)
{
  struct registry *reg = md->registry;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  while (md->holders > 0)
    latch_wait (&reg->latch, &reg->put);
}

static struct dm_table *
md_unbind (struct mapped_device *md)
{
  struct dm_table *live;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  assert (md->inactive == NULL && list_empty (&md->parked));
  live = md->live;
  md->live = NULL;
  if (live)
    live->is_live = false;
  return live;
}

void
md_destroy (struct mapped_device *md)
{
  struct dm_table *live;

  assert_no_latch_held ();
  md_end_verbs (md, -EIO);
  gate_acquire (&md->suspend_gate);
  md_presuspend (md);
  md_postsuspend (md);
  gate_release (&md->suspend_gate);

  md_wait_for_holders (md);
  live = md_unbind (md);
  if (live)
    table_destroy (live);

  registry_forget (md);
  md_free (md);
}

/* ------------------------------------------------------------------
 * The two slots.
 */

struct dm_table *
md_hold_table (struct mapped_device *md, bool inactive)
{
  struct dm_table *t;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  t = inactive ? md->inactive : md->live;
  if (t)
    t->holders++;
  return t;
}

void
table_put (struct dm_table *t)
{
  ACQUIRE_LATCH_FOR_SCOPE (&t->md->lock);

  assert (t->holders > 0);
  t->holders--;
}

struct dm_table *
md_stage_table (struct mapped_device *md, struct dm_table *table)
{
  struct dm_table *old;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->gone)
    return table;
  old = md->inactive;
  md->inactive = table;
  return old;
}

int
md_restage_table (struct mapped_device *md, struct dm_table *table)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->gone)
    return -ENXIO;
  if (md->inactive)
    return -EBUSY;
  md->inactive = table;
  return 0;
}
