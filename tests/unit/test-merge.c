/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot-merge: an origin that goes back to what a snapshot holds. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/snaptest.h"

#define SECTORS 4096
#define MERGE "0 4096 snapshot-merge m1 m2 P 8"

static void
setup (void)
{
  snap_start (SECTORS);
}

TestSuite (merge, .init = setup, .fini = snap_stop, .timeout = 60);

/* A snapshot with some exceptions, removed again: its view is 'b' but for
 * ['s' at 100 .. 200), ['s' at 1000 .. 1001); the origin has 'o' at 300.
 */
static void
make_store (void)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 100, 100, 's');
  snap_write ("o", 300, 64, 'o');
  snap_write ("s", 1000, 1, 's');
  snap_remove ("s");
  snap_remove ("o");
}

static void
expect_view (const char *name)
{
  snap_expect (name, 0, 100, 'b');
  snap_expect (name, 100, 100, 's');
  snap_expect (name, 200, 800, 'b');
  snap_expect (name, 1000, 1, 's');
  snap_expect (name, 1001, SECTORS - 1001, 'b');
}

/* There is an event when it is done, and when it has failed. */
static void
wait_events (const char *name, unsigned events)
{
  unsigned ticks;

  for (ticks = 0; snap_events (name) < events; ticks++) {
    cr_assert_lt (ticks, 10000, "no event of %s", name);
    usleep (1000);
  }
}

static void
wait_merged (const char *name)
{
  wait_events (name, 1);
}

Test (merge, brings_the_origin_back)
{
  make_store ();
  snap_create ("m", MERGE);
  expect_view ("m");
  wait_merged ("m");
  expect_view ("m");
  snap_expect_info ("m", "16/4096 16");
  snap_expect_mem (1, 100, 100, 's');
  snap_expect_mem (1, 300, 64, 'b');
  snap_remove ("m");
  /* The store is an empty one. */
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_expect_info ("s", "16/4096 16");
}

Test (merge, neighbours_go_as_one)
{
  unsigned writes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 64, 512, 's');
  snap_remove ("s");
  writes = snap.mem[0]->counts[BIO_WRITE];
  snap_create ("m", MERGE);
  wait_merged ("m");
  cr_expect_eq (snap.mem[0]->counts[BIO_WRITE], writes + 1);
  snap_expect_mem (1, 64, 512, 's');
}

Test (merge, scattered_chunks_share_their_flushes)
{
  unsigned i, flushes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  for (i = 0; i < 40; i++)
    snap_write ("s", (i * 7 % 40) * 16, 8, 's');
  snap_remove ("s");
  flushes = snap.mem[0]->counts[BIO_FLUSH];
  snap_create ("m", MERGE);
  wait_merged ("m");
  cr_expect_eq (snap.mem[0]->counts[BIO_FLUSH], flushes + 1);
}

