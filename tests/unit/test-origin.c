/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot-origin: writes that its snapshots must not see. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/lib/snaptest.h"

#define SECTORS 4096

static void
setup (void)
{
  snap_start (SECTORS);
  snap_create ("o", "0 4096 snapshot-origin m1");
}

TestSuite (origin, .init = setup, .fini = snap_stop, .timeout = 60);

Test (origin, without_snapshots_it_passes_all)
{
  unsigned writes = snap.mem[0]->counts[BIO_WRITE];

  snap_write ("o", 3, 2048, 'o');
  cr_expect_eq (snap.mem[0]->counts[BIO_WRITE], writes + 1);
  cr_expect_eq (snap_io ("o", BIO_WRITE_ZEROES, 0, 8, 0), 0);
  cr_expect_eq (snap_io ("o", BIO_DISCARD, 0, 8, 0), -EOPNOTSUPP);
  snap_expect ("o", 0, 8, '0');
  snap_expect ("o", 8, 2043, 'o');
}

Test (origin, a_flush_is_for_the_origin)
{
  unsigned flushes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  flushes = snap.mem[1]->counts[BIO_FLUSH];
  cr_expect_eq (snap_io ("o", BIO_FLUSH, 0, 0, 0), 0);
  cr_expect_eq (snap.mem[0]->counts[BIO_FLUSH], 1);
  cr_expect_eq (snap.mem[1]->counts[BIO_FLUSH], flushes);
}

/* Linux 6.1 preserves but the first chunk if the origin was not resumed since
 * the snapshot came.
 */
Test (origin, every_chunk_of_a_write_is_preserved_at_once)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("o", 64, 128, 'o');
  snap_expect ("s", 0, SECTORS, 'b');
  snap_expect_info ("s", "144/4096 16");
  snap_create ("t", "0 4096 snapshot m1 m3 P 1");
  snap_write ("o", 64, 128, 'p');
  snap_expect ("s", 0, SECTORS, 'b');
  snap_expect ("t", 64, 128, 'o');
  snap_expect ("t", 192, 100, 'b');
  snap_expect ("o", 64, 128, 'p');
}

Test (origin, a_write_of_many_chunks_is_one_copy_and_one_commit)
{
  unsigned reads, writes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  reads = snap.mem[0]->counts[BIO_READ];
  writes = snap.mem[1]->counts[BIO_WRITE];
  snap_write ("o", 0, 128, 'o');
  cr_expect_eq (snap.mem[0]->counts[BIO_READ], reads + 1);
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], writes + 2);
}

Test (origin, zeroes_are_writes)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  cr_expect_eq (snap_io ("o", BIO_WRITE_ZEROES, 60, 40, 0), 0);
  snap_expect ("o", 60, 40, '0');
  snap_expect ("s", 0, SECTORS, 'b');
  snap_expect_info ("s", "64/4096 16");
}

Test (origin, is_read_once_for_all_snapshots)
{
  unsigned reads;

  snap_create ("s", "0 4096 snapshot m1 m2 P 2");
  snap_create ("t", "0 4096 snapshot m1 m3 P 64");
  snap_create ("u", "0 4096 snapshot m1 m4 N 8");
  reads = snap.mem[0]->counts[BIO_READ];
  snap_write ("o", 130, 20, 'o');
  cr_expect_eq (snap.mem[0]->counts[BIO_READ], reads + 1);
  snap_write ("o", 0, 2000, 'p');
  snap_expect ("s", 0, SECTORS, 'b');
  snap_expect ("t", 0, SECTORS, 'b');
  snap_expect ("u", 0, SECTORS, 'b');
}

/* Who rewrites a part that the first snapshot has copied must not change what
 * the others get of it.
 */
Test (origin, snapshots_of_one_origin_differ)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 64");
  snap_write ("o", 0, 10, 'o');
  snap_create ("t", "0 4096 snapshot m1 m3 P 2");
  snap_write ("o", 5, 10, 'p');
  snap_create ("u", "0 4096 snapshot m1 m4 N 8");
  snap_write ("o", 0, 64, 'q');
  snap_expect ("s", 0, 64, 'b');
  snap_expect ("t", 0, 10, 'o');
  snap_expect ("t", 10, 54, 'b');
  snap_expect ("u", 0, 5, 'o');
  snap_expect ("u", 5, 10, 'p');
  snap_expect ("u", 15, 49, 'b');
}

