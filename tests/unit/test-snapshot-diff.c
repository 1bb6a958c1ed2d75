/* SPDX-License-Identifier: BSD-3-Clause */
/* The snapshot-diff target: whose data, whose extents. */

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

TestSuite (snapshot_diff, .init = setup, .fini = snap_stop, .timeout = 60);

/* Extents as "DATA+LEN " and "hole+LEN ", neighbours of a kind joined. */
struct text_sink {
  struct extent_sink sink;
  sector_t len;
  unsigned flags;
  char text[256];
};

static void
text_put (struct text_sink *t)
{
  size_t at = strlen (t->text);

  if (t->len > 0)
    snprintf (t->text + at, sizeof t->text - at, "%s+%d ",
              t->flags == 0 ? "DATA" : t->flags == EXTENT_HOLE ? "hole" : "?",
              (int) t->len);
}

static int
text_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct text_sink *t = (struct text_sink *) sink;

  if (flags != t->flags) {
    text_put (t);
    t->len = 0;
  }
  t->flags = flags;
  t->len += len;
  return 0;
}

static int
ask (const char *name, sector_t sector, sector_t len, struct text_sink *t)
{
  struct mapped_device *md;
  int r;

  *t = (struct text_sink) { .sink.add = text_add };
  cr_assert_eq (dm_open (snap.reg, name, &md, &snap.msg), 0);
  r = bdev_extents (dm_block_device (md), sector, len, &t->sink);
  dm_close (md);
  text_put (t);
  return r;
}

static void
expect (const char *name, sector_t sector, sector_t len, const char *text)
{
  struct text_sink t;

  cr_expect_eq (ask (name, sector, len, &t), 0);
  cr_expect_str_eq (t.text, text);
}

Test (snapshot_diff, data_is_what_either_side_has_written)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_create ("d", "0 4096 snapshot-diff m1 m2");
  expect ("d", 0, SECTORS, "hole+4096 ");
  snap_write ("o", 17, 1, 'o');
  snap_write ("s", 100, 8, 's');
  expect ("d", 0, SECTORS, "hole+16 DATA+8 hole+72 DATA+16 hole+3984 ");
  expect ("d", 20, 10, "DATA+4 hole+6 ");
  snap_expect_info ("d", "3 8");
  snap_expect_table ("d", "m1 m2");
}

Test (snapshot_diff, works_for_transient_snapshots)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 N 8");
  snap_create ("d", "0 4096 snapshot-diff m1 m2");
  snap_write ("o", 0, 1, 'o');
  expect ("d", 0, 16, "DATA+8 hole+8 ");
}

/* Two snapshots: what has changed from the one to the other, as it was when
 * the second was taken.
 */
Test (snapshot_diff, reads_the_device_it_is_told_to)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("first", "0 4096 snapshot m1 m2 P 8");
  snap_write ("o", 8, 8, '1');
  snap_create ("second", "0 4096 snapshot m1 m3 P 8");
  snap_create ("d", "0 4096 snapshot-diff m1 m2 second");
  snap_create ("now", "0 4096 snapshot-diff m1 m2");
  snap_write ("o", 8, 8, '2');
  snap_expect ("d", 0, 8, 'b');
  snap_expect ("d", 8, 8, '1');
  snap_expect ("now", 8, 8, '2');
  expect ("d", 0, 24, "hole+8 DATA+8 hole+8 ");
  snap_expect_table ("d", "m1 m2 second");
}

Test (snapshot_diff, is_not_written_to)
{
  snap_create ("d", "0 4096 snapshot-diff m1 m2");
  cr_expect_eq (snap_io ("d", BIO_WRITE, 0, 8, 'x'), -EPERM);
  snap_expect_mem (1, 0, SECTORS, 'b');
  cr_expect_eq (snap.mem[1]->counts[BIO_WRITE], 0);
}

Test (snapshot_diff, knows_nothing_without_a_valid_snapshot)
{
  struct text_sink t;

  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("d", "0 4096 snapshot-diff m1 m2");
  cr_expect_eq (ask ("d", 0, 8, &t), -EIO);
  snap_expect_info ("d", "Invalid");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  expect ("d", 0, 8, "hole+8 ");
  snap.mem[1]->bad_end = SECTORS;
  snap_write ("o", 0, 1, 'o');
  cr_expect_eq (ask ("d", 0, 8, &t), -EIO);
  snap_expect_info ("d", "Invalid");
  snap_expect ("d", 0, 1, 'o');
  snap_remove ("s");
  cr_expect_eq (ask ("d", 0, 8, &t), -EIO);
}

/* It follows the store to the table that takes it over. */
Test (snapshot_diff, outlives_a_handover)
{
  snap_create ("o", "0 4096 snapshot-origin m1");
  snap_create ("s", "0 4096 snapshot m1 m2 P 8");
  snap_create ("d", "0 4096 snapshot-diff m1 m2");
  snap_write ("o", 0, 1, 'o');
  snap_load ("s", "0 4096 snapshot m1 m2 PO 8");
  snap_suspend ("s");
  snap_resume ("s");
  snap_write ("o", 8, 1, 'o');
  expect ("d", 0, 24, "DATA+16 hole+8 ");
}

Test (snapshot_diff, wants_two_or_three_devices)
{
  snap_refuse ("0 4096 snapshot-diff m1", EINVAL, "Invalid argument count");
  snap_refuse ("0 4096 snapshot-diff m1 m2 m3 m4", EINVAL,
               "Invalid argument count");
  snap_refuse ("0 4096 snapshot-diff m1 none", ENODEV,
               "Device lookup failed");
}
