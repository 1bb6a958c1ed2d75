/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of a thin-pool: their errors and what they do. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/pool-rig.h"

static void
setup (void)
{
  pool_rig_start ();
  pool_rig_pool (1024, 64, 0, "");
}

TestSuite (pool_message, .init = setup, .fini = pool_rig_stop);

Test (pool_message, errors)
{
  static const struct {
    const char *words;
    int error;
  } messages[] = {
    { "create_thin 0", 0 },
    { "create_thin 0", EEXIST },
    { "create_thin 16777216", EINVAL },
    { "create_thin 16777215", 0 },
    { "create_thin abc", EINVAL },
    { "create_thin -1", EINVAL },
    { "create_thin 0x5", EINVAL },
    { "create_thin 007", 0 },
    { "create_thin 7", EEXIST },
    { "create_thin", EINVAL },
    { "create_thin 1 2", EINVAL },
    { "create_thin 99999999999999999999999", EINVAL },
    { "create_snap 1 0", 0 },
    { "create_snap 1 0", EEXIST },
    { "create_snap 2 99", ENODATA },
    { "create_snap 2", EINVAL },
    { "create_snap x 0", EINVAL },
    { "create_snap 2 x", EINVAL },
    { "delete 99", ENODATA },
    { "delete 16777215", 0 },
    { "delete 16777215", ENODATA },
    { "delete", EINVAL },
    { "set_transaction_id 0 5", 0 },
    { "set_transaction_id 0 5", EINVAL },
    { "set_transaction_id x 5", EINVAL },
    { "set_transaction_id 5 x", EINVAL },
    { "set_transaction_id 5 18446744073709551615", 0 },
    { "set_transaction_id 18446744073709551615 5", 0 },
    { "release_metadata_snap", EINVAL },
    { "reserve_metadata_snap", 0 },
    { "reserve_metadata_snap", EBUSY },
    { "release_metadata_snap", 0 },
    { "release_metadata_snap 1", EINVAL },
    { "bogus", EINVAL },
    { "CREATE_THIN 3", 0 },
  };
  size_t i;
  int r;

  for (i = 0; i < sizeof messages / sizeof messages[0]; i++) {
    r = pool_rig_message (messages[i].words);
    cr_expect_eq (r, -messages[i].error, "%s: %d", messages[i].words, r);
    if (r < 0)
      cr_expect (message_is_set (&pool_rig.msg), "%s", messages[i].words);
  }
  cr_expect_leq (pool_rig_thin_check (), 0);
}

Test (pool_message, an_open_thin_is_not_deleted)
{
  struct mapped_device *md;

  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 8);
  cr_expect_eq (pool_rig_message ("delete 0"), -EBUSY);
  pool_rig_close (md, "t");
  pool_rig_send ("delete 0");
}

Test (pool_message, the_metadata_snapshot_is_in_the_status)
{
  pool_rig_send ("reserve_metadata_snap");
  pool_rig_expect ("pool", "0 112/1024 0/64 13 rw discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_send ("release_metadata_snap");
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
}

/* They work while the pool is suspended. */
Test (pool_message, a_suspended_pool_takes_them)
{
  pool_rig_suspend ("pool", 0);
  pool_rig_send ("create_thin 0");
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  cr_expect_eq (pool_rig_message ("create_thin 0"), -EEXIST);
}

Test (pool_message, a_snapshot_keeps_what_its_origin_had)
{
  struct mapped_device *origin, *snap;

  pool_rig_send ("create_thin 0");
  origin = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (pool_rig_write (origin, 0, 256, 'a'), 0);
  pool_rig_check (origin, 0, 256, 'a');
  pool_rig_send ("create_snap 1 0");
  cr_expect_eq (pool_rig_write (origin, 100, 50, 'b'), 0);
  snap = pool_rig_thin ("s", 1, 32);
  pool_rig_check (snap, 0, 256, 'a');
  cr_expect_eq (pool_rig_write (snap, 0, 1, 'c'), 0);
  pool_rig_check (origin, 0, 100, 'a');
  pool_rig_check (origin, 100, 50, 'b');
  pool_rig_check (origin, 150, 106, 'a');
  pool_rig_check (snap, 0, 1, 'c');
  pool_rig_check (snap, 1, 255, 'a');
  pool_rig_expect ("pool", "0 113/1024 4/64 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_close (snap, "s");
  pool_rig_close (origin, "t");
  pool_rig_send ("delete 0");
  pool_rig_send ("delete 1");
  pool_rig_expect ("pool", "0 111/1024 0/64 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  cr_expect_leq (pool_rig_thin_check (), 0);
}

static void *
send_snapshot (void *done)
{
  pool_rig_send ("create_snap 1 0");
  *(atomic_bool *) done = true;
  return NULL;
}

/* The snapshot waits for a write that is under way. */
Test (pool_message, a_snapshot_is_of_one_moment)
{
  struct mapped_device *md;
  atomic_bool done = false;
  pthread_t thread;
  struct pool_io io;

  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (pool_rig_write (md, 0, 8, 'a'), 0);
  pool_rig.mem[0]->stalled = true;
  pool_rig_start_io (&io, md, BIO_WRITE, 0, 8, 'b');
  cr_assert (EVENTUALLY (pool_rig.mem[0]->waiting == 1));
  cr_assert_eq (pthread_create (&thread, NULL, send_snapshot, &done), 0);
  usleep (50000);
  cr_expect_not (done);
  pool_rig.mem[0]->stalled = false;
  cr_expect_eq (pool_rig_join (&io), 0);
  pthread_join (thread, NULL);
  pool_rig_close (md, "t");
  md = pool_rig_thin ("s", 1, 32);
  pool_rig_check (md, 0, 8, 'b');
  pool_rig_close (md, "s");
}
