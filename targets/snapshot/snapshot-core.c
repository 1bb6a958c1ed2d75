/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot: how exceptions come to be, and how they are lost. */

#include "targets/snapshot/snapshot-core.h"

#include <errno.h>

#include "common/log.h"

/* Exceptions that are made together, and cost one commit. */
#define SNAPSHOT_BATCH 256

void
snapshot_look_up (struct snapshot *s, sector_t sector, sector_t len,
                  struct snapshot_piece *piece)
{
  uint32_t size = s->chunk_sectors;
  struct exception_run run;
  sector_t into = sector % size;
  chunk_t end = chunk_of (sector + len - 1, size) + 1;

  piece->chunk = chunk_of (sector, size);
  piece->excepted = exception_table_lookup (s->table, piece->chunk,
                                            end - piece->chunk, &run);
  piece->end_chunk = piece->chunk + run.len;
  piece->len = chunk_start (run.len, size) - into;
  if (piece->len > len)
    piece->len = len;
  piece->cow_sector = chunk_start (run.new_chunk, size) + into;
}

int
snapshot_submit (const struct bio *bio)
{
  struct bio submitted = *bio;

  if (bio->op == BIO_WRITE_ZEROES)
    return copy_zeroes (bio->bdev, bio->sector, bio->len, bio->flags);
  return bdev_submit (bio->bdev, &submitted);
}

/* ------------------------------------------------------------------
 * Losing.
 */

void
snapshot_tell (struct snapshot *s, const char *what)
{
  char name[128];

  log_info ("%s: snapshots: %s", dm_target_md_name (s->ti, name), what);
  dm_target_event (s->ti);
}

void
snapshot_invalidate (struct snapshot *s, enum snapshot_reason why)
{
  int r = store_invalidate (s->store);

  /* Who comes second has waited for the first, too. */
  if (!atomic_exchange (&s->valid, false))
    return;
  if (r < 0)
    log_error ("snapshots: write header failed: only this server knows that "
               "the snapshot is lost");
  snapshot_tell (s, why == SNAPSHOT_NO_SPACE ?
                 "Invalidating snapshot: Unable to allocate exception." :
                 "Invalidating snapshot: Error reading/writing.");
}

/* ------------------------------------------------------------------
 * Making exceptions.
 */

static void
snapshot_unreserve (struct snapshot *s, const struct prepared p[], unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++)
    exception_table_unreserve (s->table, p[i].old_chunk);
}

/* Memory for up to *n exceptions, as far as there is some. */
static int
snapshot_reserve (struct snapshot *s, struct prepared p[], unsigned *n)
{
  unsigned i;
  int r = 0;

  for (i = 0; i < *n && r == 0; i++)
    r = exception_table_reserve (s->table, p[i].old_chunk);
  if (r < 0)
    i--;
  *n = i;
  return i > 0 ? 0 : r;
}

/* Chunks for up to *n exceptions, as far as there is room. */
static int
snapshot_prepare (struct snapshot *s, struct prepared p[], unsigned *n)
{
  unsigned reserved = *n;
  int r;

  while ((r = store_prepare (s->store, p, *n)) == -ENOSPC && *n > 1)
    *n /= 2;
  if (r < 0)
    *n = 0;
  snapshot_unreserve (s, p + *n, reserved - *n);
  return r;
}

static int
snapshot_copy_run (struct snapshot *s, struct copier *copier,
                   const struct exception_run *run, const struct bio *over)
{
  uint32_t size = s->chunk_sectors;
  sector_t origin_end = bdev_size (s->origin->bdev);
  struct copy copy = { .from = s->origin->bdev, .to = s->cow->bdev,
                       .from_sector = chunk_start (run->old_chunk, size),
                       .to_sector = chunk_start (run->new_chunk, size),
                       .len = chunk_start (run->len, size),
                       .over = over, .chunk_sectors = size };

  /* The last chunk of the origin may be a short one. */
  if (copy.from_sector >= origin_end)
    return 0;
  if (copy.len > origin_end - copy.from_sector)
    copy.len = origin_end - copy.from_sector;
  return copy_sectors (copier, &copy);
}

