/* SPDX-License-Identifier: BSD-3-Clause */
/* Data blocks and space of a thin pool. */

#include <criterion/criterion.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

static struct thin_rig rig;

static void
set_up (void)
{
  rig_start (&rig, 1024);
  rig_format (&rig, 100);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
}

static void
tear_down (void)
{
  rig_stop (&rig);
}

TestSuite (thin_space, .init = set_up, .fini = tear_down, .timeout = 60);

static void
check_pool (const char *where)
{
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), where);
}

static struct thin_meta_usage
usage (void)
{
  struct thin_meta_usage u;

  thin_meta_usage (rig.md, &u);
  return u;
}

static void
fill (void)
{
  unsigned i;

  for (i = 0; i < 100; i++)
    cr_assert_eq (rig_provision (&rig, 1, i), 0);
  cr_assert_eq (usage ().data_free, 0);
}

/* Traps: freed blocks still hold what a crash would bring back. */
Test (thin_space, a_freed_block_is_not_used_before_the_commit)
{
  block_t b;

  fill ();
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig_remove (&rig, 1, 40, 41), 0);
  cr_assert_eq (usage ().data_free, 1);
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), -ENOSPC);
  cr_assert_not (thin_meta_is_broken (rig.md));
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), 0);
  cr_assert_eq (b, 40);
}

Test (thin_space, an_allocated_block_can_be_given_back)
{
  block_t b;

  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), 0);
  cr_assert_eq (usage ().data_free, 99);
  cr_assert_eq (thin_meta_dec_data (rig.md, b, b + 1), 0);
  cr_assert_eq (usage ().data_free, 100);
  check_pool ("given back");
}

Test (thin_space, counting_below_zero_breaks_the_transaction)
{
  cr_assert_eq (thin_meta_dec_data (rig.md, 5, 6), -EINVAL);
  cr_assert (thin_meta_is_broken (rig.md));
  cr_assert_eq (thin_meta_commit (rig.md), -EIO);
  cr_assert_eq (rig_abort (&rig), 0);
  cr_assert_eq (rig_provision (&rig, 1, 0), 0);
  check_pool ("aborted");
}

Test (thin_space, sharing_is_told_by_the_count)
{
  bool shared;
  block_t b;

  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), 0);
  cr_assert_eq (thin_meta_data_is_shared (rig.md, b, &shared), 0);
  cr_assert_not (shared);
  cr_assert_eq (thin_meta_inc_data (rig.md, b, b + 1), 0);
  cr_assert_eq (thin_meta_data_is_shared (rig.md, b, &shared), 0);
  cr_assert (shared);
  cr_assert_eq (thin_meta_dec_data (rig.md, b, b + 1), 0);
  cr_assert_eq (thin_meta_dec_data (rig.md, b, b + 1), 0);
  check_pool ("counted");
}

/* Sizes. */

Test (thin_space, data_grow_and_never_shrink)
{
  cr_assert_eq (thin_meta_resize_data (rig.md, 99), -EINVAL);
  cr_assert_eq (thin_meta_resize_data (rig.md, 100), 0);
  cr_assert_not (thin_meta_changed (rig.md));
  cr_assert_eq (thin_meta_resize_data (rig.md, 300), 0);
  cr_assert_eq (usage ().data_blocks, 100, "not committed");
  cr_assert_eq (thin_meta_resize_data (rig.md, 300), 0);
  cr_assert_eq (thin_meta_resize_data (rig.md, 200), -EINVAL);
  cr_assert_not (thin_meta_is_broken (rig.md));
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (usage ().data_blocks, 300);
  check_pool ("grown");
}

/* Trap: the last bitmap is full to its very end. */
Test (thin_space, data_grow_from_a_whole_number_of_bitmaps)
{
  block_t b, i;

  cr_assert_eq (thin_meta_resize_data (rig.md, 16320), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_meta_resize_data (rig.md, 2 * 16320), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  for (i = 0; i < 2 * 16320; i++)
    cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), 0);
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), -ENOSPC);
  cr_assert_eq (thin_meta_dec_data (rig.md, 0, 2 * 16320), 0);
  check_pool ("two bitmaps");
}

