/* SPDX-License-Identifier: BSD-3-Clause */
/* Space maps: counts, searching, growing, and counting themselves. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pdata/space-map-metadata.h"
#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-pool.h"

#define PER_BITMAP 16320

static struct memdev *dev;
static struct thin_pool pool;

static void
start (block_t nr_metadata, block_t nr_data)
{
  dev = memdev_new ("metadata", nr_metadata * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, 256), 0);
  if (nr_data)
    cr_assert_eq (sm_extend (pool.data_sm, nr_data), 0);
  cr_assert_eq (pool_commit (&pool), 0);
}

static void
tear_down (void)
{
  pool_close (&pool);
  memdev_free (dev);
}

TestSuite (sm, .fini = tear_down, .timeout = 60);

static uint32_t
count (struct space_map *sm, block_t b)
{
  uint32_t n;

  cr_assert_eq (sm_get_count (sm, b, &n), 0);
  return n;
}

static void
check_image (const char *where)
{
  metacheck_assert (dev->data, sectors_to_bytes (dev->bdev.size), where);
}

/* K8 of the format's notes: a last bitmap that is full has a limit, too. */
static void
allocate_all (block_t nr)
{
  block_t i, b;

  start (256, nr);
  for (i = 0; i < nr; i++) {
    cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
    cr_assert_eq (b, i);
  }
  cr_assert_eq (sm_nr_free (pool.data_sm), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), -ENOSPC);
}

Test (sm, one_block_can_be_allocated)
{
  allocate_all (1);
}

Test (sm, all_of_less_than_a_bitmap_can_be_allocated)
{
  allocate_all (PER_BITMAP - 1);
}

Test (sm, all_of_one_bitmap_can_be_allocated)
{
  allocate_all (PER_BITMAP);
}

Test (sm, all_of_one_bitmap_and_a_block_can_be_allocated)
{
  allocate_all (PER_BITMAP + 1);
}

Test (sm, all_of_two_bitmaps_can_be_allocated)
{
  allocate_all (2 * PER_BITMAP);
}

Test (sm, counts_go_up_and_down_across_bitmaps)
{
  const block_t begin = PER_BITMAP - 3, end = PER_BITMAP + 3;
  block_t b;
  unsigned n;

  start (256, 2 * PER_BITMAP);
  for (n = 1; n <= 6; n++) {
    cr_assert_eq (sm_inc (pool.data_sm, begin, end), 0);
    for (b = begin; b < end; b++)
      cr_assert_eq (count (pool.data_sm, b), n);
  }
  cr_assert_eq (count (pool.data_sm, begin - 1), 0);
  cr_assert_eq (count (pool.data_sm, end), 0);
  cr_assert_eq (sm_nr_free (pool.data_sm), 2 * PER_BITMAP - 6);
  while (n-- > 1) {
    cr_assert_eq (sm_dec (pool.data_sm, begin, end), 0);
    for (b = begin; b < end; b++)
      cr_assert_eq (count (pool.data_sm, b), n - 1);
  }
  cr_assert_eq (sm_nr_free (pool.data_sm), 2 * PER_BITMAP);
  cr_assert_eq (pool_commit (&pool), 0);
  check_image ("up and down");
}

Test (sm, counts_can_be_set)
{
  static const uint32_t values[] = { 3, 0, 1, 7, 100000, 2, 3, 4, 1, 0 };
  unsigned i;

  start (256, 100);
  for (i = 0; i < sizeof values / sizeof values[0]; i++) {
    cr_assert_eq (sm_set_count (pool.data_sm, 50, values[i]), 0);
    cr_assert_eq (count (pool.data_sm, 50), values[i]);
    cr_assert_eq (sm_nr_free (pool.data_sm), 100 - (values[i] > 0));
  }
}

