/* SPDX-License-Identifier: BSD-3-Clause */
/* thin-pool: a data device whose blocks are handed out to thin devices. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "pdata/space-map-metadata.h"
#include "targets/thin/pool.h"

struct pool_target {
  struct dm_dev *metadata, *data;
  sector_t block_sectors;
  uint64_t low_water_blocks;
  struct pool_features requested;
  bool check;        /* only tried: nothing may be written */
  struct pool *pool; /* NULL before pool_attach */
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
pool_parse_feature (struct dm_target *ti, const char *word,
                    struct pool_features *features)
{
  if (args_word_is (word, "skip_block_zeroing"))
    features->zero_new_blocks = false;
  else if (args_word_is (word, "ignore_discard"))
    features->discard_enabled = false;
  else if (args_word_is (word, "no_discard_passdown"))
    features->discard_passdown = false;
  else if (args_word_is (word, "read_only"))
    features->read_only = true;
  else if (args_word_is (word, "error_if_no_space"))
    features->error_if_no_space = true;
  else if (args_word_is (word, "metadata_snap"))
    features->metadata_snap = true;
  else
    return dm_target_error (ti, EINVAL, "Unrecognised pool feature requested: "
                            "%s", word);
  return 0;
}

/* Words after the features are ignored (Linux 6.1). */
static int
pool_parse_features (struct dm_target *ti, struct args *args,
                     struct pool_features *features)
{
  const char *count = args_shift (args);
  uint32_t n = 0;
  int r = 0;

  if (count && (args_parse_u32 (count, &n) < 0 || n > 4 || n > args->argc))
    return dm_target_error (ti, EINVAL, "Invalid number of pool feature "
                            "arguments: %s", count);
  while (n-- > 0 && r == 0)
    r = pool_parse_feature (ti, args_shift (args), features);
  if (r == 0 && features->metadata_snap && !features->read_only)
    r = dm_target_error (ti, EINVAL, "metadata_snap is for pools that are "
                         "read_only");
  return r;
}

/* A pool that is only read may be in files that can only be read; whose
 * metadata snapshot is read never writes, whatever the table becomes.
 */
static int
pool_get_device (struct dm_target *ti, const char *word, struct dm_dev **dev,
                 const char *error)
{
  const struct pool_target *pt = ti->private;
  int r = pt->requested.metadata_snap ? dm_get_device_for (ti, word, false, dev)
                                      : dm_get_device (ti, word, dev);

  if (pt->requested.read_only && (r == -EACCES || r == -EROFS || r == -EPERM)) {
    *ti->message = (struct message) { "" };
    r = dm_get_device_for (ti, word, false, dev);
  }
  else if (r == 0 && !pt->requested.read_only && (*dev)->bdev->readonly)
    r = dm_target_error (ti, EACCES, "it is read-only");
  if (r < 0)
    message_prefix (ti->message, "%s: ", error);
  return r;
}

static int
pool_parse_block_size (struct dm_target *ti, const char *word)
{
  struct pool_target *pt = ti->private;

  if (args_parse_u64 (word, &pt->block_sectors) < 0 ||
      pt->block_sectors < THIN_MIN_BLOCK_SECTORS ||
      pt->block_sectors > THIN_MAX_BLOCK_SECTORS ||
      pt->block_sectors % THIN_MIN_BLOCK_SECTORS != 0)
    return dm_target_error (ti, EINVAL, "Invalid block size: '%s' (sectors, a "
                            "multiple of %u)", word, THIN_MIN_BLOCK_SECTORS);
  return 0;
}

static int
pool_parse (struct dm_target *ti, struct args *args)
{
  struct pool_target *pt = ti->private;
  struct args rest = { args->argc - 4, args->argv + 4 };
  int r;

  if (strcmp (args->argv[0], args->argv[1]) == 0)
    return dm_target_error (ti, EINVAL, "Error setting metadata or data "
                            "device: they are the same");
  pt->requested = (struct pool_features) { .zero_new_blocks = true,
                                           .discard_enabled = true,
                                           .discard_passdown = true };
  r = pool_parse_features (ti, &rest, &pt->requested);
  if (r == 0)
    r = pool_get_device (ti, args->argv[0], &pt->metadata,
                         "Error opening metadata block device");
  if (r == 0)
    r = pool_get_device (ti, args->argv[1], &pt->data,
                         "Error getting data device");
  if (r == 0)
    r = pool_parse_block_size (ti, args->argv[2]);
  if (r == 0 && args_parse_u64 (args->argv[3], &pt->low_water_blocks) < 0)
    r = dm_target_error (ti, EINVAL, "Invalid low water mark: '%s'",
                         args->argv[3]);
  return r;
}

