/* SPDX-License-Identifier: BSD-3-Clause */
/* The map room: bios and questions for extents go through a table. */

#include <assert.h>
#include <errno.h>

#include "server/device-mapper.h"
#include "server/dm-core.h"
#include "server/dm-io.h"

struct dm_target *
table_find (const struct dm_table *t, sector_t sector)
{
  unsigned low = 0, high = t->nr_targets;

  if (sector >= t->size)
    return NULL;
  while (high - low > 1) {
    unsigned mid = low + (high - low) / 2;

    if (t->begins[mid] <= sector)
      low = mid;
    else
      high = mid;
  }
  return t->targets[low];
}

/* True for the ops of which a target gets numbered copies. */
static inline bool
bio_is_copied (const struct bio *bio)
{
  return bio->op == BIO_FLUSH || bio->op == BIO_DISCARD ||
    bio->op == BIO_WRITE_ZEROES;
}

static unsigned
target_copies (const struct dm_target *ti, enum bio_op op)
{
  switch (op) {
  case BIO_FLUSH: return ti->num_flush_bios;
  case BIO_DISCARD: return ti->num_discard_bios;
  default: return ti->num_write_zeroes_bios;
  }
}

/* How far a piece that starts where the bio does may go. */
static inline sector_t
target_room (const struct dm_target *ti, const struct bio *bio)
{
  sector_t offset = dm_target_offset (ti, bio->sector);
  sector_t room = ti->len - offset;

  if (ti->max_io_len && !bio_is_copied (bio)) {
    sector_t limit = ti->max_io_len - offset % ti->max_io_len;

    if (limit < room)
      room = limit;
  }
  return room < bio->len ? room : bio->len;
}

sector_t
table_room (const struct dm_table *t, const struct bio *bio)
{
  const struct dm_target *ti = table_find (t, bio->sector);

  return ti ? target_room (ti, bio) : bio->len;
}

/* Map, submit, end_io.  Who is below may change the bio, so that how much of
 * it map took on goes to *len at once.
 */
static inline int
target_carry_out (struct dm_target *ti, struct bio *piece, sector_t *len)
{
  struct bio mapped;
  int r = ti->type->map (ti, piece);

  *len = piece->len;
  if (r == DM_MAPIO_REMAPPED) {
    if (ti->type->end_io == NULL)
      return bdev_submit (piece->bdev, piece);
    mapped = *piece;
    r = bdev_submit (piece->bdev, piece);
    return ti->type->end_io (ti, &mapped, r);
  }
  return r == DM_MAPIO_REQUEUE ? DM_ENDIO_REQUEUE : r;
}

/* Pieces that were mapped and wait to be run together. */
#define TABLE_BATCH 32

struct table_batch {
  unsigned n;
  int error; /* of the last piece that failed, before these */
  struct dm_target *targets[TABLE_BATCH];
  struct bio bios[TABLE_BATCH];
  struct bio mapped[TABLE_BATCH]; /* the same as map left them, for end_io */
};

static void
batch_run (struct table_batch *b)
{
  int results[TABLE_BATCH];
  unsigned i;

  if (b->n == 0)
    return;
  dm_io (b->bios, b->n, results);
  for (i = 0; i < b->n; i++) {
    struct dm_target *ti = b->targets[i];
    int r = results[i];

    if (ti->type->end_io)
      r = ti->type->end_io (ti, &b->mapped[i], r);
    assert (r <= 0);
    if (r < 0)
      b->error = r;
  }
  b->n = 0;
}

/* A piece fails after all that come before it. */
static void
batch_fail (struct table_batch *b, int error)
{
  batch_run (b);
  b->error = error;
}

static void
batch_append (struct table_batch *b, struct dm_target *ti,
              const struct bio *piece)
{
  b->targets[b->n] = ti;
  b->bios[b->n] = *piece;
  if (ti->type->end_io)
    b->mapped[b->n] = *piece;
  b->n++;
}

/* Map the piece and put it with the others, or carry it out after them if its
 * target must not have two under way.  *len: how much of it map took on.
 * DM_ENDIO_REQUEUE or 0.
 */
