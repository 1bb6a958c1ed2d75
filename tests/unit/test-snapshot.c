/* SPDX-License-Identifier: BSD-3-Clause */
/* The snapshot target: reading, writing, space, discards, extents. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/snaptest.h"

#define SECTORS 4096

static void
setup (void)
{
  snap_start (SECTORS);
}

TestSuite (snapshot, .init = setup, .fini = snap_stop, .timeout = 60);

/* ------------------------------------------------------------------
 * Reading and writing.
 */

Test (snapshot, a_read_without_exceptions_is_one_read_of_the_origin)
{
  unsigned reads;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  reads = snap.mem[0]->counts[BIO_READ];
  snap_expect ("s", 5, 1000, 'b');
  cr_expect_eq (snap.mem[0]->counts[BIO_READ], reads + 1);
  snap_expect_info ("s", "16/4096 16");
}

Test (snapshot, a_write_of_whole_chunks_reads_nothing)
{
  unsigned reads, writes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  reads = snap.mem[0]->counts[BIO_READ];
  writes = snap.mem[1]->counts[BIO_WRITE];
  snap_write ("s", 16, 32, 's');
  cr_expect_eq (snap.mem[0]->counts[BIO_READ], reads);
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], writes + 1);
  snap_expect ("s", 16, 32, 's');
  snap_expect ("s", 0, 16, 'b');
  snap_expect ("s", 48, 16, 'b');
  snap_expect_mem (1, 0, SECTORS, 'b');
}

Test (snapshot, a_write_of_parts_keeps_the_rest)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 3, 2, 's');
  snap_expect ("s", 0, 3, 'b');
  snap_expect ("s", 3, 2, 's');
  snap_expect ("s", 5, 3, 'b');
  snap_write ("s", 20, 22, 't');
  snap_expect ("s", 5, 15, 'b');
  snap_expect ("s", 20, 22, 't');
  snap_expect ("s", 42, 10, 'b');
  snap_expect_info ("s", "56/4096 16");
}

Test (snapshot, a_write_over_exceptions_and_others)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 16, 8, 's');
  snap_write ("s", 40, 8, 's');
  snap_write ("s", 10, 50, 't');
  snap_expect ("s", 8, 2, 'b');
  snap_expect ("s", 10, 50, 't');
  snap_expect ("s", 60, 4, 'b');
  /* Chunks 1 to 7, each once. */
  snap_expect_info ("s", "72/4096 16");
}

Test (snapshot, what_is_written_outlives_the_table)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 4");
  snap_write ("s", 0, 1, 's');
  snap_write ("s", 999, 300, 's');
  snap_remove ("s");
  snap_create ("s", "0 4096 snapshot m1 m2 P 4");
  snap_expect ("s", 0, 1, 's');
  snap_expect ("s", 1, 998, 'b');
  snap_expect ("s", 999, 300, 's');
  snap_expect ("s", 1299, 1000, 'b');
}

Test (snapshot, sectors_are_those_of_the_origin_wherever_it_begins)
{
  snap_create ("s", "0 1004 zero\n1004 1000 snapshot m1 m2 P 8");
  snap_expect ("s", 1004, 1000, 'b');
  snap_write ("s", 1004, 1, 's');
  snap_expect ("s", 1004, 1, 's');
  snap_expect ("s", 1005, 999, 'b');
  snap_remove ("s");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_expect ("s", 1004, 1, 's');
}

Test (snapshot, chunks_larger_than_the_origin)
{
  snap.mem[0]->bdev.size = 8;
  snap_create ("s", "0 8 snapshot m1 m2 P 1024");
  snap_write ("s", 3, 1, 's');
  snap_expect ("s", 0, 3, 'b');
  snap_expect ("s", 3, 1, 's');
  snap_expect ("s", 4, 4, 'b');
}

/* The tail of the last chunk stays as it was on the COW device. */
Test (snapshot, the_last_chunk_may_be_short)
{
  memset (snap.mem[1]->data, 0xee, SECTORS * SECTOR_SIZE);
  memset (snap.mem[1]->data, 0, SECTOR_SIZE);
  snap.mem[0]->bdev.size = 1021;
  snap_create ("s", "0 1021 snapshot m1 m2 P 16");
  snap_write ("s", 1020, 1, 's');
  snap_expect ("s", 1008, 12, 'b');
  snap_expect ("s", 1020, 1, 's');
  cr_expect_eq ((unsigned char) snap.mem[1]->data[(32 + 13) * SECTOR_SIZE],
                0xee);
}

