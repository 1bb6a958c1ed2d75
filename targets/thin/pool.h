/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool that a thin-pool target and its thins share. */

#ifndef NBDM_POOL_H
#define NBDM_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/lock.h"
#include "server/device-mapper.h"
#include "targets/cell.h"
#include "targets/thin/pool-door.h"
#include "targets/thin/thin-cache.h"
#include "targets/thin/thin-metadata.h"

/* In the order of severity (Linux 6.1, thin-pool 1.22.0). */
enum pool_mode {
  POOL_WRITE,
  POOL_OUT_OF_DATA_SPACE,     /* writes that need a new block wait, or fail */
  POOL_OUT_OF_METADATA_SPACE, /* this and the next: metadata stay unchanged */
  POOL_READ_ONLY,
  POOL_FAIL,                  /* nothing works; for ever */
};

/* What a table line asks for. */
struct pool_features {
  bool zero_new_blocks, discard_enabled, discard_passdown, read_only,
    error_if_no_space;
  bool metadata_snap; /* not in Linux: thins as the metadata snapshot has them;
                         with read_only */
};

/* One per pool device, whatever tables it has had: a table that replaces
 * another one finds the pool by its mapped device, and binds it to itself when
 * it goes live.
 *
 * The way of a request of a thin, and what it holds:
 *
 *   door of its pool_thin    until it ends; closed while the pool is suspended
 *                            or a snapshot of the thin is made
 *   cell on its blocks       shared while it uses a mapping, until its I/O has
 *                            ended; exclusive to change one.  So nobody reads
 *                            a data block while the last mapping to it goes,
 *                            and a freed one is not given out before a commit
 *   gate                     to commit, and to change modes
 *   door of the changers     from the allocation of a data block until it is
 *                            mapped: a commit closes it, so that it never
 *                            writes a block as used that nothing maps
 *
 * in this order; none but the first two is taken if the block is mapped.  Who
 * is inside the changers' door takes no gate of this header and waits for
 * nobody who does.
 */
struct pool {
  struct list link;            /* of all pools; their gate */
  struct block_device *md;     /* the mapped device: the key */
  struct block_device *metadata, *data; /* the same for all its tables */
  sector_t block_sectors;
  bool metadata_snap;          /* of which state; the same for all its tables */
  unsigned tables, users;      /* targets of this type, of both; their gate */

  struct gate gate;            /* GATE_COMMIT: commits and changes of mode */
  struct thin_metadata *meta;  /* NULL once the last table is gone: POOL_FAIL.
                                  Read under the gate or inside a door */
  _Atomic enum pool_mode mode; /* written under the gate */
  bool check_pending;          /* needs_check could not be written yet; gate */
  struct door changers;

  /* Of the table that is bound, adjusted; written while all doors are closed,
   * but for the first, which the timeout sets.
   */
  atomic_bool error_if_no_space;
  atomic_bool zero_new_blocks, discard_enabled, discard_passdown;
  atomic_bool zeroes_supported; /* the data device can punch or zero */
  /* Whose references to blocks that may be shared were dropped since the last
   * commit: the id of one thin, or one of the two below.
   */
#define POOL_DROPPED_NONE (-1)
#define POOL_DROPPED_MANY (-2)
  _Atomic int64_t dropper;

  uint64_t low_water_blocks;
  atomic_bool low_water_triggered; /* since the last resume */
  atomic_uint data_flushes;        /* how often data were made durable */

  struct latch latch;
  /* Guarded by latch, to the end. */
  pthread_cond_t moved;        /* something of the rest did */
  struct dm_target *ti;        /* bound; NULL before the first resume */
  struct pool_features requested; /* what its line says */
  unsigned pins;               /* who uses ti just now */
  bool suspended;
  struct list thins;           /* struct pool_thin */
  _Atomic uint64_t space_epoch; /* moves when waiting for space may be over */
  _Atomic uint64_t no_space_deadline_ns; /* 0: wait for ever */

  /* Those who want to be durable go in groups: run n serves who came before
   * it began.
   */
  uint64_t sync_begun, sync_done, sync_failed;
  int sync_error;
  bool sync_running;

  /* The thread that commits a second after something was changed. */
  bool ticker_runs, ticker_stops;
  pthread_t ticker;
  atomic_bool dirty;
};

#define POOL_CELL_SHARDS 64
#define POOL_CELL_BLOCKS 64 /* a cell never crosses a multiple of it */

/* One thin device, however many targets have it open. */
struct pool_thin {
  struct list link;           /* pool->thins */
  struct pool *pool;
  uint32_t id;
  unsigned refs;              /* pool->latch */
  bool quiesced;              /* the same: door closed by a suspend */
  struct thin_device *td;     /* NULL in POOL_FAIL */
  struct door door;
  struct cells cells[POOL_CELL_SHARDS];
  struct thin_cache cache;
};

