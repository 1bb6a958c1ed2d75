/* SPDX-License-Identifier: BSD-3-Clause */
/* ebs: a device with smaller blocks than the one below has. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "server/device-mapper.h"
#include "targets/cell.h"

#define EBS_MAX_EMULATED 8 /* sectors: a page (Linux 6.1) */

struct ebs {
  struct dm_dev *dev;
  sector_t start;                /* on dev */
  uint32_t emulated, underlying; /* block sizes in sectors */
  bool underlying_given;

  /* By number of the underlying block: who rewrites a part of one excludes all
   * other writers, who writes whole ones excludes him.
   */
  struct cells cells;
};

/* ------------------------------------------------------------------
 * The line.
 */

static bool
ebs_is_power_of_2 (uint32_t n)
{
  return n && (n & (n - 1)) == 0;
}

/* The kernel has 16 bits for them. */
static int
ebs_parse_block (const char *word, uint32_t max, uint32_t *out)
{
  uint32_t n;

  if (args_parse_u32 (word, &n) < 0 || !ebs_is_power_of_2 (n) || n > max)
    return -EINVAL;
  *out = n;
  return 0;
}

static int
ebs_parse_numbers (struct dm_target *ti, const struct args *args)
{
  struct ebs *e = ti->private;
  char *const *words = args->argv;

  if (args_parse_u64 (words[1], &e->start) < 0 || e->start >= ti->len)
    return dm_target_error (ti, EINVAL, "Invalid device offset sector: '%s' "
                            "(a number below the target's length)", words[1]);
  if (ebs_parse_block (words[2], EBS_MAX_EMULATED, &e->emulated) < 0)
    return dm_target_error (ti, EINVAL, "Invalid emulated block size: '%s' "
                            "(1, 2, 4 or 8 sectors)", words[2]);
  e->underlying_given = args->argc == 4;
  if (e->underlying_given &&
      ebs_parse_block (words[3], UINT16_MAX, &e->underlying) < 0)
    return dm_target_error (ti, EINVAL, "Invalid underlying block size: '%s' "
                            "(a power of two, in sectors)", words[3]);
  return 0;
}

/* The block size that the device tells. */
static int
ebs_retrieve_block (struct dm_target *ti)
{
  struct ebs *e = ti->private;
  struct queue_limits limits;

  bdev_limits (e->dev->bdev, &limits);
  e->underlying = bytes_to_sectors (limits.logical_block_bytes);
  if (!ebs_is_power_of_2 (e->underlying))
    return dm_target_error (ti, EINVAL, "Invalid retrieved underlying block "
                            "size: %u sectors", e->underlying);
  if (e->emulated == e->underlying)
    log_info ("ebs: Emulation superfluous: emulated equal to underlying block "
              "size");
  return 0;
}

static int
ebs_ctr (struct dm_target *ti, struct args *args)
{
  struct ebs *e = ti->private;
  int r;

  cells_init (&e->cells);
  if (args->argc != 3 && args->argc != 4)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<device> <offset> <emulated block> [<underlying "
                            "block>]", args->argc);
  r = ebs_parse_numbers (ti, args);
  if (r == 0)
    r = dm_get_device (ti, args->argv[0], &e->dev);
  if (r == 0 && !e->underlying_given)
    r = ebs_retrieve_block (ti);
  if (r < 0)
    return r;
  if (e->start % e->underlying)
    return dm_target_error (ti, EINVAL, "Device offset must be multiple of "
                            "underlying block size: %" PRIu64 " of %u",
                            e->start, e->underlying);
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  return 0;
}

static void
ebs_dtr (struct dm_target *ti)
{
  struct ebs *e = ti->private;

  cells_destroy (&e->cells);
}

