/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot-merge: a device that goes back to what a snapshot of it holds. */

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "common/log.h"
#include "targets/snapshot/snapshot-core.h"

/* What goes back together, and costs two flushes.  As many runs as an area of
 * chunks of 4 KiB can have: scattered ones are a matter of flushes.
 */
#define MERGE_MAX_RUNS 256
#define MERGE_MAX_SECTORS (UINT64_C (4) << 11)

/* It plays the origin's part: what is no exception is the origin's, and other
 * snapshots are preserved.  A thread of its own, from resume to presuspend,
 * takes the exceptions from the newest on.
 */
struct merge {
  struct snapshot snapshot; /* first */

  pthread_t thread;
  bool started;             /* only hooks look at it, one by one */
  atomic_bool stop;
};

static int
merge_ctr (struct dm_target *ti, struct args *args)
{
  int r = snapshot_construct (ti, ORIGIN_MERGE, args);

  ti->num_flush_bios = 2;
  return r;
}

/* ------------------------------------------------------------------
 * One batch.
 */

struct merge_batch {
  unsigned n;
  struct exception_run runs[MERGE_MAX_RUNS];  /* the newest first */
  struct cell_range ranges[MERGE_MAX_RUNS];   /* their old chunks */
  uint64_t chunks;
};

/* Cut it to a size that a suspend can wait for; at least one chunk is left. */
static void
merge_limit_batch (struct merge_batch *b, uint32_t chunk_sectors)
{
  uint64_t max = MERGE_MAX_SECTORS / chunk_sectors;
  unsigned i;

  if (max == 0)
    max = 1;
  b->chunks = 0;
  for (i = 0; i < b->n && b->chunks < max; i++) {
    struct exception_run *run = &b->runs[i];
    uint64_t len = run->len < max - b->chunks ? run->len : max - b->chunks;

    run->old_chunk += run->len - len;
    run->new_chunk += run->len - len;
    run->len = len;
    b->chunks += len;
    b->ranges[i] = (struct cell_range) { run->old_chunk,
                                         run->old_chunk + len };
  }
  b->n = i;
}

/* The part of the run that is inside the origin. */
static void
merge_range (const struct snapshot *s, const struct exception_run *run,
             sector_t *sector, sector_t *len)
{
  sector_t end = bdev_size (s->origin->bdev);

  *sector = chunk_start (run->old_chunk, s->chunk_sectors);
  *len = chunk_start (run->len, s->chunk_sectors);
  if (*sector >= end)
    *len = 0;
  else if (*len > end - *sector)
    *len = end - *sector;
}

static void
merge_preserve (struct snapshot *s, const struct merge_batch *b)
{
  sector_t sector, len;
  unsigned i;

  for (i = 0; i < b->n; i++) {
    merge_range (s, &b->runs[i], &sector, &len);
    snapshots_preserve (s->user.origin, sector, len);
  }
}

static int
merge_copy (struct snapshot *s, const struct merge_batch *b)
{
  struct copier copier;
  unsigned i;
  int r = 0;

  copier_init (&copier);
  for (i = 0; i < b->n && r == 0; i++) {
    struct copy copy = { .from = s->cow->bdev, .to = s->origin->bdev,
                         .chunk_sectors = s->chunk_sectors };

    merge_range (s, &b->runs[i], &copy.to_sector, &copy.len);
    copy.from_sector = chunk_start (b->runs[i].new_chunk, s->chunk_sectors);
    r = copy_sectors (&copier, &copy);
  }
  copier_destroy (&copier);
  return r;
}

/* The exceptions leave the store only when they are safe in the origin, and
 * the table only when they have left the store.  The cells are held.
 */
static int
merge_move (struct snapshot *s, const struct merge_batch *b)
{
  unsigned i;
  int r;

  r = merge_copy (s, b);
  if (r == 0)
    r = bdev_flush (s->origin->bdev);
  if (r == 0)
    r = store_merge_clear (s->store, b->chunks);
  for (i = 0; i < b->n && r == 0; i++)
    r = exception_table_remove (s->table, &b->runs[i]);
  return r;
}

/* Other snapshots have what the origin held before it changes.  Writes to the
 * chunks wait until they are back; reads have the exceptions meanwhile.
 */
static int
merge_one_batch (struct snapshot *s, struct merge_batch *b)
{
  struct cell cell;
  int r;

  origin_enter (s->user.origin);
  merge_preserve (s, b);
  cell_acquire_ranges (&s->cells, &cell, b->ranges, b->n, true);
  r = merge_move (s, b);
  cell_release (&s->cells, &cell);
  origin_exit (s->user.origin);
  return r;
}

/* ------------------------------------------------------------------
 * The thread.
 */

static void
merge_fail (struct snapshot *s, const char *what, int error)
{
  char text[128];

  snprintf (text, sizeof text, "%s: shutting down merge: %s", what,
            strerror (-error));
  s->merge_failed = true;
  snapshot_tell (s, text);
}

static void
merge_done (struct snapshot *s)
{
  origin_set_half_merged (&s->user, false);
  s->merge_failed = false;
  snapshot_tell (s, "Merge is complete");
}

