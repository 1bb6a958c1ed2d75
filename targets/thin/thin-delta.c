/* SPDX-License-Identifier: BSD-3-Clause */
/* thin-delta: a thin to read, whose extents tell how it differs from another.
 */

#include <errno.h>
#include <string.h>

#include "targets/thin/thin.h"

/* Not one of the kernel's.  Blocks that both thins have from the same data
 * block are the same, and cannot be changed by either: sharing is broken by
 * the first write.  So who copies what is told to be data has an incremental
 * backup.
 */
struct thin_delta {
  struct thin thin; /* first: what is read */
  uint32_t base_id;
  struct pool_thin *base; /* what it is compared with; NULL until it is open */
};

/* ------------------------------------------------------------------
 * Birth and death.
 */

static int
delta_ctr (struct dm_target *ti, struct args *args)
{
  struct thin_delta *d = ti->private;
  int r;

  if (args->argc != 3)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<pool device> <device id> <base device id>",
                            args->argc);
  r = thin_get_pool_device (ti, args->argv[0]);
  if (r == 0)
    r = thin_parse_id (ti, args->argv[1], &d->thin.id);
  if (r == 0)
    r = thin_parse_id (ti, args->argv[2], &d->base_id);
  if (r == 0 && d->thin.id == d->base_id)
    r = dm_target_error (ti, EINVAL, "Both device ids are %u", d->base_id);
  if (r == 0)
    r = thin_find_pool (ti);
  if (r == 0)
    r = thin_open (ti, d->thin.id, &d->thin.shared);
  if (r == 0)
    r = thin_open (ti, d->base_id, &d->base);
  ti->num_flush_bios = 1;
  return r;
}

static void
delta_dtr (struct dm_target *ti)
{
  struct thin_delta *d = ti->private;

  if (d->base)
    pool_thin_close (d->base);
  thin_dtr (ti);
}

static void
delta_presuspend (struct dm_target *ti)
{
  struct thin_delta *d = ti->private;

  thin_presuspend (ti);
  if (d->base)
    door_wake (&d->base->door);
}

static void
delta_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
              FILE *out)
{
  const struct thin_delta *d = ti->private;

  if (type == DM_STATUS_TABLE) {
    dm_device_print (out, d->thin.pool_dev);
    fprintf (out, " %u %u", d->thin.id, d->base_id);
  }
}

static int
delta_map (struct dm_target *ti, struct bio *bio)
{
  return bio_is_write (bio) ? -EPERM : thin_map (ti, bio);
}

/* ------------------------------------------------------------------
 * Extents.
 */

/* Up to the end of the next difference, or of all.  Changed is data, whatever
 * it reads as; unchanged is a hole that may read as anything.
 */
static int
delta_step (struct thin_delta *d, sector_t *offset, sector_t end,
            struct extent_sink *sink)
{
  sector_t block_sectors = d->thin.pool->block_sectors;
  sector_t start = end, stop = end;
  block_t from, to;
  int r = thin_dev_find_difference (d->thin.shared->td, d->base->td,
                                    *offset / block_sectors,
                                    (end - 1) / block_sectors + 1, &from,
                                    &to);

  if (r < 0 && r != -ENODATA)
    return r;
  if (r == 0) {
    start = from * block_sectors;
    stop = to * block_sectors;
    if (start < *offset)
      start = *offset;
    if (stop > end)
      stop = end;
  }
  r = start > *offset ? sink->add (sink, start - *offset, EXTENT_HOLE) : 0;
  if (r == 0 && stop > start)
    r = sink->add (sink, stop - start, 0);
  *offset = stop;
  return r;
}

/* Both doors; who waits for the second does not stay inside of the first, or
 * a suspend that has closed the second would wait for him.
 */
static bool
delta_enter (struct thin_delta *d)
{
  static const atomic_bool at_once = true;

  for (;;) {
    if (!door_enter (&d->thin.shared->door, &d->thin.leaving))
      return false;
    if (door_enter (&d->base->door, &at_once))
      return true;
    door_exit (&d->thin.shared->door);
    if (!door_enter (&d->base->door, &d->thin.leaving))
      return false;
    door_exit (&d->base->door);
  }
}

static int
delta_extents (struct dm_target *ti, sector_t sector, sector_t len,
               struct extent_sink *sink)
{
  struct thin_delta *d = ti->private;
  sector_t offset = dm_target_offset (ti, sector), end = offset + len;
  int r = 0;

  if (d->thin.shared == NULL || d->base == NULL || !delta_enter (d))
    return -EIO;
  if (d->thin.pool->mode == POOL_FAIL)
    r = -EIO;
  while (r == 0 && offset < end)
    r = delta_step (d, &offset, end, sink);
  door_exit (&d->base->door);
  door_exit (&d->thin.shared->door);
  return r < 0 ? r : 0;
}

const struct target_type thin_delta_target = {
  .name = "thin-delta",
  .version = { 1, 0, 0 },
  .summary = "a thin to read, whose extents tell what differs from another",
  .example = "%1 0 1",
  .private_size = sizeof (struct thin_delta),
  .ctr = delta_ctr,
  .dtr = delta_dtr,
  .map = delta_map,
  .presuspend = delta_presuspend,
  .presuspend_undo = thin_resume,
  .resume = thin_resume,
  .status = delta_status,
  .iterate_devices = thin_iterate_devices,
  .extents = delta_extents,
};
