/* SPDX-License-Identifier: BSD-3-Clause */
/* The thin-pool target: its lines, status, resume. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/pool-rig.h"

TestSuite (pool_target, .init = pool_rig_start, .fini = pool_rig_stop);

#define FRESH \
  "0 111/1024 0/64 - rw discard_passdown queue_if_no_space - 256 "

static void
expect_table (const char *text)
{
  CLEANUP_FREE char *table = pool_rig_text ("pool", DM_STATUS_TABLE_FLAG);

  cr_expect_str_eq (table, text, "'%s'", table);
}

Test (pool_target, bad_lines)
{
  static const struct {
    const char *params;
    int error;
    const char *text;
  } lines[] = {
    { "m2 m1 128", EINVAL, "Invalid argument count" },
    { "m2 m2 128 0", EINVAL, "Error setting metadata or data device" },
    { "m2 m1 128 0 5 a b c d e", EINVAL,
      "Invalid number of pool feature arguments" },
    { "m2 m1 128 0 2 read_only", EINVAL,
      "Invalid number of pool feature arguments" },
    { "m2 m1 128 0 x", EINVAL, "Invalid number of pool feature arguments" },
    { "m2 m1 128 0 1 bogus", EINVAL, "Unrecognised pool feature requested" },
    { "nosuch m1 128 0", ENODEV, "Error opening metadata block device" },
    { "m2 nosuch 128 0", ENODEV, "Error getting data device" },
    { "m2 m1 64 0", EINVAL, "Invalid block size" },
    { "m2 m1 129 0", EINVAL, "Invalid block size" },
    { "m2 m1 0 0", EINVAL, "Invalid block size" },
    { "m2 m1 4194304 0", EINVAL, "Invalid block size" },
    { "m2 m1 x 0", EINVAL, "Invalid block size" },
    { "m2 m1 128 x", EINVAL, "Invalid low water mark" },
    { "m2 m1 128 -1", EINVAL, "Invalid low water mark" },
    { "m2 m1 128 0 1 read_only", EPERM, "Error creating metadata object" },
    { "m2 m1 128 0 1 metadata_snap", EINVAL, "metadata_snap is for pools that "
      "are read_only" },
    { "m2 m1 128 0 2 metadata_snap error_if_no_space", EINVAL,
      "metadata_snap is for pools that are read_only" },
    { "m2 m1 128 0 2 metadata_snap read_only", EPERM,
      "Error creating metadata object" },
  };
  char line[120];
  size_t i;

  for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    snprintf (line, sizeof line, "0 8192 thin-pool %s", lines[i].params);
    cr_expect_eq (pool_rig_create ("px", line), -lines[i].error, "%s", line);
    cr_expect (strstr (pool_rig.msg.text, lines[i].text), "%s: %s", line,
               pool_rig.msg.text);
  }
}

Test (pool_target, damaged_metadata_are_refused)
{
  pool_rig.mem[1]->data[100] = 1;
  cr_expect_eq (pool_rig_create ("px", "0 8192 thin-pool m2 m1 128 0"),
                -EILSEQ);
  cr_expect (strstr (pool_rig.msg.text, "Error creating metadata object"));
}

Test (pool_target, another_block_size_is_refused)
{
  pool_rig_pool (1024, 64, 0, "");
  pool_rig_remove ("pool");
  cr_expect_eq (pool_rig_create ("px", "0 8192 thin-pool m2 m1 256 0"),
                -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "Error creating metadata object"));
}

Test (pool_target, features_are_in_table_and_status)
{
  pool_rig_pool (1024, 64, 16, "4 skip_block_zeroing no_discard_passdown "
                 "ERROR_IF_NO_SPACE ignore_discard");
  expect_table ("m2 m1 128 16 4 skip_block_zeroing ignore_discard "
                "no_discard_passdown error_if_no_space ");
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw ignore_discard "
                   "error_if_no_space - 256 ");
  cr_expect_eq (pool_rig_reload (1024, 64, 16, ""), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "Discard support cannot be disabled "
                     "once enabled"));
}

/* Words after the features are ignored (Linux 6.1). */
Test (pool_target, plain_line)
{
  pool_rig_pool (1024, 64, 16, "0 foo");
  expect_table ("m2 m1 128 16 0 ");
  pool_rig_expect ("pool", FRESH);
  cr_expect_eq (pool_rig_reload (1024, 64, 16, "1 no_discard_passdown"), 0);
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw no_discard_passdown "
                   "queue_if_no_space - 256 ");
}

