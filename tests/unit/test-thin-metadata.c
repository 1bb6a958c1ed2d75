/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin metadata: opening, transactions, what survives what. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"
#include "tests/lib/thin-super.h"

static struct thin_rig rig;

static void
set_up (void)
{
  rig_start (&rig, 1024);
}

static void
tear_down (void)
{
  rig_stop (&rig);
}

TestSuite (thin_metadata, .init = set_up, .fini = tear_down, .timeout = 60);

static struct thin_super *
super_on_disk (void)
{
  return (struct thin_super *) rig.dev->data;
}

static void
reseal (void)
{
  image_reseal (rig.dev->data, THIN_SUPER_SALT);
}

static void
check_image (const char *where)
{
  metacheck_assert (rig.dev->data, rig_bytes (&rig), where);
}

static unsigned
nr_writes (void)
{
  return rig.dev->counts[BIO_WRITE] + rig.dev->counts[BIO_WRITE_ZEROES] +
    rig.dev->counts[BIO_DISCARD];
}

/* Opening. */

Test (thin_metadata, a_blank_device_is_formatted_and_opens_again)
{
  struct thin_meta_usage u;

  rig_format (&rig, 100);
  cr_assert_eq (rig_close (&rig), 0);
  check_image ("formatted");
  cr_assert_eq (rig_open (&rig), 0);
  thin_meta_usage (rig.md, &u);
  cr_assert_eq (u.metadata_blocks, 1024);
  cr_assert_eq (u.data_blocks, 100);
  cr_assert_eq (u.data_free, 100);
  cr_assert_eq (thin_meta_data_block_sectors (rig.md), 128);
}

Test (thin_metadata, formatting_leaves_nothing_of_what_was_there)
{
  memset (rig.dev->data + BM_BLOCK_BYTES, 0x5a,
          rig_bytes (&rig) - BM_BLOCK_BYTES);
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_null (memchr (rig.dev->data + 8 * BM_BLOCK_BYTES, 0x5a,
                          rig_bytes (&rig) - 8 * BM_BLOCK_BYTES));
}

Test (thin_metadata, formatting_can_write_zeroes_itself)
{
  rig.dev->limits.write_zeroes = false;
  memset (rig.dev->data + BM_BLOCK_BYTES, 0x5a,
          rig_bytes (&rig) - BM_BLOCK_BYTES);
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (rig.dev->counts[BIO_WRITE_ZEROES], 0);
  cr_assert_null (memchr (rig.dev->data + 8 * BM_BLOCK_BYTES, 0x5a,
                          rig_bytes (&rig) - 8 * BM_BLOCK_BYTES));
}

Test (thin_metadata, a_blank_device_is_not_formatted_read_only)
{
  rig.params.read_only = true;
  cr_assert_eq (rig_open (&rig), -EPERM);
  cr_assert_eq (nr_writes (), 0);
}

Test (thin_metadata, a_device_without_a_superblock_is_left_alone)
{
  rig.dev->data[4095] = 1;
  cr_assert_eq (rig_open (&rig), -EILSEQ);
  cr_assert_eq (nr_writes (), 0);
}

Test (thin_metadata, a_device_too_small_is_refused)
{
  rig_stop (&rig);
  rig_start (&rig, 4);
  cr_assert_eq (rig_open (&rig), -ENOSPC);
}

Test (thin_metadata, the_block_size_cannot_change)
{
  struct message msg = { "" };

  rig_format (&rig, 100);
  rig_close (&rig);
  rig.params.data_block_sectors = 256;
  cr_assert_eq (thin_meta_open (&rig.params, &rig.md, &msg), -EINVAL);
  cr_assert_str_eq (msg.text, "changing the data block size (from 128 to 256) "
                    "is not supported");
  rig.params.data_block_sectors = 0;
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (thin_meta_data_block_sectors (rig.md), 128);
}

Test (thin_metadata, unknown_features_are_refused)
{
  rig_format (&rig, 100);
  rig_close (&rig);
  super_on_disk ()->incompat_flags = to_le32 (1);
  reseal ();
  cr_assert_eq (rig_open (&rig), -EINVAL);
  rig.fault.bdev.readonly = true;
  cr_assert_eq (rig_open (&rig), -EINVAL);
}