Test (merge, a_flush_is_for_both)
{
  unsigned origin, cow;

  make_store ();
  snap_create ("m", MERGE);
  wait_merged ("m");
  origin = snap.mem[0]->counts[BIO_FLUSH];
  cow = snap.mem[1]->counts[BIO_FLUSH];
  cr_expect_eq (snap_io ("m", BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (snap.mem[0]->counts[BIO_FLUSH], origin + 1);
  cr_expect_eq (snap.mem[1]->counts[BIO_FLUSH], cow + 1);
}

/* The batch writes to the origin and stands still there. */
static void
start_and_stall (const char *table)
{
  snap_load ("m", table);
  snap.mem[0]->stalled = true;
  snap_resume ("m");
  snap_wait_stalled (1, 1);
}

Test (merge, a_write_into_the_batch_waits_and_a_read_does_not)
{
  struct snap_writer w;

  make_store ();
  start_and_stall (MERGE);
  snap_writer_start (&w, "m", BIO_WRITE, 150, 4, 'w');
  cr_expect (snap_waits (&w));
  snap_expect ("m", 100, 100, 's');
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
  wait_merged ("m");
  snap_expect_mem (1, 150, 4, 'w');
  snap_expect_mem (1, 154, 46, 's');
}

/* It preserves "t" when the write comes, and then must not read yet what is
 * being written.
 */
Test (merge, the_batch_waits_for_writes_into_it)
{
  struct snap_writer w;

  make_store ();
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  snap_load ("m", MERGE);
  snap.mem[2]->stalled = true;
  snap_resume ("m");
  snap_wait_stalled (3, 1);
  snap.mem[1]->stalled = true;
  snap_writer_start (&w, "m", BIO_WRITE, 150, 4, 'w');
  snap_wait_stalled (2, 1);
  snap.mem[2]->stalled = false;
  cr_expect (snap_waits (&w));
  cr_expect_eq (snap.mem[1]->waiting, 1);
  snap.mem[1]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
  wait_merged ("m");
  snap_expect_mem (1, 150, 4, 'w');
}

Test (merge, writes_elsewhere_preserve_the_others_and_add_nothing)
{
  make_store ();
  snap_create ("t", "0 4096 snapshot m1 m3 P 2");
  snap_create ("m", MERGE);
  snap_write ("m", 2000, 8, 'w');
  wait_merged ("m");
  snap_expect_info ("m", "16/4096 16");
  snap_expect ("t", 2000, 8, 'b');
  snap_expect ("t", 300, 64, 'o');
  snap_expect ("t", 100, 100, 'b');
  snap_expect ("m", 2000, 8, 'w');
}

Test (merge, zeroes_are_writes)
{
  make_store ();
  snap_create ("t", "0 4096 snapshot m1 m3 P 2");
  snap_create ("m", MERGE);
  cr_expect_eq (snap_io ("m", BIO_WRITE_ZEROES, 190, 200, 0), 0);
  wait_merged ("m");
  snap_expect ("m", 100, 90, 's');
  snap_expect ("m", 190, 200, '0');
  snap_expect ("t", 100, 200, 'b');
  snap_expect ("t", 300, 64, 'o');
}

Test (merge, others_with_smaller_and_larger_chunks_stay_as_they_are)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 64");
  snap_write ("o", 0, 2000, 'o');
  snap_create ("t", "0 4096 snapshot m1 m3 P 2");
  snap_create ("u", "0 4096 snapshot m1 m4 P 512");
  snap_write ("o", 500, 1000, 'p');
  snap_remove ("s");
  snap_remove ("o");
  snap_create ("m", "0 4096 snapshot-merge m1 m2 P 64");
  wait_merged ("m");
  snap_expect_mem (1, 0, SECTORS, 'b');
  snap_expect ("t", 0, 2000, 'o');
  snap_expect ("t", 2000, 100, 'b');
  snap_expect ("u", 0, 2000, 'o');
  snap_expect ("u", 2000, 2096, 'b');
}

/* One chunk at least. */
Test (merge, of_a_chunk_larger_than_a_batch)
{
  snap_stop ();
  snap_start (3 * 16384);
  snap_create ("s", "0 49152 snapshot m1 m2 P 16384");
  snap_write ("s", 100, 1, 's');
  snap_remove ("s");
  snap_create ("m", "0 49152 snapshot-merge m1 m2 P 16384");
  wait_merged ("m");
  snap_expect_mem (1, 99, 1, 'b');
  snap_expect_mem (1, 100, 1, 's');
  snap_expect_mem (1, 101, 1, 'b');
}

Test (merge, of_the_last_short_chunk)
{
  snap.mem[0]->bdev.size = 1021;
  snap_create ("s", "0 1021 snapshot m1 m2 P 16");
  snap_write ("s", 1020, 1, 's');
  snap_remove ("s");
  snap_create ("m", "0 1021 snapshot-merge m1 m2 P 16");
  wait_merged ("m");
  snap_expect_mem (1, 1008, 12, 'b');
  snap_expect_mem (1, 1020, 1, 's');
  snap_expect_mem (1, 1021, 100, 'b');
}

/* ------------------------------------------------------------------
 * Stopping and failing.
 */

/* A store of many small batches. */
static void
make_long_store (void)
{
  unsigned i;

  snap_create ("s", "0 4096 snapshot m1 m2 P 2");
  for (i = 0; i < 400; i++)
    snap_write ("s", i * 7 % 400 * 4, 2, 's');
  snap_remove ("s");
}

static void
expect_long_view (const char *name)
{
  unsigned i;

  for (i = 0; i < 400; i++) {
    snap_expect (name, i * 4, 2, 's');
    snap_expect (name, i * 4 + 2, 2, 'b');
  }
}

static atomic_bool suspended;

static void *
suspend_thread (void *opaque)
{
  snap_suspend ("m");
  suspended = true;
  return NULL;
}

/* Suspend while the first batch stands still. */
static void
suspend_in_batch (const char *table)
{
  pthread_t thread;

  start_and_stall (table);
  cr_assert_eq (pthread_create (&thread, NULL, suspend_thread, NULL), 0);
  usleep (30000);
  cr_expect_not (suspended);
  snap.mem[0]->stalled = false;
  pthread_join (thread, NULL);
}

Test (merge, suspend_waits_for_the_batch)
{
  make_store ();
  suspend_in_batch (MERGE);
  snap_expect_info ("m", "16/4096 16");
}

Test (merge, resume_goes_on)
{
  make_long_store ();
  suspend_in_batch ("0 4096 snapshot-merge m1 m2 P 2");
  snap_resume ("m");
  expect_long_view ("m");
  wait_merged ("m");
  expect_long_view ("m");
  snap_expect_info ("m", "4/4096 4");
}

Test (merge, goes_on_after_a_restart)
{
  make_long_store ();
  snap.mem[0]->bad_start = 8;
  snap.mem[0]->bad_end = 9;
  snap_load ("m", "0 4096 snapshot-merge m1 m2 P 2");
  snap_resume ("m");
  wait_merged ("m");
  snap_remove ("m");
  snap.mem[0]->bad_end = 0;
  snap_create ("m", "0 4096 snapshot-merge m1 m2 P 2");
  wait_merged ("m");
  expect_long_view ("m");
}

static void
expect_failure_and_retry (void)
{
  wait_merged ("m");
  snap_expect_info ("m", "Merge failed");
  expect_view ("m");
  /* It is in use as before. */
  snap_write ("m", 150, 1, 'w');
  snap_write ("m", 150, 1, 's');
  snap.mem[0]->bad_end = snap.mem[1]->bad_end = 0;
  snap.mem[0]->fail_flush = false;
  snap_suspend ("m");
  snap_resume ("m");
  wait_events ("m", 2);
  snap_expect_info ("m", "16/4096 16");
  expect_view ("m");
  snap_expect_mem (1, 0, 1, 'b');
  snap_expect_mem (1, 100, 100, 's');
}

Test (merge, an_origin_that_cannot_be_written)
{
  make_store ();
  snap_load ("m", MERGE);
  snap.mem[0]->bad_start = 100;
  snap.mem[0]->bad_end = 101;
  snap_resume ("m");
  wait_events ("m", 1);
  snap_expect_info ("m", "Merge failed");
  snap.mem[0]->bad_end = 0;
  expect_failure_and_retry ();
}

Test (merge, an_origin_that_cannot_be_flushed)
{
  make_store ();
  snap_load ("m", MERGE);
  snap.mem[0]->fail_flush = true;
  snap_resume ("m");
  expect_failure_and_retry ();
}

/* Linux 6.1 then takes the cleared entries for exceptions, and copies the
 * header of the store to the origin.
 */
Test (merge, metadata_that_cannot_be_written)
{
  make_store ();
  snap_load ("m", MERGE);
  snap.mem[1]->bad_start = 8;
  snap.mem[1]->bad_end = 9;
  snap_resume ("m");
  expect_failure_and_retry ();
}

static int
note_extent (struct extent_sink *sink, sector_t len, unsigned flags)
{
  return 0;
}

Test (merge, of_an_invalid_store_is_the_origin)
{
  struct extent_sink sink = { note_extent };
  struct mapped_device *md;

  make_store ();
  memset (snap.mem[1]->data + 4, 0, 4);
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  snap_create ("m", MERGE);
  snap_expect_info ("m", "Invalid");
  snap_expect ("m", 100, 100, 'b');
  snap_write ("m", 0, 1, 'w');
  snap_expect_mem (1, 0, 1, 'w');
  snap_expect ("t", 0, 1, 'b');
  cr_assert_eq (dm_open (snap.reg, "m", &md, NULL), 0);
  cr_expect_eq (bdev_extents (dm_block_device (md), 0, 8, &sink), 0);
  dm_close (md);
}

/* ------------------------------------------------------------------
 * With whom it can be.
 */

Test (merge, one_at_a_time)
{
  make_store ();
  snap_create ("m", MERGE);
  snap_refuse ("0 4096 snapshot-merge m1 m3 P 8", EINVAL,
               "A snapshot is already merging.");
  wait_merged ("m");
  snap_suspend ("m");
  snap_refuse ("0 4096 snapshot-merge m1 m3 P 8", EINVAL,
               "A snapshot is already merging.");
}

Test (merge, not_beside_a_snapshot_origin)
{
  make_store ();
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_load ("m", MERGE);
  snap_refuse_resume ("m", "Unable to merge while a snapshot-origin of the "
                      "same device is active.");
  snap_suspend ("o");
  snap_resume ("m");
  snap_refuse_resume ("o", "Unable to resume a snapshot-origin while a "
                      "snapshot is merged into its device.");
}

Test (merge, in_place_of_the_snapshot_origin_and_back)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 100, 100, 's');
  snap_load ("o", MERGE);
  snap_suspend ("s");
  snap_resume ("o");
  snap_expect_info ("s", "Invalid");
  wait_merged ("o");
  snap_remove ("s");
  snap_expect ("o", 100, 100, 's');
  snap_load ("o", "0 4096 snapshot-origin m1");
  snap_resume ("o");
  snap_expect ("o", 100, 100, 's');
}