/* B lies in the same large chunk as A and waits for its copy. */
Test (origin, a_write_waits_for_the_large_chunk_around_it)
{
  struct snap_writer a, b;

  snap_create ("small", "0 4096 snapshot m1 m2 P 2");
  snap_create ("large", "0 4096 snapshot m1 m3 P 64");
  snap.mem[2]->stalled = true;
  snap_writer_start (&a, "o", BIO_WRITE, 0, 2, 'x');
  snap_wait_stalled (3, 1);
  snap_writer_start (&b, "o", BIO_WRITE, 4, 2, 'y');
  cr_expect (snap_waits (&b));
  snap_expect_mem (1, 0, 64, 'b');
  snap.mem[2]->stalled = false;
  cr_expect_eq (snap_writer_join (&a), 0);
  cr_expect_eq (snap_writer_join (&b), 0);
  snap_expect ("large", 0, 64, 'b');
  snap_expect ("small", 0, 64, 'b');
  /* B has found the exception that A has made. */
  snap_expect_info ("large", "192/4096 128");
}

static void *
old_reader (void *opaque)
{
  snap_expect ("s", 0, 1, 'b');
  return NULL;
}

Test (origin, an_old_read_that_a_write_overtakes_is_right)
{
  pthread_t reader;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->stalled_len = 1;
  snap.mem[0]->stalled = true;
  cr_assert_eq (pthread_create (&reader, NULL, old_reader, NULL), 0);
  snap_wait_stalled (1, 1);
  snap_write ("o", 0, 8, 'o');
  snap_expect_info ("s", "24/4096 16");
  snap.mem[0]->stalled = false;
  pthread_join (reader, NULL);
}

Test (origin, an_old_read_fails_if_the_snapshot_is_lost_meanwhile)
{
  struct snap_writer reader;

  snap.mem[1]->bdev.size = 16;
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->stalled_len = 1;
  snap.mem[0]->stalled = true;
  snap_writer_start (&reader, "s", BIO_READ, 0, 1, 0);
  snap_wait_stalled (1, 1);
  snap_write ("o", 0, 8, 'o');
  snap_expect_info ("s", "Invalid");
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&reader), -EIO);
}

Test (origin, a_snapshot_that_is_not_resumed_is_not_preserved)
{
  snap_load ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("o", 0, 8, 'o');
  snap_expect_info ("*s", "16/4096 16");
}

Test (origin, a_suspended_snapshot_is)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_suspend ("s");
  snap_write ("o", 0, 8, 'o');
  snap_expect_info ("s", "24/4096 16");
  snap_resume ("s");
  snap_expect ("s", 0, 8, 'b');
}

Test (origin, what_is_beyond_the_snapshot_is_not)
{
  snap_create ("s", "0 20 snapshot m1 m2 P 8");
  snap_write ("o", 24, 800, 'o');
  snap_expect_info ("s", "16/4096 16");
  snap_write ("o", 10, 100, 'o');
  snap_expect_info ("s", "32/4096 16");
  snap_expect ("s", 0, 20, 'b');
}

/* The whole table counts, not the target (Linux 6.1). */
Test (origin, what_is_inside_the_snapshots_table_is)
{
  snap_create ("s", "0 8 snapshot m1 m2 P 8\n8 8 zero");
  snap_write ("o", 0, 100, 'o');
  snap_expect_info ("s", "32/4096 16");
}

Test (origin, a_removed_snapshot_is_not)
{
  unsigned writes;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_remove ("s");
  writes = snap.mem[1]->counts[BIO_WRITE];
  snap_write ("o", 0, 8, 'o');
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], writes);
}

