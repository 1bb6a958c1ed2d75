/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools and the thins that are open: found, made, shared, ended. */

#include "targets/thin/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* One pool is made or ended at a time, as in the kernel. */
static struct {
  struct gate gate;
  struct list list;
} pools = {
  { PTHREAD_MUTEX_INITIALIZER, GATE_SUSPEND },
  LIST_HEAD_INIT (pools.list)
};

/* ------------------------------------------------------------------
 * Pools.
 */

static struct pool *
pool_find_md (const struct block_device *md)
{
  struct pool *pool;

  list_for_each (pool, &pools.list, link)
    if (pool->md == md)
      return pool;
  return NULL;
}

static struct pool *
pool_find_metadata (struct block_device *metadata)
{
  struct pool *pool;

  list_for_each (pool, &pools.list, link)
    if (bdev_same (pool->metadata, metadata))
      return pool;
  return NULL;
}

static struct pool *
pool_new (struct dm_target *ti, const struct pool_line *line)
{
  struct pool *pool = calloc (1, sizeof *pool);

  if (pool == NULL)
    return NULL;
  pool->md = dm_target_bdev (ti);
  pool->metadata = line->metadata;
  pool->data = line->data;
  pool->block_sectors = line->block_sectors;
  pool->metadata_snap = line->features.metadata_snap;
  pool->discard_enabled = line->features.discard_enabled;
  pool->discard_passdown = true; /* what the kernel shows before a resume */
  pool->suspended = true;
  pool->dropper = POOL_DROPPED_NONE;
  gate_init (&pool->gate, GATE_COMMIT);
  latch_init (&pool->latch);
  latch_cond_init (&pool->moved);
  door_init (&pool->changers);
  list_init (&pool->link);
  list_init (&pool->thins);
  return pool;
}

static void
pool_free (struct pool *pool)
{
  door_destroy (&pool->changers);
  pthread_cond_destroy (&pool->moved);
  latch_destroy (&pool->latch);
  gate_destroy (&pool->gate);
  free (pool);
}

/* When a table is only tried nothing may be written, nor is there anything to
 * open yet if the metadata have still to be made.
 */
static int
pool_open (struct pool *pool, struct dm_target *ti,
           const struct pool_line *line)
{
  struct thin_meta_params params = {
    .bdev = line->metadata, .data_block_sectors = line->block_sectors,
    .read_only = line->features.read_only || dm_target_is_check (ti),
    .metadata_snapshot = line->features.metadata_snap,
    .flush_data = pool_flush_data, .context = pool,
  };
  struct message msg = { "" };
  int r = thin_meta_open (&params, &pool->meta, &msg);

  if (r == -EPERM && dm_target_is_check (ti) && !line->features.read_only) {
    pool->mode = POOL_FAIL;
    return 0;
  }
  if (r < 0)
    return dm_target_error (ti, -r, "Error creating metadata object: %s",
                            message_is_set (&msg) ? msg.text : strerror (-r));
  return 0;
}

static int
pool_create (struct dm_target *ti, const struct pool_line *line,
             struct pool **out)
{
  struct pool *pool = pool_new (ti, line);
  int r;

  if (pool == NULL)
    return dm_target_error (ti, ENOMEM, "Error allocating memory for pool");
  r = pool_open (pool, ti, line);
  if (r < 0) {
    pool_free (pool);
    return r;
  }
  list_add_tail (&pools.list, &pool->link);
  *out = pool;
  return 0;
}

/* The texts, and the order of the checks, are Linux 6.1's. */
static int
pool_find (struct dm_target *ti, const struct pool_line *line,
           struct pool **out)
{
  struct block_device *md = dm_target_bdev (ti);
  struct pool *pool = pool_find_metadata (line->metadata);

  if (pool && pool->md != md)
    return dm_target_error (ti, EBUSY,
                            "metadata device already in use by a pool");
  if (pool && !bdev_same (pool->data, line->data))
    return dm_target_error (ti, EBUSY,
                            "data device already in use by a pool");
  if (pool == NULL && pool_find_md (md))
    return dm_target_error (ti, EINVAL,
                            "different pool cannot replace a pool");
  if (pool && (pool->metadata != line->metadata || pool->data != line->data))
    return dm_target_error (ti, EINVAL, "different pool cannot replace a "
                            "pool: the devices are the same, but opened in "
                            "another mode or under another name");
  if (pool == NULL)
    return pool_create (ti, line, out);
  if (pool->metadata_snap != line->features.metadata_snap)
    return dm_target_error (ti, EINVAL, "different pool cannot replace a "
                            "pool: the metadata snapshot is one of its own");
  if (pool->discard_enabled != line->features.discard_enabled)
    return dm_target_error (ti, EINVAL, "Discard support cannot be disabled "
                            "once enabled");
  *out = pool;
  return 0;
}

int
pool_attach (struct dm_target *ti, const struct pool_line *line,
             struct pool **out)
{
  struct pool *pool = NULL;
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&pools.gate);

  r = pool_find (ti, line, &pool);
  if (r < 0)
    return r;
  pool->tables++;
  pool->users++;
  *out = pool;
  return 0;
}

static void
pool_unuse (struct pool *pool)
{
  if (--pool->users == 0)
    pool_free (pool);
}

struct pool *
pool_get (struct block_device *md)
{
  struct pool *pool;
  ACQUIRE_GATE_FOR_SCOPE (&pools.gate);

  pool = pool_find_md (md);
  if (pool)
    pool->users++;
  return pool;
}

