/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of a thin device. */

#include <criterion/criterion.h>

#include <errno.h>

#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

static struct thin_rig rig;
static struct thin_device *td;

static void
set_up (void)
{
  rig_start (&rig, 4096);
  rig_format (&rig, 100000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
}

static void
tear_down (void)
{
  if (td)
    thin_dev_close (td);
  rig_stop (&rig);
}

TestSuite (thin_map, .init = set_up, .fini = tear_down, .timeout = 60);

static void
check_pool (const char *where)
{
  thin_dev_close (td);
  td = NULL;
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), where);
}

/* Map count blocks from block on, to what the allocator gives. */
static void
provision (block_t block, unsigned count)
{
  while (count--)
    cr_assert_eq (rig_provision (&rig, 1, block++), 0);
}

static void
expect_range (block_t from, block_t end, block_t begin, block_t stop,
              block_t data)
{
  struct thin_range r;

  cr_assert_eq (thin_dev_find_range (td, from, end, &r), 0);
  cr_assert_eq (r.begin, begin);
  cr_assert_eq (r.end, stop);
  cr_assert_eq (r.data_begin, data);
}

Test (thin_map, runs_end_where_either_side_has_a_gap)
{
  struct thin_range r;

  provision (10, 5);  /* data 0 .. 4 */
  provision (20, 1);  /* 5 */
  provision (15, 2);  /* 6, 7: next in the thin, not on the device */
  expect_range (0, 100, 10, 15, 0);
  expect_range (12, 14, 12, 14, 2);
  expect_range (15, 100, 15, 17, 6);
  expect_range (17, 100, 20, 21, 5);
  cr_assert_eq (thin_dev_find_range (td, 21, 100, &r), -ENODATA);
  cr_assert_eq (thin_dev_find_range (td, 0, 10, &r), -ENODATA);
  cr_assert_eq (thin_dev_find_range (td, 10, 10, &r), -ENODATA);
}

Test (thin_map, runs_end_where_sharing_does)
{
  struct thin_range r;

  provision (0, 4);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  provision (4, 4);
  cr_assert_eq (thin_dev_find_range (td, 0, 100, &r), 0);
  cr_assert (r.end == 4 && r.shared);
  cr_assert_eq (thin_dev_find_range (td, 4, 100, &r), 0);
  cr_assert (r.end == 8 && !r.shared);
}

/* Trap: where one leaf ends and the next begins. */
Test (thin_map, runs_go_on_across_leaves)
{
  struct thin_range r;
  block_t at = 0;

  provision (0, 2000);
  while (thin_dev_find_range (td, at, UINT64_MAX, &r) == 0) {
    cr_assert_eq (r.begin, at);
    cr_assert_eq (r.data_begin, at);
    cr_assert_geq (r.end - r.begin, 1000);
    at = r.end;
  }
  cr_assert_eq (at, 2000);
}

Test (thin_map, the_highest_block_is_known)
{
  block_t highest;

  cr_assert_eq (thin_dev_highest_mapped (td, &highest), -ENODATA);
  provision (1000, 1);
  provision (0, 400);
  cr_assert_eq (thin_dev_highest_mapped (td, &highest), 0);
  cr_assert_eq (highest, 1000);
  cr_assert_eq (thin_dev_remove_range (td, 500, UINT64_MAX), 0);
  cr_assert_eq (thin_dev_highest_mapped (td, &highest), 0);
  cr_assert_eq (highest, 399);
}

Test (thin_map, mapped_blocks_are_counted_once)
{
  provision (5, 3);
  provision (6, 3);
  cr_assert_eq (thin_dev_mapped_blocks (td), 4);
  cr_assert_eq (thin_dev_remove_range (td, 0, 7), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 2);
  cr_assert_eq (thin_dev_remove_range (td, 100, 200), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 2);
  check_pool ("counted");
}

Test (thin_map, removing_nothing_changes_nothing)
{
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_dev_remove_range (td, 0, UINT64_MAX), 0);
  cr_assert_not (thin_meta_changed (rig.md));
  cr_assert_not (thin_dev_changed (td));
}

Test (thin_map, large_ranges_are_removed_in_parts)
{
  block_t b;

  for (b = 0; b < 100000; b += 500)
    provision (b, 2);
  cr_assert_eq (thin_dev_remove_range (td, 1, 99500), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 3);
  check_pool ("removed");
}

Test (thin_map, what_changed_since_a_snapshot_is_found)
{
  struct thin_device *snap;
  block_t from, to;

  provision (0, 600);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  cr_assert_eq (thin_dev_open (rig.md, 2, &snap), 0);
  cr_assert_eq (thin_dev_find_difference (td, snap, 0, UINT64_MAX, &from, &to),
                -ENODATA);
  provision (20, 3);   /* written anew */
  provision (9000, 1); /* new */
  cr_assert_eq (thin_dev_remove_range (td, 400, 402), 0);
  cr_assert_eq (thin_dev_find_difference (td, snap, 0, UINT64_MAX, &from, &to),
                0);
  cr_assert (from == 20 && to == 23);
  cr_assert_eq (thin_dev_find_difference (snap, td, 23, UINT64_MAX, &from,
                                          &to), 0);
  cr_assert (from == 400 && to == 402);
  cr_assert_eq (thin_dev_find_difference (td, snap, 402, UINT64_MAX, &from,
                                          &to), 0);
  cr_assert (from == 9000 && to == 9001);
  cr_assert_eq (thin_dev_find_difference (td, snap, 402, 9000, &from, &to),
                -ENODATA);
  thin_dev_close (snap);
}

/* Trap: the block of the old mapping loses its reference, but not when it is
 * the same block again, only younger.
 */
Test (thin_map, a_replaced_block_is_freed_unless_it_is_the_same)
{
  struct thin_meta_usage usage;
  struct thin_mapping m;

  provision (0, 1);
  provision (0, 1);
  thin_meta_usage (rig.md, &usage);
  cr_assert_eq (usage.data_free, 99999);
  cr_assert_eq (thin_dev_find (td, 0, &m), 0);
  cr_assert_eq (m.data_block, 1);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  cr_assert_eq (thin_meta_delete (rig.md, 2), 0);
  cr_assert_eq (thin_dev_find (td, 0, &m), 0);
  cr_assert (m.shared);
  cr_assert_eq (thin_dev_insert (td, 0, 1), 0);
  cr_assert_eq (thin_dev_find (td, 0, &m), 0);
  cr_assert (!m.shared && m.data_block == 1);
  check_pool ("replaced");
}

/* The superblock says how many data blocks there are; a mapping beyond is
 * damage.
 */
Test (thin_map, a_mapping_beyond_the_data_is_damage)
{
  struct thin_mapping m;
  struct thin_range r;

  cr_assert_eq (thin_dev_insert (td, 0, 100000), 0);
  cr_assert_eq (thin_dev_find (td, 0, &m), -EILSEQ);
  cr_assert_eq (thin_dev_find_range (td, 0, 5, &r), -EILSEQ);
}

Test (thin_map, blocks_have_numbers_of_64_bits)
{
  struct thin_mapping m;
  block_t highest;

  provision (UINT64_MAX - 1, 1);
  cr_assert_eq (thin_dev_find (td, UINT64_MAX - 1, &m), 0);
  cr_assert_eq (thin_dev_highest_mapped (td, &highest), 0);
  cr_assert_eq (highest, UINT64_MAX - 1);
  cr_assert_eq (thin_dev_remove_range (td, 1, UINT64_MAX), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 0);
}