/* ------------------------------------------------------------------
 * Birth and death.
 */

/* A quarter of the metadata, or 4 MiB. */
static uint64_t
pool_metadata_threshold (const struct pool_target *pt)
{
  uint64_t quarter = bdev_size (pt->metadata->bdev) / BM_BLOCK_SECTORS / 4;

  return quarter < 1024 ? quarter : 1024;
}

static void
pool_metadata_low (void *context)
{
  struct pool *pool = context;

  pool_log (pool, "reached low water mark for metadata device: sending "
            "event.");
  pool_event (pool);
}

static int
pool_ctr (struct dm_target *ti, struct args *args)
{
  struct pool_target *pt = ti->private;
  struct pool_line line;
  int r;

  if (args->argc < 4)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<metadata device> <data device> <block size> "
                            "<low water mark> [<#features> <feature>...]",
                            args->argc);
  r = pool_parse (ti, args);
  if (r < 0)
    return r;
  line = (struct pool_line) { pt->metadata->bdev, pt->data->bdev,
                              pt->block_sectors, pt->requested };
  pt->check = dm_target_is_check (ti);
  r = pool_attach (ti, &line, &pt->pool);
  if (r < 0)
    return r;
  if (pt->pool->meta)
    thin_meta_set_threshold (pt->pool->meta, pool_metadata_threshold (pt),
                             pool_metadata_low, pt->pool);
  ti->num_flush_bios = 1;
  ti->num_write_zeroes_bios = 1;
  if (pt->requested.discard_enabled && pt->requested.discard_passdown) {
    ti->num_discard_bios = 1;
    ti->discards_supported = true;
  }
  return 0;
}

static void
pool_dtr (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;

  if (pt->pool)
    pool_detach (pt->pool, ti);
}

/* ------------------------------------------------------------------
 * Suspend and resume.
 */

static bool
pool_data_is_discardable (const struct pool_target *pt)
{
  struct queue_limits limits;

  bdev_limits (pt->data->bdev, &limits);
  return limits.discard && (limits.max_discard_sectors == 0 ||
                            limits.max_discard_sectors >=
                            pt->pool->block_sectors);
}

static bool
pool_data_is_zeroable (const struct pool_target *pt)
{
  struct queue_limits limits;

  bdev_limits (pt->data->bdev, &limits);
  return limits.write_zeroes;
}

/* A table that goes live brings its own mode, the one that was live already
 * keeps that which the pool has come to (Linux 6.1).
 */
static void
pool_bind (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;
  struct pool *pool = pt->pool;
  enum pool_mode mode = pool->mode;

  latch_acquire (&pool->latch);
  if (pool->ti != ti)
    mode = pt->requested.read_only ? POOL_READ_ONLY : POOL_WRITE;
  pool->ti = ti;
  pool->requested = pt->requested;
  latch_release (&pool->latch);

  pool->low_water_blocks = pt->low_water_blocks;
  pool->error_if_no_space = pt->requested.error_if_no_space;
  pool->zero_new_blocks = pt->requested.zero_new_blocks;
  pool->discard_enabled = pt->requested.discard_enabled;
  pool->discard_passdown = pt->requested.discard_passdown &&
    pool_data_is_discardable (pt);
  pool->zeroes_supported = pool_data_is_zeroable (pt);
  pool_set_mode_locked (pool, mode);
}

/* 1: it is to grow. */
static int
pool_check_size (struct pool *pool, const char *what, uint64_t has,
                 uint64_t expected, struct message *msg)
{
  if (has < expected)
    return message_set (msg, EINVAL, "%s (%" PRIu64 " blocks) too small: "
                        "expected %" PRIu64, what, has, expected);
  if (has == expected || pool->mode == POOL_FAIL)
    return 0;
  if (pool_needs_check (pool)) {
    pool_log (pool, "unable to grow the %s until repaired", what);
    return 0;
  }
  return pool->mode != POOL_READ_ONLY;
}