Test (thin_metadata, features_that_may_be_read_are_read_only)
{
  rig_format (&rig, 100);
  rig_close (&rig);
  super_on_disk ()->compat_ro_flags = to_le32 (4);
  reseal ();
  cr_assert_eq (rig_open (&rig), -EINVAL);
  rig.params.read_only = true; /* it could be written all the same */
  cr_assert_eq (rig_open (&rig), -EINVAL);
  rig.fault.bdev.readonly = true;
  cr_assert_eq (rig_open (&rig), 0);
}

Test (thin_metadata, a_newer_version_is_refused)
{
  rig_format (&rig, 100);
  rig_close (&rig);
  super_on_disk ()->version = to_le32 (3);
  reseal ();
  cr_assert_eq (rig_open (&rig), -EINVAL);
}

Test (thin_metadata, opening_and_closing_writes_nothing)
{
  unsigned before;

  rig_format (&rig, 100);
  rig_close (&rig);
  before = nr_writes ();
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig_close (&rig), 0);
  cr_assert_eq (nr_writes (), before);
}

/* Transactions. */

Test (thin_metadata, closing_commits)
{
  struct thin_mapping m;

  rig_format (&rig, 100);
  cr_assert_eq (thin_meta_create_thin (rig.md, 3), 0);
  cr_assert_eq (rig_provision (&rig, 3, 17), 0);
  cr_assert_eq (rig_close (&rig), 0);
  check_image ("closed");
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (rig_find (&rig, 3, 17, &m), 0);
  cr_assert_eq (rig_find (&rig, 3, 18, &m), -ENODATA);
}

Test (thin_metadata, what_was_not_committed_is_gone_after_a_crash)
{
  struct thin_mapping m;

  rig_format (&rig, 100);
  cr_assert_eq (thin_meta_create_thin (rig.md, 3), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig_provision (&rig, 3, 17), 0);
  rig_crash (&rig);
  check_image ("crashed");
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (rig_find (&rig, 3, 17, &m), -ENODATA);
}

Test (thin_metadata, a_commit_flushes_data_before_it_writes_anything)
{
  unsigned before;

  rig_format (&rig, 100);
  cr_assert_eq (thin_meta_create_thin (rig.md, 3), 0);
  rig.nr_data_flushes = 0;
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig.nr_data_flushes, 1);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (rig.nr_data_flushes, 1, "nothing was changed");

  cr_assert_eq (thin_meta_create_thin (rig.md, 4), 0);
  rig.data_flush_result = -EIO;
  before = nr_writes ();
  cr_assert_eq (thin_meta_commit (rig.md), -EIO);
  cr_assert_eq (nr_writes (), before);
  cr_assert (thin_meta_is_broken (rig.md));
  cr_assert_eq (thin_meta_create_thin (rig.md, 5), -EIO);
}

static void *
commit_thread (void *arg)
{
  return (void *) (intptr_t) thin_meta_commit (rig.md);
}

Test (thin_metadata, lookups_go_on_beside_a_commit)
{
  struct thin_device *td;
  struct thin_mapping m;
  struct thin_range run;
  pthread_t thread;
  void *result;

  rig_format (&rig, 100);
  cr_assert_eq (thin_meta_create_thin (rig.md, 3), 0);
  cr_assert_eq (rig_provision (&rig, 3, 17), 0);
  cr_assert_eq (thin_dev_open (rig.md, 3, &td), 0);
  rig.dev->stalled = true;
  cr_assert_eq (pthread_create (&thread, NULL, commit_thread, NULL), 0);
  while (rig.dev->waiting == 0)
    sched_yield ();
  cr_assert_eq (thin_dev_find (td, 17, &m), 0);
  cr_assert_eq (thin_dev_find_range (td, 0, 100, &run), 0);
  cr_assert (thin_dev_changed (td), "it is not on disk yet");
  rig.dev->stalled = false;
  cr_assert_eq (pthread_join (thread, &result), 0);
  cr_assert_null (result);
  cr_assert_not (thin_dev_changed (td));
  thin_dev_close (td);
}

/* The superblock is written only when all before it is flushed, and flushed
 * itself: for every operation.
 */
static void
check_stream (const char *what)
{
  size_t i, unflushed = 0;
  const struct recorded *r;

  cr_assert_gt (rig.fault.log.len, 3, "%s", what);
  for (i = 0; i < rig.fault.log.len; i++) {
    r = &rig.fault.log.ptr[i];
    if (r->data && r->sector == 0)
      cr_assert_eq (unflushed, 0, "%s: superblock too early", what);
    unflushed = r->data ? unflushed + 1 : 0;
  }
  cr_assert_eq (unflushed, 0, "%s: the end is not flushed", what);
  faultdev_reset (&rig.fault);
}