/* ASan would see who goes too early. */
Test (origin, a_snapshot_goes_when_its_copies_are_done)
{
  struct snap_writer w;
  struct dmtest *t = &snap;
  struct snap_writer other;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  t->mem[2]->stalled = true;
  snap_writer_start (&w, "o", BIO_WRITE, 0, 8, 'o');
  snap_wait_stalled (3, 1);
  snap_writer_start (&other, "o", BIO_WRITE, 0, 8, 'p');
  t->mem[2]->stalled = false;
  snap_remove ("t");
  snap_remove ("s");
  cr_expect_eq (snap_writer_join (&w), 0);
  cr_expect_eq (snap_writer_join (&other), 0);
}

/* Its moment is that of the resume, though a write was under way. */
Test (origin, a_snapshot_is_taken_between_writes)
{
  struct snap_writer w, resume_after;
  char seen;

  snap.mem[0]->stalled = true;
  snap_writer_start (&w, "o", BIO_WRITE, 0, 8, 'o');
  snap_wait_stalled (1, 1);
  snap_load ("s", "0 4096 snapshot m1 m2 P 8");
  snap_writer_start (&resume_after, "o", BIO_WRITE, 64, 8, 'p');
  snap.mem[0]->stalled = false;
  snap_resume ("s");
  cr_expect_eq (snap_writer_join (&w), 0);
  cr_expect_eq (snap_writer_join (&resume_after), 0);
  snap_expect ("s", 0, 8, 'o');
  /* The other one came before or after it. */
  seen = snap.mem[0]->data[65 * SECTOR_SIZE - 1];
  cr_expect_eq (seen, 'p');
}

Test (origin, several_devices_of_one_origin_preserve)
{
  snap_create ("again", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_write ("o", 0, 8, 'o');
  snap_write ("again", 8, 8, 'o');
  snap_expect ("s", 0, 16, 'b');
}

Test (origin, a_snapshot_of_a_snapshot)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_create ("so", "0 4096 snapshot-origin s");
  snap_create ("ss", "0 4096 snapshot s m3 P 2");
  snap_write ("so", 4, 20, 's');
  snap_expect ("ss", 0, 64, 'b');
  snap_write ("o", 0, 64, 'o');
  snap_expect ("ss", 0, 64, 'b');
  snap_expect ("s", 0, 4, 'b');
  snap_expect ("s", 4, 20, 's');
  snap_expect ("s", 24, 40, 'b');
}

/* ------------------------------------------------------------------
 * Errors.
 */

Test (origin, an_error_of_a_cow_device_is_its_own)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_create ("t", "0 4096 snapshot m1 m3 P 8");
  snap.mem[1]->bad_start = 16;
  snap.mem[1]->bad_end = 17;
  snap_write ("o", 0, 8, 'o');
  snap_expect_info ("s", "Invalid");
  cr_expect_eq (snap_events ("s"), 1);
  snap_expect ("t", 0, 8, 'b');
}

Test (origin, a_read_error_loses_the_snapshot_and_not_the_write)
{
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->bad_start = 7;
  snap.mem[0]->bad_end = 8;
  snap_write ("o", 0, 7, 'o');
  snap_expect_info ("s", "Invalid");
}

/* Until it is on disk that the snapshot is lost nothing may change that it
 * should have preserved.
 */
Test (origin, a_write_waits_for_the_invalidation)
{
  struct snap_writer w, second;

  snap.mem[1]->bdev.size = 16;
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[1]->stalled = true;
  snap_writer_start (&w, "o", BIO_WRITE, 0, 8, 'o');
  snap_wait_stalled (2, 1);
  snap_writer_start (&second, "o", BIO_WRITE, 64, 8, 'o');
  cr_expect (snap_waits (&w) && snap_waits (&second));
  snap_expect_mem (1, 0, 72, 'b');
  snap.mem[1]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
  cr_expect_eq (snap_writer_join (&second), 0);
  snap_expect_info ("s", "Invalid");
}

Test (origin, its_own_error_is_the_writers)
{
  snap_create ("s", "0 4096 snapshot m1 m2 N 8");
  snap_write ("s", 0, 8, 's');
  snap.mem[0]->bad_start = 0;
  snap.mem[0]->bad_end = 1;
  cr_expect_eq (snap_io ("o", BIO_WRITE, 0, 8, 'o'), -EIO);
  snap_expect_info ("s", "8/4096 0");
}