static int
batch_add (struct table_batch *b, struct dm_target *ti, struct bio *piece,
           sector_t *len)
{
  bool alone = ti->type->end_io && !ti->type->parallel_end_io;
  int r;

  if (alone || b->n == TABLE_BATCH)
    batch_run (b);
  if (alone)
    r = target_carry_out (ti, piece, len);
  else {
    r = ti->type->map (ti, piece);
    *len = piece->len;
    if (r == DM_MAPIO_REMAPPED) {
      batch_append (b, ti, piece);
      return 0;
    }
    if (r == DM_MAPIO_REQUEUE)
      r = DM_ENDIO_REQUEUE;
  }
  if (r < 0)
    batch_fail (b, r);
  return r > 0 ? r : 0;
}

/* Add as many numbered copies of the piece as the target wants. */
static int
batch_add_copies (struct table_batch *b, struct dm_target *ti,
                  const struct bio *piece)
{
  unsigned i, n = target_copies (ti, piece->op);
  int r = 0;

  if (n == 0 && piece->op != BIO_FLUSH)
    batch_fail (b, -EOPNOTSUPP);
  for (i = 0; i < n && r == 0; i++) {
    struct bio copy = *piece;
    sector_t len;

    copy.target_bio_nr = i;
    r = batch_add (b, ti, &copy, &len);
  }
  return r;
}

/* A piece came back: can the rest of the bio come back later?  If not the
 * piece has failed.
 */
static bool
batch_push_back (struct table_batch *b, const struct dm_table *t)
{
  batch_run (b);
  if (b->error == 0 && t->md->noflush_suspending)
    return true;
  if (b->error == 0)
    b->error = -EIO;
  return false;
}

/* Whatever is more than one piece; error is that of what was done before.  Not
 * inlined, to keep its large frame off the path of small bios.
 */
static __attribute__ ((noinline)) int
table_map_pieces (struct dm_table *t, struct bio *bio, int error)
{
  struct table_batch b;

  b.n = 0;
  b.error = error;
  while (bio->len > 0) {
    struct dm_target *ti = table_find (t, bio->sector);
    struct bio piece;
    sector_t len;
    int r;

    if (ti == NULL) {
      batch_fail (&b, -EIO);
      break;
    }
    len = target_room (ti, bio);
    piece = bio_slice (bio, 0, len);
    if (bio_is_copied (bio))
      r = batch_add_copies (&b, ti, &piece);
    else
      r = batch_add (&b, ti, &piece, &len);
    if (r != 0 && batch_push_back (&b, t))
      return DM_ENDIO_REQUEUE;
    *bio = bio_slice (bio, len, bio->len - len);
  }
  batch_run (&b);
  return b.error;
}

/* To every target as often as it wants, whoever else has the same device below
 * (Linux 6.1).
 */
static __attribute__ ((noinline)) int
table_flush (struct dm_table *t, struct bio *bio)
{
  struct table_batch b;
  unsigned i;

  b.n = 0;
  b.error = 0;
  for (i = 0; i < t->nr_targets; i++)
    if (batch_add_copies (&b, t->targets[i], bio) != 0 &&
        batch_push_back (&b, t))
      return DM_ENDIO_REQUEUE;
  batch_run (&b);
  return b.error;
}

int
table_map_bio (struct dm_table *t, struct bio *bio)
{
  struct dm_target *ti;
  struct bio piece;
  sector_t len;
  int r;

  if (bio->op == BIO_FLUSH)
    return table_flush (t, bio);
  ti = table_find (t, bio->sector);
  if (ti == NULL)
    return -EIO;
  if (bio_is_copied (bio) || target_room (ti, bio) < bio->len)
    return table_map_pieces (t, bio, 0);

  piece = *bio;
  r = target_carry_out (ti, &piece, &len);
  if (r == DM_ENDIO_REQUEUE) {
    if (t->md->noflush_suspending)
      return r;
    r = -EIO;
  }
  if (len == bio->len)
    return r;
  *bio = bio_slice (bio, len, bio->len - len);
  return table_map_pieces (t, bio, r);
}

int
table_extents (struct dm_table *t, sector_t sector, sector_t len,
               struct extent_sink *sink)
{
  while (len > 0) {
    struct dm_target *ti = table_find (t, sector);
    struct extent_clip clip;
    sector_t part;
    int r = 0;

    if (ti == NULL)
      return -EIO;
    part = ti->begin + ti->len - sector;
    if (part > len)
      part = len;
    extent_clip_init (&clip, sink, part);
    if (ti->type->extents)
      r = ti->type->extents (ti, sector, part, &clip.sink);
    else
      r = clip.sink.add (&clip.sink, part, 0);
    r = extent_clip_result (&clip, r);
    if (r != 0)
      return r < 0 ? r : 0;
    sector += part;
    len -= part;
  }
  return 0;
}