Test (thin_space, metadata_grow_with_their_device)
{
  block_t before = usage ().metadata_free;

  rig.dev->data = realloc (rig.dev->data, 3 * rig_bytes (&rig));
  rig.dev->bdev.size *= 3;
  rig.fault.bdev.size = rig.dev->bdev.size;
  cr_assert_eq (thin_meta_resize_metadata (rig.md, 1023), -EINVAL);
  cr_assert_eq (thin_meta_resize_metadata (rig.md, 3 * 1024), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (usage ().metadata_blocks, 3 * 1024);
  cr_assert_gt (usage ().metadata_free, before + 1500);
  check_pool ("grown");
}

/* As a kernel's status line has it: 1024 blocks, 9 used, 102 in reserve. */
Test (thin_space, the_reserve_counts_as_used)
{
  rig_stop (&rig);
  rig_start (&rig, 1024);
  rig_format (&rig, 10240);
  cr_assert_eq (usage ().metadata_blocks - usage ().metadata_free, 111);
}

Test (thin_space, out_of_metadata_breaks_and_an_abort_mends)
{
  unsigned i;
  int r = 0;

  rig_stop (&rig);
  rig_start (&rig, 32);
  rig_format (&rig, 100000);
  for (i = 0; r == 0; i++)
    r = thin_meta_create_thin (rig.md, i);
  cr_assert_eq (r, -ENOSPC);
  cr_assert_eq (usage ().metadata_free, 0);
  cr_assert (thin_meta_is_broken (rig.md));
  cr_assert_eq (rig_abort (&rig), 0);
  cr_assert_gt (usage ().metadata_free, 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  check_pool ("aborted");
}

/* Everything that takes metadata blocks, until there are none. */
static int
work (void)
{
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && i < 3000; i++) {
    r = rig_provision (&rig, 1, i * 7919 % 10007);
    if (r == 0 && i % 500 == 0)
      r = thin_meta_create_snap (rig.md, 10 + i, 1);
    if (r == 0 && i % 90 == 0)
      r = thin_meta_commit (rig.md);
  }
  if (r == 0)
    r = rig_remove (&rig, 10, 0, UINT64_MAX);
  if (r == 0)
    r = thin_meta_delete (rig.md, 1);
  return r < 0 ? r : thin_meta_commit (rig.md);
}

Test (thin_space, running_out_of_metadata_anywhere_can_be_mended)
{
  block_t size;
  int r = -ENOSPC;

  for (size = 32; r < 0; size += 3) {
    rig_stop (&rig);
    rig_start (&rig, size);
    rig_format (&rig, 100000);
    r = thin_meta_create_thin (rig.md, 1);
    if (r == 0)
      r = work ();
    if (r == 0)
      break;
    cr_assert_eq (r, -ENOSPC, "%d", r);
    cr_assert (thin_meta_is_broken (rig.md));
    cr_assert_eq (rig_abort (&rig), 0);
    check_pool ("mended");
  }
  cr_assert_gt (size, 60);
  check_pool ("enough");
}

static void
count_call (void *context)
{
  ++*(unsigned *) context;
}

static unsigned
calls_while_filling (unsigned *calls)
{
  unsigned i;

  *calls = 0;
  for (i = 0; i < 300; i++)
    cr_assert_eq (thin_meta_create_thin (rig.md, 1000 + i), 0);
  return *calls;
}

Test (thin_space, the_threshold_fires_when_it_is_crossed)
{
  unsigned calls;

  cr_assert_eq (thin_meta_set_threshold (rig.md, 900, count_call, &calls), 0);
  cr_assert_eq (calls_while_filling (&calls), 1);
  cr_assert_eq (rig_abort (&rig), 0);
  cr_assert_eq (calls_while_filling (&calls), 1, "not after an abort");
}

/* Memory. */

static size_t
allocated (void)
{
  struct mallinfo2 m = mallinfo2 ();

  return m.uordblks + m.hblkhd;
}

/* What a pool of 64 GiB in blocks of 64 KiB takes, mapped in the worst order,
 * with a small cache.
 */
Test (thin_space, a_million_mappings_take_little_memory)
{
  const size_t limit = (64 << 20) + 1024 * BM_BLOCK_BYTES;
  unsigned i, state = 1;
  size_t before, most = 0;

  rig_stop (&rig);
  rig_start (&rig, 40000);
  before = allocated ();
  if (before == 0)
    cr_skip_test ("this allocator does not tell");
  rig.params.cache_blocks = 1024;
  rig_format (&rig, 1200000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  for (i = 1; i <= 1000000; i++) {
    cr_assert_eq (rig_provision (&rig, 1, rand_r (&state)), 0);
    if (i % 100000 == 0) {
      most = allocated () - before > most ? allocated () - before : most;
      cr_assert_eq (thin_meta_commit (rig.md), 0);
    }
  }
  cr_assert_lt (most, limit, "%zu bytes", most);
}
