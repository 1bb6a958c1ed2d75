/* SPDX-License-Identifier: BSD-3-Clause */
/* Discards and zeroes on a thin: blocks that are given back to the pool. */

#include <errno.h>

#include "targets/thin/thin.h"

/* ------------------------------------------------------------------
 * Unmapping.
 */

/* What the data device does with it is its business (Linux 6.1). */
static void
discard_data (struct thin *tc, block_t begin, block_t end)
{
  sector_t block_sectors = tc->pool->block_sectors, most;
  struct queue_limits limits;

  bdev_limits (tc->pool->data, &limits);
  most = limits.max_discard_sectors / block_sectors;
  while (begin < end) {
    block_t n = most > 0 && most < end - begin ? most : end - begin;
    struct bio bio = { .op = BIO_DISCARD, .bdev = tc->pool->data,
                       .sector = begin * block_sectors,
                       .len = n * block_sectors };

    bdev_submit (bio.bdev, &bio);
    begin += n;
  }
}

/* Pass down what of [begin, end), which we count once, nobody else has. */
static void
discard_unshared (struct thin *tc, block_t begin, block_t end, bool shareable)
{
  block_t block, first = begin; /* of those found to be ours alone */
  bool shared;

  for (block = begin; block < end; block++) {
    if (thin_meta_data_is_shared (tc->pool->meta, block, &shared) < 0)
      return;
    if (!shared &&
        (!shareable || pool_dropped_alone (tc->pool, tc->id)))
      continue;
    discard_data (tc, first, block);
    first = block + 1;
  }
  discard_data (tc, first, end);
}

/* A count of our own keeps the blocks from being given to somebody else until
 * the data device is done with them.
 */
static int
discard_passdown (struct thin *tc, const struct thin_range *range)
{
  struct thin_metadata *meta = tc->pool->meta;
  block_t data_end = range->data_begin + (range->end - range->begin);
  int r = thin_meta_inc_data (meta, range->data_begin, data_end);

  if (r == 0)
    r = thin_dev_remove_range (tc->shared->td, range->begin, range->end);
  if (r == 0) {
    discard_unshared (tc, range->data_begin, data_end, range->shared);
    r = thin_meta_dec_data (meta, range->data_begin, data_end);
  }
  return r;
}

/* What nobody else has any more somebody may still have on disk, and get back
 * by a crash; the contents must be there then.  After a commit nobody has: one
 * try, for others go on meanwhile.  (The kernel does not look.)
 */
static void
discard_settle (struct thin *tc, const struct thin_range *range)
{
  if (range->shared && tc->pool->discard_passdown &&
      !pool_dropped_alone (tc->pool, tc->id))
    pool_commit (tc->pool);
}

static int
discard_run (struct thin *tc, const struct thin_range *range)
{
  int r;

  discard_settle (tc, range);
  door_enter (&tc->pool->changers, NULL);
  if (range->shared)
    pool_note_drop (tc->pool, tc->id);
  if (tc->pool->discard_passdown)
    r = discard_passdown (tc, range);
  else
    r = thin_dev_remove_range (tc->shared->td, range->begin, range->end);
  thin_cache_forget (&tc->shared->cache, range->begin, range->end);
  door_exit (&tc->pool->changers);
  return thin_changed (tc, "discard", r);
}

/* The cell on [begin, end) is held. */
static int
discard_runs (struct thin *tc, block_t begin, block_t end)
{
  struct thin_range range;
  int r = 0;

  while (r == 0 && begin < end) {
    r = thin_dev_find_range (tc->shared->td, begin, end, &range);
    if (r == -ENODATA)
      return 0;
    if (r == 0)
      r = discard_run (tc, &range);
    begin = range.end;
  }
  return r;
}