Test (thin_metadata, the_superblock_is_written_last)
{
  rig_format (&rig, 1000);
  rig.fault.record = true;
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (rig_provision (&rig, 1, 5), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  check_stream ("provision");
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  check_stream ("snapshot");
  cr_assert_eq (thin_meta_reserve_snap (rig.md), 0);
  check_stream ("reserve");
  cr_assert_eq (thin_meta_delete (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  check_stream ("delete");
  cr_assert_eq (thin_meta_release_snap (rig.md), 0);
  check_stream ("release");
  cr_assert_eq (thin_meta_resize_data (rig.md, 40000), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  check_stream ("resize");
  check_image ("all");
}

/* All there is in memory. */
struct state {
  uint32_t time;
  uint64_t trans_id, mapped;
  block_t held_root, highest;
  bool needs_check;
  struct thin_meta_usage usage;
};

static void
read_state (struct thin_device *td, struct state *s)
{
  memset (s, 0, sizeof *s);
  s->time = thin_meta_time (rig.md);
  s->trans_id = thin_meta_transaction_id (rig.md);
  s->held_root = thin_meta_held_root (rig.md);
  s->needs_check = thin_meta_needs_check (rig.md);
  thin_meta_usage (rig.md, &s->usage);
  s->mapped = thin_dev_mapped_blocks (td);
  cr_assert_eq (thin_dev_highest_mapped (td, &s->highest), 0);
}

Test (thin_metadata, an_abort_brings_all_values_back_from_disk)
{
  struct state before, changed, after;
  struct thin_device *td;
  struct thin_mapping m;

  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (rig_provision (&rig, 1, 5), 0);
  cr_assert_eq (thin_meta_set_transaction_id (rig.md, 0, 7), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  read_state (td, &before);

  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  cr_assert_eq (rig_provision (&rig, 1, 9), 0);
  cr_assert_eq (thin_meta_set_transaction_id (rig.md, 7, 8), 0);
  cr_assert_eq (thin_meta_resize_data (rig.md, 2000), 0);
  cr_assert (thin_dev_changed (td));
  read_state (td, &changed);
  cr_assert_neq (memcmp (&before, &changed, sizeof before), 0);
  cr_assert_not (thin_dev_aborted_with_changes (td));

  cr_assert_eq (rig_abort (&rig), 0);
  read_state (td, &after);
  cr_assert_eq (memcmp (&before, &after, sizeof before), 0);
  cr_assert (thin_dev_aborted_with_changes (td));
  cr_assert_not (thin_dev_changed (td));
  cr_assert_not (thin_meta_changed (rig.md));
  cr_assert_eq (thin_dev_find (td, 5, &m), 0);
  cr_assert_not (m.shared);
  cr_assert_eq (thin_dev_find (td, 9, &m), -ENODATA);
  thin_dev_close (td);
  cr_assert_eq (thin_dev_open (rig.md, 2, &td), -ENODATA);
}

Test (thin_metadata, a_device_made_in_an_aborted_transaction_is_gone)
{
  struct thin_device *td, *again;
  struct thin_mapping m;

  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (rig_abort (&rig), 0);
  cr_assert_eq (thin_dev_find (td, 0, &m), -ENODATA);
  cr_assert_eq (thin_dev_insert (td, 0, 0), -ENODATA);
  cr_assert_eq (thin_dev_remove_range (td, 0, 10), -ENODATA);

  /* Its number is free again, and the new one is another device. */
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (rig_provision (&rig, 1, 0), 0);
  cr_assert_eq (thin_dev_find (td, 0, &m), -ENODATA);
  cr_assert_eq (thin_dev_open (rig.md, 1, &again), 0);
  cr_assert_neq (td, again);
  thin_dev_close (td);
  thin_dev_close (again);
}

/* Or it would map a block that is free again. */
Test (thin_metadata, who_was_in_the_middle_of_something_is_stopped_by_an_abort)
{
  struct thin_device *td;
  block_t data;

  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &data), 0);
  cr_assert_eq (thin_meta_abort (rig.md), 0);
  cr_assert_eq (thin_dev_insert (td, 0, data), -EPERM);
  cr_assert (thin_meta_is_read_only (rig.md));
  cr_assert_eq (thin_meta_set_needs_check (rig.md), 0);
  cr_assert_eq (thin_meta_set_read_only (rig.md, false), 0);
  cr_assert_eq (thin_dev_insert (td, 0, data), 0);
  thin_dev_close (td);
}

Test (thin_metadata, an_abort_that_cannot_read_is_the_end)
{
  struct thin_mapping m;

  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  faultdev_arm (&rig.fault, 1 << BIO_READ, 1, false);
  cr_assert_eq (thin_meta_abort (rig.md), -EIO);
  cr_assert_eq (rig_find (&rig, 1, 0, &m), -EINVAL);
  cr_assert_eq (thin_meta_create_thin (rig.md, 2), -EINVAL);
  cr_assert_eq (thin_meta_commit (rig.md), -EINVAL);
  cr_assert_eq (thin_meta_abort (rig.md), -EINVAL);
  cr_assert_eq (rig_close (&rig), 0);
}

/* Flags and numbers. */

Test (thin_metadata, needs_check_is_on_disk_at_once_and_alone)
{
  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_set_needs_check (rig.md), 0);
  cr_assert (thin_meta_needs_check (rig.md));
  rig_crash (&rig);
  cr_assert_eq (from_le32 (super_on_disk ()->flags), 1);
  check_image ("flag");
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert (thin_meta_needs_check (rig.md));
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0, "it was committed");
}

Test (thin_metadata, needs_check_survives_a_commit)
{
  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_set_needs_check (rig.md), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (from_le32 (super_on_disk ()->flags), 1);
}

Test (thin_metadata, the_transaction_id_must_be_known_to_be_changed)
{
  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_set_transaction_id (rig.md, 1, 2), -EINVAL);
  cr_assert_eq (thin_meta_set_transaction_id (rig.md, 0, UINT64_MAX), 0);
  cr_assert_eq (rig_close (&rig), 0);
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (thin_meta_transaction_id (rig.md), UINT64_MAX);
}