void
pool_put (struct pool *pool)
{
  ACQUIRE_GATE_FOR_SCOPE (&pools.gate);

  pool_unuse (pool);
}

/* ------------------------------------------------------------------
 * Thins.
 */

static struct pool_thin *
pool_thin_new (struct pool *pool, uint32_t id)
{
  struct pool_thin *thin = calloc (1, sizeof *thin);
  unsigned i;

  if (thin == NULL)
    return NULL;
  if (thin_cache_init (&thin->cache) < 0) {
    free (thin);
    return NULL;
  }
  thin->pool = pool;
  thin->id = id;
  thin->refs = 1;
  door_init (&thin->door);
  for (i = 0; i < POOL_CELL_SHARDS; i++)
    cells_init (&thin->cells[i]);
  return thin;
}

static void
pool_thin_free (struct pool_thin *thin)
{
  unsigned i;

  for (i = 0; i < POOL_CELL_SHARDS; i++)
    cells_destroy (&thin->cells[i]);
  thin_cache_destroy (&thin->cache);
  door_destroy (&thin->door);
  free (thin);
}

struct pool_thin *
pool_thin_hold (struct pool *pool, uint32_t id)
{
  struct pool_thin *thin;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  list_for_each (thin, &pool->thins, link)
    if (thin->id == id) {
      thin->refs++;
      return thin;
    }
  return NULL;
}

bool
pool_is_suspended (struct pool *pool)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  return pool->suspended;
}

/* In a suspended pool the door is one of those that its resume opens. */
static void
pool_thin_enlist (struct pool *pool, struct pool_thin *thin)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  thin->quiesced = pool->suspended;
  thin->door.closed = pool->suspended;
  list_add_tail (&pool->thins, &thin->link);
}

static int
pool_thin_make (struct pool *pool, uint32_t id, struct pool_thin **out)
{
  struct pool_thin *thin;
  int r;

  if (pool->meta == NULL)
    return -EINVAL;
  thin = pool_thin_new (pool, id);
  if (thin == NULL)
    return -ENOMEM;
  r = thin_dev_open (pool->meta, id, &thin->td);
  if (r < 0) {
    pool_thin_free (thin);
    return r;
  }
  pool_thin_enlist (pool, thin);
  *out = thin;
  return 0;
}

int
pool_thin_open (struct pool *pool, uint32_t id, struct pool_thin **thin)
{
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  *thin = pool_thin_hold (pool, id);
  return *thin ? 0 : pool_thin_make (pool, id, thin);
}

/* The gate is held. */
static void
pool_thin_drop (struct pool_thin *thin)
{
  struct pool *pool = thin->pool;
  unsigned refs;

  latch_acquire (&pool->latch);
  refs = --thin->refs;
  if (refs == 0)
    list_del (&thin->link);
  latch_release (&pool->latch);
  if (refs > 0)
    return;
  if (thin->td)
    thin_dev_close (thin->td);
  pool_thin_free (thin);
}

void
pool_thin_close (struct pool_thin *thin)
{
  struct pool *pool = thin->pool;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  pool_thin_drop (thin);
}

/* ------------------------------------------------------------------
 * All thins of a pool.
 */

/* The next one whose door is not yet as it should be; held. */
static struct pool_thin *
pool_quiesce_next (struct pool *pool, bool quiesced)
{
  struct pool_thin *thin;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  pool->suspended = quiesced;
  list_for_each (thin, &pool->thins, link)
    if (thin->quiesced != quiesced) {
      thin->quiesced = quiesced;
      thin->refs++;
      return thin;
    }
  return NULL;
}

void
pool_suspend (struct pool *pool)
{
  struct pool_thin *thin;

  while ((thin = pool_quiesce_next (pool, true)) != NULL) {
    door_close (&thin->door);
    pool_thin_close (thin);
  }
}

void
pool_resume (struct pool *pool)
{
  struct pool_thin *thin;

  while ((thin = pool_quiesce_next (pool, false)) != NULL) {
    door_open (&thin->door);
    pool_thin_close (thin);
  }
}

void
pool_forget_mappings (struct pool *pool)
{
  struct pool_thin *thin;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  list_for_each (thin, &pool->thins, link)
    thin_cache_forget_all (&thin->cache);
}

/* ------------------------------------------------------------------
 * The end.
 */

static void
pool_close_metadata (struct pool *pool)
{
  struct pool_thin *thin;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  if (pool->mode != POOL_FAIL)
    pool_write_pending_check (pool);
  pool->mode = POOL_FAIL;
  /* Nothing is opened or closed without the gate. */
  list_for_each (thin, &pool->thins, link) {
    thin_dev_close (thin->td);
    thin->td = NULL;
  }
  if (pool->meta && thin_meta_close (pool->meta) < 0)
    log_error ("thin-pool: the last commit failed");
  pool->meta = NULL;
}

static void
pool_unbind (struct pool *pool, struct dm_target *ti)
{
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  if (pool->ti == ti)
    pool->ti = NULL;
  while (pool->pins > 0)
    latch_wait (&pool->latch, &pool->moved);
}

void
pool_detach (struct pool *pool, struct dm_target *ti)
{
  ACQUIRE_GATE_FOR_SCOPE (&pools.gate);

  pool_unbind (pool, ti);
  if (--pool->tables == 0) {
    list_del (&pool->link);
    pool_stop_ticker (pool);
    pool_suspend (pool);
    pool_close_metadata (pool);
    pool_resume (pool);
    pool_wake (pool);
  }
  pool_unuse (pool);
}
