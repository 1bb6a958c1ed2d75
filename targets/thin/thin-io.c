/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of a thin: reads, writes, flushes, extents. */

#include <errno.h>
#include <string.h>

#include "targets/thin/thin.h"

/* ------------------------------------------------------------------
 * Mappings.
 */

/* Whatever is wrong with the metadata, the client reads an I/O error. */
static int
thin_find_result (int r)
{
  return r == 0 || r == -ENODATA || r == -ENOMEM ? r : -EIO;
}

int
thin_find (struct thin *tc, block_t block, struct thin_mapping *mapping)
{
  struct thin_cache *cache = &tc->shared->cache;
  unsigned epoch;
  int r;

  if (thin_cache_find (cache, block, mapping))
    return 0;
  epoch = cache->epoch;
  r = thin_dev_find (tc->shared->td, block, mapping);
  if (r == 0)
    thin_cache_note (cache, epoch, block, mapping);
  return thin_find_result (r);
}

/* So many blocks from the first one asked about are mapped to consecutive
 * ones and equally shared, or so many are not mapped.
 */
struct thin_run {
  block_t blocks;
  bool mapped;
  struct thin_mapping first;
};

static bool
thin_find_cached_run (struct thin *tc, block_t begin, block_t end,
                      struct thin_run *run)
{
  const struct thin_cache *cache = &tc->shared->cache;
  struct thin_mapping next;
  block_t n;

  if (!thin_cache_find (cache, begin, &run->first))
    return false;
  for (n = 1; begin + n < end; n++)
    if (!thin_cache_find (cache, begin + n, &next) ||
        next.data_block != run->first.data_block + n ||
        next.shared != run->first.shared)
      break;
  run->blocks = n;
  run->mapped = true;
  return true;
}

static void
thin_note_range (struct thin *tc, unsigned epoch,
                 const struct thin_range *range)
{
  struct thin_mapping mapping = { range->data_begin, range->shared };
  block_t block;

  for (block = range->begin; block < range->end; block++) {
    thin_cache_note (&tc->shared->cache, epoch, block, &mapping);
    mapping.data_block++;
  }
}

/* Needs a cell on [begin, end). */
static int
thin_find_run (struct thin *tc, block_t begin, block_t end,
               struct thin_run *run)
{
  struct thin_range range;
  unsigned epoch;
  int r;

  if (thin_find_cached_run (tc, begin, end, run))
    return 0;
  epoch = tc->shared->cache.epoch;
  r = thin_dev_find_range (tc->shared->td, begin, end, &range);
  if (r < 0 && r != -ENODATA)
    return thin_find_result (r);
  run->mapped = r == 0 && range.begin == begin;
  if (run->mapped) {
    run->blocks = range.end - begin;
    run->first = (struct thin_mapping) { range.data_begin, range.shared };
    thin_note_range (tc, epoch, &range);
  }
  else
    run->blocks = (r == 0 ? range.begin : end) - begin;
  return 0;
}

/* ------------------------------------------------------------------
 * Flushes.
 */

int
thin_flush (struct thin *tc)
{
  struct thin_device *td = tc->shared->td;

  if (thin_dev_aborted_with_changes (td))
    return -EIO;
  if (!thin_dev_changed (td))
    return bdev_flush (tc->pool->data);
  return pool_sync (tc->pool) < 0 ? -EIO : 0;
}

/* The metadata have to become durable, too: thin_flush, after the write,
 * which shares the commit with others, instead of a flag on the write.
 */
static bool
thin_fua_is_flush (struct thin *tc, const struct bio *bio)
{
  return (bio->flags & BIO_FUA) &&
    (thin_dev_changed (tc->shared->td) ||
     thin_dev_aborted_with_changes (tc->shared->td));
}

/* ------------------------------------------------------------------
 * Reads and writes.
 */

static void
thin_cut (struct bio *bio, sector_t len)
{
  if (bio->len > len)
    bio->len = len;
}

int
thin_submit_mapped (struct thin *tc, const struct bio *bio, sector_t offset,
                    const struct thin_mapping *mapping)
{
  sector_t block_sectors = tc->pool->block_sectors;
  struct bio piece = *bio;

  piece.bdev = tc->pool->data;
  piece.sector = mapping->data_block * block_sectors + offset % block_sectors;
  return bdev_submit (piece.bdev, &piece);
}

