/* SPDX-License-Identifier: BSD-3-Clause */
/* unstriped: one stripe of a striped device. */

#include <errno.h>
#include <inttypes.h>

#include "server/device-mapper.h"

struct unstriped {
  uint32_t n, chunk, which; /* stripes; sectors; the stripe, from 0 */
  struct dm_dev *dev;
  sector_t start; /* on dev */
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
unstriped_parse_shape (struct dm_target *ti, struct args *args)
{
  struct unstriped *u = ti->private;
  const char *word = args_shift (args);

  if (args_parse_strict_u32 (word, &u->n) < 0 || u->n == 0)
    return dm_target_error (ti, EINVAL, "Invalid stripe count: '%s'", word);
  word = args_shift (args);
  if (args_parse_strict_u32 (word, &u->chunk) < 0 || u->chunk == 0)
    return dm_target_error (ti, EINVAL, "Invalid chunk_size: '%s'", word);
  word = args_shift (args);
  if (args_parse_strict_u32 (word, &u->which) < 0)
    return dm_target_error (ti, EINVAL, "Invalid stripe number: '%s'", word);
  /* Linux 6.1 lets the number of stripes pass, and any stripe of one. */
  if (u->which > u->n && u->n > 1)
    return dm_target_error (ti, EINVAL, "Please provide stripe between "
                            "[0, # of stripes]: %u of %u", u->which, u->n);
  return 0;
}

static int
unstriped_parse_device (struct dm_target *ti, struct args *args)
{
  struct unstriped *u = ti->private;
  const char *device = args_shift (args), *start = args_shift (args);

  if (dm_get_device (ti, device, &u->dev) < 0) {
    message_prefix (ti->message, "Couldn't get striped device: ");
    return -EINVAL;
  }
  if (args_parse_u64 (start, &u->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid striped device offset: "
                            "'%s'", start);
  return 0;
}

/* False if sectors of the striped device would not fit a sector_t. */
static bool
unstriped_fits (const struct unstriped *u, sector_t len)
{
  sector_t row = (sector_t) u->n * u->chunk;
  sector_t skip = (sector_t) u->which * u->chunk;
  sector_t end;

  return !__builtin_mul_overflow (len / u->chunk, row, &end) &&
    !__builtin_add_overflow (end, skip, &end) &&
    !__builtin_add_overflow (end, u->start, &end);
}

static int
unstriped_ctr (struct dm_target *ti, struct args *args)
{
  struct unstriped *u = ti->private;
  int r;

  if (args->argc != 5)
    return dm_target_error (ti, EINVAL, "Invalid number of arguments: %u; "
                            "wanted <stripes> <chunk> <stripe> <device> "
                            "<offset>", args->argc);
  r = unstriped_parse_shape (ti, args);
  if (r == 0)
    r = unstriped_parse_device (ti, args);
  if (r < 0)
    return r;
  if (ti->len % u->chunk)
    return dm_target_error (ti, EINVAL, "Target length not divisible by "
                            "chunk size: %" PRIu64 " by %u", ti->len,
                            u->chunk);
  if (!unstriped_fits (u, ti->len))
    return dm_target_error (ti, EINVAL, "Invalid striped device offset: the "
                            "end of the striped device is beyond 2^64");
  ti->max_io_len = u->chunk;
  ti->num_flush_bios = 1;
  return 0;
}

static void
unstriped_status (struct dm_target *ti, enum dm_status_type type,
                  unsigned flags, FILE *out)
{
  const struct unstriped *u = ti->private;

  if (type == DM_STATUS_INFO)
    return;
  fprintf (out, "%u %u %u ", u->n, u->chunk, u->which);
  dm_device_print (out, u->dev);
  fprintf (out, " %" PRIu64, u->start);
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* Where a sector of the target is on the striped device. */
static sector_t
unstriped_locate (const struct unstriped *u, sector_t offset)
{
  sector_t before = offset / u->chunk * (u->n - 1) + u->which;

  return u->start + offset + before * u->chunk;
}

static int
unstriped_map (struct dm_target *ti, struct bio *bio)
{
  const struct unstriped *u = ti->private;

  bio->bdev = u->dev->bdev;
  if (bio->op != BIO_FLUSH)
    bio->sector = unstriped_locate (u, dm_target_offset (ti, bio->sector));
  return DM_MAPIO_REMAPPED;
}

/* Not the area that is used, which the kernel does not check either: if the
 * striped device is too small, I/O beyond its end fails (Linux 6.1).
 */
static int
unstriped_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct unstriped *u = ti->private;

  return fn (ti, u->dev, u->start, ti->len, data);
}

static void
unstriped_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct unstriped *u = ti->private;

  limits->chunk_sectors = u->chunk;
}

/* Small chunks are a question each: stop somewhere. */
#define UNSTRIPED_MAX_CHUNKS 1024

static int
unstriped_extents (struct dm_target *ti, sector_t sector, sector_t len,
                   struct extent_sink *sink)
{
  const struct unstriped *u = ti->private;
  sector_t offset = dm_target_offset (ti, sector), end = offset + len;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && offset < end && i < UNSTRIPED_MAX_CHUNKS; i++) {
    sector_t n = u->chunk - offset % u->chunk;

    if (n > end - offset)
      n = end - offset;
    r = dm_device_extents (u->dev, unstriped_locate (u, offset), n, sink);
    offset += n;
  }
  return r < 0 ? r : 0;
}

const struct target_type unstriped_target = {
  .name = "unstriped",
  .version = { 1, 1, 0 },
  .summary = "one stripe of a striped device",
  .example = "2 128 0 %1 0",
  .private_size = sizeof (struct unstriped),
  .ctr = unstriped_ctr,
  .map = unstriped_map,
  .status = unstriped_status,
  .iterate_devices = unstriped_iterate_devices,
  .io_hints = unstriped_io_hints,
  .extents = unstriped_extents,
};
