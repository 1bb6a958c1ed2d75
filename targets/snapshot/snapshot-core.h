/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot: its exceptions, its states, and how exceptions come to be. */

#ifndef NBDM_SNAPSHOT_CORE_H
#define NBDM_SNAPSHOT_CORE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/lock.h"
#include "common/vector.h"
#include "server/device-mapper.h"
#include "targets/cell.h"
#include "targets/snapshot/copy.h"
#include "targets/snapshot/exception-store.h"
#include "targets/snapshot/exception-table.h"
#include "targets/snapshot/origin-registry.h"

/* Exceptions that a write to the snapshot has made are in the table at once
 * and on disk with the next flush, as what is written to any disk with a cache.
 * But where a write to the origin relies on them they must be on disk first.
 */
struct deferred {
  struct latch latch;
  /* Guarded by latch. */
  pthread_cond_t changed;
  VECTOR (struct prepared) waiting; /* nobody has begun to commit them */

  /* Somebody commits, and so waits for, all that was prepared before this one:
   * that is not deferred any more.
   */
  uint64_t commit_end;
  bool failed;               /* a commit has, so later ones do */

  /* Behind the last that was deferred; all before safe_end is on disk.
   * Changed under latch.
   */
  _Atomic uint64_t deferred_end, safe_end;
};

/* What the targets snapshot and snapshot-merge have in common.
 *
 * Who may do what with a chunk:
 *
 *   what                        the cell of the chunk
 *   look up, use an exception   none: it does not go, nor move, but in a merge
 *   read the origin instead     none: what was read counts only if another
 *                               look-up after it finds no exception either
 *   ask for the origin's        shared, from the look-up to the answer
 *   extents instead
 *   make an exception           exclusive, from the look-up that found none
 *   write to the origin         none, but after all snapshots have an exception
 *
 * So a read of old data is never overtaken by a write to the origin, and no
 * chunk gets two exceptions.  In a snapshot-merge a write to an exception
 * holds the cell shared and the merge holds it exclusive.
 *
 * A thread holds one cell of a storey at a time.  Snapshots of one origin are
 * preserved one after the other: should a write find a snapshot without an
 * exception then nobody has written to that chunk since, so what an earlier
 * snapshot's copy has left in the copier is still right.
 */
struct snapshot {
  struct dm_target *ti;
  struct dm_dev *origin, *cow;
  bool zeroes_cow, passes_discards; /* the optional features */
  bool may_overflow;

  /* A handover exchanges them; both tables are suspended then and the origin
   * is quiet.
   */
  struct exception_store *store;
  struct exception_table *table;
  atomic_uint chunk_sectors; /* the store's; 0: there is nothing to use */
  atomic_char letter;        /* of the store's type */

  atomic_bool valid;         /* false once and for all */
  atomic_bool overflowed;    /* writes fail until it is loaded again */
  atomic_bool merge_failed;

  struct deferred deferred;  /* nothing, while it is suspended */
  struct cells cells;        /* keyed by chunk of the origin */
  struct origin_user user;
};

/* ------------------------------------------------------------------
 * snapshot-table.c: the line, the states, the handover.  ti->private begins
 * with a struct snapshot; most of these are members of both target types.
 */

/* The constructor of both; role tells which.  Reads the COW device, or makes a
 * new store on it.  What remains is the number of flushes.
 */
int snapshot_construct (struct dm_target *ti, enum origin_role role,
                        struct args *args);
void snapshot_dtr (struct dm_target *ti);

int snapshot_preresume (struct dm_target *ti, struct message *msg);

/* resume: take a store over if there is one to take, and be preserved from now
 * on.
 */
void snapshot_resume (struct dm_target *ti);
void snapshot_postsuspend (struct dm_target *ti);

void snapshot_status (struct dm_target *ti, enum dm_status_type type,
                      unsigned flags, FILE *out);
void snapshot_measure (struct dm_target *ti, FILE *out);
int snapshot_iterate_devices (struct dm_target *ti, dm_iterate_fn fn,
                              void *data);
void snapshot_io_hints (struct dm_target *ti, struct queue_limits *limits);
int snapshot_extents (struct dm_target *ti, sector_t sector, sector_t len,
                      struct extent_sink *sink);

/* ------------------------------------------------------------------
 * snapshot-core.c: exceptions.
 */

/* What a range of the origin is to the snapshot. */
struct snapshot_piece {
  bool excepted;
  sector_t len;              /* so much of the range is alike */
  sector_t cow_sector;       /* if excepted */
  chunk_t chunk, end_chunk;  /* those it touches */
};

void snapshot_look_up (struct snapshot *s, sector_t sector, sector_t len,
                       struct snapshot_piece *piece);

/* Make exceptions of the chunks that a piece without them touches, or of the
 * first of them; end_chunk is then where it stopped.  The caller holds the cell
 * exclusively.
 *
 * over: a write that they are made for, whose data goes to the COW device with
 * them; unless it is a FUA write they come to disk with a flush.  NULL: they
 * are on disk on return.  0; -ENOSPC, -ENOMEM: none was made, and
 * nothing has happened; -EIO: a copy or the store failed and the snapshot must
 * be invalidated.
 */
int snapshot_except (struct snapshot *s, struct copier *copier,
                     struct snapshot_piece *piece, const struct bio *over);

/* Aim a bio at the exception. */
static inline void
snapshot_redirect (const struct snapshot *s, struct bio *bio,
                   const struct snapshot_piece *piece)
{
  bio->bdev = s->cow->bdev;
  bio->sector = piece->cow_sector;
}

/* Submit a bio; zeroes are written if the device knows only writes. */
int snapshot_submit (const struct bio *bio);

enum snapshot_reason { SNAPSHOT_IO_ERROR, SNAPSHOT_NO_SPACE };

/* The snapshot is lost: on disk, in the log, and as an event.  Blocks until it
 * is on disk, so that what made it so can go on to the origin; or until that
 * has failed: no snapshot makes a write to the origin fail, or wait for ever.
 * See store_invalidate for what comes of it then.
 */
void snapshot_invalidate (struct snapshot *s, enum snapshot_reason why);

/* A transition for the log and for who waits for events. */
void snapshot_tell (struct snapshot *s, const char *what);

/* ------------------------------------------------------------------
 * snapshot-commit.c: when exceptions come to disk.
 */
void deferred_init (struct deferred *d);
void deferred_destroy (struct deferred *d);

/* Put what was prepared, and all that was deferred, on disk: store_commit's
 * contract.  n may be 0.
 */
int snapshot_commit (struct snapshot *s, const struct prepared p[],
                     unsigned n);

/* The same at the next commit, unless there is one just now. */
int snapshot_defer (struct snapshot *s, const struct prepared p[], unsigned n);

/* All exceptions are on disk on return.  0, or -EIO and the snapshot is
 * invalid.
 */
int snapshot_sync (struct snapshot *s);

/* ------------------------------------------------------------------
 * Writes to the origin.  Never fail because of a snapshot.
 */

/* Preserve [sector, sector+len) of the origin in all its snapshots.  The
 * caller is inside.
 */
void snapshots_preserve (struct origin *origin, sector_t sector,
                         sector_t len);

/* Carry out a write or write-zeroes on bdev, the origin: enter, preserve,
 * submit, exit.  The bio's result.
 */
int snapshots_write_origin (struct origin *origin, struct block_device *bdev,
                            const struct bio *bio);

#endif /* NBDM_SNAPSHOT_CORE_H */