/* Neighbours go as one. */
static int
snapshot_copy (struct snapshot *s, struct copier *copier,
               const struct prepared p[], unsigned n, const struct bio *over)
{
  unsigned i, first;
  int r = 0;

  for (first = 0; first < n && r == 0; first = i) {
    struct exception_run run = { p[first].old_chunk, p[first].new_chunk, 0 };

    for (i = first; i < n && p[i].new_chunk == run.new_chunk + run.len; i++)
      run.len++;
    r = snapshot_copy_run (s, copier, &run, over);
  }
  return r;
}

/* copied: what became of the copy. */
static int
snapshot_keep (struct snapshot *s, const struct prepared p[], unsigned n,
               const struct bio *over, int copied)
{
  if (copied < 0)
    return store_commit (s->store, p, n, false);
  if (over && !(over->flags & BIO_FUA) && store_can_merge (s->store))
    return snapshot_defer (s, p, n);
  return snapshot_commit (s, p, n);
}

int
snapshot_except (struct snapshot *s, struct copier *copier,
                 struct snapshot_piece *piece, const struct bio *over)
{
  struct prepared p[SNAPSHOT_BATCH];
  uint64_t len = piece->end_chunk - piece->chunk;
  unsigned i, n = len < SNAPSHOT_BATCH ? len : SNAPSHOT_BATCH;
  int r;

  for (i = 0; i < n; i++)
    p[i].old_chunk = piece->chunk + i;
  r = snapshot_reserve (s, p, &n);
  if (r == 0)
    r = snapshot_prepare (s, p, &n);
  if (r < 0)
    return r;
  r = snapshot_copy (s, copier, p, n, over);
  if (snapshot_keep (s, p, n, over, r) < 0) {
    snapshot_unreserve (s, p, n);
    return -EIO;
  }
  for (i = 0; i < n; i++)
    exception_table_insert (s->table, p[i].old_chunk, p[i].new_chunk);
  piece->end_chunk = piece->chunk + n;
  return 0;
}

/* ------------------------------------------------------------------
 * Writes to the origin.
 */

/* The first chunks of the range; *len: how much of it they are. */
static void
snapshot_preserve_piece (struct snapshot *s, struct copier *copier,
                         sector_t sector, sector_t *len)
{
  struct snapshot_piece piece;
  struct cell cell;
  sector_t end;
  int r = 0;

  snapshot_look_up (s, sector, *len, &piece);
  if (piece.excepted) {
    *len = piece.len;
    return;
  }
  cell_acquire (&s->cells, &cell, piece.chunk, piece.end_chunk, true);
  snapshot_look_up (s, sector, piece.len, &piece);
  if (!piece.excepted && s->valid)
    r = snapshot_except (s, copier, &piece, NULL);
  if (r < 0)
    snapshot_invalidate (s, r == -ENOSPC ? SNAPSHOT_NO_SPACE
                                         : SNAPSHOT_IO_ERROR);
  cell_release (&s->cells, &cell);
  end = chunk_start (piece.end_chunk, s->chunk_sectors);
  if (end - sector < *len)
    *len = end - sector;
}

/* What is beyond the snapshot's table does not concern it. */
static void
snapshot_preserve (struct snapshot *s, struct copier *copier, sector_t sector,
                   sector_t len)
{
  sector_t size = dm_target_table_size (s->ti), part;

  if (sector >= size)
    return;
  if (len > size - sector)
    len = size - sector;
  for (; len > 0 && s->valid; sector += part, len -= part) {
    part = len;
    snapshot_preserve_piece (s, copier, sector, &part);
  }
  if (s->valid)
    snapshot_sync (s);
}

/* Windows of what a copier holds: each is read once for all snapshots. */
void
snapshots_preserve (struct origin *origin, sector_t sector, sector_t len)
{
  struct origin_user *user;
  struct copier copier;
  sector_t part;

  if (list_empty (&origin->preserved))
    return;
  copier_init (&copier);
  for (; len > 0; sector += part, len -= part) {
    part = COPY_MAX_SECTORS - sector % COPY_MAX_SECTORS;
    if (part > len)
      part = len;
    list_for_each (user, &origin->preserved, preserved_link)
      snapshot_preserve (container_of (user, struct snapshot, user), &copier,
                         sector, part);
  }
  copier_destroy (&copier);
}

int
snapshots_write_origin (struct origin *origin, struct block_device *bdev,
                        const struct bio *bio)
{
  struct bio write = *bio;
  int r;

  write.bdev = bdev;
  origin_enter (origin);
  snapshots_preserve (origin, bio->sector, bio->len);
  r = snapshot_submit (&write);
  origin_exit (origin);
  return r;
}
