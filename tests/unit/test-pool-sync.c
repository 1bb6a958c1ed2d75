/* SPDX-License-Identifier: BSD-3-Clause */
/* When a pool commits: flushes, FUA, the ticker, suspend. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/pool-rig.h"

static struct mapped_device *md;

static void
setup (void)
{
  pool_rig_start ();
  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 256);
}

TestSuite (pool_sync, .init = setup, .fini = pool_rig_stop);

/* Writes of the superblock so far, each of which is flushed. */
static unsigned
commits (void)
{
  return pool_rig.mem[1]->counts[BIO_FLUSH] / 2;
}

static unsigned
data_flushes (void)
{
  return pool_rig.mem[0]->counts[BIO_FLUSH];
}

static int
io (enum bio_op op, unsigned flags, sector_t sector, sector_t len)
{
  static char data[POOL_BLOCK_BYTES];
  struct bio bio = { .op = op, .flags = flags, .sector = sector, .len = len,
                     .data = data, .bdev = dm_block_device (md) };

  return bdev_submit (bio.bdev, &bio);
}

Test (pool_sync, a_flush_commits_what_was_provisioned)
{
  unsigned before, flushes;

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  before = commits ();
  flushes = data_flushes ();
  cr_expect_eq (io (BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (commits (), before + 1);
  cr_expect_eq (data_flushes (), flushes + 1);
}

/* Then only the data are flushed (Linux 6.1). */
Test (pool_sync, a_second_flush_has_nothing_to_commit)
{
  unsigned before, flushes;

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  cr_expect_eq (io (BIO_FLUSH, 0, 0, 0), 0);
  before = commits ();
  flushes = data_flushes ();
  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  cr_expect_eq (io (BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (commits (), before);
  cr_expect_eq (data_flushes (), flushes + 1);
}

Test (pool_sync, fua_commits_a_new_mapping)
{
  unsigned before = commits ();

  cr_expect_eq (io (BIO_WRITE, BIO_FUA, 0, 8), 0);
  cr_expect_eq (commits (), before + 1);
  cr_expect_eq (io (BIO_WRITE, BIO_FUA, 128, 128), 0);
  cr_expect_eq (commits (), before + 2);
  cr_expect_eq (pool_rig.mem[0]->fua, 0);
  cr_expect_eq (io (BIO_WRITE, BIO_FUA, 0, 8), 0);
  cr_expect_eq (commits (), before + 2);
  cr_expect_eq (pool_rig.mem[0]->fua, 1, "a mapped write goes straight");
  cr_expect_eq (io (BIO_DISCARD, BIO_FUA, 0, 128), 0);
  cr_expect_eq (commits (), before + 3);
}

/* The mapping is there, but not on disk. */
Test (pool_sync, fua_commits_an_older_mapping)
{
  unsigned before = commits ();

  cr_expect_eq (io (BIO_WRITE, 0, 0, 128), 0);
  cr_expect_eq (commits (), before);
  cr_expect_eq (io (BIO_WRITE, BIO_FUA, 0, 8), 0);
  cr_expect_eq (commits (), before + 1);
}

Test (pool_sync, many_flushers_share_a_commit)
{
  struct pool_io ios[16];
  unsigned i, before, flushes;

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  before = commits ();
  flushes = data_flushes ();
  pool_rig.mem[1]->stalled = true;
  pool_rig_start_io (&ios[0], md, BIO_FLUSH, 0, 0, 0);
  cr_assert (EVENTUALLY (pool_rig.mem[1]->waiting == 1));
  for (i = 1; i < 16; i++)
    pool_rig_start_io (&ios[i], md, BIO_FLUSH, 0, 0, 0);
  usleep (50000);
  pool_rig.mem[1]->stalled = false;
  for (i = 0; i < 16; i++)
    cr_expect_eq (pool_rig_join (&ios[i]), 0);
  cr_expect_eq (commits (), before + 1);
  cr_expect_leq (data_flushes (), flushes + 2);
}

Test (pool_sync, a_change_is_committed_within_a_second_or_so)
{
  unsigned before = commits ();

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  cr_expect_eq (commits (), before);
  cr_expect (EVENTUALLY (commits () == before + 1));
  usleep (1200000);
  cr_expect_eq (commits (), before + 1, "and then there is nothing to do");
}

Test (pool_sync, suspend_commits)
{
  unsigned before = commits ();

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  pool_rig_suspend ("pool", 0);
  cr_expect_eq (commits (), before + 1);
  cr_expect_leq (pool_rig_thin_check (), 0);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
}

/* Thins of a suspended pool wait, and can be suspended without waiting. */
Test (pool_sync, a_suspended_pool_holds_its_thins)
{
  struct pool_io wait;

  cr_expect_eq (io (BIO_WRITE, 0, 0, 8), 0);
  pool_rig_suspend ("pool", 0);
  pool_rig_start_io (&wait, md, BIO_READ, 0, 8, 0);
  usleep (50000);
  cr_expect_not (wait.done);
  pool_rig_suspend ("t", DM_NOFLUSH_FLAG);
  cr_expect_eq (pool_rig_resume ("t"), 0);
  usleep (50000);
  cr_expect_not (wait.done);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  cr_expect_eq (pool_rig_join (&wait), 0);
}
