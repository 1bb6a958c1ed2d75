/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot-diff: a device whose extents tell what a snapshot has kept. */

#include <errno.h>
#include <inttypes.h>

#include "targets/snapshot/snapshot-core.h"

/* The contents are those of a device; the extents are those of the snapshot
 * with this COW device: data where it has an exception, and otherwise a hole,
 * though not one that reads as zeroes.  So clients that copy what is data get
 * what has changed.
 */
struct snapshot_diff {
  struct dm_dev *origin, *cow;
  struct dm_dev *data; /* to read; NULL: the origin */
  struct origin_user user;
};

static int
diff_open (struct snapshot_diff *d, struct dm_target *ti, struct args *args)
{
  struct dm_dev **const devs[] = { &d->origin, &d->cow, &d->data };
  unsigned i;
  int r;

  for (i = 0; args->argc > 0; i++) {
    r = dm_get_device_for (ti, args_shift (args), false, devs[i]);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
diff_ctr (struct dm_target *ti, struct args *args)
{
  struct snapshot_diff *d = ti->private;
  enum origin_pair pair;
  int r;

  if (args->argc < 2 || args->argc > 3)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<origin> <COW device> [<device to read>]",
                            args->argc);
  r = diff_open (d, ti, args);
  if (r < 0)
    return r;
  d->user.role = ORIGIN_OBSERVER;
  d->user.bdev = d->origin->bdev;
  return origin_join (&d->user, &pair, ti->message);
}

static void
diff_dtr (struct dm_target *ti)
{
  struct snapshot_diff *d = ti->private;

  origin_leave (&d->user);
}

static struct dm_dev *
diff_data (const struct snapshot_diff *d)
{
  return d->data ? d->data : d->origin;
}

/* Sectors are those of the origin, as in the whole family. */
static int
diff_map (struct dm_target *ti, struct bio *bio)
{
  struct snapshot_diff *d = ti->private;

  if (bio_is_write (bio))
    return -EPERM;
  bio->bdev = diff_data (d)->bdev;
  return DM_MAPIO_REMAPPED;
}

/* The snapshot, which stays what it is until diff_exit; NULL if there is none
 * that is worth asking.
 */
static struct snapshot *
diff_enter (struct snapshot_diff *d)
{
  struct origin_user *user;
  struct snapshot *s;

  origin_enter (d->user.origin);
  user = origin_find_snapshot (d->user.origin, d->cow->bdev);
  s = user ? container_of (user, struct snapshot, user) : NULL;
  return s && s->valid ? s : NULL;
}

static void
diff_exit (struct snapshot_diff *d)
{
  origin_exit (d->user.origin);
}

static int
diff_tell (struct snapshot *s, sector_t sector, sector_t len,
           struct extent_sink *sink)
{
  struct snapshot_piece piece;
  int r = 0;

  for (; len > 0 && r == 0; sector += piece.len, len -= piece.len) {
    snapshot_look_up (s, sector, len, &piece);
    r = sink->add (sink, piece.len, piece.excepted ? 0 : EXTENT_HOLE);
  }
  return r < 0 ? r : 0;
}

/* A snapshot that is lost has missed something. */
static int
diff_extents (struct dm_target *ti, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  struct snapshot_diff *d = ti->private;
  struct snapshot *s = diff_enter (d);
  int r = s ? diff_tell (s, sector, len, sink) : -EIO;

  if (r == 0 && !s->valid)
    r = -EIO;
  diff_exit (d);
  return r;
}

static void
diff_print_info (struct snapshot_diff *d, FILE *out)
{
  struct exception_table_size size;
  struct snapshot *s = diff_enter (d);

  if (s) {
    exception_table_size (s->table, &size);
    fprintf (out, "%" PRIu64 " %u", size.exceptions, s->chunk_sectors);
  }
  else
    fputs ("Invalid", out);
  diff_exit (d);
}

static void
diff_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
             FILE *out)
{
  struct snapshot_diff *d = ti->private;

  if (type == DM_STATUS_INFO)
    return diff_print_info (d, out);
  dm_device_print (out, d->origin);
  putc (' ', out);
  dm_device_print (out, d->cow);
  if (d->data) {
    putc (' ', out);
    dm_device_print (out, d->data);
  }
}

static int
diff_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct snapshot_diff *d = ti->private;

  return fn (ti, diff_data (d), 0, ti->len, data);
}

const struct target_type snapshot_diff_target = {
  .name = "snapshot-diff",
  .version = { 1, 0, 0 },
  .summary = "a device whose extents tell what a snapshot has kept",
  .example = "%1 %2",
  .private_size = sizeof (struct snapshot_diff),
  .ctr = diff_ctr,
  .dtr = diff_dtr,
  .map = diff_map,
  .status = diff_status,
  .iterate_devices = diff_iterate_devices,
  .extents = diff_extents,
};