/* One cell after the other, where anything is mapped. */
static int
discard_blocks (struct thin *tc, block_t begin, block_t end)
{
  struct thin_range range;
  struct cell cell;
  block_t limit;
  int r;

  for (; begin < end; begin = limit) {
    r = thin_dev_find_range (tc->shared->td, begin, end, &range);
    if (r < 0)
      return r == -ENODATA ? 0 : r;
    begin = range.begin;
    limit = (begin / POOL_CELL_BLOCKS + 1) * POOL_CELL_BLOCKS;
    if (limit > end)
      limit = end;
    pool_make_metadata_room (tc->pool);
    cell_acquire (pool_thin_cells (tc->shared, begin), &cell, begin, limit,
                  true);
    r = discard_runs (tc, begin, limit);
    cell_release (pool_thin_cells (tc->shared, begin), &cell);
    if (r < 0)
      return r;
  }
  return 0;
}

/* ------------------------------------------------------------------
 * Discards.
 */

static bool
discard_is_possible (struct thin *tc)
{
  return tc->pool->mode < POOL_OUT_OF_METADATA_SPACE;
}

/* Only whole blocks; without any, or if metadata cannot be changed, nothing
 * happens, successfully (Linux 6.1).
 */
int
thin_discard (struct thin *tc, sector_t offset, sector_t len)
{
  sector_t block_sectors = tc->pool->block_sectors;
  block_t begin = (offset + block_sectors - 1) / block_sectors;
  block_t end = (offset + len) / block_sectors;
  int r;

  if (!discard_is_possible (tc))
    return 0;
  r = discard_blocks (tc, begin, end);
  return r < 0 && !discard_is_possible (tc) ? 0 : r;
}

/* ------------------------------------------------------------------
 * Zeroes.
 */

static bool
zero_needs_block (struct thin *tc, const struct bio *bio, sector_t offset)
{
  sector_t start = offset - offset % tc->pool->block_sectors;

  return (bio->flags & BIO_NOUNMAP) ||
    (tc->origin_dev && start < tc->origin_size);
}

/* Part of one block. */
static int
zero_part (struct thin *tc, const struct bio *bio, sector_t offset)
{
  block_t block = offset / tc->pool->block_sectors;
  struct cells *cells = pool_thin_cells (tc->shared, block);
  struct thin_part part = { offset, bio->len, NULL,
                            bio->flags & BIO_NOUNMAP };
  struct thin_mapping mapping;
  struct cell cell;
  int r;

  cell_acquire (cells, &cell, block, block + 1, true);
  r = thin_find (tc, block, &mapping);
  if (r == 0)
    r = mapping.shared ? thin_provision (tc, &part, &mapping)
                       : thin_submit_mapped (tc, bio, offset, &mapping);
  else if (r == -ENODATA)
    r = zero_needs_block (tc, bio, offset) ? thin_provision (tc, &part, NULL)
                                           : 0;
  cell_release (cells, &cell);
  return r;
}

/* How much of the request, from its beginning, are whole blocks that can be
 * given back: what is not mapped reads as zeroes, but where the external
 * origin shows through.
 */
static sector_t
zero_unmappable (struct thin *tc, const struct bio *bio, sector_t offset)
{
  sector_t block_sectors = tc->pool->block_sectors;

  if (offset % block_sectors != 0 || zero_needs_block (tc, bio, offset) ||
      !discard_is_possible (tc))
    return 0;
  return bio->len - bio->len % block_sectors;
}

/* bio advances by what is done, so that who had to wait goes on there. */
int
thin_zero (struct thin *tc, struct bio *bio, sector_t offset)
{
  sector_t block_sectors = tc->pool->block_sectors;
  struct bio part;
  sector_t n;
  int r;

  for (; bio->len > 0; *bio = bio_slice (bio, n, bio->len - n), offset += n) {
    n = zero_unmappable (tc, bio, offset);
    if (n > 0)
      r = discard_blocks (tc, offset / block_sectors,
                          (offset + n) / block_sectors);
    else {
      n = block_sectors - offset % block_sectors;
      if (n > bio->len)
        n = bio->len;
      part = bio_slice (bio, 0, n);
      part.flags &= ~BIO_FUA;
      r = zero_part (tc, &part, offset);
    }
    if (r != 0)
      return r;
  }
  return 0;
}
