/* SPDX-License-Identifier: BSD-3-Clause */
/* Metadata that a kernel wrote: read, compared, and made again. */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <stdlib.h>
#include <string.h>

#include "pdata/bitset.h"
#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-dump.h"
#include "tests/lib/thin-pool.h"

#define CACHE 256

static struct memdev *dev;
static struct thin_pool pool;

static void
set_up (void)
{
  if (!image_available ())
    cr_skip_test ("needs xz (Debian: xz-utils)");
}

static void
tear_down (void)
{
  pool_close (&pool);
  if (dev)
    memdev_free (dev);
}

TestSuite (fixtures, .init = set_up, .fini = tear_down, .timeout = 120);

static void
load (const char *name)
{
  dev = image_load (name);
  cr_assert_eq (pool_open (&pool, &dev->bdev, CACHE), 0, "%s", name);
}

/* The superblocks, as the dumps and their makers tell. */
static const struct {
  const char *name;
  uint32_t flags, time;
  uint64_t trans_id, nr_data, nr_metadata, field_nr_metadata;
  bool held;
} images[] = {
  { "01-fresh-ctr-only", 0, 0, 0, 0, 1024, 1024 },
  { "02-empty", 0, 0, 0, 10240, 1024, 1024 },
  { "03-snaps-overflow", 0, 4, 7, 10240, 1024, 1024 },
  { "04-frag11k", 0, 0, 0, 20480, 1024, 1024 },
  { "05-frag-shared-snap", 0, 1, 0, 20480, 1024, 1024 },
  { "06-discard-delete", 0, 2, 0, 20480, 1024, 1024 },
  { "07-metasnap-held", 0, 2, 11, 20480, 1024, 1024, true },
  { "08-needs-check", 1, 0, 0, 10240, 1024, 1024 },
  { "09-toptree-one-child", 0, 0, 0, 1024, 1024, 1024 },
  { "10-toptree-one-child-held", 0, 0, 0, 1024, 1024, 1024, true },
  { "11-md-extended-4bitmaps", 0, 0, 0, 40000, 50000, 16000 },
  { "12-commit-enospc-needs-check", 1, 0, 0, 1024, 32, 32 },
  { "13-det-insert", 0, 0, 0, 20480, 1024, 1024 },
  { "14-det-remove", 0, 0, 0, 20480, 1024, 1024 },
  { "16-handwritten", 0, 3, 42, 40000, 5120, 5120 },
  { "17-md-resize-before", 0, 0, 0, 1024, 256, 256 },
  { "18-md-resize-after", 0, 0, 0, 1024, 1024, 256 },
};

#define NR_IMAGES (sizeof images / sizeof images[0])

static struct criterion_test_params
all_images (void)
{
  static int index[NR_IMAGES];
  size_t i;

  for (i = 0; i < NR_IMAGES; i++)
    index[i] = i;
  return cr_make_param_array (int, index, NR_IMAGES);
}

ParameterizedTestParameters (fixtures, superblocks_tell_what_was_made)
{
  return all_images ();
}

ParameterizedTest (int *i, fixtures, superblocks_tell_what_was_made)
{
  load (images[*i].name);
  cr_expect_eq (from_le32 (pool.super.flags), images[*i].flags);
  cr_expect_eq (from_le32 (pool.super.version), 2);
  cr_expect_eq (from_le32 (pool.super.time), images[*i].time);
  cr_expect_eq (from_le64 (pool.super.trans_id), images[*i].trans_id);
  cr_expect_eq (pool.held_root != 0, images[*i].held);
  cr_expect_eq (from_le32 (pool.super.data_block_sectors), 128);
  cr_expect_eq (from_le32 (pool.super.metadata_block_sectors), 8);
  cr_expect_eq (from_le64 (pool.super.metadata_nr_blocks),
                images[*i].field_nr_metadata);
  cr_expect_eq (sm_nr_blocks (pool.data_sm), images[*i].nr_data);
  cr_expect_eq (sm_nr_blocks (tm_metadata_sm (pool.tm)),
                images[*i].nr_metadata);
}

/* Devices are compared when the dump reaches them. */
static void
expect_device (struct thin_pool *p, block_t details_root, const struct dump *d)
{
  struct thin_details found;

  cr_assert_eq (btree_lookup (&p->details, details_root, &d->dev, &found), 0);
  cr_assert_eq (from_le64 (found.mapped_blocks), d->mapped);
  cr_assert_eq (from_le64 (found.transaction_id), d->trans);
  cr_assert_eq (from_le32 (found.creation_time), d->ctime);
  cr_assert_eq (from_le32 (found.snapshotted_time), d->stime);
}

struct comparison {
  struct dump dump;
  block_t details_root;
  uint64_t nr_mappings;
};

