/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and replaying logs of log-writes, broken ones above all. */

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/replay.h"
#include "clients/wlog.h"

#define BLOCK 512

static char path[] = "/tmp/nbdm-wlog.XXXXXX";
static char target_path[] = "/tmp/nbdm-target.XXXXXX";
static int fd, target_fd;
static off_t end; /* of the log */
static struct wlog log_;
static struct wlog_entry entry;
static struct message msg;

static void
put_super (uint64_t nr_entries, unsigned block_bytes)
{
  char block[BLOCK] = "";
  struct wlog_super super = { .magic = to_le64 (WLOG_MAGIC),
                              .version = to_le64 (WLOG_VERSION),
                              .nr_entries = to_le64 (nr_entries),
                              .block_bytes = to_le32 (block_bytes) };

  memcpy (block, &super, sizeof super);
  cr_assert_eq (pwrite (fd, block, BLOCK, 0), BLOCK);
}

/* An entry of blocks bytes of data, each of them fill. */
static void
put_entry (uint64_t flags, uint64_t block, uint64_t nr_blocks,
           uint64_t text_bytes, unsigned blocks, char fill)
{
  struct wlog_header header = { to_le64 (block), to_le64 (nr_blocks),
                                to_le64 (flags), to_le64 (text_bytes) };
  size_t bytes = BLOCK * (1 + blocks);
  char *data = calloc (1, bytes);

  memset (data, fill, bytes);
  memcpy (data, &header, sizeof header);
  cr_assert_eq (pwrite (fd, data, bytes, end), (ssize_t) bytes);
  end += bytes;
  free (data);
}

static void
setup (void)
{
  fd = mkstemp (path);
  target_fd = mkstemp (target_path);
  cr_assert (fd >= 0 && target_fd >= 0);
  cr_assert_eq (ftruncate (target_fd, 100 * BLOCK), 0);
  end = BLOCK;
}

static void
teardown (void)
{
  close (fd);
  close (target_fd);
  unlink (path);
  unlink (target_path);
}

TestSuite (wlog, .init = setup, .fini = teardown);

static void
open_log (uint64_t nr_entries)
{
  put_super (nr_entries, BLOCK);
  cr_assert_eq (wlog_open (&log_, path, &msg), 0, "%s", msg.text);
}

static void
expect_bad_log (const char *error)
{
  msg.text[0] = '\0';
  cr_expect_eq (wlog_open (&log_, path, &msg), -EINVAL);
  cr_expect (strstr (msg.text, error), "%s", msg.text);
}

static void
expect_bad_entry (const char *error)
{
  msg.text[0] = '\0';
  open_log (1);
  cr_expect_eq (wlog_next (&log_, &entry, &msg), -EINVAL);
  cr_expect (strstr (msg.text, error), "%s", msg.text);
  wlog_entry_reset (&entry);
  wlog_close (&log_);
}

Test (wlog, entries_come_one_by_one)
{
  put_entry (0, 3, 2, 0, 2, 'a');
  put_entry (WLOG_DISCARD, 5, 40, 0, 0, 0);
  put_entry (WLOG_MARK, 0, 0, 3, 0, 'm');
  open_log (3);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  cr_expect_eq (entry.nr, 1);
  cr_expect_eq (entry.start_bytes, 3 * BLOCK);
  cr_expect_eq (entry.len_bytes, 2 * BLOCK);
  cr_expect_null (entry.mark);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  cr_expect_eq (entry.flags, WLOG_DISCARD);
  cr_expect_eq (entry.len_bytes, 40 * BLOCK);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  cr_expect_str_eq (entry.mark, "mmm");
  wlog_entry_reset (&entry);
  cr_expect_eq (wlog_next (&log_, &entry, &msg), 0);
  wlog_rewind (&log_);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  cr_expect_eq (entry.nr, 1);
  wlog_close (&log_);
}

Test (wlog, a_mark_may_fill_its_block)
{
  put_entry (WLOG_MARK, 0, 0, BLOCK - 32, 0, 'm');
  open_log (1);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  cr_expect_eq (strlen (entry.mark), BLOCK - 32);
  wlog_entry_reset (&entry);
  wlog_close (&log_);
}

