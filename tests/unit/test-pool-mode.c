/* SPDX-License-Identifier: BSD-3-Clause */
/* The modes of a pool, how it gets into them and out again. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/pool-rig.h"

TestSuite (pool_mode, .init = pool_rig_start, .fini = pool_rig_stop);

static struct mapped_device *md;

/* A pool of so many data blocks, and a thin of 32 of which the first are
 * written.
 */
static void
fill (unsigned data_blocks, unsigned low_water, const char *features,
      unsigned written)
{
  pool_rig_pool (1024, data_blocks, low_water, features);
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 32);
  if (written > 0)
    cr_assert_eq (pool_rig_write (md, 0, written * POOL_BLOCK, 'a'), 0);
}

static void
expect_mode (const char *mode, const char *space, const char *check)
{
  CLEANUP_FREE char *text = pool_rig_text ("pool", 0);
  char words[3][24];

  cr_assert_eq (sscanf (text, "%*s %*s %*s %*s %23s %*s %23s %23s", words[0],
                        words[1], words[2]), 3, "%s", text);
  cr_expect_str_eq (words[0], mode, "%s", text);
  cr_expect_str_eq (words[1], space, "%s", text);
  cr_expect_str_eq (words[2], check, "%s", text);
}

static int
write_block (unsigned block)
{
  return pool_rig_write (md, block * POOL_BLOCK, POOL_BLOCK, 'n');
}

/* As recorded: mark 4, the event comes with the allocation of the block that
 * is taken while 4 are free.
 */
Test (pool_mode, low_water_is_an_event)
{
  uint32_t events;

  fill (16, 4, "", 0);
  events = pool_rig_events ("pool");
  cr_expect_eq (pool_rig_write (md, 0, 12 * POOL_BLOCK, 'a'), 0);
  cr_expect_eq (pool_rig_events ("pool"), events);
  cr_expect_eq (write_block (12), 0);
  cr_expect_eq (pool_rig_events ("pool"), events + 1);
  cr_expect_eq (write_block (13), 0);
  cr_expect_eq (pool_rig_events ("pool"), events + 1);
  pool_rig_suspend ("pool", 0);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  cr_expect_eq (pool_rig_events ("pool"), events + 1);
  cr_expect_eq (write_block (14), 0);
  cr_expect_eq (pool_rig_events ("pool"), events + 2);
}

Test (pool_mode, low_metadata_are_an_event)
{
  uint32_t events;
  char words[24];
  unsigned i;

  pool_rig_pool (64, 64, 0, "");
  events = pool_rig_events ("pool");
  for (i = 0; i < 50 && pool_rig_events ("pool") == events; i++) {
    snprintf (words, sizeof words, "create_thin %u", i);
    pool_rig_send (words);
  }
  cr_expect_eq (pool_rig_events ("pool"), events + 1);
  pool_rig_expect ("pool", "0 50/64 0/64 - rw discard_passdown "
                   "queue_if_no_space - 16 ");
}

Test (pool_mode, a_full_pool_can_say_so)
{
  uint32_t events;
  char data[SECTOR_SIZE];

  fill (16, 0, "1 error_if_no_space", 16);
  events = pool_rig_events ("pool");
  cr_expect_eq (write_block (20), -ENOSPC);
  cr_expect_geq (pool_rig_events ("pool"), events + 1);
  expect_mode ("out_of_data_space", "error_if_no_space", "-");
  cr_expect_eq (write_block (3), 0, "an overwrite needs no room");
  cr_expect_eq (dmtest_io (md, BIO_READ, 20 * POOL_BLOCK, 1, data), 0);
  pool_rig_send ("create_thin 1");
  pool_rig_send ("delete 1");
  expect_mode ("out_of_data_space", "error_if_no_space", "-");
}

/* The commit of the status finds what a discard has freed. */
Test (pool_mode, a_discard_makes_room)
{
  fill (16, 0, "1 error_if_no_space", 16);
  cr_expect_eq (write_block (20), -ENOSPC);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  expect_mode ("rw", "error_if_no_space", "-");
  cr_expect_eq (write_block (20), 0);
  pool_rig_check (md, 20 * POOL_BLOCK, POOL_BLOCK, 'n');
}

/* So does the end of a thin. */
Test (pool_mode, a_deleted_thin_makes_room)
{
  fill (16, 0, "1 error_if_no_space", 10);
  pool_rig_close (md, "t");
  pool_rig_send ("create_thin 1");
  md = pool_rig_thin ("t1", 1, 32);
  cr_expect_eq (pool_rig_write (md, 0, 7 * POOL_BLOCK, 'b'), -ENOSPC);
  expect_mode ("out_of_data_space", "error_if_no_space", "-");
  pool_rig_send ("delete 0");
  expect_mode ("rw", "error_if_no_space", "-");
  cr_expect_eq (write_block (6), 0);
  pool_rig_check (md, 0, 6 * POOL_BLOCK, 'b');
}

/* What was freed since the last commit can be had after another. */
Test (pool_mode, freed_blocks_are_found_by_a_commit)
{
  fill (16, 0, "1 error_if_no_space", 16);
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  cr_expect_eq (write_block (20), 0);
  expect_mode ("rw", "error_if_no_space", "-");
}