/* The table shows what was asked for, the status what there is. */
Test (pool_target, passdown_needs_a_data_device_that_discards)
{
  pool_rig.mem[0]->limits.discard = false;
  pool_rig_pool (1024, 64, 16, "");
  expect_table ("m2 m1 128 16 0 ");
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw no_discard_passdown "
                   "queue_if_no_space - 256 ");
}

Test (pool_target, one_pool_per_device)
{
  pool_rig_pool (1024, 64, 0, "");
  cr_expect_eq (pool_rig_create ("px", "0 8192 thin-pool m2 m3 128 0"),
                -EBUSY);
  cr_expect (strstr (pool_rig.msg.text,
                     "metadata device already in use by a pool"));
  cr_expect_eq (dmtest_load (&pool_rig, "pool",
                             "0 8192 thin-pool m2 m3 128 0", 0), -EBUSY);
  cr_expect (strstr (pool_rig.msg.text,
                     "data device already in use by a pool"));
  cr_expect_eq (dmtest_load (&pool_rig, "pool",
                             "0 8192 thin-pool m4 m1 128 0", 0), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text,
                     "different pool cannot replace a pool"));
}

Test (pool_target, only_its_own_type_replaces_it)
{
  pool_rig_pool (1024, 64, 0, "");
  cr_expect_eq (dmtest_load (&pool_rig, "pool", "0 8 linear m3 0", 0),
                -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "immutable"));
}

/* Its metadata are opened once, whatever tables come and go. */
Test (pool_target, a_reload_keeps_the_pool)
{
  unsigned reads;

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("set_transaction_id 0 7");
  reads = pool_rig.mem[1]->counts[BIO_READ];
  cr_expect_eq (pool_rig_reload (1024, 64, 0, ""), 0);
  cr_expect_eq (pool_rig.mem[1]->counts[BIO_READ], reads);
  pool_rig_expect ("pool", "7 111/1024 0/64 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
}

Test (pool_target, what_was_there_is_there_again)
{
  struct mapped_device *md;

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("create_thin 5");
  md = pool_rig_thin ("t", 5, 32);
  cr_expect_eq (pool_rig_write (md, 300, 10, 'x'), 0);
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  pool_rig_pool (1024, 64, 0, "");
  md = pool_rig_thin ("t", 5, 32);
  pool_rig_check (md, 300, 10, 'x');
  pool_rig_check (md, 290, 10, 0);
  pool_rig_expect ("t", "128 383");
  pool_rig_close (md, "t");
}

/* Linux 6.1: nothing but what was asked for is written. */
Test (pool_target, open_and_close_writes_nothing)
{
  unsigned writes;

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_remove ("pool");
  writes = pool_rig.mem[1]->counts[BIO_WRITE];
  pool_rig_pool (1024, 64, 0, "");
  pool_rig_remove ("pool");
  cr_expect_eq (pool_rig.mem[1]->counts[BIO_WRITE], writes);
}

Test (pool_target, a_read_only_pool_writes_nothing)
{
  struct mapped_device *md;
  unsigned writes[2], i;
  char data[SECTOR_SIZE] = "";

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (pool_rig_write (md, 0, 8, 'x'), 0);
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  for (i = 0; i < 2; i++) {
    writes[i] = pool_rig.mem[i]->counts[BIO_WRITE];
    pool_rig.mem[i]->bdev.readonly = true;
  }

  pool_rig_pool (1024, 128, 0, "1 read_only");
  expect_table ("m2 m1 128 0 1 read_only ");
  md = pool_rig_thin ("t", 0, 32);
  pool_rig_check (md, 0, 8, 'x');
  pool_rig_check (md, 8, 200, 0);
  cr_expect_eq (dmtest_io (md, BIO_WRITE, 128, 1, data), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 128, NULL), 0);
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), 0);
  pool_rig_check (md, 0, 8, 'x');
  cr_expect_eq (pool_rig_message ("create_thin 3"), -EOPNOTSUPP);
  pool_rig_expect ("pool", "0 112/1024 1/64 - ro discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  for (i = 0; i < 2; i++)
    cr_expect_eq (pool_rig.mem[i]->counts[BIO_WRITE], writes[i]);
}

/* Thin 0 has blocks of 'a', 'b', 'c', thin 1 one of 'd'; then that is deleted,
 * and in thin 0 one is discarded, the second written over, a fourth added.
 */