/* Its origin is a mapped device, too: 10 TiB of zeroes, then m1. */
Test (snapshot, positions_beyond_32_bits)
{
  sector_t far = UINT64_C (5) << 32;

  snap_create ("big", "0 21474836480 zero\n21474836480 4096 linear m1 0");
  snap_create ("s", "0 21474840576 snapshot big m2 P 8");
  snap_write ("s", far + 10, 8, 's');
  snap_expect ("s", far + 10, 8, 's');
  snap_expect ("s", 8, 8, '0');
  snap_expect_info ("s", "32/4096 16");
  snap_remove ("s");
}

Test (snapshot, zeroes_are_native)
{
  unsigned writes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  writes = snap.mem[1]->counts[BIO_WRITE];
  cr_expect_eq (snap_io ("s", BIO_WRITE_ZEROES, 6, 36, 0), 0);
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE_ZEROES], 1);
  /* The two ends. */
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], writes + 2);
  snap_expect ("s", 0, 6, 'b');
  snap_expect ("s", 6, 36, '0');
  snap_expect ("s", 42, 6, 'b');
  snap_expect_mem (1, 0, SECTORS, 'b');
}

/* What has to be copied around them is not known to be fast. */
Test (snapshot, zeroes_are_not_fast)
{
  struct mapped_device *md;
  struct bio bio = { .op = BIO_WRITE_ZEROES, .flags = BIO_FAST_ZERO,
                     .len = 8 };

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
  cr_expect_eq (bdev_submit (dm_block_device (md), &bio), -EOPNOTSUPP);
  dm_close (md);
  snap_expect ("s", 0, 8, 'b');
}

Test (snapshot, zeroes_on_a_device_that_knows_only_writes)
{
  snap.mem[1]->limits.write_zeroes = false;
  memset (snap.mem[1]->data + SECTOR_SIZE, 0xee, 100 * SECTOR_SIZE);
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  cr_expect_eq (snap_io ("s", BIO_WRITE_ZEROES, 0, 300, 0), 0);
  snap_expect ("s", 0, 300, '0');
  snap_expect ("s", 300, 100, 'b');
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE_ZEROES], 0);
}