/* True if there is more to do. */
static bool
merge_step (struct snapshot *s, struct merge_batch *b)
{
  int r = store_merge_peek (s->store, b->runs, MERGE_MAX_RUNS);

  if (r < 0)
    merge_fail (s, "Read error in exception store", r);
  else if (r == 0)
    merge_done (s);
  if (r <= 0)
    return false;
  b->n = r;
  merge_limit_batch (b, s->chunk_sectors);
  r = merge_one_batch (s, b);
  if (r < 0)
    merge_fail (s, "Error merging exceptions", r);
  else
    s->merge_failed = false;
  return r == 0;
}

static void *
merge_thread (void *opaque)
{
  struct merge *m = opaque;
  struct merge_batch batch;

  while (!m->stop && merge_step (&m->snapshot, &batch))
    ;
  return NULL;
}

static bool
merge_has_work (struct snapshot *s)
{
  struct exception_table_size size;

  exception_table_size (s->table, &size);
  return size.exceptions > 0;
}

static void
merge_start (struct merge *m)
{
  struct snapshot *s = &m->snapshot;

  if (!s->valid) {
    log_error ("snapshots: Snapshot is invalid: can't merge");
    return;
  }
  if (!merge_has_work (s))
    return;
  origin_set_half_merged (&s->user, true);
  m->stop = false;
  m->started = pthread_create (&m->thread, NULL, merge_thread, m) == 0;
  if (!m->started)
    merge_fail (s, "No thread", -EAGAIN);
}

/* Waits for the batch that is under way. */
static void
merge_presuspend (struct dm_target *ti)
{
  struct merge *m = ti->private;

  if (!m->started)
    return;
  m->stop = true;
  pthread_join (m->thread, NULL);
  m->started = false;
}

static void
merge_presuspend_undo (struct dm_target *ti)
{
  merge_start (ti->private);
}

static void
merge_resume (struct dm_target *ti)
{
  snapshot_resume (ti);
  merge_start (ti->private);
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* The first part of a write, whose length *len then is. */
static int
merge_write (struct snapshot *s, const struct bio *bio, sector_t *len)
{
  struct bio part = *bio;
  struct snapshot_piece piece;
  struct cell cell;
  int r = 0;

  snapshot_look_up (s, part.sector, part.len, &piece);
  if (piece.excepted) {
    cell_acquire (&s->cells, &cell, piece.chunk, piece.end_chunk, false);
    snapshot_look_up (s, part.sector, piece.len, &piece);
    part.len = piece.len;
    if (piece.excepted) {
      snapshot_redirect (s, &part, &piece);
      r = snapshot_submit (&part);
    }
    cell_release (&s->cells, &cell);
  }
  *len = part.len = piece.len;
  if (!piece.excepted)
    r = snapshots_write_origin (s->user.origin, s->origin->bdev, &part);
  return r;
}

static int
merge_map_write (struct snapshot *s, const struct bio *bio)
{
  struct bio rest = *bio;
  sector_t len;
  int r = 0;

  if (bio->flags & BIO_FAST_ZERO)
    return -EOPNOTSUPP;
  if (!s->valid)
    return snapshots_write_origin (s->user.origin, s->origin->bdev, bio);
  for (; rest.len > 0 && r == 0; rest = bio_slice (&rest, len,
                                                   rest.len - len))
    r = merge_write (s, &rest, &len);
  return r;
}

/* An exception that goes while the read is under way stays where it was. */
static void
merge_aim_read (struct snapshot *s, struct bio *bio)
{
  struct snapshot_piece piece;

  bio->bdev = s->origin->bdev;
  if (!s->valid)
    return;
  snapshot_look_up (s, bio->sector, bio->len, &piece);
  bio->len = piece.len;
  if (piece.excepted)
    snapshot_redirect (s, bio, &piece);
}

/* What a discard would take from the exceptions comes back with the next read
 * of the origin, so it does nothing (Linux 6.1).
 */
static int
merge_map (struct dm_target *ti, struct bio *bio)
{
  struct snapshot *s = ti->private;

  switch (bio->op) {
  case BIO_FLUSH:
    bio->bdev = bio->target_bio_nr == 0 ? s->origin->bdev : s->cow->bdev;
    return DM_MAPIO_REMAPPED;
  case BIO_DISCARD:
    return DM_MAPIO_DONE;
  case BIO_WRITE:
  case BIO_WRITE_ZEROES:
    return merge_map_write (s, bio);
  default:
    merge_aim_read (s, bio);
    return DM_MAPIO_REMAPPED;
  }
}

const struct target_type snapshot_merge_target = {
  .name = "snapshot-merge",
  .version = { 1, 5, 0 },
  .summary = "a device that goes back to what a snapshot of it holds",
  .example = "%1 %2 P 16",
  .private_size = sizeof (struct merge),
  .ctr = merge_ctr,
  .dtr = snapshot_dtr,
  .map = merge_map,
  .presuspend = merge_presuspend,
  .presuspend_undo = merge_presuspend_undo,
  .postsuspend = snapshot_postsuspend,
  .preresume = snapshot_preresume,
  .resume = merge_resume,
  .status = snapshot_status,
  .measure = snapshot_measure,
  .iterate_devices = snapshot_iterate_devices,
  .io_hints = snapshot_io_hints,
  .extents = snapshot_extents,
};