static int
thin_rw_mapped (struct thin *tc, const struct bio *bio, sector_t offset,
                const struct thin_mapping *mapping)
{
  struct bio piece = *bio;
  int r;

  if (!thin_fua_is_flush (tc, bio))
    return thin_submit_mapped (tc, bio, offset, mapping);
  piece.flags &= ~BIO_FUA;
  r = thin_submit_mapped (tc, &piece, offset, mapping);
  return r == 0 ? thin_flush (tc) : r;
}

static int
thin_read_unmapped (struct thin *tc, struct bio *bio, sector_t offset)
{
  struct bio piece;

  if (tc->origin_dev && offset < tc->origin_size) {
    thin_cut (bio, tc->origin_size - offset);
    piece = *bio;
    piece.bdev = tc->origin_dev->bdev;
    piece.sector = offset;
    return bdev_submit (piece.bdev, &piece);
  }
  if (bio->op == BIO_READ)
    memset (bio->data, 0, sectors_to_bytes (bio->len));
  return 0;
}

/* The first block of the bio needs a new block, unless that has changed since
 * we looked.
 */
static int
thin_write_new (struct thin *tc, struct bio *bio, sector_t offset)
{
  sector_t block_sectors = tc->pool->block_sectors;
  block_t block = offset / block_sectors;
  struct thin_mapping mapping;
  struct thin_part part;
  struct cell cell;
  int r;

  thin_cut (bio, block_sectors - offset % block_sectors);
  part = (struct thin_part) { offset, bio->len, bio->data, 0 };
  cell_acquire (pool_thin_cells (tc->shared, block), &cell, block, block + 1,
                true);
  r = thin_find (tc, block, &mapping);
  if (r == 0 && !mapping.shared)
    r = thin_rw_mapped (tc, bio, offset, &mapping);
  else if (r == 0 || r == -ENODATA) {
    r = thin_provision (tc, &part, r == 0 ? &mapping : NULL);
    if (r == 0 && (bio->flags & BIO_FUA))
      r = thin_flush (tc);
  }
  cell_release (pool_thin_cells (tc->shared, block), &cell);
  return r;
}

/* A cell on as many blocks as one may cover. */
static block_t
thin_cell_end (const struct thin *tc, sector_t offset, sector_t len)
{
  block_t begin = offset / tc->pool->block_sectors;
  block_t end = (offset + len - 1) / tc->pool->block_sectors + 1;
  block_t limit = (begin / POOL_CELL_BLOCKS + 1) * POOL_CELL_BLOCKS;

  return end < limit ? end : limit;
}

/* A write for which there is no block of its own is not done: 1. */
static int
thin_rw_run (struct thin *tc, struct bio *bio, sector_t offset,
             const struct thin_run *run)
{
  sector_t block_sectors = tc->pool->block_sectors;

  if (bio->op == BIO_WRITE && (!run->mapped || run->first.shared))
    return 1;
  thin_cut (bio, run->blocks * block_sectors - offset % block_sectors);
  if (run->mapped)
    return thin_rw_mapped (tc, bio, offset, &run->first);
  return thin_read_unmapped (tc, bio, offset);
}

static int
thin_rw (struct thin *tc, struct bio *bio, sector_t offset)
{
  block_t begin = offset / tc->pool->block_sectors;
  block_t end = thin_cell_end (tc, offset, bio->len);
  struct cells *cells = pool_thin_cells (tc->shared, begin);
  struct thin_run run;
  struct cell cell;
  int r;

  cell_acquire (cells, &cell, begin, end, false);
  r = thin_find_run (tc, begin, end, &run);
  if (r == 0)
    r = thin_rw_run (tc, bio, offset, &run);
  cell_release (cells, &cell);
  return r > 0 ? thin_write_new (tc, bio, offset) : r;
}

int
thin_io (struct thin *tc, struct bio *bio, sector_t offset)
{
  int r;

  switch (bio->op) {
  case BIO_FLUSH:
    return thin_flush (tc);
  case BIO_DISCARD:
    r = thin_discard (tc, offset, bio->len);
    break;
  case BIO_WRITE_ZEROES:
    r = thin_zero (tc, bio, offset);
    break;
  default:
    return thin_rw (tc, bio, offset);
  }
  return r == 0 && (bio->flags & BIO_FUA) ? thin_flush (tc) : r;
}
