/* SPDX-License-Identifier: BSD-3-Clause */
/* Making a pool durable: when somebody asks, and every second. */

#include "targets/thin/pool.h"

#include <errno.h>

#include "common/log.h"

#define POOL_TICK_NS UINT64_C (1000000000)

int
pool_flush_data (void *context)
{
  struct pool *pool = context;

  pool->data_flushes++;
  return bdev_flush (pool->data);
}

/* ------------------------------------------------------------------
 * On demand.
 */

/* A commit that finds nothing changed, since the one before it had all of it,
 * flushes nothing; but what was written after that one's flush wants it.
 */
static int
pool_sync_now (struct pool *pool)
{
  unsigned flushes;
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  flushes = pool->data_flushes;
  r = pool_commit_locked (pool);
  if (r == 0 && pool->data_flushes == flushes)
    r = bdev_flush (pool->data);
  return r;
}

/* Latch held; it is let go meanwhile. */
static void
pool_sync_run (struct pool *pool)
{
  uint64_t nr = ++pool->sync_begun;
  int r;

  pool->sync_running = true;
  latch_release (&pool->latch);
  r = pool_sync_now (pool);
  latch_acquire (&pool->latch);
  pool->sync_running = false;
  pool->sync_done = nr;
  if (r < 0) {
    pool->sync_failed = nr;
    pool->sync_error = r;
  }
  pthread_cond_broadcast (&pool->moved);
}

int
pool_sync (struct pool *pool)
{
  uint64_t nr;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  nr = pool->sync_begun + 1; /* one under way may have missed us */
  while (pool->sync_done < nr)
    if (pool->sync_running)
      latch_wait (&pool->latch, &pool->moved);
    else
      pool_sync_run (pool);
  return pool->sync_failed >= nr ? pool->sync_error : 0;
}

/* ------------------------------------------------------------------
 * Every second.
 */

/* False: stop. */
static bool
pool_tick_wait (struct pool *pool)
{
  uint64_t deadline;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);

  while (!pool->dirty && !pool->ticker_stops)
    latch_wait (&pool->latch, &pool->moved);
  deadline = monotonic_ns () + POOL_TICK_NS;
  while (!pool->ticker_stops &&
         latch_timedwait (&pool->latch, &pool->moved, deadline))
    ;
  return !pool->ticker_stops;
}

static void *
pool_tick (void *arg)
{
  struct pool *pool = arg;

  while (pool_tick_wait (pool))
    pool_commit (pool);
  return NULL;
}

/* It is not started before there is something to do: then the server has
 * forked, which no thread survives.
 */
void
pool_note_change (struct pool *pool)
{
  if (pool->dirty)
    return;
  ACQUIRE_LATCH_FOR_SCOPE (&pool->latch);
  if (!pool->ticker_runs) {
    pool->ticker_stops = false;
    pool->ticker_runs = pthread_create (&pool->ticker, NULL, pool_tick,
                                        pool) == 0;
    if (!pool->ticker_runs)
      return;
  }
  pool->dirty = true;
  pthread_cond_broadcast (&pool->moved);
}

void
pool_stop_ticker (struct pool *pool)
{
  bool runs;

  latch_acquire (&pool->latch);
  runs = pool->ticker_runs;
  pool->ticker_runs = false;
  pool->ticker_stops = true;
  pthread_cond_broadcast (&pool->moved);
  latch_release (&pool->latch);
  if (runs)
    pthread_join (pool->ticker, NULL);
}
