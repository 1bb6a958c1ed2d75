/* SPDX-License-Identifier: BSD-3-Clause */
/* error: fails everything. */

#include <errno.h>

#include "server/device-mapper.h"

static int
error_ctr (struct dm_target *ti, struct args *args)
{
  /* As in Linux 6.1: nothing comes of it, since no lower device takes them. */
  ti->num_discard_bios = 1;
  return 0;
}

static int
error_map (struct dm_target *ti, struct bio *bio)
{
  return -EIO;
}

static void
error_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
              FILE *out)
{
}

const struct target_type error_target = {
  .name = "error",
  .version = { 1, 5, 0 },
  .features = DM_TARGET_WILDCARD,
  .summary = "fails every read and write",
  .example = "",
  .ctr = error_ctr,
  .map = error_map,
  .status = error_status,
};