Test (merge, no_snapshot_of_a_half_merged_origin)
{
  make_store ();
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  start_and_stall (MERGE);
  snap_load ("late", "0 4096 snapshot m1 m4 P 8");
  snap_refuse_resume ("late", "Unable to take a snapshot of an origin that "
                      "another one is merged into.");
  snap.mem[0]->stalled = false;
  wait_merged ("m");
  snap_resume ("late");
  snap_write ("m", 0, 8, 'w');
  snap_expect ("late", 0, 8, 'b');
  snap_expect ("late", 100, 100, 's');
  snap_expect ("t", 100, 100, 'b');
}

Test (merge, can_be_called_off)
{
  make_long_store ();
  snap.mem[0]->bad_start = 8;
  snap.mem[0]->bad_end = 9;
  snap_load ("m", "0 4096 snapshot-merge m1 m2 P 2");
  snap_resume ("m");
  wait_events ("m", 1);
  snap.mem[0]->bad_end = 0;
  snap_load ("s", "0 4096 snapshot m1 m2 P 2");
  snap_suspend ("m");
  snap_resume ("s");
  expect_long_view ("s");
  snap_write ("s", 3000, 100, 'n');
  snap_resume ("m");
  snap_expect_info ("m", "Invalid");
  snap_write ("m", 0, 200, 'w');
  snap_expect_mem (1, 0, 200, 'w');
  expect_long_view ("s");
  snap_expect ("s", 3000, 100, 'n');
  snap_remove ("m");
  snap_remove ("s");
  snap_create ("s", "0 4096 snapshot m1 m2 P 2");
  expect_long_view ("s");
  snap_expect ("s", 3000, 100, 'n');
}

Test (merge, a_discard_does_nothing)
{
  make_store ();
  snap_create ("m", "0 4096 snapshot-merge m1 m2 P 8 1 discard_zeroes_cow");
  cr_expect_eq (snap_io ("m", BIO_DISCARD, 0, SECTORS, 0), 0);
  wait_merged ("m");
  expect_view ("m");
}