Test (sm, bits_on_disk_are_swapped)
{
  uint64_t nr;
  const char *bitmap;

  start (256, 100);
  for (nr = 0; nr < 4; nr++)
    cr_assert_eq (sm_set_count (pool.data_sm, nr, nr), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  /* The root of the index is a leaf; its first value names the bitmap. */
  nr = from_le64 (*(le64 *) (pool.super.data_sm_root + 16));
  nr = from_le64 (*(le64 *) (dev->data + nr * BM_BLOCK_BYTES + 32 + 8 * 168));
  bitmap = dev->data + nr * BM_BLOCK_BYTES;
  cr_assert_eq ((unsigned char) bitmap[16], 0xd8); /* 11 01 10 00 */
}

Test (sm, what_cannot_be_is_refused)
{
  uint32_t n;
  bool shared;

  start (256, 100);
  cr_expect_eq (sm_dec (pool.data_sm, 5, 6), -EINVAL);
  cr_expect_eq (sm_inc (pool.data_sm, 99, 101), -EINVAL);
  cr_expect_eq (sm_inc (pool.data_sm, 7, 6), -EINVAL);
  cr_expect_eq (sm_get_count (pool.data_sm, 100, &n), -EINVAL);
  cr_expect_eq (sm_is_shared (pool.data_sm, 100, &shared), -EINVAL);
  cr_expect_eq (sm_set_count (pool.data_sm, 100, 1), -EINVAL);
  cr_expect_eq (sm_extend (pool.data_sm, UINT64_MAX), -EINVAL);
  cr_expect_eq (sm_extend (pool.data_sm, UINT64_C (1) << 41), -EINVAL);
  cr_assert_eq (sm_set_count (pool.data_sm, 6, UINT32_MAX), 0);
  cr_expect_eq (sm_inc (pool.data_sm, 6, 7), -EINVAL);
}

Test (sm, a_freed_block_is_not_reused_before_the_commit)
{
  block_t b;

  start (256, 3);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_dec (pool.data_sm, 0, 1), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (sm_nr_free (pool.data_sm), 1);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), -ENOSPC);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (b, 0);
}

Test (sm, a_block_that_came_and_went_is_free_at_once)
{
  block_t b;

  start (256, 1);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (sm_dec (pool.data_sm, 0, 1), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
}

Test (sm, the_search_goes_round)
{
  block_t b, i;

  start (256, 10);
  for (i = 0; i < 10; i++)
    cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_dec (pool.data_sm, 2, 4), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (b, 2);
  cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (b, 3);
}

Test (sm, growth_of_data_shows_after_the_commit)
{
  block_t b;

  start (256, 10);
  cr_assert_eq (sm_extend (pool.data_sm, PER_BITMAP), 0);
  cr_assert_eq (sm_nr_blocks (pool.data_sm), 10);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_nr_blocks (pool.data_sm), PER_BITMAP + 10);
  for (b = 0; b < PER_BITMAP + 10; b++)
    cr_assert_eq (sm_inc (pool.data_sm, b, b + 1), 0);
  cr_assert_eq (pool_commit (&pool), 0);
}

