/* SPDX-License-Identifier: BSD-3-Clause */
/* The log-writes target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/write-log.h"
#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"
#include "tests/lib/rig.h"

static struct fixture f;
static struct memdev *a, *l;
static char data[16 * SECTOR_SIZE];

static void
setup (void)
{
  fixture_start (&f);
  a = memdev_add ("a", 262144);
  l = memdev_add ("l", 262144);
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
  memdev_remove (l);
}

TestSuite (log_writes, .init = setup, .fini = teardown);

static void
load (void)
{
  cr_assert_eq (fixture_load (&f, "0 1024 log-writes a l"), 0);
  table_resume (f.table);
}

static int
submit (enum bio_op op, unsigned flags, sector_t sector, sector_t len)
{
  struct bio bio = { .op = op, .flags = flags, .sector = sector, .len = len };

  if (op == BIO_WRITE) {
    memset (data, sector, sizeof data);
    bio.data = data;
  }
  return table_map_bio (f.table, &bio);
}

static void
write_sectors (sector_t sector, sector_t len)
{
  cr_assert_eq (submit (BIO_WRITE, 0, sector, len), 0);
}

static void
flush (void)
{
  cr_assert_eq (submit (BIO_FLUSH, 0, 0, 0), 0);
}

/* The log from sector 1 on as text, one word for each entry: flags @ sector +
 * length.  Data must be that of submit.
 */
static char *
log_text (unsigned entries)
{
  char *text = NULL;
  size_t n, block = SECTOR_SIZE;
  FILE *fp = open_memstream (&text, &n);
  const char *at = l->data + block;
  struct wlog_header h;

  for (; entries > 0; entries--) {
    uint64_t flags, sector, len;

    memcpy (&h, at, sizeof h);
    flags = from_le64 (h.flags);
    sector = from_le64 (h.block);
    len = from_le64 (h.nr_blocks);
    fprintf (fp, "%u@%u+%u", (unsigned) flags, (unsigned) sector,
             (unsigned) len);
    fprintf (fp, "%.*s ", (int) from_le64 (h.text_bytes), at + sizeof h);
    at += block;
    if (flags & WLOG_DISCARD)
      continue;
    if (len > 0)
      cr_expect (at[0] == (char) sector &&
                 at[len * block - 1] == (char) sector);
    at += len * block;
  }
  fclose (fp);
  return text;
}

static void
expect_log (unsigned entries, const char *expected)
{
  char *text = log_text (entries);

  cr_expect_str_eq (text, expected);
  free (text);
}

static void
expect_info (const char *expected)
{
  char *info = fixture_status (&f, 0, DM_STATUS_INFO);

  cr_expect_str_eq (info, expected);
  free (info);
}

/* The number in the superblock; 0 if there is none. */
static unsigned
super_entries (void)
{
  struct wlog_super super;

  memcpy (&super, l->data, sizeof super);
  return from_le64 (super.nr_entries);
}

Test (log_writes, status)
{
  fixture_golden (&f, "0 8 log-writes a l extra args", "a l", "0 0");
  a->limits.logical_block_bytes = 4096;
  fixture_golden (&f, "0 8 log-writes a l", "a l", "0 7");
}

Test (log_writes, bad_lines)
{
  fixture_refuse (&f, "0 8 log-writes a", EINVAL, "Invalid argument count: 1");
  fixture_refuse (&f, "0 8 log-writes nosuch l", ENODEV,
                  "Device lookup failed");
  fixture_refuse (&f, "0 8 log-writes a nosuch", ENODEV,
                  "Log device lookup failed");
}