Test (wlog, no_logs)
{
  expect_bad_log ("the log ends at byte 0");
  cr_assert_eq (ftruncate (fd, 4096), 0);
  expect_bad_log ("wrong magic");
  put_super (1, 0);
  expect_bad_log ("impossible block size 0");
  put_super (1, 1000);
  expect_bad_log ("impossible block size 1000");
  put_super (1, 1u << 31);
  expect_bad_log ("impossible block size");
  put_super (1, 512);
  cr_assert_eq (pwrite (fd, "\2", 1, 8), 1);
  expect_bad_log ("version 2");
}

Test (wlog, a_log_that_ends_too_early)
{
  expect_bad_entry ("entry 1: is beyond the end of the log");
}

Test (wlog, data_beyond_the_end)
{
  put_entry (0, 0, 2, 0, 1, 'a');
  expect_bad_entry ("entry 1: its data is beyond the end of the log");
}

Test (wlog, ranges_that_overflow)
{
  put_entry (WLOG_DISCARD, UINT64_MAX / BLOCK + 1, 1, 0, 0, 0);
  expect_bad_entry ("its range is impossible");
  end = BLOCK;
  put_entry (WLOG_DISCARD, 1, UINT64_MAX / BLOCK + 1, 0, 0, 0);
  expect_bad_entry ("its range is impossible");
  end = BLOCK;
  put_entry (WLOG_DISCARD, UINT64_MAX / BLOCK, UINT64_MAX / BLOCK, 0, 0, 0);
  expect_bad_entry ("its range is impossible");
  end = BLOCK;
  put_entry (WLOG_DISCARD, INT64_MAX / BLOCK, 1, 0, 0, 0);
  expect_bad_entry ("its range is impossible");
}

Test (wlog, a_mark_longer_than_its_block)
{
  put_entry (WLOG_MARK, 0, 0, BLOCK - 31, 0, 'm');
  expect_bad_entry ("a mark of 481 bytes does not fit");
  end = BLOCK;
  put_entry (WLOG_MARK, 0, 0, UINT64_MAX, 0, 'm');
  expect_bad_entry ("does not fit its block");
}

Test (wlog, unknown_flags)
{
  put_entry (32, 0, 0, 0, 0, 0);
  expect_bad_entry ("unknown flags");
}

/* ------------------------------------------------------------------
 * Replay.
 */

static int
replay_one (void)
{
  struct replay replay;
  int r;

  open_log (1);
  cr_assert_eq (replay_open (&replay, target_path, &msg), 0);
  cr_assert_eq (wlog_next (&log_, &entry, &msg), 1);
  r = replay_entry (&replay, &log_, &entry, &msg);
  cr_assert_eq (replay_sync (&replay, &msg), 0);
  cr_assert_eq (replay_close (&replay, &msg), 0);
  wlog_close (&log_);
  return r;
}

static char
target_byte (off_t at)
{
  char c;

  cr_assert_eq (pread (target_fd, &c, 1, at), 1);
  return c;
}

Test (wlog, a_write_is_written)
{
  put_entry (0, 98, 2, 0, 2, 'a');
  cr_expect_eq (replay_one (), 0);
  cr_expect_eq (target_byte (98 * BLOCK - 1), 0);
  cr_expect_eq (target_byte (98 * BLOCK), 'a');
  cr_expect_eq (target_byte (100 * BLOCK - 1), 'a');
}

Test (wlog, what_was_discarded_is_zeroes)
{
  cr_assert_eq (pwrite (target_fd, "xyz", 3, 7 * BLOCK - 1), 3);
  put_entry (WLOG_DISCARD, 7, 1, 0, 0, 0);
  cr_expect_eq (replay_one (), 0);
  cr_expect_eq (target_byte (7 * BLOCK - 1), 'x');
  cr_expect_eq (target_byte (7 * BLOCK), 0);
}

Test (wlog, a_write_beyond_the_end_is_refused)
{
  put_entry (0, 99, 2, 0, 2, 'a');
  cr_expect_eq (replay_one (), -ENOSPC);
  cr_expect_str_eq (msg.text, "entry 1 goes to byte 51712 of 51200");
  cr_expect_eq (target_byte (99 * BLOCK), 0);
}