/* thin_restore 0.9 leaves what lies beyond the end out of nr_free. */
Test (sm, a_foreign_count_of_free_blocks_is_put_right_when_growing)
{
  uint64_t root;
  char *leaf;
  uint32_t salt;
  block_t i, b;

  start (256, 100);
  for (i = 0; i < 100; i++)
    cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  root = from_le64 (*(le64 *) (pool.super.data_sm_root + 16));
  pool_close (&pool);

  leaf = dev->data + root * BM_BLOCK_BYTES;
  salt = image_block_salt (leaf);
  *(le32 *) (leaf + 32 + 8 * 168 + 8) = to_le32 (0);
  *(le32 *) (leaf + 32 + 8 * 168 + 12) = to_le32 (PER_BITMAP);
  image_reseal (leaf, salt);
  cr_assert_eq (pool_open (&pool, &dev->bdev, 64), 0);
  cr_assert_eq (sm_extend (pool.data_sm, 200), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  for (i = 100; i < 300; i++) {
    cr_assert_eq (sm_new_block (pool.data_sm, &b), 0);
    cr_assert_eq (b, i);
  }
}

static int
use_metadata (unsigned n)
{
  struct bm_block *block;
  int r = 0;

  while (r == 0 && n-- > 0) {
    r = tm_new_block (pool.tm, &thin_super_validator, &block);
    if (r == 0)
      bm_unlock (block);
  }
  return r;
}

static void
note_event (void *context)
{
  ++*(unsigned *) context;
}

Test (sm, threshold_fires_when_crossed)
{
  struct space_map *sm;
  unsigned events = 0;

  start (256, 0);
  sm = tm_metadata_sm (pool.tm);
  cr_assert_eq (sm_set_threshold (sm, 100, note_event, &events), 0);
  while (sm_nr_free (sm) > 101)
    cr_assert_eq (use_metadata (1), 0);
  cr_assert_eq (events, 0);
  cr_assert_eq (use_metadata (1), 0);
  cr_assert_eq (events, 1);
  cr_assert_eq (use_metadata (10), 0);
  cr_assert_eq (events, 1);
  cr_assert_eq (sm_set_threshold (pool.data_sm, 1, note_event, &events),
                -EOPNOTSUPP);
}

/* Let the device grow, and then the map. */
static void
extend_metadata (block_t to)
{
  block_t from = dev->bdev.size / BM_BLOCK_SECTORS;
  char *data = calloc (to, BM_BLOCK_BYTES);

  memcpy (data, dev->data, from * BM_BLOCK_BYTES);
  free (dev->data);
  dev->data = data;
  dev->bdev.size = to * BM_BLOCK_SECTORS;
  cr_assert_eq (sm_extend (tm_metadata_sm (pool.tm), to - from), 0);
  cr_assert_eq (sm_nr_blocks (tm_metadata_sm (pool.tm)), to);
  cr_assert_eq (pool_commit (&pool), 0);
}

static void
grow (block_t from, block_t to)
{
  start (from, 100);
  extend_metadata (to);
  cr_assert_eq (pool_create (&pool, 1), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  check_image ("grown");
}

Test (sm, metadata_grow_within_a_bitmap)
{
  grow (256, 1000);
}

Test (sm, metadata_grow_by_one_bitmap)
{
  grow (PER_BITMAP, PER_BITMAP + 10);
}

Test (sm, metadata_grow_by_ten_bitmaps)
{
  grow (16000, 10 * PER_BITMAP + 5);
}

/* Everything that growing takes comes from what is added. */
Test (sm, metadata_that_are_full_can_grow)
{
  int r;

  start (256, 100);
  do
    r = use_metadata (1);
  while (r == 0);
  cr_assert_eq (r, -ENOSPC);
  extend_metadata (256 + 64);
  cr_assert_eq (use_metadata (32), 0);
  cr_assert_eq (pool_commit (&pool), 0);
}

Test (sm, metadata_have_a_largest_size)
{
  start (256, 0);
  cr_assert_eq (sm_extend (tm_metadata_sm (pool.tm), SM_METADATA_MAX_BLOCKS),
                -EINVAL);
}

/* So many metadata blocks with a count of 3 that their tree has two levels,
 * and all the way back: the tree shrinks while it counts its own blocks.  After
 * a commit nodes are copied and merged in one change: the copy's count goes up
 * before it comes down again.
 */
Test (sm, large_counts_of_metadata_come_and_go)
{
  struct space_map *sm;
  block_t b;
  unsigned i;

  start (4096, 0);
  sm = tm_metadata_sm (pool.tm);
  for (i = 0; i < 3; i++)
    cr_assert_eq (sm_inc (sm, 1000, 3500), 0);
  for (b = 1000; b < 3500; b++)
    cr_assert_eq (count (sm, b), 3);
  for (b = 1000; b < 3500; b += 2)
    cr_assert_eq (sm_dec (sm, b, b + 1), 0);
  for (b = 3499; b > 1000; b -= 2) {
    cr_assert_eq (pool_commit (&pool), 0);
    cr_assert_eq (sm_dec (sm, b, b + 1), 0);
  }
  for (i = 0; i < 2; i++)
    cr_assert_eq (sm_dec (sm, 1000, 3500), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  check_image ("large counts");
}
