/* SPDX-License-Identifier: BSD-3-Clause */
/* linear: a range of one device. */

#include <errno.h>
#include <inttypes.h>

#include "server/device-mapper.h"

struct linear {
  struct dm_dev *dev;
  sector_t start; /* on dev */
};

static int
linear_ctr (struct dm_target *ti, struct args *args)
{
  struct linear *l = ti->private;

  if (args->argc != 2)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u, not 2 "
                            "(<device> <offset>)", args->argc);
  if (args_parse_u64 (args->argv[1], &l->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid device sector: '%s'",
                            args->argv[1]);
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  ti->num_write_zeroes_bios = 1;
  return dm_get_device (ti, args->argv[0], &l->dev);
}

static int
linear_map (struct dm_target *ti, struct bio *bio)
{
  const struct linear *l = ti->private;

  bio->bdev = l->dev->bdev;
  if (bio->op != BIO_FLUSH)
    bio->sector = l->start + dm_target_offset (ti, bio->sector);
  return DM_MAPIO_REMAPPED;
}

static void
linear_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
               FILE *out)
{
  const struct linear *l = ti->private;

  if (type == DM_STATUS_INFO)
    return;
  dm_device_print (out, l->dev);
  fprintf (out, " %" PRIu64, l->start);
}

static void
linear_measure (struct dm_target *ti, FILE *out)
{
  const struct linear *l = ti->private;

  fputs (",device_name=", out);
  dm_device_print (out, l->dev);
  fprintf (out, ",start=%" PRIu64, l->start);
}

static int
linear_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct linear *l = ti->private;

  return fn (ti, l->dev, l->start, ti->len, data);
}

static int
linear_extents (struct dm_target *ti, sector_t sector, sector_t len,
                struct extent_sink *sink)
{
  const struct linear *l = ti->private;
  sector_t offset = dm_target_offset (ti, sector);
  int r = dm_device_extents (l->dev, l->start + offset, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type linear_target = {
  .name = "linear",
  .version = { 1, 4, 0 },
  .summary = "a range of one device",
  .example = "%1 0",
  .private_size = sizeof (struct linear),
  .ctr = linear_ctr,
  .map = linear_map,
  .status = linear_status,
  .measure = linear_measure,
  .iterate_devices = linear_iterate_devices,
  .extents = linear_extents,
};