Test (snapshot, a_flush_is_for_the_cow_device)
{
  unsigned flushes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  flushes = snap.mem[1]->counts[BIO_FLUSH];
  cr_expect_eq (snap_io ("s", BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (snap.mem[1]->counts[BIO_FLUSH], flushes + 1);
  cr_expect_eq (snap.mem[0]->counts[BIO_FLUSH], 0);
}

/* ------------------------------------------------------------------
 * When exceptions come to disk.
 */

/* Entries in the first area of the COW device. */
static unsigned
entries_on_disk (void)
{
  const uint64_t (*entry)[2] =
    (const uint64_t (*)[2]) (snap.mem[1]->data + 8 * SECTOR_SIZE);
  unsigned n;

  for (n = 0; entry[n][1] != 0; n++)
    ;
  return n;
}

static void
create_with_exception (void)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("s", 0, 8, 's');
  cr_assert_eq (entries_on_disk (), 0);
}

Test (snapshot, a_flush_brings_exceptions_to_disk)
{
  create_with_exception ();
  snap_write ("s", 17, 3, 's');
  cr_assert_eq (entries_on_disk (), 0);
  cr_expect_eq (snap_io ("s", BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (entries_on_disk (), 2);
}

Test (snapshot, a_suspend_does)
{
  create_with_exception ();
  snap_suspend ("s");
  cr_expect_eq (entries_on_disk (), 1);
}

Test (snapshot, a_write_to_the_origin_does_first)
{
  struct snap_writer w;

  create_with_exception ();
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap.mem[0]->stalled = true;
  snap_writer_start (&w, "o", BIO_WRITE, 2, 2, 'o');
  snap_wait_stalled (1, 1);
  cr_expect_eq (entries_on_disk (), 1);
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
}

Test (snapshot, a_FUA_write_does)
{
  char data[SECTOR_SIZE] = "";
  struct mapped_device *md;
  struct bio bio = { .op = BIO_WRITE, .flags = BIO_FUA, .sector = 3, .len = 1,
                     .data = data };

  create_with_exception ();
  cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
  cr_expect_eq (bdev_submit (dm_block_device (md), &bio), 0);
  cr_expect_eq (entries_on_disk (), 1);
  bio = (struct bio) { .op = BIO_WRITE, .flags = BIO_FUA, .sector = 80,
                       .len = 1, .data = data };
  cr_expect_eq (bdev_submit (dm_block_device (md), &bio), 0);
  cr_expect_eq (entries_on_disk (), 2);
  dm_close (md);
}

static void *
fua_thread (void *opaque)
{
  char data[8 * SECTOR_SIZE] = "";
  struct mapped_device *md;
  struct bio bio = { .op = BIO_WRITE, .flags = BIO_FUA, .sector = 80, .len = 8,
                     .data = data };

  cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
  cr_expect_eq (bdev_submit (dm_block_device (md), &bio), 0);
  dm_close (md);
  return NULL;
}

/* It waits for exceptions that were begun before; those who make them must not
 * leave them to a flush, which may never come.
 */
Test (snapshot, a_FUA_write_is_not_kept_waiting)
{
  struct snap_writer w;
  pthread_t thread;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->stalled = true;
  snap_writer_start (&w, "s", BIO_WRITE, 3, 1, 's');
  snap_wait_stalled (1, 1);
  cr_assert_eq (pthread_create (&thread, NULL, fua_thread, NULL), 0);
  cr_expect (snap_waits (&w));
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
  pthread_join (thread, NULL);
  cr_expect_eq (entries_on_disk (), 2);
}

/* Nothing is lost on the way there, and not all of them wait in memory. */
Test (snapshot, many_of_them_arrive)
{
  unsigned i, flushes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 1");
  flushes = snap.mem[1]->counts[BIO_FLUSH];
  for (i = 0; i < 3500; i += 100)
    snap_write ("s", i, 100, 's');
  cr_expect_gt (snap.mem[1]->counts[BIO_FLUSH], flushes);
  snap_remove ("s");
  snap_create ("s", "0 4096 snapshot m1 m2 P 1");
  snap_expect ("s", 0, 3500, 's');
  snap_expect ("s", 3500, 500, 'b');
}

/* Two writers that find no exception: the second finds one when it is his
 * turn.
 */
Test (snapshot, two_writers_of_one_chunk_share_an_exception)
{
  struct snap_writer a, b;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->stalled = true;
  snap_writer_start (&a, "s", BIO_WRITE, 0, 2, 'x');
  snap_wait_stalled (1, 1);
  snap_writer_start (&b, "s", BIO_WRITE, 4, 2, 'y');
  cr_expect (snap_waits (&b));
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&a), 0);
  cr_expect_eq (snap_writer_join (&b), 0);
  snap_expect ("s", 0, 2, 'x');
  snap_expect ("s", 2, 2, 'b');
  snap_expect ("s", 4, 2, 'y');
  snap_expect_info ("s", "24/4096 16");
}

/* ------------------------------------------------------------------
 * No room, and errors: whether the snapshot overflows or is lost.
 */

/* Room for two exceptions. */
static void
create_small (const char *type)
{
  char table[64];

  snap.mem[1]->bdev.size = 32;
  snprintf (table, sizeof table, "0 4096 snapshot m1 m2 %s 8", type);
  snap_create ("s", table);
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_write ("s", 0, 16, 's');
}

static void
expect_lost (void)
{
  snap_expect_info ("s", "Invalid");
  cr_expect_eq (snap_io ("s", BIO_READ, 0, 1, 0), -EIO);
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 1, 'x'), -EIO);
  cr_expect_eq (snap_events ("s"), 1);
  snap_remove ("s");
}

static void
expect_lost_for_good (void)
{
  expect_lost ();
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_expect_info ("s", "Invalid");
}

Test (snapshot, P_is_lost_by_a_snapshot_write_without_room)
{
  create_small ("P");
  snap_expect_info ("s", "32/32 16");
  cr_expect_eq (snap_io ("s", BIO_WRITE, 16, 8, 'x'), -EIO);
  expect_lost_for_good ();
}

Test (snapshot, P_is_lost_by_an_origin_write_without_room)
{
  create_small ("P");
  snap_write ("o", 16, 8, 'x');
  snap_expect_mem (1, 16, 8, 'x');
  expect_lost_for_good ();
}

Test (snapshot, N_is_lost_by_a_snapshot_write_without_room)
{
  snap.mem[1]->bdev.size = 16;
  snap_create ("s", "0 4096 snapshot m1 m2 N 8");
  snap_write ("s", 0, 16, 's');
  snap_expect_info ("s", "16/16 0");
  cr_expect_eq (snap_io ("s", BIO_WRITE, 16, 8, 'x'), -EIO);
  expect_lost ();
}

Test (snapshot, N_is_lost_by_an_origin_write_without_room)
{
  snap.mem[1]->bdev.size = 16;
  snap_create ("s", "0 4096 snapshot m1 m2 N 8");
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_write ("s", 0, 16, 's');
  snap_write ("o", 16, 8, 'x');
  expect_lost ();
}

