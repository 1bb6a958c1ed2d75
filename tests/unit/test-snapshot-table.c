/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots as lines of a table: what is refused, printed, handed over. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/folder.h"
#include "tests/lib/snaptest.h"

#define SECTORS 4096

static void
setup (void)
{
  snap_start (SECTORS);
}

TestSuite (snapshot_table, .init = setup, .fini = snap_stop, .timeout = 60);

/* ------------------------------------------------------------------
 * The line.
 */

/* Printed so; a resume is not needed for that. */
static void
accept (const char *type, const char *words, const char *printed)
{
  char line[128], expected[128];

  snprintf (line, sizeof line, "0 1024 %s m1 m2 %s", type, words);
  snprintf (expected, sizeof expected, "m1 m2 %s", printed);
  snap_load ("s", line);
  snap_expect_table ("*s", expected);
  snap_remove ("s");
  memset (snap.mem[1]->data, 0, SECTORS * SECTOR_SIZE);
}

static void
refuse (const char *type, const char *words, const char *text)
{
  char line[128];

  snprintf (line, sizeof line, "0 1024 %s m1 m2%s", type, words);
  snap_refuse (line, EINVAL, text);
}

Test (snapshot_table, types_and_chunk_sizes)
{
  static const char *const types[] = { "snapshot", "snapshot-merge" };
  size_t i;

  for (i = 0; i < 2; i++) {
    accept (types[i], "P 16", "P 16");
    accept (types[i], "p 1", "P 1");
    accept (types[i], "PO 2", "PO 2");
    accept (types[i], "po 4", "PO 4");
    accept (types[i], "POx 08", "PO 8");
    accept (types[i], "P 0", "P 32");
    accept (types[i], "P 2048", "P 2048");
    refuse (types[i], "", "requires 4 or more arguments");
    refuse (types[i], " P", "requires 4 or more arguments");
    refuse (types[i], " X 16", "Couldn't create exception store");
    refuse (types[i], " PX 16", "Couldn't create exception store");
    refuse (types[i], " persistent 16", "Couldn't create exception store");
    refuse (types[i], " P 0x8", "Couldn't create exception store");
    refuse (types[i], " P 8x", "Couldn't create exception store");
    refuse (types[i], " P -1", "Couldn't create exception store");
    refuse (types[i], " P 3", "Couldn't create exception store");
    refuse (types[i], " P 4194304", "Couldn't create exception store");
    refuse (types[i], " P 4294967296", "Couldn't create exception store");
  }
}

Test (snapshot_table, transient_stores)
{
  accept ("snapshot", "N 8", "N 8");
  accept ("snapshot", "n 8", "N 8");
  accept ("snapshot", "NO 8", "N 8");
  accept ("snapshot", "Nxyz 8", "N 8");
  refuse ("snapshot", " N 0", "Chunk size not set");
  refuse ("snapshot-merge", " N 8", "Snapshot exception store does not "
          "support snapshot-merge.");
}

Test (snapshot_table, features)
{
  accept ("snapshot", "P 8 0", "P 8");
  accept ("snapshot", "P 8 0 junk", "P 8");
  accept ("snapshot", "P 8 1 discard_zeroes_cow", "P 8 1 discard_zeroes_cow");
  accept ("snapshot", "P 8 1 DISCARD_zeroes_cow junk",
          "P 8 1 discard_zeroes_cow");
  accept ("snapshot", "P 8 2 discard_passdown_origin discard_zeroes_cow",
          "P 8 2 discard_zeroes_cow discard_passdown_origin");
  refuse ("snapshot", " P 8 1 discard_passdown_origin",
          "discard_passdown_origin feature depends on discard_zeroes_cow");
  refuse ("snapshot", " P 8 1 nonsense", "Unrecognised feature requested");
  refuse ("snapshot", " P 8 1", "Invalid number of feature arguments");
  refuse ("snapshot", " P 8 x discard_zeroes_cow",
          "Invalid number of feature arguments");
  refuse ("snapshot", " P 8 3 discard_zeroes_cow discard_zeroes_cow "
          "discard_zeroes_cow", "Invalid number of feature arguments");
}

Test (snapshot_table, devices)
{
  snap_refuse ("0 1024 snapshot m1 m1 P 16", EINVAL,
               "COW device cannot be the same as origin device");
  snap_refuse ("0 1024 snapshot nosuch m2 P 16", ENODEV,
               "Cannot get origin device");
  snap_refuse ("0 1024 snapshot m1 nosuch P 16", ENODEV,
               "Cannot get COW device");
  snap_refuse ("0 1024 snapshot-origin", EINVAL,
               "origin: incorrect number of arguments");
  snap_refuse ("0 1024 snapshot-origin m1 m2", EINVAL,
               "origin: incorrect number of arguments");
}