static void
make_metadata_snapshot (void)
{
  struct mapped_device *md;
  unsigned i;

  pool_rig_pool (1024, 8, 0, "");
  pool_rig_send ("create_thin 1");
  md = pool_rig_thin ("t1", 1, 32);
  cr_assert_eq (pool_rig_write (md, 0, 128, 'd'), 0);
  pool_rig_close (md, "t1");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 32);
  for (i = 0; i < 3; i++)
    cr_assert_eq (pool_rig_write (md, i * 128, 128, 'a' + i), 0);
  pool_rig_send ("set_transaction_id 0 7");
  pool_rig_send ("reserve_metadata_snap");
  pool_rig_send ("set_transaction_id 7 8");
  pool_rig_send ("delete 1");
  cr_assert_eq (dmtest_io (md, BIO_DISCARD, 0, 128, NULL), 0);
  cr_assert_eq (pool_rig_write (md, 128, 128, 'B'), 0);
  cr_assert_eq (pool_rig_write (md, 384, 128, 'e'), 0);
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
}

/* No block that it maps has become another's; but one that was written over in
 * its place shows what is there now.
 */
Test (pool_target, the_thins_of_a_metadata_snapshot_can_be_read)
{
  struct mapped_device *md;
  unsigned writes[2], i;

  make_metadata_snapshot ();
  for (i = 0; i < 2; i++)
    writes[i] = pool_rig.mem[i]->counts[BIO_WRITE];
  pool_rig_pool (1024, 8, 0, "2 metadata_snap read_only");
  expect_table ("m2 m1 128 0 2 read_only metadata_snap ");
  pool_rig_expect ("pool", "7 117/1024 5/8 33 ro discard_passdown "
                   "queue_if_no_space - 256 ");
  md = pool_rig_thin ("t1", 1, 32);
  pool_rig_check (md, 0, 128, 'd');
  pool_rig_close (md, "t1");
  md = pool_rig_thin ("t", 0, 32);
  pool_rig_expect ("t", "384 383");
  pool_rig_check (md, 0, 128, 'a');
  pool_rig_check (md, 128, 128, 'B');
  pool_rig_check (md, 256, 128, 'c');
  pool_rig_check (md, 384, 128, 0);
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  for (i = 0; i < 2; i++)
    cr_expect_eq (pool_rig.mem[i]->counts[BIO_WRITE], writes[i]);
}

/* Not even where a read-only pool would let a thin write to what is its own. */
Test (pool_target, nothing_writes_to_a_metadata_snapshot)
{
  struct mapped_device *md;
  char data[SECTOR_SIZE] = "";

  make_metadata_snapshot ();
  pool_rig_pool (1024, 8, 0, "2 read_only metadata_snap");
  md = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (dmtest_io (md, BIO_WRITE, 256, 1, data), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_WRITE_ZEROES, 256, 1, NULL), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_WRITE, 600, 1, data), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 256, 128, NULL), 0);
  pool_rig_check (md, 256, 128, 'c');
  cr_expect_eq (pool_rig_message ("release_metadata_snap"), -EOPNOTSUPP);
  pool_rig_close (md, "t");
}

Test (pool_target, a_metadata_snapshot_is_another_pool)
{
  make_metadata_snapshot ();
  pool_rig_pool (1024, 8, 0, "2 read_only metadata_snap");
  cr_expect_eq (pool_rig_reload (1024, 8, 0, "1 read_only"), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text,
                     "different pool cannot replace a pool"), "%s",
             pool_rig.msg.text);
  cr_expect_eq (pool_rig_reload (1024, 8, 0, "2 read_only metadata_snap"), 0);
  pool_rig_remove ("pool");
  pool_rig_pool (1024, 8, 0, "1 read_only");
  cr_expect_eq (pool_rig_reload (1024, 8, 0, "2 read_only metadata_snap"),
                -EINVAL);
  cr_expect_eq (pool_rig_reload (1024, 8, 0, ""), 0);
  pool_rig_send ("release_metadata_snap");
  pool_rig_remove ("pool");
  cr_expect_eq (pool_rig_create ("px", "0 1024 thin-pool m2 m1 128 0 2 "
                                 "read_only metadata_snap"), -ENODATA);
  cr_expect (strstr (pool_rig.msg.text, "it has no metadata snapshot"), "%s",
             pool_rig.msg.text);
}