Test (pool_mode, a_queued_write_gets_the_room_of_a_reload)
{
  struct pool_io io;

  fill (16, 0, "", 16);
  pool_rig_start_io (&io, md, BIO_WRITE, 20 * POOL_BLOCK, 8, 'q');
  usleep (50000);
  cr_expect_not (io.done);
  expect_mode ("out_of_data_space", "queue_if_no_space", "-");
  cr_expect_eq (write_block (3), 0);
  cr_expect_eq (pool_rig_reload (1024, 32, 0, ""), 0);
  cr_expect_eq (pool_rig_join (&io), 0);
  expect_mode ("rw", "queue_if_no_space", "-");
  pool_rig_check (md, 20 * POOL_BLOCK, 8, 'q');
  pool_rig_check (md, 20 * POOL_BLOCK + 8, 8, 0);
}

Test (pool_mode, a_queued_write_fails_in_time)
{
  struct pool_io io;
  uint32_t events;

  cr_assert_eq (setenv ("NBDM_NO_SPACE_TIMEOUT", "1", 1), 0);
  fill (16, 0, "", 16);
  pool_rig_start_io (&io, md, BIO_WRITE, 20 * POOL_BLOCK, 8, 'q');
  usleep (100000);
  cr_expect_not (io.done);
  events = pool_rig_events ("pool");
  cr_expect_eq (pool_rig_join (&io), -ENOSPC);
  cr_expect_eq (pool_rig_events ("pool"), events + 1);
  expect_mode ("out_of_data_space", "error_if_no_space", "-");
  cr_expect_eq (write_block (21), -ENOSPC, "new ones fail at once");
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  expect_mode ("rw", "queue_if_no_space", "-");
}

/* 0: never. */
Test (pool_mode, a_queued_write_can_wait_for_ever)
{
  struct pool_io io;

  cr_assert_eq (setenv ("NBDM_NO_SPACE_TIMEOUT", "0", 1), 0);
  fill (16, 0, "", 16);
  pool_rig_start_io (&io, md, BIO_WRITE, 20 * POOL_BLOCK, 8, 'q');
  usleep (1200000);
  cr_expect_not (io.done);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  cr_expect_eq (pool_rig_join (&io), 0, "the commit of the ticker");
}

Test (pool_mode, a_noflush_suspend_takes_the_queue_along)
{
  struct pool_io io;

  fill (16, 0, "", 16);
  pool_rig_start_io (&io, md, BIO_WRITE, 20 * POOL_BLOCK, 8, 'q');
  usleep (50000);
  pool_rig_suspend ("t", DM_NOFLUSH_FLAG);
  cr_expect_eq (pool_rig_reload (1024, 32, 0, ""), 0);
  usleep (50000);
  cr_expect_not (io.done);
  cr_expect_eq (pool_rig_resume ("t"), 0);
  cr_expect_eq (pool_rig_join (&io), 0);
  pool_rig_check (md, 20 * POOL_BLOCK, 8, 'q');
}

/* Metadata blocks run out, but for the reserve. */
static void
run_out_of_metadata (void)
{
  char words[24];
  unsigned i;

  pool_rig_pool (100, 64, 0, "");
  pool_rig_send ("create_thin 1000");
  md = pool_rig_thin ("t", 1000, 32);
  cr_assert_eq (write_block (0), 0);
  for (i = 0; i < 200; i++) {
    snprintf (words, sizeof words, "create_thin %u", i);
    if (pool_rig_message (words) < 0)
      break;
  }
  cr_assert_lt (i, 200);
}

Test (pool_mode, out_of_metadata)
{
  char data[SECTOR_SIZE];

  run_out_of_metadata ();
  expect_mode ("ro", "queue_if_no_space", "-");
  cr_expect_eq (pool_rig_message ("delete 3"), -EOPNOTSUPP);
  cr_expect_eq (pool_rig_message ("bogus"), -EOPNOTSUPP);
  cr_expect_eq (write_block (0), 0);
  cr_expect_eq (write_block (1), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_READ, POOL_BLOCK, 1, data), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  pool_rig_check (md, 0, POOL_BLOCK, 'n');
  cr_expect_leq (pool_rig_thin_check (), 0);

  pool_rig_suspend ("pool", 0);
  pool_rig.mem[1]->bdev.size = 1024 * 8;
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  expect_mode ("rw", "queue_if_no_space", "-");
  cr_expect_eq (write_block (1), 0);
}

/* The first write to each snapshot takes a metadata block.  Before what is
 * reserved for commits is touched there is one, so nothing has to be dropped.
 */
