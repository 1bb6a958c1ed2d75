/* SPDX-License-Identifier: BSD-3-Clause */
/* dust: a range of one device with bad blocks that writes can repair. */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "common/log.h"
#include "common/vector.h"
#include "server/device-mapper.h"

#define DUST_MAX_BLOCK_SECTORS (UINT64_C (1) << 21) /* 1 GiB (Linux 6.1) */

/* Blocks count from the start of the lower device, not from the target's. */
struct bad_block {
  uint64_t nr;
  unsigned write_failures; /* so many writes fail before one repairs it */
};

struct dust {
  struct dm_dev *dev;
  sector_t start; /* on dev */
  uint32_t block_bytes;
  atomic_bool enabled, quiet;

  struct latch latch;
  VECTOR (struct bad_block) bad; /* ascending; guarded by latch */
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
dust_parse_block (struct dm_target *ti, const char *word)
{
  struct dust *d = ti->private;
  uint32_t bytes;

  if (args_parse_strict_u32 (word, &bytes) < 0 || bytes == 0)
    return dm_target_error (ti, EINVAL, "Invalid block size parameter: '%s'",
                            word);
  if (bytes < SECTOR_SIZE)
    return dm_target_error (ti, EINVAL, "Block size must be at least 512: %u",
                            bytes);
  if (bytes & (bytes - 1))
    return dm_target_error (ti, EINVAL, "Block size must be a power of 2: %u",
                            bytes);
  if (bytes_to_sectors (bytes) > DUST_MAX_BLOCK_SECTORS ||
      bytes_to_sectors (bytes) > ti->len)
    return dm_target_error (ti, EINVAL, "Block size is too large: %u", bytes);
  d->block_bytes = bytes;
  return 0;
}

static int
dust_ctr (struct dm_target *ti, struct args *args)
{
  struct dust *d = ti->private;
  int r;

  latch_init (&d->latch);
  if (args->argc != 3)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u, not 3 "
                            "(<device> <offset> <block size in bytes>)",
                            args->argc);
  r = dust_parse_block (ti, args->argv[2]);
  if (r < 0)
    return r;
  if (args_parse_u64 (args->argv[1], &d->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid device offset sector: '%s'",
                            args->argv[1]);
  /* The one errno that Linux 6.1 has for it. */
  if (dm_get_device (ti, args->argv[0], &d->dev) < 0)
    return -EINVAL;
  ti->max_io_len = bytes_to_sectors (d->block_bytes);
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  return 0;
}

static void
dust_dtr (struct dm_target *ti)
{
  struct dust *d = ti->private;

  vector_reset (&d->bad);
  latch_destroy (&d->latch);
}

static void
dust_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
             FILE *out)
{
  const struct dust *d = ti->private;

  dm_device_print (out, d->dev);
  if (type == DM_STATUS_INFO)
    fprintf (out, " %s %s", d->enabled ? "fail_read_on_bad_block" : "bypass",
             d->quiet ? "quiet" : "verbose");
  else
    fprintf (out, " %" PRIu64 " %u", d->start, d->block_bytes);
}

/* ------------------------------------------------------------------
 * The bad blocks.
 */

/* Where block nr is, or would have to be. */
static size_t
dust_search (struct dust *d, uint64_t nr)
{
  size_t low = 0, high = d->bad.len;

  assert_latch_held (&d->latch);
  while (low < high) {
    size_t mid = low + (high - low) / 2;

    if (d->bad.ptr[mid].nr < nr)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

/* NULL if the block is good. */
static struct bad_block *
dust_find (struct dust *d, uint64_t nr)
{
  size_t i = dust_search (d, nr);

  return i < d->bad.len && d->bad.ptr[i].nr == nr ? &d->bad.ptr[i] : NULL;
}

static int
dust_insert (struct dust *d, uint64_t nr, unsigned write_failures)
{
  struct bad_block block = { nr, write_failures };
  size_t i = dust_search (d, nr);

  if (vector_append (&d->bad, block) < 0)
    return -ENOMEM;
  memmove (&d->bad.ptr[i + 1], &d->bad.ptr[i],
           (d->bad.len - 1 - i) * sizeof block);
  d->bad.ptr[i] = block;
  return 0;
}

static void
dust_erase (struct dust *d, struct bad_block *block)
{
  struct bad_block *end = d->bad.ptr + d->bad.len--;

  memmove (block, block + 1, (end - (block + 1)) * sizeof *block);
}

/* ------------------------------------------------------------------
 * Bios.
 */

static bool
dust_read_fails (struct dust *d, uint64_t nr)
{
  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);
  return dust_find (d, nr) != NULL;
}

/* A write repairs the block, unless it is to fail some more times. */
static bool
dust_write_fails (struct dust *d, uint64_t nr, bool *repaired)
{
  struct bad_block *block;
  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);

  block = dust_find (d, nr);
  if (block == NULL)
    return false;
  if (block->write_failures > 0) {
    block->write_failures--;
    return true;
  }
  dust_erase (d, block);
  *repaired = true;
  return false;
}

