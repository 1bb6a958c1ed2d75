/* SPDX-License-Identifier: BSD-3-Clause */
/* zero: reads zeroes, forgets writes. */

#include <errno.h>
#include <string.h>

#include "server/device-mapper.h"

static int
zero_ctr (struct dm_target *ti, struct args *args)
{
  if (args->argc != 0)
    return dm_target_error (ti, EINVAL, "No arguments required: '%s'",
                            args->argv[0]);
  /* As in Linux 6.1: nothing comes of it, since no lower device takes them. */
  ti->num_discard_bios = 1;
  return 0;
}

static int
zero_map (struct dm_target *ti, struct bio *bio)
{
  switch (bio->op) {
  case BIO_READ:
    memset (bio->data, 0, sectors_to_bytes (bio->len));
    return DM_MAPIO_DONE;
  case BIO_WRITE:
    return DM_MAPIO_DONE;
  default:
    return -EIO;
  }
}

static void
zero_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
             FILE *out)
{
}

static int
zero_extents (struct dm_target *ti, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  int r = sink->add (sink, len, EXTENT_HOLE | EXTENT_ZERO);

  return r < 0 ? r : 0;
}

const struct target_type zero_target = {
  .name = "zero",
  .version = { 1, 1, 0 },
  .summary = "reads zeroes, forgets writes",
  .example = "",
  .ctr = zero_ctr,
  .map = zero_map,
  .status = zero_status,
  .extents = zero_extents,
};