static void
ebs_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
            FILE *out)
{
  const struct ebs *e = ti->private;

  if (type == DM_STATUS_INFO)
    return;
  dm_device_print (out, e->dev);
  fprintf (out, " %" PRIu64 " %u", e->start, e->emulated);
  if (e->underlying_given)
    fprintf (out, " %u", e->underlying);
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* A write or discard of whole blocks. */
static int
ebs_submit_held (struct ebs *e, struct bio *bio)
{
  uint64_t first = bio->sector / e->underlying;
  uint64_t end = bio_end (bio) / e->underlying;
  struct cell cell;
  int r;

  cell_acquire (&e->cells, &cell, first, end, false);
  r = bdev_submit (bio->bdev, bio);
  cell_release (&e->cells, &cell);
  return r;
}

/* The underlying block around the bio. */
static struct bio
ebs_whole_block (const struct ebs *e, const struct bio *bio, char *data)
{
  struct bio block = { .op = BIO_READ, .bdev = bio->bdev, .data = data,
                       .sector = bio->sector - bio->sector % e->underlying,
                       .len = e->underlying };

  return block;
}

/* A part of one block; data has room for all of it. */
static int
ebs_read_part (const struct ebs *e, const struct bio *bio, char *data)
{
  struct bio block = ebs_whole_block (e, bio, data);
  int r = bdev_submit (block.bdev, &block);

  if (r == 0)
    memcpy (bio->data,
            data + sectors_to_bytes (bio->sector % e->underlying),
            sectors_to_bytes (bio->len));
  return r;
}

static int
ebs_write_part (struct ebs *e, const struct bio *bio, char *data)
{
  uint64_t nr = bio->sector / e->underlying;
  struct bio block = ebs_whole_block (e, bio, data);
  struct cell cell;
  int r;

  cell_acquire (&e->cells, &cell, nr, nr + 1, true);
  r = bdev_submit (block.bdev, &block);
  if (r == 0) {
    memcpy (data + sectors_to_bytes (bio->sector % e->underlying), bio->data,
            sectors_to_bytes (bio->len));
    block = ebs_whole_block (e, bio, data);
    block.op = BIO_WRITE;
    block.flags = bio->flags;
    r = bdev_submit (block.bdev, &block);
  }
  cell_release (&e->cells, &cell);
  return r;
}

/* Whole blocks, or a part of one: what is left comes again. */
static int
ebs_map_data (struct ebs *e, struct bio *bio)
{
  sector_t into = bio->sector % e->underlying;
  struct bio whole;
  char *CLEANUP_FREE data = NULL;

  if (into == 0 && bio->len >= e->underlying) {
    bio->len -= bio->len % e->underlying;
    if (bio->op == BIO_READ)
      return DM_MAPIO_REMAPPED;
    whole = *bio;
    return ebs_submit_held (e, &whole);
  }
  if (bio->len > e->underlying - into)
    bio->len = e->underlying - into;
  data = malloc (sectors_to_bytes (e->underlying));
  if (data == NULL)
    return -ENOMEM;
  if (bio->op == BIO_READ)
    return ebs_read_part (e, bio, data);
  return ebs_write_part (e, bio, data);
}

/* Whole blocks only, perhaps none. */
static int
ebs_map_discard (struct ebs *e, struct bio *bio)
{
  sector_t end = bio_end (bio) - bio_end (bio) % e->underlying;

  bio->sector += e->underlying - 1;
  bio->sector -= bio->sector % e->underlying;
  if (bio->sector >= end)
    return DM_MAPIO_DONE;
  bio->len = end - bio->sector;
  return ebs_submit_held (e, bio);
}

/* The blocks around what will be read. */
static int
ebs_prefetch (const struct ebs *e, const struct bio *bio)
{
  struct bio blocks = *bio;
  sector_t end = bio_end (bio) + e->underlying - 1;

  blocks.sector -= blocks.sector % e->underlying;
  blocks.len = end - end % e->underlying - blocks.sector;
  return bdev_submit (blocks.bdev, &blocks);
}

static int
ebs_map (struct dm_target *ti, struct bio *bio)
{
  struct ebs *e = ti->private;

  bio->bdev = e->dev->bdev;
  if (bio->op == BIO_FLUSH)
    return DM_MAPIO_REMAPPED;
  bio->sector = e->start + dm_target_offset (ti, bio->sector);
  if (bio->op == BIO_DISCARD)
    return ebs_map_discard (e, bio);
  if (bio->op == BIO_PREFETCH)
    return ebs_prefetch (e, bio);
  return ebs_map_data (e, bio);
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

static int
ebs_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct ebs *e = ti->private;

  return fn (ti, e->dev, e->start, ti->len, data);
}

static void
ebs_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct ebs *e = ti->private;

  limits->logical_block_bytes = sectors_to_bytes (e->emulated);
  limits->physical_block_bytes = sectors_to_bytes (e->underlying);
  limits->alignment_offset_bytes = limits->physical_block_bytes;
  limits->io_min_bytes = limits->physical_block_bytes;
  if (limits->io_min_bytes < limits->logical_block_bytes)
    limits->io_min_bytes = limits->logical_block_bytes;
}

static int
ebs_extents (struct dm_target *ti, sector_t sector, sector_t len,
             struct extent_sink *sink)
{
  const struct ebs *e = ti->private;
  sector_t offset = dm_target_offset (ti, sector);
  int r = dm_device_extents (e->dev, e->start + offset, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type ebs_target = {
  .name = "ebs",
  .version = { 1, 0, 1 },
  .summary = "a range of one device, with smaller blocks",
  .example = "%1 0 1 8",
  .private_size = sizeof (struct ebs),
  .ctr = ebs_ctr,
  .dtr = ebs_dtr,
  .map = ebs_map,
  .status = ebs_status,
  .iterate_devices = ebs_iterate_devices,
  .io_hints = ebs_io_hints,
  .extents = ebs_extents,
};
