/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot: what a device held at one moment, and what was written since. */

#include <errno.h>

#include "targets/snapshot/snapshot-core.h"

static int
snapshot_ctr (struct dm_target *ti, struct args *args)
{
  const struct snapshot *s = ti->private;
  int r = snapshot_construct (ti, ORIGIN_SNAPSHOT, args);

  if (r < 0)
    return r;
  ti->num_flush_bios = 1;
  ti->num_discard_bios += s->passes_discards;
  return 0;
}

/* ------------------------------------------------------------------
 * Reading.
 */

/* Without a cell: a write to the origin begins only when there is an exception,
 * or the snapshot is lost.  If there still is none after the read then what was
 * read is old.
 */
static int
snapshot_read_origin (struct snapshot *s, struct bio *bio)
{
  struct snapshot_piece piece;
  struct bio read = *bio;
  int r;

  read.bdev = s->origin->bdev;
  r = bdev_submit (read.bdev, &read);
  snapshot_look_up (s, bio->sector, bio->len, &piece);
  bio->len = piece.len;
  if (piece.excepted) {
    snapshot_redirect (s, bio, &piece);
    return DM_MAPIO_REMAPPED;
  }
  return r == 0 && !s->valid ? -EIO : r;
}

static int
snapshot_map_read (struct snapshot *s, struct bio *bio)
{
  struct snapshot_piece piece;

  snapshot_look_up (s, bio->sector, bio->len, &piece);
  bio->len = piece.len;
  if (!piece.excepted && bio->op == BIO_READ)
    return snapshot_read_origin (s, bio);
  if (piece.excepted)
    snapshot_redirect (s, bio, &piece);
  else
    bio->bdev = s->origin->bdev;
  return DM_MAPIO_REMAPPED;
}

/* ------------------------------------------------------------------
 * Writing.
 */

/* There was no room for an exception, or no way to make it. */
static int
snapshot_write_failed (struct snapshot *s, int error)
{
  if (error == -ENOMEM)
    return error;
  if (error == -EIO)
    snapshot_invalidate (s, SNAPSHOT_IO_ERROR);
  else if (!s->may_overflow)
    snapshot_invalidate (s, SNAPSHOT_NO_SPACE);
  else if (!atomic_exchange (&s->overflowed, true))
    snapshot_tell (s, "Snapshot overflowed: Unable to allocate exception.");
  return -EIO;
}

/* The data goes to the COW device with the exceptions.  The caller holds the
 * cell; *len is then how much was taken on.
 */
static int
snapshot_write_exceptions (struct snapshot *s, const struct bio *bio,
                           struct snapshot_piece *piece)
{
  struct copier copier;
  int r;

  if (!s->valid)
    return -EIO;
  copier_init (&copier);
  r = snapshot_except (s, &copier, piece, bio);
  copier_destroy (&copier);
  return r < 0 ? snapshot_write_failed (s, r) : DM_MAPIO_DONE;
}

static int
snapshot_map_write (struct snapshot *s, struct bio *bio)
{
  struct snapshot_piece piece;
  struct cell cell;
  sector_t end;
  int r = DM_MAPIO_REMAPPED;

  if (s->overflowed)
    return -EIO;
  snapshot_look_up (s, bio->sector, bio->len, &piece);
  bio->len = piece.len;
  if (piece.excepted) {
    snapshot_redirect (s, bio, &piece);
    return DM_MAPIO_REMAPPED;
  }
  cell_acquire (&s->cells, &cell, piece.chunk, piece.end_chunk, true);
  snapshot_look_up (s, bio->sector, bio->len, &piece);
  bio->len = piece.len;
  if (piece.excepted)
    snapshot_redirect (s, bio, &piece);
  else {
    r = snapshot_write_exceptions (s, bio, &piece);
    end = chunk_start (piece.end_chunk, s->chunk_sectors);
    if (bio_end (bio) > end)
      bio->len = end - bio->sector;
  }
  cell_release (&s->cells, &cell);
  return r;
}

/* All of it, since the core does not cut zeroes.  Whether they are fast depends
 * on what has to be copied around them.
 */