Test (snapshot_table, chunks_are_whole_blocks_of_both_devices)
{
  snap.mem[1]->limits.logical_block_bytes = 4096;
  refuse ("snapshot", " P 4", "Couldn't create exception store");
  accept ("snapshot", "P 8", "P 8");
  snap.mem[1]->limits.logical_block_bytes = 512;
  snap.mem[0]->limits.logical_block_bytes = 4096;
  refuse ("snapshot", " P 4", "Couldn't create exception store");
}

Test (snapshot_table, its_blocks_are_those_of_both_devices)
{
  struct queue_limits limits;
  struct mapped_device *md;
  unsigned i;

  for (i = 0; i < 2; i++) {
    snap.mem[i]->limits.logical_block_bytes = 4096;
    snap_create ("s", "0 1024 snapshot m1 m2 P 8");
    cr_assert_eq (dm_open (snap.reg, "s", &md, NULL), 0);
    bdev_limits (dm_block_device (md), &limits);
    dm_close (md);
    cr_expect_eq (limits.logical_block_bytes, 4096);
    snap_remove ("s");
    snap.mem[i]->limits.logical_block_bytes = 512;
  }
}

Test (snapshot_table, a_chunk_beyond_the_cow_device_is_eio)
{
  snap_refuse ("0 1024 snapshot m1 m2 P 8192", EIO,
               "Failed to read snapshot metadata");
}

Test (snapshot_table, what_is_no_store_is_enxio)
{
  memset (snap.mem[1]->data, 'x', SECTOR_SIZE);
  snap_refuse ("0 1024 snapshot m1 m2 P 8", ENXIO,
               "Failed to read snapshot metadata");
}

Test (snapshot_table, the_header_overrides_the_chunk_size)
{
  snap_create ("s", "0 1024 snapshot m1 m2 P 16");
  snap_write ("s", 0, 1, 's');
  snap_remove ("s");
  snap_create ("s", "0 1024 snapshot m1 m2 P 8");
  snap_expect_table ("s", "m1 m2 P 16");
  snap_expect_info ("s", "48/4096 32");
  snap_expect ("s", 0, 1, 's');
}

Test (snapshot_table, a_snapshot_longer_than_its_origin_is_refused)
{
  snap_refuse ("0 5000 snapshot m1 m2 P 16", EINVAL, "m1 too small");
}

/* ------------------------------------------------------------------
 * Status.
 */

static void
expect_usage (unsigned exceptions, const char *info)
{
  static unsigned done;

  for (; done < exceptions; done++)
    snap_write ("s", done, 1, 's');
  snap_expect_info ("s", info);
}

Test (snapshot_table, usage_counts_areas)
{
  snap_create ("s", "0 1024 snapshot m1 m2 P 1");
  expect_usage (0, "2/4096 2");
  expect_usage (1, "3/4096 2");
  expect_usage (31, "33/4096 2");
  expect_usage (32, "35/4096 3");
  expect_usage (33, "36/4096 3");
  expect_usage (64, "68/4096 4");
  expect_usage (208, "216/4096 8");
}

Test (snapshot_table, a_transient_store_has_no_metadata)
{
  snap_create ("s", "0 1024 snapshot m1 m2 N 8");
  snap_expect_info ("s", "0/4096 0");
  snap_write ("s", 100, 1, 's');
  snap_expect_info ("s", "8/4096 0");
}

Test (snapshot_table, a_cow_device_that_grew_shows_at_once)
{
  snap.mem[1]->bdev.size = 46;
  snap_create ("s", "0 1024 snapshot m1 m2 P 8");
  snap_expect_info ("s", "16/46 16");
  snap.mem[1]->bdev.size = SECTORS;
  snap_expect_info ("s", "16/4096 16");
}

Test (snapshot_table, the_origin_has_no_info)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_expect_info ("o", "");
  snap_expect_table ("o", "m1");
}

Test (snapshot_table, the_table_line_waits_for_nothing)
{
  struct snap_writer w;

  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap.mem[0]->stalled = true;
  snap_writer_start (&w, "s", BIO_WRITE, 3, 1, 's');
  snap_wait_stalled (1, 1);
  snap_expect_table ("s", "m1 m2 P 8");
  snap_expect_info ("s", "24/4096 16");
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
}

static void *
resume_thread (void *name)
{
  snap_resume (name);
  return NULL;
}