Test (snapshot, PO_overflows_by_a_snapshot_write_without_room)
{
  create_small ("PO");
  cr_expect_eq (snap_io ("s", BIO_WRITE, 16, 8, 'x'), -EIO);
  snap_expect_info ("s", "Overflow");
  snap_expect ("s", 0, 16, 's');
  snap_expect ("s", 16, 100, 'b');
  /* Not even to an exception. */
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 1, 'x'), -EIO);
  cr_expect_eq (snap_events ("s"), 1);
  /* It is not on disk. */
  snap_remove ("s");
  snap_create ("s", "0 4096 snapshot m1 m2 PO 8");
  snap_expect_info ("s", "32/32 16");
  snap_write ("s", 0, 1, 'y');
}

Test (snapshot, PO_is_lost_by_an_origin_write_without_room)
{
  create_small ("PO");
  snap_write ("o", 16, 8, 'x');
  expect_lost_for_good ();
}

Test (snapshot, an_overflown_one_is_lost_by_an_origin_write)
{
  create_small ("PO");
  cr_expect_eq (snap_io ("s", BIO_WRITE, 16, 8, 'x'), -EIO);
  snap_write ("o", 0, 8, 'x');
  snap_expect_info ("s", "Overflow");
  snap_write ("o", 24, 8, 'x');
  snap_expect_info ("s", "Invalid");
}

Test (snapshot, a_long_write_fills_what_there_is)
{
  create_small ("PO");
  snap.mem[1]->bdev.size = 32 + 5 * 8;
  cr_expect_eq (snap_io ("s", BIO_WRITE, 16, 80, 'x'), -EIO);
  snap_expect_info ("s", "Overflow");
  snap_expect ("s", 16, 40, 'x');
  snap_expect ("s", 56, 40, 'b');
}

/* The area that has to follow would not fit (Linux 6.1: Invalid, by a write
 * beyond the end).
 */
Test (snapshot, the_last_slot_of_an_area_needs_the_next_area)
{
  snap.mem[1]->bdev.size = 34;
  snap_create ("s", "0 4096 snapshot m1 m2 PO 1");
  snap_write ("s", 0, 31, 's');
  cr_expect_eq (snap_io ("s", BIO_WRITE, 31, 1, 's'), -EIO);
  snap_expect_info ("s", "Overflow");
  snap_remove ("s");
  snap.mem[1]->bdev.size = 35;
  snap_create ("s", "0 4096 snapshot m1 m2 PO 1");
  snap_write ("s", 31, 1, 's');
  snap_expect_info ("s", "35/35 3");
}

static void
bad (unsigned m, sector_t start, sector_t end)
{
  snap.mem[m - 1]->bad_start = start;
  snap.mem[m - 1]->bad_end = end;
}

Test (snapshot, a_read_error_below_a_write_loses_it)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  bad (1, 0, 1);
  cr_expect_eq (snap_io ("s", BIO_WRITE, 3, 1, 's'), -EIO);
  bad (1, 0, 0);
  expect_lost_for_good ();
}

Test (snapshot, a_write_error_on_the_cow_device_loses_it)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  bad (2, 16, 24);
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 8, 's'), -EIO);
  expect_lost_for_good ();
}

Test (snapshot, a_metadata_error_on_the_cow_device_loses_it)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  bad (2, 8, 9);
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 8, 's'), 0);
  cr_expect_eq (snap_io ("s", BIO_FLUSH, 0, 0, 0), -EIO);
  bad (2, 0, 0);
  expect_lost_for_good ();
}

Test (snapshot, an_invalidation_that_cannot_be_written_counts_here)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  bad (2, 0, 24);
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 8, 's'), -EIO);
  expect_lost ();
}

Test (snapshot, a_read_error_of_the_origin_is_the_readers)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  bad (1, 8, 9);
  cr_expect_eq (snap_io ("s", BIO_READ, 8, 1, 0), -EIO);
  snap_expect_info ("s", "16/4096 16");
}

/* ------------------------------------------------------------------
 * Discards.
 */

Test (snapshot, without_the_feature_there_is_no_discard)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  cr_expect_eq (snap_io ("s", BIO_DISCARD, 0, 8, 0), -EOPNOTSUPP);
}

Test (snapshot, a_discard_zeroes_whole_exceptions_only)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8 1 discard_zeroes_cow");
  snap_write ("s", 8, 24, 's');
  cr_expect_eq (snap_io ("s", BIO_DISCARD, 4, 30, 0), 0);
  snap_expect ("s", 0, 8, 'b');
  snap_expect ("s", 8, 24, '0');
  snap_expect ("s", 32, 8, 'b');
  snap_expect_info ("s", "40/4096 16");
  cr_expect_eq (snap.mem[1]->counts[BIO_DISCARD], 0);
}

