/* SPDX-License-Identifier: BSD-3-Clause */
/* Thins of a pool: made, shared, deleted, listed. */

#include <criterion/criterion.h>

#include <errno.h>

#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"
#include "tests/lib/thin-super.h"

static struct thin_rig rig;

static void
set_up (void)
{
  rig_start (&rig, 2048);
  rig_format (&rig, 20000);
}

static void
tear_down (void)
{
  rig_stop (&rig);
}

TestSuite (thin_device, .init = set_up, .fini = tear_down, .timeout = 60);

static void
check_pool (const char *where)
{
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), where);
}

static void
expect_shared (uint32_t id, block_t block, bool shared)
{
  struct thin_mapping m;

  cr_assert_eq (rig_find (&rig, id, block, &m), 0);
  cr_assert_eq (m.shared, shared, "%u/%u", id, (unsigned) block);
}

static block_t
data_of (uint32_t id, block_t block)
{
  struct thin_mapping m;

  cr_assert_eq (rig_find (&rig, id, block, &m), 0);
  return m.data_block;
}

Test (thin_device, an_id_is_used_once)
{
  cr_assert_eq (thin_meta_create_thin (rig.md, 5), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 5), -EEXIST);
  cr_assert_eq (thin_meta_create_snap (rig.md, 5, 5), -EEXIST);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 5), -EEXIST);
  cr_assert_eq (thin_meta_delete (rig.md, 5), 0);
  cr_assert_eq (thin_meta_delete (rig.md, 5), -ENODATA);
  cr_assert_eq (thin_meta_create_thin (rig.md, 5), 0);
  cr_assert_not (thin_meta_is_broken (rig.md));
  check_pool ("made twice");
}

Test (thin_device, a_device_that_is_not_there_is_no_data)
{
  struct thin_device *td;

  cr_assert_eq (thin_dev_open (rig.md, 1, &td), -ENODATA);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), -ENODATA);
  cr_assert_eq (thin_meta_delete (rig.md, 1), -ENODATA);
  cr_assert_not (thin_meta_changed (rig.md));
}

Test (thin_device, an_open_device_cannot_be_deleted)
{
  struct thin_device *td, *again;

  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &again), 0);
  cr_assert_eq (td, again);
  thin_dev_close (again);
  cr_assert_eq (thin_meta_delete (rig.md, 1), -EBUSY);
  thin_dev_close (td);
  cr_assert_eq (thin_meta_delete (rig.md, 1), 0);
  check_pool ("deleted");
}

Test (thin_device, what_was_changed_is_kept_after_the_last_close)
{
  struct thin_device *td;

  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (rig_provision (&rig, 1, 0), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 1);
  cr_assert (thin_dev_changed (td));
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_not (thin_dev_changed (td));
  thin_dev_close (td);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 1);
  cr_assert_not (thin_dev_changed (td));
  thin_dev_close (td);
}

/* Trap: the second snapshot is made before the first is committed, and both
 * sides change then.
 */
Test (thin_device, snapshots_within_one_transaction_keep_apart)
{
  block_t before;

  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (rig_provision (&rig, 0, 1), 0);
  cr_assert_eq (rig_provision (&rig, 0, 2), 0);
  before = data_of (0, 1);
  cr_assert_eq (thin_meta_create_snap (rig.md, 1, 0), 0);
  expect_shared (0, 1, true);
  expect_shared (1, 1, true);
  cr_assert_eq (rig_provision (&rig, 0, 1), 0);
  expect_shared (0, 1, false);
  expect_shared (1, 1, true);
  cr_assert_eq (data_of (1, 1), before);
  cr_assert_neq (data_of (0, 1), before);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 0), 0);
  expect_shared (0, 1, true);
  cr_assert_eq (rig_remove (&rig, 0, 0, 10), 0);
  cr_assert_neq (data_of (2, 1), before);
  cr_assert_eq (data_of (2, 2), data_of (1, 2));
  check_pool ("snapshots");
}

Test (thin_device, making_a_thin_does_not_advance_the_clock)
{
  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (thin_meta_time (rig.md), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 1, 0), 0);
  cr_assert_eq (thin_meta_time (rig.md), 1);
}

Test (thin_device, a_snapshot_counts_its_origins_blocks_as_they_are_now)
{
  struct thin_device *td;

  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig_provision (&rig, 0, 1), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 1, 0), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (thin_dev_mapped_blocks (td), 1);
  thin_dev_close (td);
  check_pool ("counts");
}

/* Trap: the clock shares 64 bits with the block. */
Test (thin_device, the_clock_does_not_run_into_block_numbers)
{
  rig_close (&rig);
  ((struct thin_super *) rig.dev->data)->time = to_le32 (THIN_MAX_TIME - 1);
  image_reseal (rig.dev->data, THIN_SUPER_SALT);
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 1, 0), 0);
  cr_assert_eq (rig_provision (&rig, 0, 3), 0);
  cr_assert_eq (data_of (0, 3), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 0), -EOVERFLOW);
  cr_assert_not (thin_meta_is_broken (rig.md));
  cr_assert_eq (data_of (0, 3), 0);
  check_pool ("the end of time");
}