/* Nor while a resume waits for the writes that are under way. */
Test (snapshot_table, the_table_line_does_not_wait_for_a_quiet_origin)
{
  struct snap_writer w;
  pthread_t thread;

  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_load ("t", "0 4096 snapshot m1 m3 P 8");
  snap.mem[0]->stalled = true;
  snap_writer_start (&w, "o", BIO_WRITE, 3, 1, 's');
  snap_wait_stalled (1, 1);
  cr_assert_eq (pthread_create (&thread, NULL, resume_thread, "t"), 0);
  cr_expect (snap_waits (&w));
  snap_expect_table ("s", "m1 m2 P 8");
  snap.mem[0]->stalled = false;
  cr_expect_eq (snap_writer_join (&w), 0);
  pthread_join (thread, NULL);
}

/* ------------------------------------------------------------------
 * Handover.
 */

static void
setup_pair (void)
{
  snap_start (SECTORS);
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("a", "0 4096 snapshot m1 m2 P 8");
  snap_write ("o", 0, 1, 'o');
  snap_write ("a", 8, 1, 'a');
}

TestSuite (handover, .init = setup_pair, .fini = snap_stop, .timeout = 60);

static void
expect_contents (const char *name)
{
  snap_expect (name, 0, 8, 'b');
  snap_expect (name, 8, 1, 'a');
  snap_expect (name, 9, 100, 'b');
}

Test (handover, the_metadata_are_not_read_again)
{
  unsigned reads = snap.mem[1]->counts[BIO_READ];
  unsigned writes;

  snap_load ("z", "0 4096 snapshot m1 m2 P 64");
  snap_expect_info ("*z", "0/4096 0");
  snap_expect_table ("*z", "m1 m2 P 0");
  snap_suspend ("a");
  writes = snap.mem[1]->counts[BIO_WRITE];
  snap_resume ("z");
  cr_expect_eq (snap.mem[1]->counts[BIO_READ], reads);
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], writes);
  snap_expect_table ("z", "m1 m2 P 8");
  snap_expect_info ("z", "32/4096 16");
  snap_expect_info ("a", "Invalid");
  snap_expect_table ("a", "m1 m2 P 0");
  expect_contents ("z");
  snap_resume ("a");
  cr_expect_eq (snap_io ("a", BIO_READ, 0, 1, 'x'), -EIO);
  cr_expect_eq (snap_io ("a", BIO_WRITE, 0, 1, 'x'), -EIO);
  snap_remove ("a");
  expect_contents ("z");
  snap_write ("o", 64, 1, 'o');
  snap_expect ("z", 64, 1, 'b');
}

Test (handover, on_one_device)
{
  snap_load ("a", "0 4096 snapshot m1 m2 PO 8");
  snap_suspend ("a");
  snap_resume ("a");
  snap_expect_table ("a", "m1 m2 PO 8");
  expect_contents ("a");
}

Test (handover, clear_calls_it_off)
{
  snap_load ("z", "0 4096 snapshot m1 m2 P 8");
  snap_suspend ("a");
  snap_refuse_resume ("a", "Unable to resume snapshot source until handover "
                      "completes.");
  cr_assert_eq (dm_table_clear (snap.reg, DM_REF_NAME ("z"), NULL, NULL), 0);
  snap_resume ("a");
  expect_contents ("a");
}

Test (handover, the_source_has_to_be_suspended)
{
  snap_load ("z", "0 4096 snapshot m1 m2 P 8");
  snap_refuse_resume ("z", "Unable to perform snapshot handover until source "
                      "is suspended.");
  snap_expect_info ("a", "32/4096 16");
  expect_contents ("a");
}

#define PAIRING "Snapshot cow pairing for exception table handover failed"

Test (handover, no_third_one)
{
  snap_load ("z", "0 4096 snapshot m1 m2 P 8");
  snap_refuse ("0 4096 snapshot m1 m2 P 8", EINVAL, PAIRING);
  snap_suspend ("a");
  snap_resume ("z");
  snap_refuse ("0 4096 snapshot m1 m2 P 8", EINVAL, PAIRING);
  snap_remove ("a");
  snap_load ("a", "0 4096 snapshot m1 m2 P 8");
}

Test (handover, two_that_were_never_active)
{
  snap_load ("y", "0 4096 snapshot m1 m3 P 8");
  snap_refuse ("0 4096 snapshot m1 m3 P 8", EINVAL, PAIRING);
}

