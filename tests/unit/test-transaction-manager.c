/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: shadows, references, commit, dropping. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/faultdev.h"
#include "tests/lib/memdev.h"
#include "tests/lib/thin-pool.h"

#define NR 256

static struct memdev *dev;
static struct faultdev fault;
static struct thin_pool pool;
static const struct bm_validator kind = { 4711, 8, NULL };

static void
set_up (void)
{
  dev = memdev_new ("metadata", NR * BM_BLOCK_SECTORS);
  faultdev_init (&fault, &dev->bdev);
  cr_assert_eq (pool_format (&pool, &fault.bdev, 64), 0);
}

static void
tear_down (void)
{
  pool_close (&pool);
  faultdev_reset (&fault);
  memdev_free (dev);
}

TestSuite (tm, .init = set_up, .fini = tear_down, .timeout = 60);

static block_t
new_block (char fill)
{
  struct bm_block *b;
  block_t nr;

  cr_assert_eq (tm_new_block (pool.tm, &kind, &b), 0);
  memset ((char *) bm_data (b) + 16, fill, 100);
  nr = bm_block_nr (b);
  bm_unlock (b);
  return nr;
}

static char
first_byte (block_t nr)
{
  struct bm_block *b;
  char c;

  cr_assert_eq (tm_read_lock (pool.tm, nr, &kind, &b), 0);
  c = ((char *) bm_data (b))[16];
  bm_unlock (b);
  return c;
}

static block_t
shadow (block_t orig, char fill, bool *inc)
{
  struct bm_block *b;
  block_t nr;

  cr_assert_eq (tm_shadow (pool.tm, orig, &kind, &b, inc), 0);
  memset ((char *) bm_data (b) + 16, fill, 1);
  nr = bm_block_nr (b);
  bm_unlock (b);
  return nr;
}

static uint32_t
count (block_t nr)
{
  uint32_t n;

  cr_assert_eq (tm_get_count (pool.tm, nr, &n), 0);
  return n;
}

Test (tm, new_blocks_are_counted_once_and_distinct)
{
  block_t a = new_block ('a'), b = new_block ('b');

  cr_assert_neq (a, b);
  cr_assert_eq (count (a), 1);
  cr_assert_eq (first_byte (a), 'a');
}

Test (tm, a_block_is_copied_once_per_transaction)
{
  block_t a = new_block ('a'), b;
  bool inc;

  cr_assert_eq (shadow (a, 'A', &inc), a);
  cr_assert_not (inc);
  cr_assert_eq (pool_commit (&pool), 0);

  b = shadow (a, 'b', &inc);
  cr_assert_neq (b, a);
  cr_assert_not (inc);
  cr_assert_eq (count (a), 0);
  cr_assert_eq (count (b), 1);
  cr_assert_eq (first_byte (a), 'A'); /* still there, for the disk's sake */
  cr_assert_eq (shadow (b, 'B', &inc), b);
}

Test (tm, a_shared_block_is_copied_even_if_new)
{
  block_t a = new_block ('a'), b;
  bool inc;

  cr_assert_eq (tm_inc (pool.tm, a), 0);
  b = shadow (a, 'b', &inc);
  cr_assert_neq (b, a);
  cr_assert (inc);
  cr_assert_eq (count (a), 1);
  cr_assert_eq (count (b), 1);
  cr_assert_eq (first_byte (a), 'a');
  cr_assert_eq (first_byte (b), 'b');
}

Test (tm, freed_blocks_wait_for_the_commit)
{
  block_t a = new_block ('a'), i;

  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (tm_dec (pool.tm, a), 0);
  for (i = 0; i < NR / 2; i++)
    cr_assert_neq (new_block ('x'), a);
}

Test (tm, runs_of_numbers_are_passed_as_ranges)
{
  const le64 values[] = { to_le64 (40), to_le64 (41), to_le64 (43),
                          to_le64 (42), to_le64 (40) };

  cr_assert_eq (tm_inc_values (pool.tm, values, 5), 0);
  cr_assert_eq (count (40), 2);
  cr_assert_eq (count (43), 1);
  cr_assert_eq (tm_dec_values (pool.tm, values, 4), 0);
  cr_assert_eq (count (40), 1);
  cr_assert_eq (count (42), 0);
}

Test (tm, counts_do_not_go_below_zero_or_beyond_the_end)
{
  const le64 last = to_le64 (UINT64_MAX);

  cr_assert_eq (tm_dec (pool.tm, 200), -EINVAL);
  cr_assert_eq (tm_inc (pool.tm, NR), -EINVAL);
  cr_assert_eq (tm_inc_values (pool.tm, &last, 1), -EINVAL);
}

Test (tm, the_superblock_follows_a_flush)
{
  size_t i, n;

  new_block ('a');
  fault.record = true;
  cr_assert_eq (pool_commit (&pool), 0);
  n = fault.log.len;
  cr_assert_geq (n, 4);
  cr_assert_null (fault.log.ptr[n - 1].data);
  cr_assert_eq (fault.log.ptr[n - 2].sector, 0);
  cr_assert_null (fault.log.ptr[n - 3].data);
  for (i = 0; i + 3 < n; i++)
    cr_assert_gt (fault.log.ptr[i].sector, 0);
}

Test (tm, dropping_a_transaction_leaves_the_last)
{
  block_t a = new_block ('a'), nr_free;
  bool inc;

  cr_assert_eq (pool_commit (&pool), 0);
  nr_free = sm_nr_free (tm_metadata_sm (pool.tm));
  shadow (a, 'b', &inc);
  new_block ('c');
  cr_assert_eq (pool_rollback (&pool), 0);
  cr_assert_eq (first_byte (a), 'a');
  cr_assert_eq (count (a), 1);
  cr_assert_eq (sm_nr_free (tm_metadata_sm (pool.tm)), nr_free);
}

Test (tm, running_out_is_an_error_that_can_be_dropped)
{
  struct bm_block *b;
  block_t a = new_block ('a');
  int r;

  cr_assert_eq (pool_commit (&pool), 0);
  while ((r = tm_new_block (pool.tm, &kind, &b)) == 0)
    bm_unlock (b);
  cr_assert_eq (r, -ENOSPC);
  cr_assert_eq (pool_rollback (&pool), 0);
  cr_assert_eq (first_byte (a), 'a');
  new_block ('b');
}

Test (tm, too_small_a_device_is_refused)
{
  struct memdev *small = memdev_new ("small", 5 * BM_BLOCK_SECTORS);
  struct thin_pool p;

  cr_assert_eq (pool_format (&p, &small->bdev, 64), -ENOSPC);
  pool_close (&p);
  memdev_free (small);
}