/* Only the first block counts, as in Linux 6.1: reads and writes are within
 * one, a discard repairs the one that it starts in.
 */
static bool
dust_fails (struct dust *d, const struct bio *bio)
{
  uint64_t nr = bio->sector / bytes_to_sectors (d->block_bytes);
  bool repaired = false, fails;

  if (!bio_is_write (bio))
    return dust_read_fails (d, nr);
  fails = dust_write_fails (d, nr, &repaired);
  if (repaired && !d->quiet)
    log_info ("dust: block %" PRIu64 " removed from badblocklist by write",
              nr);
  return fails;
}

static int
dust_map (struct dm_target *ti, struct bio *bio)
{
  struct dust *d = ti->private;

  bio->bdev = d->dev->bdev;
  if (bio->op == BIO_FLUSH)
    return DM_MAPIO_REMAPPED;
  bio->sector = d->start + dm_target_offset (ti, bio->sector);
  return d->enabled && dust_fails (d, bio) ? -EIO : DM_MAPIO_REMAPPED;
}

/* ------------------------------------------------------------------
 * Messages.
 */

static int
dust_add (struct dm_target *ti, uint64_t nr, unsigned write_failures)
{
  struct dust *d = ti->private;
  int r = -EEXIST;

  latch_acquire (&d->latch);
  if (dust_find (d, nr) == NULL)
    r = dust_insert (d, nr, write_failures);
  latch_release (&d->latch);
  if (r == -EEXIST)
    return dm_target_error (ti, EINVAL, "addbadblock: block %" PRIu64
                            " already in badblocklist", nr);
  return r < 0 ? dm_target_error (ti, -r, "addbadblock: badblock allocation "
                                  "failed") : 0;
}

static int
dust_remove (struct dm_target *ti, uint64_t nr)
{
  struct dust *d = ti->private;
  struct bad_block *block;

  latch_acquire (&d->latch);
  block = dust_find (d, nr);
  if (block)
    dust_erase (d, block);
  latch_release (&d->latch);
  if (block == NULL)
    return dm_target_error (ti, EINVAL, "removebadblock: block %" PRIu64
                            " not found in badblocklist", nr);
  return 0;
}

static void
dust_query (struct dust *d, uint64_t nr, FILE *reply)
{
  fprintf (reply, "dust_query_block: block %" PRIu64 " %s in badblocklist",
           nr, dust_read_fails (d, nr) ? "found" : "not found");
}

static void
dust_count (struct dust *d, FILE *reply)
{
  size_t n;

  latch_acquire (&d->latch);
  n = d->bad.len;
  latch_release (&d->latch);
  fprintf (reply, "countbadblocks: %zu badblock(s) found", n);
}

static void
dust_clear (struct dust *d, FILE *reply)
{
  bool any;

  latch_acquire (&d->latch);
  any = d->bad.len > 0;
  vector_reset (&d->bad);
  latch_release (&d->latch);
  fprintf (reply, "dust_clear_badblocks: %s",
           any ? "badblocks cleared" : "no badblocks found");
}

/* The reply is memory: no I/O happens under the latch. */
static void
dust_list (struct dust *d, FILE *reply)
{
  size_t i;
  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);

  for (i = 0; i < d->bad.len; i++)
    fprintf (reply, "%" PRIu64 "\n", d->bad.ptr[i].nr);
  if (d->bad.len == 0)
    fputs ("No blocks in badblocklist", reply);
}

