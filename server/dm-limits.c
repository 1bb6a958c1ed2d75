/* SPDX-License-Identifier: BSD-3-Clause */
/* From the limits of lower devices to those of a table (Linux 6.1). */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "server/device-mapper.h"
#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * The arithmetic.
 */

static uint64_t
limits_gcd (uint64_t a, uint64_t b)
{
  while (b) {
    uint64_t r = a % b;

    a = b;
    b = r;
  }
  return a;
}

/* 0 means that there is no wish, so the other one's counts. */
static uint64_t
limits_lcm (uint64_t a, uint64_t b)
{
  if (a == 0 || b == 0)
    return a ? a : b;
  return a / limits_gcd (a, b) * b;
}

static uint64_t
limits_max (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

/* 0 means no limit. */
static uint64_t
limits_min (uint64_t a, uint64_t b)
{
  if (a == 0 || b == 0)
    return a ? a : b;
  return a < b ? a : b;
}

/* What a device's I/O should be a multiple of. */
static unsigned
limits_grain (const struct queue_limits *l)
{
  return limits_max (l->physical_block_bytes, l->io_min_bytes);
}

/* How far a sector is from the next boundary of the device's grain. */
static unsigned
limits_alignment (const struct queue_limits *b, sector_t start)
{
  uint64_t grain = limits_grain (b);
  /* Not of the product, which can wrap. */
  uint64_t into = start % grain * SECTOR_SIZE % grain;

  return (grain + b->alignment_offset_bytes - into) % grain;
}

/* Sizes that no longer divide each other are given up. */
static void
limits_repair (struct queue_limits *t)
{
  if (t->physical_block_bytes % t->logical_block_bytes) {
    t->physical_block_bytes = t->logical_block_bytes;
    t->misaligned = true;
  }
  if (t->io_min_bytes % t->physical_block_bytes) {
    t->io_min_bytes = t->physical_block_bytes;
    t->misaligned = true;
  }
  if (t->io_opt_bytes % t->physical_block_bytes) {
    t->io_opt_bytes = 0;
    t->misaligned = true;
  }
  if (sectors_to_bytes (t->chunk_sectors) % t->physical_block_bytes) {
    t->chunk_sectors = 0;
    t->misaligned = true;
  }
}

static void
limits_stack_alignment (struct queue_limits *t, unsigned alignment,
                        uint64_t top, uint64_t bottom)
{
  uint64_t high = limits_max (top, bottom);
  uint64_t low = top + bottom - high;

  if (t->alignment_offset_bytes != alignment && high % low)
    t->misaligned = true;
}

/* Put b, used from sector start on, below t.  False if they do not line up,
 * which costs speed and nothing else.
 */
static bool
limits_stack (struct queue_limits *t, const struct queue_limits *b,
              sector_t start)
{
  unsigned alignment = limits_alignment (b, start);
  bool was_misaligned = t->misaligned;
  uint64_t io_opt = limits_lcm (t->io_opt_bytes, b->io_opt_bytes);

  t->misaligned = false;
  limits_stack_alignment (t, alignment,
                          (uint64_t) limits_grain (t) +
                          t->alignment_offset_bytes,
                          (uint64_t) limits_grain (b) + alignment);

  t->logical_block_bytes = limits_max (t->logical_block_bytes,
                                       b->logical_block_bytes);
  t->physical_block_bytes = limits_max (t->physical_block_bytes,
                                        b->physical_block_bytes);
  t->io_min_bytes = limits_max (t->io_min_bytes, b->io_min_bytes);
  t->io_opt_bytes = io_opt <= UINT_MAX ? io_opt : 0;
  t->max_sectors = limits_min (t->max_sectors, b->max_sectors);
  t->chunk_sectors = limits_gcd (t->chunk_sectors, b->chunk_sectors);
  t->discard_granularity_bytes = limits_max (t->discard_granularity_bytes,
                                             b->discard_granularity_bytes);
  t->max_discard_sectors = limits_min (t->max_discard_sectors,
                                       b->max_discard_sectors);
  limits_repair (t);

  t->alignment_offset_bytes =
    limits_lcm (t->alignment_offset_bytes, alignment) % limits_grain (t);
  if (t->alignment_offset_bytes % t->logical_block_bytes)
    t->misaligned = true;

  if (!t->misaligned) {
    t->misaligned = was_misaligned || b->misaligned;
    return true;
  }
  return false;
}

/* ------------------------------------------------------------------
 * One target.
 */

/* The device's word for messages; malloc'ed, or NULL without memory. */
static char *
limits_device_name (struct dm_dev *dev)
{
  char *name = NULL;
  size_t len;
  FILE *fp = open_memstream (&name, &len);

  if (fp == NULL)
    return NULL;
  dm_device_print (fp, dev);
  fclose (fp);
  return name;
}

static int
limits_stack_area (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                   sector_t len, void *data)
{
  struct queue_limits *t = data;
  struct queue_limits b;
  char *CLEANUP_FREE device = NULL;
  char name[DM_NAME_LEN];

  bdev_limits (dev->bdev, &b);
  if (limits_stack (t, &b, start))
    return 0;
  device = limits_device_name (dev);
  log_info ("%s: adding target device %s caused an alignment inconsistency: "
            "physical_block_size=%u, logical_block_size=%u, "
            "alignment_offset=%u, start=%" PRIu64,
            dm_target_md_name (ti, name), device ? device : "",
            b.physical_block_bytes, b.logical_block_bytes,
            b.alignment_offset_bytes, sectors_to_bytes (start));
  return 0;
}

struct limits_check {
  const struct queue_limits *limits; /* of the target */
  struct message *msg;
};

static int
limits_too_small (struct dm_dev *dev, sector_t start, sector_t len,
                  struct message *msg)
{
  char *CLEANUP_FREE device = limits_device_name (dev);

  return message_set (msg, EINVAL, "%s too small for target: start=%" PRIu64
                      ", len=%" PRIu64 ", dev_size=%" PRIu64,
                      device ? device : "", start, len,
                      bdev_size (dev->bdev));
}

static int
limits_not_aligned (struct dm_dev *dev, const char *what, sector_t value,
                    unsigned block_bytes, struct message *msg)
{
  char *CLEANUP_FREE device = limits_device_name (dev);

  return message_set (msg, EINVAL, "%s=%" PRIu64 " not aligned to h/w "
                      "logical block size %u of %s", what, value, block_bytes,
                      device ? device : "");
}

static int
limits_check_area (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                   sector_t len, void *data)
{
  const struct limits_check *check = data;
  sector_t size = bdev_size (dev->bdev);
  unsigned block_bytes = check->limits->logical_block_bytes;
  sector_t block = bytes_to_sectors (block_bytes);

  if (size == 0)
    return 0;
  if (start >= size || !sectors_in_range (start, len, size))
    return limits_too_small (dev, start, len, check->msg);
  if (start % block)
    return limits_not_aligned (dev, "start", start, block_bytes, check->msg);
  if (len % block)
    return limits_not_aligned (dev, "len", len, block_bytes, check->msg);
  return 0;
}

/* The limits of what is below one target, and of the target itself. */
static int
limits_of_target (struct dm_table *t, unsigned index,
                  struct queue_limits *limits, struct message *msg)
{
  struct dm_target *ti = t->targets[index];
  struct limits_check check = { limits, msg };
  int r;

  *limits = QUEUE_LIMITS_DEFAULT;
  if (ti->type->iterate_devices)
    ti->type->iterate_devices (ti, limits_stack_area, limits);
  if (ti->type->io_hints)
    ti->type->io_hints (ti, limits);
  if (ti->type->iterate_devices == NULL)
    return 0;
  r = ti->type->iterate_devices (ti, limits_check_area, &check);
  if (r < 0)
    table_prefix_message (t, index, ti->begin, ti->len, ti->type->name, msg);
  return r;
}

/* ------------------------------------------------------------------
 * What the lower devices can do: a target counts if any, or all, of its areas
 * have the feature.
 */

/* Names a bool of struct queue_limits. */
#define LIMITS_FEATURE(member) offsetof (struct queue_limits, member)

static bool
limits_area_has (struct dm_dev *dev, const size_t *feature)
{
  struct queue_limits b;

  bdev_limits (dev->bdev, &b);
  return *(const bool *) ((const char *) &b + *feature);
}

static int
limits_area_with (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                  sector_t len, void *data)
{
  return limits_area_has (dev, data);
}

static int
limits_area_without (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                     sector_t len, void *data)
{
  return !limits_area_has (dev, data);
}

static bool
limits_any_area (struct dm_target *ti, size_t feature)
{
  return ti->type->iterate_devices &&
    ti->type->iterate_devices (ti, limits_area_with, &feature);
}

static bool
limits_all_areas (struct dm_target *ti, size_t feature)
{
  return ti->type->iterate_devices &&
    !ti->type->iterate_devices (ti, limits_area_without, &feature);
}

/* Does some target pass flushes on to something that needs them (or, for FUA,
 * honours it)?
 */
static bool
limits_table_flushes (struct dm_table *t, size_t feature)
{
  unsigned i;

  for (i = 0; i < t->nr_targets; i++) {
    struct dm_target *ti = t->targets[i];

    if (ti->num_flush_bios > 0 &&
        (ti->flush_supported || limits_any_area (ti, feature)))
      return true;
  }
  return false;
}

static void
limits_set_features (struct dm_table *t, struct queue_limits *l)
{
  unsigned i;

  l->discard = l->write_zeroes = true;
  l->rotational = false;
  for (i = 0; i < t->nr_targets; i++) {
    struct dm_target *ti = t->targets[i];

    if (ti->num_discard_bios == 0 ||
        !(ti->discards_supported ||
          limits_all_areas (ti, LIMITS_FEATURE (discard))))
      l->discard = false;
    if (ti->num_write_zeroes_bios == 0 ||
        !(ti->write_zeroes_supported ||
          limits_all_areas (ti, LIMITS_FEATURE (write_zeroes))))
      l->write_zeroes = false;
    if (limits_any_area (ti, LIMITS_FEATURE (rotational)))
      l->rotational = true;
  }
  if (!l->discard)
    l->max_discard_sectors = l->discard_granularity_bytes = 0;
  l->write_cache = limits_table_flushes (t, LIMITS_FEATURE (write_cache));
  l->fua = l->write_cache && limits_table_flushes (t, LIMITS_FEATURE (fua));
}

/* ------------------------------------------------------------------
 * The whole table.
 */

static int
limits_find_area (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                  sector_t len, void *data)
{
  return 1;
}

/* A table that could have devices but has none tells nothing of limits. */
static bool
limits_are_retained (struct dm_table *t)
{
  unsigned i;

  for (i = 0; i < t->nr_targets; i++) {
    struct dm_target *ti = t->targets[i];

    if (ti->type->iterate_devices == NULL ||
        ti->type->iterate_devices (ti, limits_find_area, NULL))
      return false;
  }
  return true;
}

static int
limits_widen_block (struct dm_target *ti, struct dm_dev *dev, sector_t start,
                    sector_t len, void *data)
{
  unsigned *block = data;
  struct queue_limits b;

  bdev_limits (dev->bdev, &b);
  *block = limits_max (*block, b.logical_block_bytes);
  return 0;
}

/* No logical block of the device may be cut by the border of a target, except
 * where the target after it begins with sectors that it can address singly.
 */
static int
limits_check_borders (struct dm_table *t, const struct queue_limits *limits,
                      struct message *msg)
{
  sector_t block = bytes_to_sectors (limits->logical_block_bytes);
  sector_t pos = 0, rest = 0; /* rest: of the block that the border cuts */
  struct dm_target *ti = NULL;
  char name[DM_NAME_LEN];
  unsigned i;

  for (i = 0; i < t->nr_targets; i++) {
    unsigned own = SECTOR_SIZE;

    ti = t->targets[i];
    if (ti->type->iterate_devices)
      ti->type->iterate_devices (ti, limits_widen_block, &own);
    if (rest < ti->len && rest % bytes_to_sectors (own))
      break;
    pos = (pos + ti->len) % block;
    rest = pos ? block - pos : 0;
  }
  if (rest == 0)
    return 0;
  /* The kernel's line number, which counts from 0. */
  return message_set (msg, EINVAL, "%s: table line %u (start sect %" PRIu64
                      " len %" PRIu64 ") not aligned to h/w logical block "
                      "size %u", md_copy_name (t->md, name), i, ti->begin,
                      ti->len, limits->logical_block_bytes);
}

int
table_limits (struct dm_table *t, const struct queue_limits *current,
              struct queue_limits *limits, struct message *msg)
{
  struct queue_limits own;
  char name[DM_NAME_LEN];
  unsigned i;
  int r;

  if (current && limits_are_retained (t)) {
    *limits = *current;
    return 0;
  }
  *limits = QUEUE_LIMITS_DEFAULT;
  for (i = 0; i < t->nr_targets; i++) {
    r = limits_of_target (t, i, &own, msg);
    if (r < 0)
      return r;
    if (!limits_stack (limits, &own, 0))
      log_info ("%s: adding target device (start sect %" PRIu64 " len %"
                PRIu64 ") caused an alignment inconsistency",
                md_copy_name (t->md, name), t->targets[i]->begin,
                t->targets[i]->len);
  }
  limits_set_features (t, limits);
  return limits_check_borders (t, limits, msg);
}
