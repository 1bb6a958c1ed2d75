/* SPDX-License-Identifier: BSD-3-Clause */
/* New blocks for a thin: provisioned, or copied from shared ones. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "targets/thin/thin.h"

#define PROVISION_BUFFER_SECTORS 512 /* 256 KiB */

/* Where the rest of a block comes from: source's [start, start + len), and
 * zeroes after that.
 */
struct thin_source {
  struct block_device *bdev;
  sector_t start, len;
};

/* ------------------------------------------------------------------
 * The contents of a new block.
 */

static int
provision_rw (enum bio_op op, struct block_device *bdev, sector_t sector,
              char *data, sector_t len)
{
  struct bio bio = { .op = op, .bdev = bdev, .sector = sector, .len = len,
                     .data = data };

  return len > 0 ? bdev_submit (bdev, &bio) : 0;
}

/* [at, at + len) of the block as it was. */
static int
provision_read (const struct thin_source *source, sector_t at, char *buffer,
                sector_t len)
{
  sector_t n = at >= source->len ? 0 : source->len - at;

  if (n > len)
    n = len;
  memset (buffer + sectors_to_bytes (n), 0, sectors_to_bytes (len - n));
  return provision_rw (BIO_READ, source->bdev, source->start + at, buffer, n);
}

/* What of the part, which begins at `from` of the block, is in
 * [at, at + len).
 */
static void
provision_overlay (const struct thin_part *part, sector_t from, sector_t at,
                   char *buffer, sector_t len)
{
  sector_t begin = from > at ? from : at;
  sector_t end = from + part->len < at + len ? from + part->len : at + len;
  char *to = buffer + sectors_to_bytes (begin - at);

  if (begin >= end)
    return;
  if (part->data)
    memcpy (to, part->data + sectors_to_bytes (begin - from),
            sectors_to_bytes (end - begin));
  else
    memset (to, 0, sectors_to_bytes (end - begin));
}

/* Write the whole of the data block: the part, the rest from the source. */
static int
provision_assemble (struct thin *tc, const struct thin_part *part,
                    const struct thin_source *source, sector_t to)
{
  sector_t block_sectors = tc->pool->block_sectors;
  sector_t from = part->offset % block_sectors, at, n;
  sector_t room = block_sectors < PROVISION_BUFFER_SECTORS ?
    block_sectors : PROVISION_BUFFER_SECTORS;
  char *CLEANUP_FREE buffer = malloc (sectors_to_bytes (room));
  int r = buffer ? 0 : -ENOMEM;

  for (at = 0; r == 0 && at < block_sectors; at += n) {
    n = block_sectors - at < room ? block_sectors - at : room;
    r = provision_read (source, at, buffer, n);
    provision_overlay (part, from, at, buffer, n);
    if (r == 0)
      r = provision_rw (BIO_WRITE, tc->pool->data, to + at, buffer, n);
  }
  return r;
}

static int
provision_write_part (struct thin *tc, const struct thin_part *part,
                      sector_t to)
{
  return provision_rw (BIO_WRITE, tc->pool->data,
                       to + part->offset % tc->pool->block_sectors,
                       (char *) part->data, part->len);
}

/* A hole reads as zeroes and costs next to nothing. */
static int
provision_zero (struct thin *tc, const struct thin_part *part, sector_t to)
{
  struct bio bio = { .op = BIO_WRITE_ZEROES, .flags = part->flags,
                     .bdev = tc->pool->data, .sector = to,
                     .len = tc->pool->block_sectors };
  int r = -EOPNOTSUPP;

  if (tc->pool->zeroes_supported)
    r = bdev_submit (bio.bdev, &bio);
  if (r == -EOPNOTSUPP) {
    tc->pool->zeroes_supported = false;
    return provision_assemble (tc, part, &(struct thin_source) { NULL, 0, 0 },
                               to);
  }
  if (r == 0 && part->data)
    r = provision_write_part (tc, part, to);
  return r;
}

/* What the block held until now; false: nothing. */
static bool
provision_source (struct thin *tc, const struct thin_part *part,
                  const struct thin_mapping *mapping,
                  struct thin_source *source)
{
  sector_t block_sectors = tc->pool->block_sectors;
  sector_t start = part->offset - part->offset % block_sectors;
  sector_t left = tc->origin_dev && start < tc->origin_size ?
    tc->origin_size - start : 0;

  if (mapping)
    *source = (struct thin_source) { tc->pool->data,
                                     mapping->data_block * block_sectors,
                                     block_sectors };
  else if (left > 0)
    *source = (struct thin_source) { tc->origin_dev->bdev, start,
                                     left < block_sectors ? left
                                                          : block_sectors };
  else
    return false;
  return true;
}

static int
provision_fill (struct thin *tc, const struct thin_part *part,
                const struct thin_mapping *mapping, sector_t to)
{
  struct thin_source source;

  if (part->data && part->len == tc->pool->block_sectors)
    return provision_write_part (tc, part, to);
  if (part->len < tc->pool->block_sectors &&
      provision_source (tc, part, mapping, &source))
    return provision_assemble (tc, part, &source, to);
  if (part->data && !tc->pool->zero_new_blocks)
    return provision_write_part (tc, part, to);
  return provision_zero (tc, part, to);
}

/* ------------------------------------------------------------------
 * The metadata.
 */

int
thin_changed (struct thin *tc, const char *what, int r)
{
  if (r == 0)
    pool_note_change (tc->pool);
  else if (thin_meta_is_broken (tc->pool->meta))
    pool_failed (tc->pool, what, r);
  return r == 0 || r == -ENOSPC || r == -ENOMEM ? r : -EIO;
}

/* What becomes of the block if it cannot be used: nobody will miss it. */
static int
provision_fill_and_map (struct thin *tc, const struct thin_part *part,
                        const struct thin_mapping *mapping, block_t data_block)
{
  block_t block = part->offset / tc->pool->block_sectors;
  struct thin_mapping now = { data_block, false };
  unsigned epoch = tc->shared->cache.epoch;
  int r = provision_fill (tc, part, mapping,
                          data_block * tc->pool->block_sectors);

  if (r == 0 && mapping)
    pool_note_drop (tc->pool, tc->id);
  if (r == 0)
    r = thin_dev_insert (tc->shared->td, block, data_block);
  if (r == 0)
    thin_cache_note (&tc->shared->cache, epoch, block, &now);
  else
    thin_meta_dec_data (tc->pool->meta, data_block, data_block + 1);
  return r;
}

/* 1: no data block is free. */
static int
provision_try (struct thin *tc, const struct thin_part *part,
               const struct thin_mapping *mapping)
{
  block_t data_block;
  int r;

  door_enter (&tc->pool->changers, NULL);
  r = thin_meta_alloc_data_block (tc->pool->meta, &data_block);
  if (r == 0)
    r = provision_fill_and_map (tc, part, mapping, data_block);
  else if (r == -ENOSPC)
    r = 1;
  door_exit (&tc->pool->changers);
  return r > 0 ? r : thin_changed (tc, "provision", r);
}

int
thin_provision (struct thin *tc, const struct thin_part *part,
                const struct thin_mapping *mapping)
{
  int r = pool_make_room (tc->pool);

  while (r == 0) {
    r = provision_try (tc, part, mapping);
    if (r <= 0)
      return r;
    r = pool_reclaim (tc->pool);
  }
  return r;
}