static int
snapshot_map_zeroes (struct snapshot *s, const struct bio *bio)
{
  struct bio rest = *bio, part;
  int r = 0;

  if (bio->flags & BIO_FAST_ZERO)
    return -EOPNOTSUPP;
  for (; rest.len > 0 && r == 0; rest = bio_slice (&rest, part.len,
                                                   rest.len - part.len)) {
    part = rest;
    r = snapshot_map_write (s, &part);
    if (r == DM_MAPIO_REMAPPED)
      r = snapshot_submit (&part);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Discarding.
 */

/* A part of one exception, or all of it: then it reads as zeroes. */
static int
snapshot_discard_exception (struct snapshot *s, struct bio bio)
{
  struct queue_limits limits;
  int r;

  bio.bdev = s->cow->bdev;
  if (bio.len == s->chunk_sectors)
    return copy_zeroes (bio.bdev, bio.sector, bio.len, bio.flags);
  bdev_limits (bio.bdev, &limits);
  r = limits.discard ? bdev_submit (bio.bdev, &bio) : 0;
  return r == -EOPNOTSUPP ? 0 : r;
}

/* What is no exception stays as it is. */
static int
snapshot_discard (struct snapshot *s, const struct bio *bio)
{
  struct snapshot_piece piece;
  struct bio rest = *bio, part;
  sector_t into, len;
  int r = 0;

  for (; rest.len > 0 && r == 0; rest = bio_slice (&rest, len,
                                                   rest.len - len)) {
    into = rest.sector % s->chunk_sectors;
    len = s->chunk_sectors - into < rest.len ? s->chunk_sectors - into
                                             : rest.len;
    snapshot_look_up (s, rest.sector, len, &piece);
    if (piece.excepted) {
      part = bio_slice (&rest, 0, len);
      part.sector = piece.cow_sector;
      r = snapshot_discard_exception (s, part);
    }
  }
  return r;
}

static bool
snapshot_is_only_one (struct snapshot *s)
{
  const struct list *all = &s->user.origin->preserved;

  return all->next == &s->user.preserved_link && all->prev == all->next;
}

/* Discards of the origin are for nobody else's data: they are not passed on
 * while there is another snapshot, which Linux 6.1 would let change.
 */
static int
snapshot_pass_discard (struct snapshot *s, struct bio bio)
{
  struct queue_limits limits;
  int r = 0;

  bio.bdev = s->origin->bdev;
  bdev_limits (bio.bdev, &limits);
  origin_enter (s->user.origin);
  if (limits.discard && snapshot_is_only_one (s))
    r = bdev_submit (bio.bdev, &bio);
  origin_exit (s->user.origin);
  return r == -EOPNOTSUPP ? 0 : r;
}

/* ------------------------------------------------------------------
 * The target.
 */

static int
snapshot_map_flush (struct snapshot *s, struct bio *bio)
{
  if (s->valid && snapshot_sync (s) < 0)
    return -EIO;
  bio->bdev = s->cow->bdev;
  return DM_MAPIO_REMAPPED;
}

/* The sector is one of the origin, whatever the target's begin (Linux 6.1). */
static int
snapshot_map (struct dm_target *ti, struct bio *bio)
{
  struct snapshot *s = ti->private;

  if (bio->op == BIO_FLUSH)
    return snapshot_map_flush (s, bio);
  if (!s->valid || (bio_is_write (bio) && s->overflowed))
    return -EIO;
  if ((bio->flags & BIO_FUA) && snapshot_sync (s) < 0)
    return -EIO;
  switch (bio->op) {
  case BIO_WRITE:
    return snapshot_map_write (s, bio);
  case BIO_WRITE_ZEROES:
    return snapshot_map_zeroes (s, bio);
  case BIO_DISCARD:
    return bio->target_bio_nr == 0 ? snapshot_discard (s, bio)
                                   : snapshot_pass_discard (s, *bio);
  default:
    return snapshot_map_read (s, bio);
  }
}

const struct target_type snapshot_target = {
  .name = "snapshot",
  .version = { 1, 16, 0 },
  .summary = "what a device held at one moment, and what was written since",
  .example = "%1 %2 P 16",
  .private_size = sizeof (struct snapshot),
  .ctr = snapshot_ctr,
  .dtr = snapshot_dtr,
  .map = snapshot_map,
  .postsuspend = snapshot_postsuspend,
  .preresume = snapshot_preresume,
  .resume = snapshot_resume,
  .status = snapshot_status,
  .measure = snapshot_measure,
  .iterate_devices = snapshot_iterate_devices,
  .io_hints = snapshot_io_hints,
  .extents = snapshot_extents,
};