static int
dust_unrecognized (struct dm_target *ti, const char *word)
{
  return dm_target_error (ti, EINVAL, "unrecognized message '%s' received",
                          word);
}

static int
dust_message_word (struct dm_target *ti, const char *word, FILE *reply)
{
  struct dust *d = ti->private;

  if (args_word_is (word, "addbadblock") ||
      args_word_is (word, "removebadblock") ||
      args_word_is (word, "queryblock"))
    return dm_target_error (ti, EINVAL, "%s requires an additional argument",
                            word);
  if (args_word_is (word, "enable"))
    d->enabled = true;
  else if (args_word_is (word, "disable"))
    d->enabled = false;
  else if (args_word_is (word, "quiet"))
    d->quiet = !d->quiet; /* messages come one by one */
  else if (args_word_is (word, "countbadblocks"))
    dust_count (d, reply);
  else if (args_word_is (word, "clearbadblocks"))
    dust_clear (d, reply);
  else if (args_word_is (word, "listbadblocks"))
    dust_list (d, reply);
  else
    return dust_unrecognized (ti, word);
  return 0;
}

static int
dust_parse_nr (struct dm_target *ti, const char *word, uint64_t *nr)
{
  const struct dust *d = ti->private;
  sector_t blocks = bdev_size (d->dev->bdev) /
    bytes_to_sectors (d->block_bytes);

  if (args_parse_u64 (word, nr) < 0)
    return dm_target_error (ti, EINVAL, "not a block number: '%s'", word);
  /* Linux 6.1 accepts the one behind the last block, too. */
  if (*nr > blocks)
    return dm_target_error (ti, EINVAL, "selected block value out of range: "
                            "%" PRIu64 " of %" PRIu64, *nr, blocks);
  return 0;
}

static int
dust_message_block (struct dm_target *ti, const char *word, uint64_t nr,
                    FILE *reply)
{
  if (args_word_is (word, "addbadblock"))
    return dust_add (ti, nr, 0);
  if (args_word_is (word, "removebadblock"))
    return dust_remove (ti, nr);
  if (!args_word_is (word, "queryblock"))
    return dust_unrecognized (ti, word);
  dust_query (ti->private, nr, reply);
  return 0;
}

static int
dust_message_failures (struct dm_target *ti, const char *word, uint64_t nr,
                       const char *count)
{
  uint32_t failures;

  if (args_parse_u32 (count, &failures) < 0)
    return dm_target_error (ti, EINVAL, "not a write fail count: '%s'", count);
  if (failures > 255)
    return dm_target_error (ti, EINVAL, "selected write fail count out of "
                            "range: %u of 255", failures);
  if (!args_word_is (word, "addbadblock"))
    return dust_unrecognized (ti, word);
  return dust_add (ti, nr, failures);
}

static int
dust_message (struct dm_target *ti, struct args *args, FILE *reply)
{
  uint64_t nr;
  int r;

  if (args->argc > 3)
    return dm_target_error (ti, EINVAL, "invalid number of arguments '%u'",
                            args->argc);
  if (args->argc == 1)
    return dust_message_word (ti, args->argv[0], reply);
  r = dust_parse_nr (ti, args->argv[1], &nr);
  if (r < 0)
    return r;
  if (args->argc == 2)
    return dust_message_block (ti, args->argv[0], nr, reply);
  return dust_message_failures (ti, args->argv[0], nr, args->argv[2]);
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

static int
dust_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct dust *d = ti->private;

  return fn (ti, d->dev, d->start, ti->len, data);
}

static int
dust_extents (struct dm_target *ti, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  const struct dust *d = ti->private;
  sector_t offset = dm_target_offset (ti, sector);
  int r = dm_device_extents (d->dev, d->start + offset, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type dust_target = {
  .name = "dust",
  .version = { 1, 0, 0 },
  .summary = "a range of one device with bad blocks",
  .example = "%1 0 4096",
  .private_size = sizeof (struct dust),
  .ctr = dust_ctr,
  .dtr = dust_dtr,
  .map = dust_map,
  .status = dust_status,
  .message = dust_message,
  .iterate_devices = dust_iterate_devices,
  .extents = dust_extents,
};