Test (pool_mode, metadata_run_out_between_commits)
{
  char words[24];
  unsigned i, last;
  int r = 0;

  pool_rig_pool (100, 256, 0, "");
  pool_rig_send ("create_thin 0");
  for (i = 1; i <= 90; i++) {
    snprintf (words, sizeof words, "create_snap %u 0", i);
    pool_rig_send (words);
  }
  for (last = 0; r == 0 && last < 90; ) {
    md = pool_rig_thin ("s", ++last, 32);
    r = write_block (0);
    pool_rig_close (md, "s");
  }
  cr_expect_eq (r, -EIO);
  expect_mode ("ro", "queue_if_no_space", "-");
  cr_expect_gt (last, 50);
  for (i = 1; i < last; i++) {
    md = pool_rig_thin ("s", i, 32);
    pool_rig_check (md, 0, POOL_BLOCK, 'n');
    pool_rig_close (md, "s");
  }
  cr_expect_leq (pool_rig_thin_check (), 0);
}

static void
fail_a_commit (struct memdev *where)
{
  fill (64, 0, "", 2);
  cr_assert_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (write_block (2), 0);
  where->fail_flush = true;
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), -EIO);
}

/* The last transaction is what there is then. */
Test (pool_mode, a_failed_commit_makes_it_read_only)
{
  fail_a_commit (pool_rig.mem[0]);
  pool_rig.mem[0]->fail_flush = false;
  expect_mode ("ro", "queue_if_no_space", "needs_check");
  pool_rig_check (md, 0, 2 * POOL_BLOCK, 'a');
  pool_rig_check (md, 2 * POOL_BLOCK, POOL_BLOCK, 0);
  cr_expect_eq (write_block (3), -EIO);
  cr_expect_eq (write_block (1), 0);
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), -EIO,
                "changes of it were lost");
  cr_expect_eq (pool_rig_message ("create_thin 1"), -EOPNOTSUPP);
}

/* It is whole: nobody has to repair what the end of the server cut off. */
Test (pool_mode, a_commit_that_the_end_of_the_server_cut_off_needs_no_check)
{
  pool_rig.mem[1]->bad_errno = ESHUTDOWN;
  fail_a_commit (pool_rig.mem[1]);
  pool_rig.mem[1]->fail_flush = false;
  expect_mode ("ro", "queue_if_no_space", "-");
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  cr_expect_leq (pool_rig_thin_check (), 0);
  pool_rig_pool (1024, 64, 0, "");
  expect_mode ("rw", "queue_if_no_space", "-");
}

/* needs_check outlives the pool, and no growth or reload makes it writable;
 * where it could not be written at first it is in the end.
 */
static void
check_needs_check (struct memdev *where)
{
  fail_a_commit (where);
  expect_mode ("ro", "queue_if_no_space", "needs_check");
  where->fail_flush = false;
  cr_expect_eq (pool_rig_reload (1024, 64, 0, ""), 0);
  expect_mode ("ro", "queue_if_no_space", "needs_check");
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  pool_rig_pool (1024, 64, 0, "");
  expect_mode ("ro", "queue_if_no_space", "needs_check");
  cr_expect_eq (pool_rig_reload (2048, 128, 0, ""), 0);
  pool_rig_expect ("pool", "0 112/1024 2/64 - ro discard_passdown "
                   "queue_if_no_space needs_check 512 ");
  cr_expect_eq (pool_rig_message ("create_thin 1"), -EOPNOTSUPP);
}

Test (pool_mode, a_pool_whose_data_failed_stays_read_only)
{
  check_needs_check (pool_rig.mem[0]);
}

Test (pool_mode, a_pool_whose_metadata_failed_stays_read_only)
{
  check_needs_check (pool_rig.mem[1]);
}

/* Nothing of it could be written before the end. */
Test (pool_mode, needs_check_is_written_in_the_end)
{
  struct memdev *metadata = pool_rig.mem[1];

  fill (64, 0, "", 2);
  metadata->fail_write = true;
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), -EIO);
  expect_mode ("ro", "queue_if_no_space", "needs_check");
  cr_expect_eq (metadata->data[4], 0, "a flag of the superblock");
  metadata->fail_write = false;
  pool_rig_close (md, "t");
  pool_rig_remove ("pool");
  pool_rig_pool (1024, 64, 0, "");
  expect_mode ("ro", "queue_if_no_space", "needs_check");
}

Test (pool_mode, what_cannot_be_rolled_back_fails)
{
  char data[SECTOR_SIZE];
  CLEANUP_FREE char *table = NULL;

  fill (64, 0, "", 2);
  cr_expect_eq (write_block (2), 0);
  pool_rig.mem[1]->bad_start = 0;
  pool_rig.mem[1]->bad_end = 1024 * 8;
  cr_expect_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), -EIO);
  pool_rig_expect ("pool", "Fail");
  pool_rig_expect ("t", "Fail");
  table = pool_rig_text ("t", DM_STATUS_TABLE_FLAG);
  cr_expect_str_eq (table, "Fail");
  cr_expect_eq (dmtest_io (md, BIO_READ, 0, 1, data), -EIO);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), -EIO);
  cr_expect_eq (pool_rig_message ("create_thin 1"), -EOPNOTSUPP);
  cr_expect_eq (pool_rig_create ("u", "0 128 thin pool 0"), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "Pool is in fail mode"));
  pool_rig.mem[1]->bad_end = 0;
  pool_rig_suspend ("pool", 0);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  pool_rig_expect ("pool", "Fail");
}