Test (thin_device, a_clock_that_has_overrun_can_only_be_read)
{
  rig_close (&rig);
  ((struct thin_super *) rig.dev->data)->time = to_le32 (THIN_MAX_TIME + 1);
  image_reseal (rig.dev->data, THIN_SUPER_SALT);
  cr_assert_eq (rig_open (&rig), -EINVAL);
  rig.fault.bdev.readonly = true;
  cr_assert_eq (rig_open (&rig), 0);
}

/* Trap: nodes that turn from leaf to internal, in trees of both kinds. */
Test (thin_device, many_devices_come_and_go)
{
  unsigned i;

  for (i = 0; i < 600; i++) {
    cr_assert_eq (thin_meta_create_thin (rig.md, i), 0);
    if (i % 97 == 0)
      cr_assert_eq (thin_meta_commit (rig.md), 0);
  }
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), "made");
  cr_assert_leq (image_run_tool (rig.dev, "thin_check"), 0);
  cr_assert_eq (rig_open (&rig), 0);
  for (i = 0; i < 600; i++)
    if (i % 3)
      cr_assert_eq (thin_meta_delete (rig.md, i), 0);
  check_pool ("deleted");
  cr_assert_leq (image_run_tool (rig.dev, "thin_check"), 0);
}

/* Two nodes are merged before halves of what they have would become too small
 * with the next removal: thin_check would complain.
 */
Test (thin_device, nodes_keep_a_third_of_their_entries)
{
  unsigned i;

  for (i = 0; i < 300; i++)
    cr_assert_eq (thin_meta_create_thin (rig.md, i), 0);
  for (i = 0; i < 300; i++) {
    cr_assert_eq (thin_meta_delete (rig.md, i), 0);
    cr_assert_eq (thin_meta_commit (rig.md), 0);
    metacheck_assert (rig.dev->data, rig_bytes (&rig), "one less");
  }
}

Test (thin_device, deleting_frees_what_nobody_shares)
{
  struct thin_meta_usage before, after;
  unsigned i;

  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  thin_meta_usage (rig.md, &before);
  for (i = 0; i < 700; i++)
    cr_assert_eq (rig_provision (&rig, 0, i), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 1, 0), 0);
  for (i = 0; i < 100; i++)
    cr_assert_eq (rig_provision (&rig, 1, i), 0);
  cr_assert_eq (thin_meta_delete (rig.md, 0), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  thin_meta_usage (rig.md, &after);
  cr_assert_eq (before.data_free - after.data_free, 700);
  cr_assert_eq (thin_meta_delete (rig.md, 1), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  thin_meta_usage (rig.md, &after);
  cr_assert_eq (before.data_free, after.data_free);
  cr_assert_eq (before.metadata_free, after.metadata_free);
  check_pool ("deleted");
}

Test (thin_device, the_list_shows_what_is_not_committed)
{
  uint32_t id;

  cr_assert_eq (thin_meta_next (rig.md, 0, &id), -ENODATA);
  cr_assert_eq (thin_meta_create_thin (rig.md, 7), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 3), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, THIN_MAX_ID), 0);
  cr_assert_eq (thin_meta_next (rig.md, 0, &id), 0);
  cr_assert_eq (id, 3);
  cr_assert_eq (thin_meta_next (rig.md, 3, &id), 0);
  cr_assert_eq (id, 3);
  cr_assert_eq (thin_meta_next (rig.md, 4, &id), 0);
  cr_assert_eq (id, 7);
  cr_assert_eq (thin_meta_next (rig.md, 8, &id), 0);
  cr_assert_eq (id, THIN_MAX_ID);
  cr_assert_eq (thin_meta_next (rig.md, THIN_MAX_ID + 1, &id), -ENODATA);
}

/* Metadata snapshots. */

Test (thin_device, a_metadata_snapshot_holds_trees_until_it_is_released)
{
  block_t held;

  cr_assert_eq (thin_meta_create_thin (rig.md, 0), 0);
  cr_assert_eq (rig_provision (&rig, 0, 1), 0);
  cr_assert_eq (thin_meta_release_snap (rig.md), -EINVAL);
  cr_assert_eq (thin_meta_reserve_snap (rig.md), 0);
  held = thin_meta_held_root (rig.md);
  cr_assert_neq (held, 0);
  cr_assert_eq (thin_meta_reserve_snap (rig.md), -EBUSY);
  cr_assert_eq (rig_remove (&rig, 0, 0, 10), 0);
  cr_assert_eq (thin_meta_delete (rig.md, 0), 0);
  check_pool ("held");
  cr_assert_leq (image_run_tool (rig.dev, "thin_check"), 0);

  rig.params.metadata_snapshot = true;
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (data_of (0, 1), 0);
  rig_close (&rig);

  rig.params.metadata_snapshot = false;
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (thin_meta_held_root (rig.md), held);
  cr_assert_eq (thin_meta_release_snap (rig.md), 0);
  cr_assert_eq (thin_meta_held_root (rig.md), 0);
  check_pool ("released");
}

/* Its trees have several levels and share little with the present ones. */
Test (thin_device, all_of_a_metadata_snapshot_is_released)
{
  unsigned i;

  for (i = 0; i < 400; i++)
    cr_assert_eq (thin_meta_create_thin (rig.md, i), 0);
  cr_assert_eq (thin_meta_reserve_snap (rig.md), 0);
  for (i = 0; i < 400; i += 2)
    cr_assert_eq (thin_meta_delete (rig.md, i), 0);
  cr_assert_eq (thin_meta_release_snap (rig.md), 0);
  check_pool ("released");
}