static int
compare_mapping (void *context, const uint64_t *keys, const void *value)
{
  struct comparison *c = context;
  uint64_t v = from_le64 (*(const le64 *) value);
  int kind;

  while ((kind = dump_next (&c->dump)) == 1)
    expect_device (&pool, c->details_root, &c->dump);
  cr_assert_eq (kind, 2, "more mappings than in the dump");
  cr_assert_eq (keys[0], c->dump.dev);
  cr_assert_eq (keys[1], c->dump.block);
  cr_assert_eq (v, THIN_VALUE (c->dump.data, c->dump.time));
  c->nr_mappings++;
  return 0;
}

static void
compare_with_dump (const char *file, block_t mapping_root,
                   block_t details_root)
{
  struct comparison c = { .details_root = details_root };
  int kind;

  c.dump.fp = image_open_text (file);
  cr_assert_eq (btree_walk (&pool.mappings, mapping_root, compare_mapping, &c),
                0);
  while ((kind = dump_next (&c.dump)) == 1)
    expect_device (&pool, details_root, &c.dump);
  cr_assert_eq (kind, 0, "fewer mappings than in the dump");
  cr_assert_eq (pclose (c.dump.fp), 0);
}

ParameterizedTestParameters (fixtures, every_mapping_is_in_the_dump)
{
  return all_images ();
}

ParameterizedTest (int *i, fixtures, every_mapping_is_in_the_dump)
{
  char file[128];

  load (images[*i].name);
  snprintf (file, sizeof file, "%s.xml", images[*i].name);
  compare_with_dump (file, pool.mapping_root, pool.details_root);
}

Test (fixtures, metadata_snapshot_is_in_its_dump)
{
  struct thin_super held;
  struct bm_block *block;

  load ("07-metasnap-held");
  cr_assert_eq (pool.held_root, 491);
  cr_assert_eq (bm_read_lock (pool.bm, 491, &thin_super_validator, &block), 0);
  memcpy (&held, bm_data (block), sizeof held);
  bm_unlock (block);
  compare_with_dump ("07-metasnap-held.metadata-snap.xml",
                     from_le64 (held.mapping_root),
                     from_le64 (held.details_root));
}

static void
compare_counts (struct space_map *sm, const uint32_t *refs, uint64_t limit)
{
  uint32_t count;
  bool shared;
  block_t b, used = 0;

  for (b = 0; b < sm_nr_blocks (sm) && b < limit; b++) {
    cr_assert_eq (sm_get_count (sm, b, &count), 0);
    cr_assert_eq (count, refs[b], "block %lu", (unsigned long) b);
    cr_assert_eq (sm_is_shared (sm, b, &shared), 0);
    cr_assert_eq (shared, count > 1);
    used += count > 0;
  }
  cr_assert_eq (sm_nr_free (sm), sm_nr_blocks (sm) - used);
}

ParameterizedTestParameters (fixtures, counts_are_what_a_walk_finds)
{
  return all_images ();
}

ParameterizedTest (int *i, fixtures, counts_are_what_a_walk_finds)
{
  struct metacheck check;

  load (images[*i].name);
  cr_assert (metacheck_run (&check, dev->data,
                            sectors_to_bytes (dev->bdev.size)),
             "%s", check.first_error);
  compare_counts (pool.data_sm, check.data_refs, check.nr_data);
  compare_counts (tm_metadata_sm (pool.tm), check.metadata_refs,
                  check.nr_metadata);
  metacheck_free (&check);
}

Test (fixtures, opening_and_reading_writes_nothing)
{
  load ("05-frag-shared-snap");
  compare_with_dump ("05-frag-shared-snap.xml", pool.mapping_root,
                     pool.details_root);
  cr_assert_eq (dev->counts[BIO_WRITE] + dev->counts[BIO_FLUSH], 0);
}

/* Making it again. */

Test (fixtures, formatting_makes_the_same_bytes)
{
  dev = memdev_new ("metadata", 1024 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, CACHE), 0);
  image_expect_same (dev, "01-fresh-ctr-only");
}

