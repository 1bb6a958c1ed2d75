/* SPDX-License-Identifier: BSD-3-Clause */
/* thin: a device whose blocks come from a pool when they are written. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "targets/thin/thin.h"

/* ------------------------------------------------------------------
 * Birth and death.
 */

int
thin_parse_id (struct dm_target *ti, const char *word, uint32_t *id)
{
  if (args_parse_strict_u32 (word, id) < 0 || *id > THIN_MAX_ID)
    return dm_target_error (ti, EINVAL, "Invalid device id: '%s'", word);
  return 0;
}

static int
thin_get_device (struct dm_target *ti, const char *word, bool writable,
                 struct dm_dev **dev, const char *error)
{
  int r = dm_get_device_for (ti, word, writable, dev);

  if (r < 0)
    message_prefix (ti->message, "%s: ", error);
  return r;
}

int
thin_get_pool_device (struct dm_target *ti, const char *word)
{
  struct thin *tc = ti->private;

  return thin_get_device (ti, word, !dm_target_readonly (ti), &tc->pool_dev,
                          "Error opening pool device");
}

/* In the kernel's order (Linux 6.1). */
static int
thin_parse (struct dm_target *ti, struct args *args)
{
  struct thin *tc = ti->private;
  const char *origin = args->argc == 3 ? args->argv[2] : NULL;
  int r = 0;

  if (args->argc != 2 && args->argc != 3)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<pool device> <device id> [<external origin>]",
                            args->argc);
  if (origin && strcmp (args->argv[0], origin) == 0)
    return dm_target_error (ti, EINVAL, "Error setting origin device: it is "
                            "the pool");
  if (origin)
    r = thin_get_device (ti, origin, false, &tc->origin_dev,
                         "Error opening origin device");
  if (r == 0)
    r = thin_get_pool_device (ti, args->argv[0]);
  return r == 0 ? thin_parse_id (ti, args->argv[1], &tc->id) : r;
}

/* A mapped device is the only kind without a fixed name. */
int
thin_find_pool (struct dm_target *ti)
{
  struct thin *tc = ti->private;

  if (tc->pool_dev->bdev->name)
    return dm_target_error (ti, EINVAL, "Couldn't get pool mapped device: %s "
                            "is none", tc->pool_dev->bdev->name);
  tc->pool = pool_get (tc->pool_dev->bdev);
  if (tc->pool == NULL)
    return dm_target_error (ti, EINVAL, "Couldn't find pool object: the "
                            "device has no thin-pool table");
  return 0;
}

int
thin_open (struct dm_target *ti, uint32_t id, struct pool_thin **thin)
{
  struct thin *tc = ti->private;
  int r;

  if (dm_target_is_check (ti))
    return 0; /* a pool that is only checked has no metadata */
  if (tc->pool->mode == POOL_FAIL)
    return dm_target_error (ti, EINVAL, "Couldn't open thin device, Pool is "
                            "in fail mode");
  r = pool_thin_open (tc->pool, id, thin);
  if (r < 0)
    return dm_target_error (ti, -r, "Couldn't open thin internal device %u: "
                            "%s", id, strerror (-r));
  if (pool_is_suspended (tc->pool))
    return dm_target_error (ti, EINVAL, "Unable to activate thin device while "
                            "pool is suspended");
  return 0;
}

static int
thin_ctr (struct dm_target *ti, struct args *args)
{
  struct thin *tc = ti->private;
  int r = thin_parse (ti, args);

  if (r == 0)
    r = thin_find_pool (ti);
  if (r == 0)
    r = thin_open (ti, tc->id, &tc->shared);
  if (r < 0)
    return r;
  ti->num_flush_bios = 1;
  ti->flush_supported = true;
  ti->num_write_zeroes_bios = 1;
  ti->write_zeroes_supported = true;
  if (tc->pool->discard_enabled) {
    ti->num_discard_bios = 1;
    ti->discards_supported = true;
  }
  return 0;
}

void
thin_dtr (struct dm_target *ti)
{
  struct thin *tc = ti->private;

  if (tc->shared)
    pool_thin_close (tc->shared);
  if (tc->pool)
    pool_put (tc->pool);
}

/* ------------------------------------------------------------------
 * Suspend and resume.
 */

