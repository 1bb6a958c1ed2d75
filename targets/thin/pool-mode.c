/* SPDX-License-Identifier: BSD-3-Clause */
/* The modes of a pool: commits, failures, and what to do when it is full. */

#include "targets/thin/pool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* ------------------------------------------------------------------
 * Telling.
 */

/* The bound target, which stays until it is unpinned; or NULL. */
static struct dm_target *
pool_pin (struct pool *pool)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  pool->pins++;
  return pool->ti;
}

static void
pool_unpin (struct pool *pool)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  if (--pool->pins == 0)
    pthread_cond_broadcast (&pool->moved);
}

void
pool_event (struct pool *pool)
{
  struct dm_target *ti = pool_pin (pool);

  if (ti)
    dm_target_event (ti);
  pool_unpin (pool);
}

static void
pool_log_text (struct pool *pool, void (*log) (const char *fmt, ...),
               const char *fmt, va_list ap)
{
  struct dm_target *ti = pool_pin (pool);
  char name[128], text[256];

  vsnprintf (text, sizeof text, fmt, ap);
  log ("thin-pool: %s: %s", ti ? dm_target_md_name (ti, name) : "", text);
  pool_unpin (pool);
}

void
pool_log (struct pool *pool, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  pool_log_text (pool, log_info, fmt, ap);
  va_end (ap);
}

void
pool_complain (struct pool *pool, const char *fmt, ...)
{
  va_list ap;

  va_start (ap, fmt);
  pool_log_text (pool, log_error, fmt, ap);
  va_end (ap);
}

/* ------------------------------------------------------------------
 * Modes.
 */

static const char *
pool_mode_text (struct pool *pool, enum pool_mode mode)
{
  switch (mode) {
  case POOL_WRITE:
    return "write";
  case POOL_OUT_OF_DATA_SPACE:
    return pool->error_if_no_space ? "out-of-data-space (error IO)"
                                   : "out-of-data-space (queue IO)";
  case POOL_OUT_OF_METADATA_SPACE:
  case POOL_READ_ONLY:
    return "read-only";
  default:
    return "fail";
  }
}

static void
pool_notify (struct pool *pool)
{
  pool_log (pool, "switching pool to %s mode",
            pool_mode_text (pool, pool->mode));
  pool_event (pool);
}

void
pool_wake (struct pool *pool)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  pool->space_epoch++;
  pthread_cond_broadcast (&pool->moved);
}

/* The kernel has a module parameter for it, no_space_timeout. */
static uint64_t
pool_no_space_timeout_s (void)
{
  const char *word = getenv ("NBDM_NO_SPACE_TIMEOUT");
  uint32_t seconds = 60;

  if (word)
    args_parse_u32 (word, &seconds);
  return seconds;
}

static void
pool_start_timeout (struct pool *pool)
{
  uint64_t seconds = pool_no_space_timeout_s ();

  pool->no_space_deadline_ns = seconds == 0 ? 0 :
    monotonic_ns () + seconds * UINT64_C (1000000000);
}

static bool
pool_requested_error (struct pool *pool)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  return pool->requested.error_if_no_space;
}

static enum pool_mode
pool_allowed_mode (struct pool *pool, enum pool_mode mode)
{
  enum pool_mode old = pool->mode;

  if (old == POOL_FAIL)
    return POOL_FAIL;
  if (mode == POOL_WRITE && pool_needs_check (pool)) {
    pool_complain (pool, "unable to switch pool to write mode until repaired");
    mode = old != POOL_WRITE ? old : POOL_READ_ONLY;
  }
  if (mode != POOL_FAIL &&
      thin_meta_set_read_only (pool->meta,
                               mode >= POOL_OUT_OF_METADATA_SPACE) < 0)
    mode = POOL_READ_ONLY;
  return mode;
}

void
pool_set_mode_locked (struct pool *pool, enum pool_mode mode)
{
  enum pool_mode old = pool->mode;

  mode = pool_allowed_mode (pool, mode);
  if (mode == POOL_OUT_OF_DATA_SPACE)
    pool_start_timeout (pool);
  if (mode == POOL_WRITE)
    pool->error_if_no_space = pool_requested_error (pool);
  pool->mode = mode;
  if (mode == old)
    return;
  pool_notify (pool);
  pool_wake (pool);
}

/* ------------------------------------------------------------------
 * Commits and failures.
 */

/* A server that ends does not wait for a device that does not answer: then, as
 * after a crash, the last transaction is whole, and nothing has to be checked.
 */
static void
pool_roll_back (struct pool *pool, int cause)
{
  bool check = cause != -ESHUTDOWN;

  pool_complain (pool, "aborting current metadata transaction");
  if (thin_meta_abort (pool->meta) < 0) {
    pool_complain (pool, "failed to abort metadata transaction");
    pool_set_mode_locked (pool, POOL_FAIL);
  }
  pool_forget_mappings (pool);
  pool->dropper = POOL_DROPPED_NONE;
  if (check && pool->mode != POOL_FAIL &&
      thin_meta_set_needs_check (pool->meta) < 0) {
    pool_complain (pool, "failed to set 'needs_check' flag in metadata");
    pool->check_pending = true;
  }
  pool_set_mode_locked (pool, POOL_READ_ONLY);
}

bool
pool_needs_check (struct pool *pool)
{
  return pool->check_pending || thin_meta_needs_check (pool->meta);
}

void
pool_write_pending_check (struct pool *pool)
{
  if (pool->check_pending &&
      thin_meta_set_read_only (pool->meta, false) == 0 &&
      thin_meta_abort (pool->meta) == 0)
    thin_meta_set_needs_check (pool->meta);
}