static inline struct cells *
pool_thin_cells (struct pool_thin *thin, block_t block)
{
  return &thin->cells[block / POOL_CELL_BLOCKS % POOL_CELL_SHARDS];
}

/* ------------------------------------------------------------------
 * pool.c: pools and their thins, from constructors and destructors.
 */

/* What a thin-pool line names. */
struct pool_line {
  struct block_device *metadata, *data;
  sector_t block_sectors;
  struct pool_features features;
};

/* The pool of ti's mapped device, made (and the metadata opened, perhaps
 * formatted) unless it is there.  0, or what dm_target_error returned, with
 * the kernel's text.
 */
int pool_attach (struct dm_target *ti, const struct pool_line *line,
                 struct pool **pool);

/* The last table that leaves takes the metadata along: they are committed and
 * closed, thins that are left fail.  Waits for everything in flight.
 */
void pool_detach (struct pool *pool, struct dm_target *ti);

/* The pool behind a mapped device, to be put; NULL: there is none. */
struct pool *pool_get (struct block_device *md);
void pool_put (struct pool *pool);

/* Open a thin; errors are thin_dev_open's.  The caller has a count of the
 * pool, which stays his.  While the pool is suspended the door is closed.
 */
int pool_thin_open (struct pool *pool, uint32_t id, struct pool_thin **thin);
void pool_thin_close (struct pool_thin *thin);

/* The same if it is open already, else NULL. */
struct pool_thin *pool_thin_hold (struct pool *pool, uint32_t id);

/* Close or open the doors of all thins.  A new pool is suspended. */
void pool_suspend (struct pool *pool);
void pool_resume (struct pool *pool);
bool pool_is_suspended (struct pool *pool);

/* Forget all cached mappings. */
void pool_forget_mappings (struct pool *pool);

/* ------------------------------------------------------------------
 * pool-mode.c: modes, failures, space.  Those called _locked want the gate.
 */

/* Tell the log, also as an error, or raise an event of the pool device. */
void pool_log (struct pool *pool, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
void pool_complain (struct pool *pool, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
void pool_event (struct pool *pool);

/* Linux 6.1: needs_check keeps a pool from POOL_WRITE, POOL_FAIL stays.  A
 * change is logged and an event; who waits for space looks again.
 */
void pool_set_mode_locked (struct pool *pool, enum pool_mode mode);

/* Commit, and see what room there is then.  -EINVAL where the mode forbids it;
 * another error has made the pool read-only, or failed.
 */
int pool_commit_locked (struct pool *pool);
int pool_commit (struct pool *pool);

/* A change of the metadata failed: what, with the error r.  If that broke the
 * transaction: roll it back, set needs_check unless the server is ending, go
 * read-only.
 */
void pool_failed_locked (struct pool *pool, const char *what, int r);
void pool_failed (struct pool *pool, const char *what, int r);

/* The flag of the metadata, or one that could not be written: that is tried
 * again in the end (Linux 6.1).
 */
bool pool_needs_check (struct pool *pool);
void pool_write_pending_check (struct pool *pool);

/* May a new block be mapped?  0, or what becomes of the request: -EIO, -ENOSPC
 * or POOL_WAIT.
 */
#define POOL_WAIT 1
int pool_may_provision (struct pool *pool);

/* The same with a look at the room there is: raises the low water event,
 * commits where that can make room, changes the mode if there is none.
 */
int pool_make_room (struct pool *pool);

/* For a change that needs no data block: commit before what is reserved for
 * commits is used up.
 */
void pool_make_metadata_room (struct pool *pool);

/* An allocation said -ENOSPC: 0 if it is worth another try. */
int pool_reclaim (struct pool *pool);

/* Wait until pool->space_epoch is not epoch any more, the time is over, or
 * *leave: then false.
 */
bool pool_wait_for_space (struct pool *pool, uint64_t epoch,
                          const atomic_bool *leave);
void pool_wake (struct pool *pool);

/* A thin is about to drop references to blocks that may be shared.  The
 * metadata on disk have them until the next commit, so if somebody else drops
 * the last one before that, the contents have to stay: pool_dropped_alone says
 * whether nobody else has dropped any.
 */
void pool_note_drop (struct pool *pool, uint32_t id);
bool pool_dropped_alone (struct pool *pool, uint32_t id);

/* ------------------------------------------------------------------
 * pool-sync.c: durability.
 */

/* Everything that completed before is durable after, mappings and data.
 * Whoever calls at the same time shares one commit.
 */
int pool_sync (struct pool *pool);

/* thin_meta_params.flush_data. */
int pool_flush_data (void *pool);

/* Something was changed: commit it within a second. */
void pool_note_change (struct pool *pool);

/* End the thread that does so; the next change starts it again. */
void pool_stop_ticker (struct pool *pool);

/* ------------------------------------------------------------------
 * pool-message.c
 */
int pool_message (struct dm_target *ti, struct pool *pool, struct args *args);

#endif /* NBDM_POOL_H */