Test (snapshot, a_discard_of_a_part_goes_to_the_cow_device)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8 1 discard_zeroes_cow");
  snap_write ("s", 8, 8, 's');
  cr_expect_eq (snap_io ("s", BIO_DISCARD, 8, 3, 0), 0);
  cr_expect_eq (snap.mem[1]->counts[BIO_DISCARD], 1);
  snap_expect ("s", 11, 5, 's');
  snap_expect_mem (1, 0, 64, 'b');
}

#define PASSDOWN "0 4096 snapshot m1 m2 P 8 2 discard_zeroes_cow " \
  "discard_passdown_origin"

Test (snapshot, a_discard_is_passed_to_the_origin_if_asked)
{
  snap_create ("s", PASSDOWN);
  cr_expect_eq (snap_io ("s", BIO_DISCARD, 8, 8, 0), 0);
  cr_expect_eq (snap.mem[0]->counts[BIO_DISCARD], 1);
  snap_expect_mem (1, 8, 8, '0');
}

Test (snapshot, a_discard_is_not_passed_below_another_snapshot)
{
  snap_create ("s", PASSDOWN);
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  cr_expect_eq (snap_io ("s", BIO_DISCARD, 8, 8, 0), 0);
  cr_expect_eq (snap.mem[0]->counts[BIO_DISCARD], 0);
  snap_expect ("t", 8, 8, 'b');
}

Test (snapshot, a_discards_grain_is_the_chunk)
{
  struct queue_limits limits;
  struct mapped_device *md;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8 1 discard_zeroes_cow");
  cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
  bdev_limits (dm_block_device (md), &limits);
  dm_close (md);
  cr_expect (limits.discard);
  cr_expect_eq (limits.discard_granularity_bytes, 4096);
  cr_expect_eq (limits.max_discard_sectors, 8);
}

/* ------------------------------------------------------------------
 * Extents.
 */

/* The second half of every 8 sectors of either device is a hole. */
static int
half_extents (struct block_device *bdev, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  sector_t end = sector + len, n;
  int r = 0;

  for (; sector < end && r == 0; sector += n) {
    n = 4 - sector % 4;
    r = sink->add (sink, n, sector % 8 < 4 ? 0 : EXTENT_HOLE | EXTENT_ZERO);
  }
  return r < 0 ? r : 0;
}

struct text_sink {
  struct extent_sink sink;
  char text[200];
};

static int
text_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct text_sink *t = container_of (sink, struct text_sink, sink);
  size_t n = strlen (t->text);

  snprintf (t->text + n, sizeof t->text - n, "%s%c%d", n ? " " : "",
            flags ? 'Z' : 'D', (int) len);
  return 0;
}

static void
expect_extents (const char *name, sector_t sector, sector_t len,
                const char *expected)
{
  struct text_sink t = { .sink.add = text_add };
  struct mapped_device *md;

  cr_assert_eq (dm_open (snap.reg, name, &md, NULL), 0);
  cr_expect_eq (bdev_extents (dm_block_device (md), sector, len, &t.sink), 0);
  dm_close (md);
  cr_expect_str_eq (t.text, expected);
}

Test (snapshot, extents_are_those_of_where_the_data_is)
{
  static struct block_device_ops ops;
  unsigned i;

  snap_create ("s", "0 4096 snapshot m1 m2 P 2");
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_write ("s", 100, 4, 's');
  ops = *snap.mem[0]->bdev.ops;
  ops.extents = half_extents;
  for (i = 0; i < 2; i++)
    snap.mem[i]->bdev.ops = &ops;
  /* The exception, at 4 of the COW device: a hole there. */
  expect_extents ("s", 96, 16, "D4 Z4 D4 Z4");
  snap_write ("s", 96, 2, 's');
  /* At 8: data. */
  expect_extents ("s", 97, 3, "D1 D2");
  expect_extents ("o", 2, 8, "D2 Z4 D2");
}

Test (snapshot, of_a_lost_one_nothing_is_known)
{
  struct text_sink t = { .sink.add = text_add };
  struct mapped_device *md;

  snap.mem[1]->bdev.size = 16;
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  cr_expect_eq (snap_io ("s", BIO_WRITE, 0, 8, 's'), -EIO);
  cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
  cr_expect_eq (bdev_extents (dm_block_device (md), 0, 8, &t.sink), -EIO);
  dm_close (md);
}
