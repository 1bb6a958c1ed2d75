/* SPDX-License-Identifier: BSD-3-Clause */
/* What a thin holds: blocks of its own, the external origin, nothing. */

#include <errno.h>

#include "targets/thin/thin.h"

/* 0, or what ends the walk: 1 or -errno. */
static int
extents_unmapped (struct thin *tc, sector_t offset, sector_t len,
                  struct extent_sink *sink)
{
  sector_t n = tc->origin_dev && offset < tc->origin_size ?
    tc->origin_size - offset : 0;
  int r = 0;

  if (n > len)
    n = len;
  if (n > 0)
    r = dm_device_extents (tc->origin_dev, offset, n, sink);
  if (r == 0 && n < len)
    r = sink->add (sink, len - n, EXTENT_HOLE | EXTENT_ZERO);
  return r;
}

/* Up to where the next mapping ends, or to the end of all. */
static int
extents_step (struct thin *tc, sector_t *offset, sector_t end,
              struct extent_sink *sink)
{
  sector_t block_sectors = tc->pool->block_sectors;
  sector_t start = end, stop = end;
  struct thin_range range;
  int r = thin_dev_find_range (tc->shared->td, *offset / block_sectors,
                               (end - 1) / block_sectors + 1, &range);

  if (r < 0 && r != -ENODATA)
    return r;
  if (r == 0) {
    start = range.begin * block_sectors;
    stop = range.end * block_sectors;
    if (start < *offset)
      start = *offset;
    if (stop > end)
      stop = end;
  }
  r = start > *offset ? extents_unmapped (tc, *offset, start - *offset, sink)
                      : 0;
  if (r == 0 && stop > start)
    r = sink->add (sink, stop - start, 0);
  *offset = stop;
  return r;
}

int
thin_extents (struct dm_target *ti, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  struct thin *tc = ti->private;
  sector_t offset = dm_target_offset (ti, sector), end = offset + len;
  int r = 0;

  if (tc->shared == NULL || !door_enter (&tc->shared->door, &tc->leaving))
    return -EIO;
  if (tc->pool->mode == POOL_FAIL)
    r = -EIO;
  while (r == 0 && offset < end)
    r = extents_step (tc, &offset, end, sink);
  door_exit (&tc->shared->door);
  return r < 0 ? r : 0;
}