/* A reload without the feature makes it writable again. */
Test (pool_target, read_only_is_left_by_a_reload)
{
  pool_rig_pool (1024, 64, 0, "");
  cr_expect_eq (pool_rig_reload (1024, 64, 0, "1 read_only"), 0);
  pool_rig_expect ("pool", "0 111/1024 0/64 - ro discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_suspend ("pool", 0);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  cr_expect_eq (pool_rig_message ("create_thin 0"), -EOPNOTSUPP);
  cr_expect_eq (pool_rig_reload (1024, 64, 0, ""), 0);
  pool_rig_expect ("pool", FRESH);
  pool_rig_send ("create_thin 0");
}

Test (pool_target, data_grow_with_the_table)
{
  pool_rig_pool (1024, 64, 0, "");
  cr_expect_eq (pool_rig_reload (1024, 100, 0, ""), 0);
  pool_rig_expect ("pool", "0 111/1024 0/100 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  cr_expect_eq (pool_rig_reload (1024, 99, 0, ""), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "(99 blocks) too small: expected 100"),
             "%s", pool_rig.msg.text);
  cr_expect_eq (pool_rig_reload (1024, 100, 0, ""), 0);
}

Test (pool_target, metadata_grow_with_their_device)
{
  pool_rig_pool (256, 64, 0, "");
  pool_rig_expect ("pool", "0 34/256 0/64 - rw discard_passdown "
                   "queue_if_no_space - 64 ");
  pool_rig_suspend ("pool", 0);
  pool_rig.mem[1]->bdev.size = 1024 * 8;
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_suspend ("pool", 0);
  pool_rig.mem[1]->bdev.size = 512 * 8;
  cr_expect_eq (pool_rig_resume ("pool"), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "too small: expected 1024"), "%s",
             pool_rig.msg.text);
  pool_rig.mem[1]->bdev.size = 1024 * 8;
  cr_expect_eq (pool_rig_resume ("pool"), 0);
}

/* What is done to the pool device itself is done to the data device. */
Test (pool_target, its_sectors_are_those_of_the_data_device)
{
  struct mapped_device *md;

  pool_rig_pool (1024, 64, 0, "");
  md = pool_rig_open ("pool");
  cr_expect_eq (pool_rig_write (md, 77, 2, 'p'), 0);
  cr_expect_eq (pool_rig.mem[0]->data[77 * SECTOR_SIZE], 'p');
  pool_rig_check (md, 77, 2, 'p');
}

/* Two pools at once, the one on a thin of the other. */
Test (pool_target, a_pool_on_a_thin)
{
  struct mapped_device *below, *above;
  CLEANUP_FREE char *reply = NULL;
  char words[] = "create_thin 7";

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("create_thin 0");
  below = pool_rig_thin ("t", 0, 32);
  cr_assert_eq (pool_rig_create ("pool2", "0 4096 thin-pool m3 t 128 0"), 0);
  cr_assert_eq (dm_device_message (pool_rig.reg, DM_REF_NAME ("pool2"), 0,
                                   words, &reply, NULL, &pool_rig.msg), 0);
  cr_assert_eq (pool_rig_create ("u", "0 4096 thin pool2 7"), 0);
  above = pool_rig_open ("u");
  cr_expect_eq (pool_rig_write (above, 1000, 300, 'u'), 0);
  cr_expect_eq (dmtest_io (above, BIO_FLUSH, 0, 0, NULL), 0);
  pool_rig_check (above, 1000, 300, 'u');
  pool_rig_expect ("u", "512 1407");
  pool_rig_expect ("t", "512 511");
  cr_expect_eq (dmtest_io (above, BIO_DISCARD, 0, 4096, NULL), 0);
  pool_rig_expect ("t", "0 -");
  pool_rig_close (above, "u");
  pool_rig_remove ("pool2");
  pool_rig_close (below, "t");
}

/* It may be open by thins all the same, which then fail. */
Test (pool_target, an_error_table_takes_its_place)
{
  struct mapped_device *md;
  char data[SECTOR_SIZE];

  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (pool_rig_write (md, 0, 8, 'x'), 0);
  cr_assert_eq (dmtest_swap (&pool_rig, "pool", "0 8192 error", 0), 0);
  cr_expect_eq (dmtest_io (md, BIO_READ, 0, 1, data), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), -EIO);
  pool_rig_expect ("t", "Fail");
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");

  pool_rig_pool (1024, 64, 0, "");
  md = pool_rig_thin ("t", 0, 32);
  pool_rig_check (md, 0, 8, 'x');
  pool_rig_close (md, "t");
}