static int
pool_grow (struct pool *pool, const char *what, uint64_t from, uint64_t to,
           int (*resize) (struct thin_metadata *, block_t))
{
  int r;

  if (from > 0)
    pool_log (pool, "growing the %s from %" PRIu64 " to %" PRIu64 " blocks",
              what, from, to);
  r = resize (pool->meta, to);
  if (r < 0)
    pool_failed_locked (pool, "resize", r);
  return r;
}

static uint64_t
pool_metadata_blocks (const struct pool_target *pt)
{
  struct queue_limits limits;
  uint64_t blocks;

  bdev_limits (pt->metadata->bdev, &limits); /* a file may have grown */
  blocks = bdev_size (pt->metadata->bdev) / BM_BLOCK_SECTORS;
  return blocks < SM_METADATA_MAX_BLOCKS ? blocks : SM_METADATA_MAX_BLOCKS;
}

/* The metadata grow first: what the data then need has room. */
static int
pool_resize (struct dm_target *ti, struct message *msg)
{
  struct pool_target *pt = ti->private;
  struct pool *pool = pt->pool;
  uint64_t data_blocks = ti->len / pool->block_sectors;
  uint64_t metadata_blocks = pool_metadata_blocks (pt);
  struct thin_meta_usage usage;
  int r, grow_data, grow_metadata;

  thin_meta_usage (pool->meta, &usage);
  grow_data = pool_check_size (pool, "pool target", data_blocks,
                               usage.data_blocks, msg);
  if (grow_data < 0)
    return grow_data;
  r = grow_metadata = pool_check_size (pool, "metadata device",
                                       metadata_blocks, usage.metadata_blocks,
                                       msg);
  if (grow_metadata > 0) {
    if (pool->mode == POOL_OUT_OF_METADATA_SPACE)
      pool_set_mode_locked (pool, POOL_WRITE);
    r = pool_grow (pool, "metadata device", usage.metadata_blocks,
                   metadata_blocks, thin_meta_resize_metadata);
  }
  if (r == 0 && grow_data && pool->mode < POOL_OUT_OF_METADATA_SPACE)
    r = pool_grow (pool, "data device", usage.data_blocks, data_blocks,
                   thin_meta_resize_data);
  if (r == 0 && (grow_data || grow_metadata))
    pool_commit_locked (pool);
  return r;
}

static int
pool_preresume (struct dm_target *ti, struct message *msg)
{
  struct pool_target *pt = ti->private;
  struct pool *pool = pt->pool;
  int r = 0;

  if (pt->check)
    return 0;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);
  pool_bind (ti);
  if (pool->mode != POOL_FAIL)
    r = pool_resize (ti, msg);
  return pool->mode == POOL_FAIL ? 0 : r;
}

static void
pool_target_resume (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;

  pt->pool->low_water_triggered = false;
  pool_wake (pt->pool);
  pool_resume (pt->pool);
}

static void
pool_presuspend (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;

  pool_suspend (pt->pool);
}

static void
pool_presuspend_undo (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;

  pool_resume (pt->pool);
}

static void
pool_postsuspend (struct dm_target *ti)
{
  struct pool_target *pt = ti->private;

  pool_stop_ticker (pt->pool);
  if (!pt->check)
    pool_commit (pt->pool);
}

/* ------------------------------------------------------------------
 * Status.
 */

static void
pool_status_features (const struct pool_features *f, FILE *out)
{
  fprintf (out, "%u ", !f->zero_new_blocks + !f->discard_enabled +
           !f->discard_passdown + f->read_only + f->error_if_no_space +
           f->metadata_snap);
  if (!f->zero_new_blocks)
    fputs ("skip_block_zeroing ", out);
  if (!f->discard_enabled)
    fputs ("ignore_discard ", out);
  if (!f->discard_passdown)
    fputs ("no_discard_passdown ", out);
  if (f->read_only)
    fputs ("read_only ", out);
  if (f->error_if_no_space)
    fputs ("error_if_no_space ", out);
  if (f->metadata_snap)
    fputs ("metadata_snap ", out);
}

static void
pool_status_table (const struct pool_target *pt, FILE *out)
{
  dm_device_print (out, pt->metadata);
  putc (' ', out);
  dm_device_print (out, pt->data);
  fprintf (out, " %" PRIu64 " %" PRIu64 " ", pt->pool->block_sectors,
           pt->low_water_blocks);
  pool_status_features (&pt->requested, out);
}