Test (handover, an_orphan_is_invalid_and_the_store_is_not)
{
  snap_load ("z", "0 4096 snapshot m1 m2 P 8");
  snap_remove ("a");
  snap_expect_info ("*z", "Invalid");
  snap_refuse ("0 4096 snapshot m1 m2 P 8", EINVAL, PAIRING);
  snap_resume ("z");
  snap_expect_info ("z", "Invalid");
  cr_expect_eq (snap_io ("z", BIO_READ, 0, 1, 'x'), -EIO);
  snap_write ("o", 200, 1, 'o');
  snap_remove ("z");
  snap_create ("z", "0 4096 snapshot m1 m2 P 8");
  snap_expect_info ("z", "32/4096 16");
  expect_contents ("z");
}

Test (handover, of_a_transient_store)
{
  snap_create ("n", "0 4096 snapshot m1 m3 N 16");
  snap_write ("n", 0, 3, 'n');
  snap_load ("z", "0 4096 snapshot m1 m3 N 4");
  snap_suspend ("n");
  snap_resume ("z");
  snap_remove ("n");
  snap_expect_table ("z", "m1 m3 N 16");
  snap_expect ("z", 0, 3, 'n');
}

Test (handover, keeps_the_order_of_chunk_sizes)
{
  unsigned reads;

  snap_create ("big", "0 4096 snapshot m1 m3 P 64");
  snap_load ("z", "0 4096 snapshot m1 m3 P 1");
  snap_suspend ("big");
  snap_resume ("z");
  snap_remove ("big");
  reads = snap.mem[0]->counts[BIO_READ];
  snap_write ("o", 640, 1, 'o');
  /* The larger chunk first, so that what it read serves the smaller. */
  cr_expect_eq (snap.mem[0]->counts[BIO_READ], reads + 1);
}

Test (handover, a_state_goes_along)
{
  snap.mem[2]->bdev.size = 32;
  snap_create ("po", "0 4096 snapshot m1 m3 PO 8");
  snap_write ("po", 0, 8, 's');
  cr_expect_eq (snap_io ("po", BIO_WRITE, 8, 8, 's'), 0);
  cr_expect_eq (snap_io ("po", BIO_WRITE, 16, 8, 's'), -EIO);
  snap_expect_info ("po", "Overflow");
  snap_load ("z", "0 4096 snapshot m1 m3 P 8");
  snap_suspend ("po");
  snap_resume ("z");
  snap_expect_info ("z", "Overflow");
}

Test (handover, a_lost_one_stays_lost)
{
  snap.mem[1]->bdev.size = 32;
  snap_write ("o", 100, 1, 'o');
  snap_expect_info ("a", "Invalid");
  snap_load ("z", "0 4096 snapshot m1 m2 P 8");
  snap_suspend ("a");
  snap_resume ("z");
  snap_expect_info ("z", "Invalid");
  cr_expect_eq (snap_io ("z", BIO_READ, 0, 1, 'x'), -EIO);
}

/* ------------------------------------------------------------------
 * One origin under two names, and files that nobody may write to.
 */

/* A file "disk", and its other name. */
static void
make_two_names (struct folder *folder, char again[80])
{
  char disk[80];

  folder_make (folder);
  folder_sparse (folder, "disk", SECTORS * SECTOR_SIZE);
  snprintf (again, 80, "%s/again", folder->path);
  snprintf (disk, sizeof disk, "%s/disk", folder->path);
  cr_assert_eq (link (disk, again), 0);
}

Test (snapshot_table, two_names_of_a_file_are_one_origin)
{
  struct folder folder;
  char table[200], again[80];

  make_two_names (&folder, again);
  snprintf (table, sizeof table, "0 4096 snapshot-origin %s/disk",
            folder.path);
  snap_create ("o", table);
  snprintf (table, sizeof table, "0 4096 snapshot %s m2 P 8", again);
  snap_create ("s", table);
  snap_write ("o", 17, 1, 'o');
  snap_expect ("o", 17, 1, 'o');
  snap_expect ("s", 17, 1, '0');
  snap_expect_info ("s", "24/4096 16");
  snap_remove ("s");
  snap_remove ("o");
  folder_remove (&folder);
}

Test (snapshot_table, two_names_of_a_file_are_one_cow_device)
{
  struct folder folder;
  char table[200], again[80];

  make_two_names (&folder, again);
  snprintf (table, sizeof table, "0 4096 snapshot m1 %s/disk P 8",
            folder.path);
  snap_create ("s", table);
  snprintf (table, sizeof table, "0 4096 snapshot m1 %s P 8", again);
  snap_load ("z", table);
  snap_expect_info ("*z", "0/4096 0");
  snap_remove ("z");
  snap_remove ("s");
  folder_remove (&folder);
}