Test (log_writes, bytes_of_superblock_and_entry)
{
  static const unsigned char super[] = {
    0x72, 0x68, 0x73, 0x77, 0x66, 0x73, 0x6a, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0
  };
  static const unsigned char entry[] = {
    3, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  };
  static const char zeroes[SECTOR_SIZE];

  load ();
  memset (l->data, 'x', sectors_to_bytes (4));
  cr_assert_eq (submit (BIO_WRITE, BIO_FUA, 0x103, 2), 0);
  cr_expect_eq (memcmp (l->data, super, sizeof super), 0);
  cr_expect_eq (memcmp (l->data + sizeof super, zeroes,
                        SECTOR_SIZE - sizeof super), 0);
  cr_expect_eq (memcmp (l->data + SECTOR_SIZE, entry, sizeof entry), 0);
  cr_expect_eq (memcmp (l->data + SECTOR_SIZE + sizeof entry, zeroes,
                        SECTOR_SIZE - sizeof entry), 0);
  cr_expect_eq (memcmp (l->data + 2 * SECTOR_SIZE, data,
                        2 * SECTOR_SIZE), 0);
}

Test (log_writes, writes_are_logged_by_the_flush_after_them)
{
  load ();
  write_sectors (8, 2);
  write_sectors (16, 1);
  expect_info ("0 0");
  flush ();
  write_sectors (24, 1);
  expect_log (3, "0@8+2 0@16+1 1@0+0 ");
  expect_info ("3 6");
  cr_expect_eq (super_entries (), 0);
  cr_expect_eq (a->data[9 * SECTOR_SIZE], 8);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  cr_expect_eq (l->counts[BIO_FLUSH], 1);
}

/* The figures of Linux 6.1. */
Test (log_writes, six_writes_and_a_flush)
{
  unsigned i;

  load ();
  for (i = 0; i < 6; i++)
    write_sectors (i * 8, 8);
  flush ();
  expect_info ("7 55");
}

Test (log_writes, a_fua_write_is_logged_before_the_unflushed)
{
  load ();
  write_sectors (8, 1);
  cr_assert_eq (submit (BIO_WRITE, BIO_FUA, 16, 1), 0);
  cr_expect_eq (super_entries (), 1);
  flush ();
  expect_log (3, "2@16+1 0@8+1 1@0+0 ");
  cr_expect_eq (super_entries (), 1);
}

static void *
flush_thread (void *unused)
{
  flush ();
  return NULL;
}

/* A discard that goes nowhere is done while the flush is under way. */
Test (log_writes, a_flush_takes_what_was_done_when_it_came)
{
  pthread_t thread;

  a->limits.discard = false;
  load ();
  write_sectors (8, 1);
  a->stalled = true;
  cr_assert_eq (pthread_create (&thread, NULL, flush_thread, NULL), 0);
  cr_assert (EVENTUALLY (a->waiting == 1));
  cr_assert_eq (submit (BIO_DISCARD, 0, 100, 50), 0);
  expect_info ("0 0");
  a->stalled = false;
  pthread_join (thread, NULL);
  expect_log (2, "0@8+1 1@0+0 ");
  expect_info ("2 3");
  flush ();
  expect_log (4, "0@8+1 1@0+0 4@100+50 1@0+0 ");
}

Test (log_writes, discards_carry_no_data)
{
  load ();
  cr_assert_eq (submit (BIO_DISCARD, 0, 100, 50), 0);
  write_sectors (8, 1);
  flush ();
  expect_log (3, "4@100+50 0@8+1 1@0+0 ");
  cr_expect_eq (a->counts[BIO_DISCARD], 1);
}

Test (log_writes, a_discard_that_the_device_cannot_is_logged)
{
  struct queue_limits limits;

  a->limits.discard = false;
  load ();
  cr_assert_eq (table_limits (f.table, NULL, &limits, NULL), 0);
  cr_expect (limits.discard);
  cr_expect_eq (limits.discard_granularity_bytes, 512);
  cr_assert_eq (submit (BIO_DISCARD, 0, 100, 50), 0);
  flush ();
  expect_log (2, "4@100+50 1@0+0 ");
  cr_expect_eq (a->counts[BIO_DISCARD], 0);
}

