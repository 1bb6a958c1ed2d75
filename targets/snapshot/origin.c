/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot-origin: a device whose old data its snapshots keep. */

#include <errno.h>

#include "targets/snapshot/snapshot-core.h"

struct snapshot_origin {
  struct dm_dev *dev;
  struct origin_user user;
};

static int
origin_ctr (struct dm_target *ti, struct args *args)
{
  struct snapshot_origin *so = ti->private;
  enum origin_pair pair;
  int r;

  if (args->argc != 1)
    return dm_target_error (ti, EINVAL, "origin: incorrect number of "
                            "arguments: %u, not 1 (<origin>)", args->argc);
  r = dm_get_device (ti, args->argv[0], &so->dev);
  if (r < 0) {
    message_prefix (ti->message, "Cannot get target device: ");
    return r;
  }
  so->user.role = ORIGIN_ITSELF;
  so->user.bdev = so->dev->bdev;
  r = origin_join (&so->user, &pair, ti->message);
  if (r < 0)
    return r;
  ti->num_flush_bios = 1;
  ti->num_write_zeroes_bios = 1;
  return 0;
}

static void
origin_dtr (struct dm_target *ti)
{
  struct snapshot_origin *so = ti->private;

  origin_leave (&so->user);
}

/* The sector stays as it is, whatever the target's begin (Linux 6.1).  There
 * is no need to cut writes at chunks: all that a write covers is preserved, in
 * every snapshot that there is by then.
 */
static int
origin_map (struct dm_target *ti, struct bio *bio)
{
  struct snapshot_origin *so = ti->private;

  bio->bdev = so->dev->bdev;
  if (!bio_is_write (bio))
    return DM_MAPIO_REMAPPED;
  return snapshots_write_origin (so->user.origin, bio->bdev, bio);
}

static int
origin_preresume (struct dm_target *ti, struct message *msg)
{
  struct snapshot_origin *so = ti->private;

  return origin_may_run (&so->user, msg);
}

static void
origin_postsuspend (struct dm_target *ti)
{
  struct snapshot_origin *so = ti->private;

  origin_stopped (&so->user);
}

static void
origin_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
               FILE *out)
{
  const struct snapshot_origin *so = ti->private;

  if (type == DM_STATUS_TABLE)
    dm_device_print (out, so->dev);
}

static int
origin_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct snapshot_origin *so = ti->private;

  return fn (ti, so->dev, 0, ti->len, data);
}

static int
origin_extents (struct dm_target *ti, sector_t sector, sector_t len,
                struct extent_sink *sink)
{
  const struct snapshot_origin *so = ti->private;
  int r = dm_device_extents (so->dev, sector, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type snapshot_origin_target = {
  .name = "snapshot-origin",
  .version = { 1, 9, 0 },
  .summary = "a device whose old data its snapshots keep",
  .example = "%1",
  .private_size = sizeof (struct snapshot_origin),
  .ctr = origin_ctr,
  .dtr = origin_dtr,
  .map = origin_map,
  .postsuspend = origin_postsuspend,
  .preresume = origin_preresume,
  .status = origin_status,
  .iterate_devices = origin_iterate_devices,
  .extents = origin_extents,
};