Test (fixtures, first_data_space_makes_the_same_bytes)
{
  load ("01-fresh-ctr-only");
  cr_assert_eq (sm_extend (pool.data_sm, 10240), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  image_expect_same (dev, "02-empty");
}

Test (fixtures, extending_metadata_makes_the_same_bytes)
{
  load ("17-md-resize-before");
  cr_assert_eq (sm_extend (tm_metadata_sm (pool.tm), 1024 - 256), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  image_expect_same (dev, "18-md-resize-after");
}

Test (fixtures, metadata_snapshot_and_collapse_make_the_same_bytes)
{
  load ("09-toptree-one-child");
  cr_assert_eq (pool_reserve_snap (&pool), 0);
  cr_assert_eq (pool_delete (&pool, 167), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  image_expect_same (dev, "10-toptree-one-child-held");
}

/* The deterministic sequences: "insert DEV COUNT" or "remove DEV COUNT", then
 * the blocks.
 */
static void
play (const char *want)
{
  FILE *fp = image_open_text ("det-ops.txt");
  unsigned long d, n, block;
  uint64_t data, nr;
  char op[16];

  while (fscanf (fp, "%15s %lu %lu", op, &d, &n) == 3)
    while (n-- > 0) {
      cr_assert_eq (fscanf (fp, "%lu", &block), 1);
      if (strcmp (op, want) != 0)
        continue;
      if (op[0] == 'i')
        cr_assert_eq (pool_provision (&pool, d, block, &data), 0);
      else
        cr_assert_eq (pool_unmap (&pool, d, block, block + 1, &nr), 0);
      if (n % 97 == 0)
        cr_assert_eq (pool_commit (&pool), 0);
    }
  pclose (fp);
}

static void
make_pool_for_sequences (void)
{
  dev = memdev_new ("metadata", 1024 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, CACHE), 0);
  cr_assert_eq (sm_extend (pool.data_sm, 20480), 0);
  cr_assert_eq (pool_create (&pool, 0), 0);
  cr_assert_eq (pool_create (&pool, 1), 0);
  cr_assert_eq (pool_commit (&pool), 0);
}

Test (fixtures, insertions_make_the_same_trees)
{
  make_pool_for_sequences ();
  play ("insert");
  image_expect_same_trees (dev, "13-det-insert");
}

Test (fixtures, removals_make_the_same_trees)
{
  make_pool_for_sequences ();
  play ("insert");
  play ("remove");
  image_expect_same_trees (dev, "14-det-remove");
  metacheck_assert (dev->data, sectors_to_bytes (dev->bdev.size), "14 again");
}

Test (fixtures, removals_on_the_kernels_trees_make_the_same_trees)
{
  load ("13-det-insert");
  play ("remove");
  image_expect_same_trees (dev, "14-det-remove");
}

/* dm-cache.  Offsets of Linux 6.1's superblock. */
#define CACHE_SM_ROOT 64
#define CACHE_MAPPING_ROOT 192
#define CACHE_HINT_ROOT 200
#define CACHE_DISCARD_ROOT 208
#define CACHE_NR_DISCARD_BITS 224
#define CACHE_NR_BLOCKS 240

/* What the dump says that a cache block holds: origin block << 16 | valid. */
static void
read_cache_dump (uint64_t *mappings, uint64_t n)
{
  FILE *fp = image_open_text ("15-cache-array-bitset.xml");
  char line[256];
  uint64_t i;

  while (fgets (line, sizeof line, fp))
    if (strstr (line, "<mapping ")) {
      i = dump_attribute (line, "cache_block");
      cr_assert_lt (i, n);
      mappings[i] = dump_attribute (line, "origin_block") << 16 | 1;
    } else if (strstr (line, "<hint "))
      cr_assert_not_null (strstr (line, "\"PwAAAA==\""));
  pclose (fp);
}

static void
load_cache (void)
{
  dev = image_load ("15-cache-array-bitset");
  cr_assert_eq (bm_open (&dev->bdev, CACHE, &pool.bm), 0);
  cr_assert_eq (tm_open (pool.bm, dev->data + CACHE_SM_ROOT, &pool.tm), 0);
}

Test (fixtures, arrays_of_a_cache_are_in_its_dump)
{
  const struct btree_value_type mapping = { .size = sizeof (le64) };
  const struct btree_value_type hint = { .size = sizeof (le32) };
  struct array_info mappings, hints;
  uint64_t expected[2560] = { 0 }, i, root;
  le64 value;
  le32 h;

  load_cache ();
  cr_assert_eq (image_u64 (dev->data + CACHE_NR_BLOCKS), 2560);
  read_cache_dump (expected, 2560);
  array_info_init (&mappings, pool.tm, &mapping);
  array_info_init (&hints, pool.tm, &hint);
  for (i = 0; i < 2560; i++) {
    root = image_u64 (dev->data + CACHE_MAPPING_ROOT);
    cr_assert_eq (array_get (&mappings, root, i, &value), 0);
    cr_assert_eq (from_le64 (value), expected[i]);
    root = image_u64 (dev->data + CACHE_HINT_ROOT);
    cr_assert_eq (array_get (&hints, root, i, &h), 0);
    if (expected[i])
      cr_assert_eq (from_le32 (h), 0x3f); /* PwAAAA== */
  }
  cr_assert_eq (array_get (&hints, root, 2560, &h), -ENODATA);
}

Test (fixtures, bitset_of_a_cache_has_all_bits)
{
  struct bitset_info discards;
  uint64_t i, n, root;
  bool bit;

  load_cache ();
  bitset_info_init (&discards, pool.tm);
  root = image_u64 (dev->data + CACHE_DISCARD_ROOT);
  n = image_u64 (dev->data + CACHE_NR_DISCARD_BITS);
  cr_assert_eq (n, 1024);
  for (i = 0; i < n; i++)
    cr_assert_eq (bitset_test (&discards, root, i, &bit), 0);
  cr_assert_eq (bitset_test (&discards, root, n, &bit), -ENODATA);
}
