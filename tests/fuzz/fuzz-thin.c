/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: the metadata of a thin pool. */

/* One input is a list of records, struct piece and its bytes, that say what
 * stands in the blocks of the metadata device.  Numbers and checksums of blocks
 * are put in here, so that what is changed is not just found to be damaged.
 * The metadata are looked at, then read, then changed.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"
#include "targets/thin/thin-metadata.h"
#include "tests/lib/memdev.h"

#define DEVICE_BLOCKS 1024
#define MAX_THINS 8
#define MAX_STEPS 1000

struct piece {
  uint16_t block;  /* of the device; in the two upper bits the kind */
  uint16_t offset; /* in the block */
  uint16_t length;
};

/* By which the checksums of the kinds differ (Linux 6.1): a node, a bitmap, the
 * index, the superblock.
 */
static const uint32_t salts[] = { 121107, 240779, 160478, 160774 };

static struct memdev *device;

static void
fuzz_teardown (void)
{
  memdev_free (device);
}

static void
fuzz_setup (void)
{
  fuzz_be_quiet ();
  device = memdev_new ("mem", DEVICE_BLOCKS * BM_BLOCK_SECTORS);
  atexit (fuzz_teardown);
}

static void
fuzz_seal (unsigned nr, unsigned kind)
{
  char *block = device->data + (size_t) nr * BM_BLOCK_BYTES;
  le64 number = to_le64 (nr);
  le32 sum;

  memcpy (block + 8, &number, sizeof number);
  sum = to_le32 (crc32c (~0u, block + 4, BM_BLOCK_BYTES - 4) ^ salts[kind]);
  memcpy (block, &sum, sizeof sum);
}

/* Each piece seals its block again: the last one says of which kind it is. */
static void
fuzz_fill (const uint8_t *data, size_t size)
{
  struct piece p;
  unsigned nr;

  memset (device->data, 0, DEVICE_BLOCKS * BM_BLOCK_BYTES);
  while (size > sizeof p) {
    memcpy (&p, data, sizeof p);
    data += sizeof p;
    size -= sizeof p;
    nr = p.block % DEVICE_BLOCKS;
    p.offset %= BM_BLOCK_BYTES;
    p.length %= BM_BLOCK_BYTES - p.offset;
    if (p.length > size)
      p.length = size;
    memcpy (device->data + (size_t) nr * BM_BLOCK_BYTES + p.offset, data,
            p.length);
    data += p.length;
    size -= p.length;
    fuzz_seal (nr, p.block >> 14);
  }
}

static struct thin_metadata *
fuzz_open (bool read_only)
{
  const struct thin_meta_params params = { .bdev = &device->bdev,
                                           .read_only = read_only,
                                           .cache_blocks = 64 };
  struct message msg = { "" };
  struct thin_metadata *md;

  if (thin_meta_open (&params, &md, &msg) == 0)
    return md;
  fuzz_must (msg.text[0], "refused without a message");
  return NULL;
}

static void
fuzz_walk (struct thin_device *td)
{
  struct thin_dev_details details;
  struct thin_mapping mapping;
  struct thin_range run;
  block_t at = 0;
  unsigned i;

  thin_dev_details (td, &details);
  thin_dev_highest_mapped (td, &at);
  for (at = i = 0; i < MAX_STEPS; i++, at = run.end)
    if (thin_dev_find_range (td, at, UINT64_MAX, &run) < 0 ||
        thin_dev_find (td, run.begin, &mapping) < 0)
      break;
}

static void
fuzz_compare (struct thin_device *a, struct thin_device *b)
{
  block_t from, to = 0;
  unsigned i;

  for (i = 0; i < MAX_STEPS; i++)
    if (thin_dev_find_difference (a, b, to, UINT64_MAX, &from, &to) < 0)
      break;
}

static void
fuzz_read (struct thin_metadata *md)
{
  struct thin_device *td, *last = NULL;
  struct thin_meta_usage usage;
  uint32_t id = 0;
  unsigned i;

  thin_meta_usage (md, &usage);
  for (i = 0; i < MAX_THINS && thin_meta_next (md, id, &id) == 0; i++, id++) {
    if (thin_dev_open (md, id, &td) < 0)
      continue;
    fuzz_walk (td);
    if (last) {
      fuzz_compare (td, last);
      thin_dev_close (last);
    }
    last = td;
  }
  if (last)
    thin_dev_close (last);
}

static void
fuzz_change_thin (struct thin_metadata *md, uint32_t id)
{
  struct thin_device *td;
  block_t block;
  unsigned i;

  thin_meta_create_snap (md, 1000 + id % 1000, id);
  if (thin_dev_open (md, id, &td) < 0)
    return;
  for (i = 0; i < 128 && thin_meta_alloc_data_block (md, &block) == 0; i++)
    thin_dev_insert (td, i * 7, block); /* enough to split a leaf */
  thin_dev_remove_range (td, 2, 40);
  thin_dev_remove_range (td, 100, UINT64_MAX);
  thin_dev_close (td);
}

/* Once anything has failed, nothing is changed before an abort. */
static void
fuzz_settle (struct thin_metadata *md)
{
  if (thin_meta_is_broken (md) && thin_meta_abort (md) == 0)
    thin_meta_set_read_only (md, false);
}

static void
fuzz_change (struct thin_metadata *md)
{
  struct thin_meta_usage usage;
  uint32_t id = 0;
  unsigned i;

  thin_meta_usage (md, &usage);
  for (i = 0; i < MAX_THINS && thin_meta_next (md, id, &id) == 0; i++, id++) {
    fuzz_change_thin (md, id);
    fuzz_settle (md);
  }
  thin_meta_reserve_snap (md);
  fuzz_settle (md);
  thin_meta_resize_data (md, usage.data_blocks + 100);
  thin_meta_commit (md);
  fuzz_settle (md);
  for (id = i = 0; i < MAX_THINS && thin_meta_next (md, id, &id) == 0; i++) {
    thin_meta_delete (md, id++);
    fuzz_settle (md);
  }
  thin_meta_release_snap (md);
  fuzz_settle (md);
  thin_meta_set_needs_check (md);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool ready;
  struct thin_metadata *md;

  if (!ready)
    fuzz_setup ();
  ready = true;
  fuzz_fill (data, size);
  fuzz_inspect (device->data, DEVICE_BLOCKS * BM_BLOCK_BYTES, true);
  md = fuzz_open (true);
  if (md) {
    fuzz_read (md);
    thin_meta_close (md);
  }
  md = fuzz_open (false);
  if (md) {
    fuzz_change (md);
    thin_meta_close (md);
  }
  return 0;
}