static const char *
pool_mode_word (enum pool_mode mode)
{
  switch (mode) {
  case POOL_WRITE:
    return "rw";
  case POOL_OUT_OF_DATA_SPACE:
    return "out_of_data_space";
  default:
    return "ro";
  }
}

static const char *
pool_discard_word (const struct pool *pool)
{
  if (!pool->discard_enabled)
    return "ignore_discard";
  return pool->discard_passdown ? "discard_passdown" : "no_discard_passdown";
}

static void
pool_status_usage (struct pool *pool, FILE *out)
{
  struct thin_meta_usage usage;
  block_t held = thin_meta_held_root (pool->meta);

  thin_meta_usage (pool->meta, &usage);
  fprintf (out, "%" PRIu64 " %" PRIu64 "/%" PRIu64 " %" PRIu64 "/%" PRIu64 " ",
           thin_meta_transaction_id (pool->meta),
           usage.metadata_blocks - usage.metadata_free, usage.metadata_blocks,
           usage.data_blocks - usage.data_free, usage.data_blocks);
  if (held)
    fprintf (out, "%" PRIu64 " ", held);
  else
    fputs ("- ", out);
}

/* The blank at the end is the kernel's. */
static void
pool_status_info (const struct pool_target *pt, unsigned flags, FILE *out)
{
  struct pool *pool = pt->pool;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  if (!(flags & DM_STATUS_NOFLUSH) && !pool_is_suspended (pool))
    pool_commit_locked (pool);
  if (pool->mode == POOL_FAIL) {
    fputs ("Fail", out);
    return;
  }
  pool_status_usage (pool, out);
  fprintf (out, "%s %s %s %s %" PRIu64 " ", pool_mode_word (pool->mode),
           pool_discard_word (pool), pool->error_if_no_space ?
           "error_if_no_space" : "queue_if_no_space",
           pool_needs_check (pool) ? "needs_check" : "-",
           pool_metadata_threshold (pt));
}

static void
pool_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
             FILE *out)
{
  if (type == DM_STATUS_INFO)
    pool_status_info (ti->private, flags, out);
  else
    pool_status_table (ti->private, out);
}

static int
pool_target_message (struct dm_target *ti, struct args *args, FILE *reply)
{
  struct pool_target *pt = ti->private;

  return pool_message (ti, pt->pool, args);
}

/* ------------------------------------------------------------------
 * What is done to the pool device itself goes to the data device.
 */

static int
pool_map (struct dm_target *ti, struct bio *bio)
{
  const struct pool_target *pt = ti->private;

  bio->bdev = pt->data->bdev;
  return DM_MAPIO_REMAPPED;
}

static int
pool_extents (struct dm_target *ti, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  const struct pool_target *pt = ti->private;
  int r = dm_device_extents (pt->data, sector, len, sink);

  return r < 0 ? r : 0;
}

static int
pool_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct pool_target *pt = ti->private;

  return fn (ti, pt->data, 0, ti->len, data);
}

/* I/O in whole blocks is best, unless the data device wishes for a multiple
 * already (Linux 6.1).
 */
static void
pool_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct pool_target *pt = ti->private;
  uint64_t block_bytes = sectors_to_bytes (pt->pool->block_sectors);

  if (limits->io_opt_bytes < block_bytes ||
      limits->io_opt_bytes % block_bytes != 0) {
    limits->io_min_bytes = block_bytes;
    limits->io_opt_bytes = block_bytes;
  }
  if (!pt->requested.discard_enabled)
    limits->discard_granularity_bytes = 0;
}

const struct target_type thin_pool_target = {
  .name = "thin-pool",
  .version = { 1, 22, 0 },
  .features = DM_TARGET_SINGLETON | DM_TARGET_ALWAYS_WRITEABLE |
    DM_TARGET_IMMUTABLE,
  .summary = "a data device whose blocks are handed out to thin devices",
  .example = "%2 %1 128 0",
  .private_size = sizeof (struct pool_target),
  .ctr = pool_ctr,
  .dtr = pool_dtr,
  .map = pool_map,
  .presuspend = pool_presuspend,
  .presuspend_undo = pool_presuspend_undo,
  .postsuspend = pool_postsuspend,
  .preresume = pool_preresume,
  .resume = pool_target_resume,
  .status = pool_status,
  .message = pool_target_message,
  .iterate_devices = pool_iterate_devices,
  .io_hints = pool_io_hints,
  .extents = pool_extents,
};