void
pool_failed_locked (struct pool *pool, const char *what, int r)
{
  if (pool->mode == POOL_FAIL || !thin_meta_is_broken (pool->meta))
    return; /* it failed for another thread, too, and that has been here */
  pool_complain (pool, "metadata operation '%s' failed: %s", what,
                 strerror (-r));
  door_close (&pool->changers);
  pool_roll_back (pool, r);
  door_open (&pool->changers);
}

void
pool_failed (struct pool *pool, const char *what, int r)
{
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  pool_failed_locked (pool, what, r);
}

/* After a commit: does the mode still say what there is? */
static void
pool_check_space (struct pool *pool)
{
  struct thin_meta_usage usage;

  thin_meta_usage (pool->meta, &usage);
  if (usage.metadata_free == 0) {
    pool_complain (pool, "no free metadata blocks");
    pool_set_mode_locked (pool, POOL_OUT_OF_METADATA_SPACE);
  }
  if (pool->mode == POOL_OUT_OF_DATA_SPACE && usage.data_free > 0)
    pool_set_mode_locked (pool, POOL_WRITE);
}

int
pool_commit_locked (struct pool *pool)
{
  int r = 0;

  pool->dirty = false;
  if (pool->mode >= POOL_OUT_OF_METADATA_SPACE)
    return -EINVAL;
  if (thin_meta_changed (pool->meta)) {
    door_close (&pool->changers);
    r = thin_meta_commit (pool->meta);
    if (r == 0)
      pool->dropper = POOL_DROPPED_NONE;
    door_open (&pool->changers);
  }
  if (r < 0)
    pool_failed_locked (pool, "commit", r);
  else
    pool_check_space (pool);
  return r;
}

int
pool_commit (struct pool *pool)
{
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  return pool_commit_locked (pool);
}

/* ------------------------------------------------------------------
 * Room.
 */

/* From now on the queue's requests, and new ones, fail. */
static void
pool_expire (struct pool *pool)
{
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  if (pool->mode != POOL_OUT_OF_DATA_SPACE || pool->error_if_no_space)
    return;
  pool->error_if_no_space = true;
  pool_notify (pool);
  pool_wake (pool);
}

static bool
pool_is_expired (struct pool *pool)
{
  uint64_t deadline = pool->no_space_deadline_ns;

  return deadline && monotonic_ns () >= deadline;
}

int
pool_may_provision (struct pool *pool)
{
  switch ((enum pool_mode) pool->mode) {
  case POOL_WRITE:
    return 0;
  case POOL_OUT_OF_DATA_SPACE:
    if (!pool->error_if_no_space && pool_is_expired (pool))
      pool_expire (pool);
    return pool->error_if_no_space ? -ENOSPC : POOL_WAIT;
  default:
    return -EIO;
  }
}

static void
pool_check_low_water (struct pool *pool, block_t data_free)
{
  if (data_free > pool->low_water_blocks || pool->low_water_triggered ||
      atomic_exchange (&pool->low_water_triggered, true))
    return;
  pool_log (pool, "reached low water mark for data device: sending event.");
  pool_event (pool);
}

/* Blocks that were freed can be taken after a commit.  Metadata are committed
 * before what is reserved for commits is used up.
 */
static void
pool_commit_for_room (struct pool *pool, bool out_of_data)
{
  struct thin_meta_usage usage;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  if (pool->mode != POOL_WRITE || pool_commit_locked (pool) < 0)
    return;
  thin_meta_usage (pool->meta, &usage);
  if (out_of_data && pool->mode == POOL_WRITE && usage.data_free == 0)
    pool_set_mode_locked (pool, POOL_OUT_OF_DATA_SPACE);
}

int
pool_make_room (struct pool *pool)
{
  struct thin_meta_usage usage;
  int r = pool_may_provision (pool);

  if (r != 0)
    return r;
  thin_meta_usage (pool->meta, &usage);
  pool_check_low_water (pool, usage.data_free);
  if (usage.data_free > 0 && usage.metadata_free > 0)
    return 0;
  pool_commit_for_room (pool, usage.data_free == 0);
  return pool_may_provision (pool);
}

void
pool_make_metadata_room (struct pool *pool)
{
  struct thin_meta_usage usage;

  thin_meta_usage (pool->meta, &usage);
  if (usage.metadata_free == 0)
    pool_commit (pool);
}

void
pool_note_drop (struct pool *pool, uint32_t id)
{
  int64_t before = POOL_DROPPED_NONE;

  if (!atomic_compare_exchange_strong (&pool->dropper, &before, id) &&
      before != id)
    pool->dropper = POOL_DROPPED_MANY;
}

bool
pool_dropped_alone (struct pool *pool, uint32_t id)
{
  int64_t dropper = pool->dropper;

  return dropper == POOL_DROPPED_NONE || dropper == id;
}

int
pool_reclaim (struct pool *pool)
{
  pool_commit_for_room (pool, true);
  return pool_may_provision (pool);
}

bool
pool_wait_for_space (struct pool *pool, uint64_t epoch,
                     const atomic_bool *leave)
{
  uint64_t deadline = pool->no_space_deadline_ns;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  while (pool->space_epoch == epoch && !*leave)
    if (deadline == 0)
      latch_wait (&pool->latch, &pool->moved);
    else if (!latch_timedwait (&pool->latch, &pool->moved, deadline))
      break;
  return !*leave;
}