Test (log_writes, a_mark_is_logged_at_once)
{
  load ();
  write_sectors (8, 1);
  fixture_answer (&f, "mark here", "");
  expect_log (1, "8@0+0here ");
  cr_expect_eq (super_entries (), 1);
}

Test (log_writes, a_mark_is_cut_to_its_block)
{
  char words[700] = "MARK ";
  struct wlog_header h;

  load ();
  memset (words + 5, 'm', sizeof words - 6);
  fixture_answer (&f, words, "");
  memcpy (&h, l->data + SECTOR_SIZE, sizeof h);
  cr_expect_eq (from_le64 (h.text_bytes), 479);
  cr_expect_eq (l->data[SECTOR_SIZE + 510], 'm');
  cr_expect_eq (l->data[SECTOR_SIZE + 511], 0);
}

Test (log_writes, bad_messages)
{
  load ();
  fixture_refuse_message (&f, "mark", "Invalid log-writes message arguments, "
                          "expect 2 arguments, got 1");
  fixture_refuse_message (&f, "mark a b", "Invalid log-writes message "
                          "arguments, expect 2 arguments, got 3");
  fixture_refuse_message (&f, "foo bar", "Unrecognised log writes target "
                          "message received: foo");
}

Test (log_writes, blocks_are_those_of_the_device)
{
  a->limits.logical_block_bytes = 4096;
  load ();
  write_sectors (16, 8);
  flush ();
  expect_info ("2 31");
  cr_expect_eq (l->data[4096], 2);
  cr_expect_eq (l->data[4096 + 8], 1);
  cr_expect_eq (l->data[8192], 16);
}

Test (log_writes, what_fails_is_logged_too)
{
  load ();
  a->bad_end = 1024;
  cr_expect_eq (submit (BIO_WRITE, BIO_FUA, 8, 1), -EIO);
  expect_log (1, "2@8+1 ");
}

Test (log_writes, the_end_writes_what_is_left_and_a_mark)
{
  load ();
  write_sectors (8, 1);
  cr_assert_eq (fixture_load (&f, "0 8 zero"), 0);
  expect_log (2, "0@8+1 8@0+0dm-log-writes-end ");
  cr_expect_eq (super_entries (), 2);
}

Test (log_writes, a_table_that_was_never_live_leaves_the_log_alone)
{
  cr_assert_eq (fixture_load (&f, "0 1024 log-writes a l"), 0);
  cr_assert_eq (fixture_load (&f, "0 8 zero"), 0);
  cr_expect_eq (l->counts[BIO_WRITE], 0);
}

Test (log_writes, sectors_are_those_of_the_whole_device)
{
  cr_assert_eq (fixture_load (&f, "0 4 zero\n4 1024 log-writes a l"), 0);
  write_sectors (8, 1);
  cr_expect_eq (a->data[8 * SECTOR_SIZE], 8);
  flush ();
  expect_log (2, "0@8+1 1@0+0 ");
}

/* The figures of Linux 6.1. */
Test (log_writes, a_full_log_stops_and_the_device_works_on)
{
  unsigned i;

  l->bdev.size = 32;
  load ();
  for (i = 0; i < 5; i++)
    cr_assert_eq (submit (BIO_WRITE, BIO_FUA, i * 8, 8), 0);
  expect_info ("3 36 logging_disabled");
  fixture_answer (&f, "mark late", "");
  flush ();
  expect_info ("3 36 logging_disabled");
  cr_expect_eq (super_entries (), 3);
  cr_expect_eq (a->counts[BIO_WRITE], 5);
}

Test (log_writes, a_log_that_fails_stops)
{
  load ();
  l->bad_end = 1024;
  cr_expect_eq (submit (BIO_WRITE, BIO_FUA, 8, 1), 0);
  expect_info ("1 2 logging_disabled");
}

/* 64 MiB and a bit. */
Test (log_writes, too_much_unflushed_is_logged)
{
  unsigned i;

  load ();
  for (i = 0; i < 8192; i++)
    write_sectors (i % 64 * 16, 16);
  expect_info ("7711 131087");
}