Test (thin_metadata, nothing_is_changed_while_read_only)
{
  struct thin_device *td;
  unsigned before;
  block_t b;

  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  cr_assert_eq (thin_dev_open (rig.md, 1, &td), 0);
  before = nr_writes ();
  cr_assert_eq (thin_meta_set_read_only (rig.md, true), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 2), -EPERM);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), -EPERM);
  cr_assert_eq (thin_meta_delete (rig.md, 9), -EPERM);
  cr_assert_eq (thin_dev_insert (td, 0, 0), -EPERM);
  cr_assert_eq (thin_dev_remove_range (td, 0, 1), -EPERM);
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &b), -EPERM);
  cr_assert_eq (thin_meta_inc_data (rig.md, 0, 1), -EPERM);
  cr_assert_eq (thin_meta_dec_data (rig.md, 0, 1), -EPERM);
  cr_assert_eq (thin_meta_resize_data (rig.md, 2000), -EPERM);
  cr_assert_eq (thin_meta_resize_metadata (rig.md, 2000), -EPERM);
  cr_assert_eq (thin_meta_set_transaction_id (rig.md, 0, 1), -EPERM);
  cr_assert_eq (thin_meta_reserve_snap (rig.md), -EPERM);
  cr_assert_eq (thin_meta_release_snap (rig.md), -EPERM);
  cr_assert_eq (thin_meta_set_needs_check (rig.md), -EPERM);
  cr_assert_eq (thin_meta_commit (rig.md), -EPERM);
  cr_assert_not (thin_meta_is_broken (rig.md));
  thin_dev_close (td);
  cr_assert_eq (nr_writes (), before);
  cr_assert_eq (thin_meta_set_read_only (rig.md, false), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 2), 0);
}

Test (thin_metadata, a_device_that_cannot_be_written_stays_read_only)
{
  rig_format (&rig, 1000);
  cr_assert_eq (thin_meta_set_needs_check (rig.md), 0);
  rig_close (&rig);
  rig.fault.bdev.readonly = true;
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert (thin_meta_needs_check (rig.md));
  cr_assert (thin_meta_is_read_only (rig.md));
  cr_assert_eq (thin_meta_set_read_only (rig.md, false), -EPERM);
  cr_assert_eq (thin_meta_create_thin (rig.md, 2), -EPERM);
}