static int
thin_preresume (struct dm_target *ti, struct message *msg)
{
  struct thin *tc = ti->private;

  if (tc->origin_dev)
    tc->origin_size = bdev_size (tc->origin_dev->bdev);
  return 0;
}

void
thin_resume (struct dm_target *ti)
{
  struct thin *tc = ti->private;

  tc->leaving = false;
}

/* Requests that wait for the pool are pushed back if that can be, else they
 * are waited for, unless this is the end (Linux 6.1, but for the latter).
 */
void
thin_presuspend (struct dm_target *ti)
{
  struct thin *tc = ti->private;

  if (tc->shared == NULL ||
      !(dm_target_noflush_suspending (ti) || dm_target_is_ending (ti)))
    return;
  tc->leaving = true;
  door_wake (&tc->shared->door);
  pool_wake (tc->pool);
}

/* ------------------------------------------------------------------
 * Requests.
 */

/* A request that needs room waits outside the door, and begins anew. */
int
thin_map (struct dm_target *ti, struct bio *bio)
{
  struct thin *tc = ti->private;
  uint64_t epoch;
  int r;

  if (tc->shared == NULL)
    return -EIO;
  do {
    if (!door_enter (&tc->shared->door, &tc->leaving))
      return DM_MAPIO_REQUEUE;
    epoch = tc->pool->space_epoch;
    r = tc->pool->mode == POOL_FAIL ? -EIO :
      thin_io (tc, bio, dm_target_offset (ti, bio->sector));
    door_exit (&tc->shared->door);
    if (r != POOL_WAIT)
      return r < 0 ? r : DM_MAPIO_DONE;
  } while (pool_wait_for_space (tc->pool, epoch, &tc->leaving));
  return DM_MAPIO_REQUEUE;
}

/* ------------------------------------------------------------------
 * Status, limits.
 */

static void
thin_status_table (const struct thin *tc, FILE *out)
{
  dm_device_print (out, tc->pool_dev);
  fprintf (out, " %u", tc->id);
  if (tc->origin_dev) {
    putc (' ', out);
    dm_device_print (out, tc->origin_dev);
  }
}

static void
thin_status_info (struct thin *tc, FILE *out)
{
  sector_t block_sectors = tc->pool->block_sectors;
  block_t highest;
  int r = thin_dev_highest_mapped (tc->shared->td, &highest);

  if (r < 0 && r != -ENODATA) {
    fputs ("Error", out);
    return;
  }
  fprintf (out, "%" PRIu64 " ",
           thin_dev_mapped_blocks (tc->shared->td) * block_sectors);
  if (r == 0)
    fprintf (out, "%" PRIu64, (highest + 1) * block_sectors - 1);
  else
    putc ('-', out);
}

/* The gate keeps the metadata where they are. */
static void
thin_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
             FILE *out)
{
  struct thin *tc = ti->private;
  ACQUIRE_GATE_FOR_SCOPE (&tc->pool->gate);

  if (tc->pool->mode == POOL_FAIL && tc->shared)
    fputs ("Fail", out);
  else if (type == DM_STATUS_TABLE)
    thin_status_table (tc, out);
  else if (tc->shared == NULL)
    putc ('-', out);
  else
    thin_status_info (tc, out);
}

int
thin_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct thin *tc = ti->private;
  sector_t size = bdev_size (tc->pool_dev->bdev);

  size -= size % tc->pool->block_sectors;
  return size > 0 ? fn (ti, tc->pool_dev, 0, size, data) : 0;
}

static void
thin_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct thin *tc = ti->private;

  if (!tc->pool->discard_enabled)
    return;
  limits->discard_granularity_bytes =
    sectors_to_bytes (tc->pool->block_sectors);
  limits->max_discard_sectors = UINT64_C (16) << 21; /* 16 GiB */
}

const struct target_type thin_target = {
  .name = "thin",
  .version = { 1, 22, 0 },
  .summary = "a device whose blocks come from a pool when they are written",
  .example = "%1 0",
  .private_size = sizeof (struct thin),
  .ctr = thin_ctr,
  .dtr = thin_dtr,
  .map = thin_map,
  .presuspend = thin_presuspend,
  .presuspend_undo = thin_resume,
  .preresume = thin_preresume,
  .resume = thin_resume,
  .status = thin_status,
  .iterate_devices = thin_iterate_devices,
  .io_hints = thin_io_hints,
  .extents = thin_extents,
};
