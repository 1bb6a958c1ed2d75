/* SPDX-License-Identifier: BSD-3-Clause */
/* Merging a persistent store: the order, and what a failure leaves. */

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/store-rig.h"

#define SIZE 8192

static struct memdev *cow;
static struct faultdev fault;
static struct store_rig rig;

static void
setup (void)
{
  cow = memdev_new ("cow", SIZE);
  faultdev_init (&fault, &cow->bdev);
}

static void
teardown (void)
{
  store_rig_close (&rig);
  faultdev_reset (&fault);
  memdev_free (cow);
}

TestSuite (store_merge, .init = setup, .fini = teardown);

static void
open_store (const char *words)
{
  cr_assert_eq (store_rig_open (&rig, &fault.bdev, words), 0, "%s",
                rig.msg.text);
}

/* The runs as "old>new+len ", up to max. */
static void
expect_runs (unsigned max, const char *expected)
{
  struct exception_run runs[16];
  char text[256] = "";
  int n = store_merge_peek (rig.store, runs, max), i, at = 0;

  cr_assert_geq (n, 0);
  for (i = 0; i < n; i++)
    at += snprintf (text + at, sizeof text - at, "%d>%d+%d ",
                    (int) runs[i].old_chunk, (int) runs[i].new_chunk,
                    (int) runs[i].len);
  cr_expect_str_eq (text, expected);
}

static void
add (chunk_t old_chunk, unsigned n)
{
  cr_assert_eq (store_rig_add (&rig, old_chunk, n), 0);
}

static void
expect_status (const char *expected)
{
  char *CLEANUP_FREE text = store_rig_status (&rig);

  cr_expect_str_eq (text, expected);
}

Test (store_merge, newest_runs_first)
{
  open_store ("P 8");
  expect_runs (4, "");
  add (50, 3);
  add (20, 1);
  add (19, 1);
  add (70, 2);
  expect_runs (1, "70>7+2 ");
  expect_runs (3, "70>7+2 19>6+1 20>5+1 ");
  expect_runs (16, "70>7+2 19>6+1 20>5+1 50>2+3 ");
  cr_expect_eq (store_merge_clear (rig.store, 3), 0);
  expect_runs (16, "20>5+1 50>2+3 ");
  expect_status ("48/8192 16");
  cr_expect_eq (store_merge_clear (rig.store, 4), 0);
  expect_runs (16, "");
  expect_status ("16/8192 16");
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), 0);
}

Test (store_merge, a_run_ends_with_its_area)
{
  open_store ("P 1");
  add (100, 40);
  expect_runs (16, "132>35+8 ");
  cr_expect_eq (store_merge_clear (rig.store, 8), 0);
  expect_status ("35/8192 3");
  expect_runs (16, "100>2+32 ");
  cr_expect_eq (store_merge_clear (rig.store, 2), 0);
  expect_status ("32/8192 2");
  expect_runs (16, "100>2+30 ");
}

Test (store_merge, only_what_was_shown_can_be_cleared)
{
  open_store ("P 1");
  add (100, 40);
  expect_runs (16, "132>35+8 ");
  cr_expect_eq (store_merge_clear (rig.store, 9), -EINVAL);
  cr_expect_eq (store_merge_clear (rig.store, 41), -EINVAL);
  cr_expect_eq (store_merge_clear (rig.store, 0), 0);
  expect_runs (16, "132>35+8 ");
}

/* A merge that was given up, at every place: the next exception goes where a
 * reader of the disk looks for it.
 */
Test (store_merge, exceptions_go_on_where_it_stopped)
{
  struct exception_run run;
  unsigned left;

  for (left = 0; left <= 70; left++) {
    memset (cow->data, 0, SIZE * SECTOR_SIZE);
    open_store ("P 1");
    add (1000, 70);
    while (store_merge_peek (rig.store, &run, 1) == 1 &&
           run.old_chunk + run.len - 1000 > left)
      cr_assert_eq (store_merge_clear (rig.store, 1), 0);
    add (5000, 3);
    cr_assert_eq (store_rig_reopen (&rig), 0, "%s", rig.msg.text);
    cr_expect_eq (store_rig_count (&rig), left + 3);
    cr_expect (exception_table_lookup (rig.table, 5002, 1, &run));
    cr_expect_eq (run.new_chunk, cow_identity_chunk (1, left + 2));
    store_rig_close (&rig);
  }
  open_store ("P 1");
}

/* What lay behind the end when the store was loaded lies behind the new end,
 * too, and further off.
 */
Test (store_merge, what_was_behind_the_end_stays_dead)
{
  store_rig_format (cow->data, 8, 100);
  store_rig_set_entry (cow->data, 8, 224, (struct exception) { 7, 240 });
  open_store ("P 8");
  expect_runs (1, "100>2+100 ");
  cr_expect_eq (store_merge_clear (rig.store, 10), 0);
  add (1000, 134); /* up to the sector that it is in */
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), 224);
}

Test (store_merge, space_of_a_disordered_store_is_free_at_the_end)
{
  struct prepared p = { .old_chunk = 1 };

  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 0, (struct exception) { 7, 60 });
  open_store ("P 8");
  expect_runs (1, "101>3+2 ");
  cr_expect_eq (store_merge_clear (rig.store, 2), 0);
  expect_status ("488/8192 16");
  expect_runs (1, "7>60+1 ");
  cr_expect_eq (store_merge_clear (rig.store, 1), 0);
  expect_status ("16/8192 16");
  cr_assert_eq (store_prepare (rig.store, &p, 1), 0);
  cr_expect_eq (p.new_chunk, 2);
  cr_expect_eq (store_commit (rig.store, &p, 1, true), 0);
}

/* Linux 6.1 zeroes its image first: the next try then copies the header to
 * chunk 0 of the origin.
 */
Test (store_merge, a_clear_that_fails_changes_nothing)
{
  static const unsigned ops[] = { 1 << BIO_WRITE, 1 << BIO_FLUSH };
  unsigned i;

  open_store ("P 8");
  add (50, 40);
  for (i = 0; i < 2; i++) {
    expect_runs (1, "50>2+40 ");
    faultdev_arm (&fault, ops[i], 1, i == 0);
    cr_expect_eq (store_merge_clear (rig.store, 38), -EIO);
    faultdev_arm (&fault, 0, 0, false);
    cr_expect_eq (store_rig_entry (cow->data, 8, 39).new_chunk, 41,
                  "the disk has it, too");
    cr_expect (store_is_valid (rig.store));
  }
  expect_runs (1, "50>2+40 ");
  cr_expect_eq (store_merge_clear (rig.store, 38), 0);
  expect_runs (1, "50>2+2 ");
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), 2);
}

/* The disk got the zeroes and then failed for a while: they must not stay when
 * the merge is given up.
 */
Test (store_merge, half_cleared_entries_come_back)
{
  open_store ("P 1");
  add (50, 64);
  expect_runs (1, "82>35+32 ");
  faultdev_arm (&fault, 1 << BIO_FLUSH, 1, true);
  cr_expect_eq (store_merge_clear (rig.store, 20), -EIO);
  memset (cow->data + cow_entry_offset_bytes (1, 50), 0, 14 * 16);
  faultdev_arm (&fault, 0, 0, false);
  add (500, 1);
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), 65);
}

Test (store_merge, unreadable_entries_are_an_error)
{
  struct exception_run run;

  open_store ("P 1");
  add (50, 40);
  cr_expect_eq (store_merge_clear (rig.store, 8), 0);
  faultdev_arm (&fault, 1 << BIO_READ, 1, false);
  cr_expect_eq (store_merge_peek (rig.store, &run, 1), -EIO);
  expect_runs (1, "50>2+32 ");
}

Test (store_merge, entries_that_vanished_are_an_error)
{
  struct exception_run run;

  open_store ("P 1");
  add (50, 40);
  cr_expect_eq (store_merge_clear (rig.store, 8), 0);
  memset (cow->data + 512, 0, 512);
  cr_expect_eq (store_merge_peek (rig.store, &run, 1), -EILSEQ);
}

/* Merge until something fails, then go on as a snapshot.  Returns how many
 * bios there were.
 */
static unsigned
merge_until_it_fails (unsigned ops, unsigned at, bool on)
{
  struct exception_run run;
  uint64_t left = 100;
  unsigned seen;
  int r;

  memset (cow->data, 0, SIZE * SECTOR_SIZE);
  open_store ("P 1");
  add (1000, 100);
  faultdev_arm (&fault, ops, at, on);
  while ((r = store_merge_peek (rig.store, &run, 1)) == 1) {
    r = store_merge_clear (rig.store, run.len < 7 ? run.len : 7);
    if (r < 0)
      break;
    left -= run.len < 7 ? run.len : 7;
  }
  seen = fault.seen;
  faultdev_arm (&fault, 0, 0, false);
  cr_expect (store_is_valid (rig.store));
  cr_expect_eq (r == 0, left == 0);
  cr_expect_eq (store_rig_add (&rig, 5000, 40), 0);
  cr_assert_eq (store_rig_reopen (&rig), 0, "%s", rig.msg.text);
  cr_expect_eq (store_rig_count (&rig), left + 40);
  store_rig_close (&rig);
  return seen;
}

Test (store_merge, every_bio_failing)
{
  static const unsigned ops[] = {
    1 << BIO_READ, 1 << BIO_WRITE, 1 << BIO_FLUSH };
  unsigned i, n;

  for (i = 0; i < 3; i++) {
    for (n = 1; merge_until_it_fails (ops[i], n, false) >= n; n++)
      merge_until_it_fails (ops[i], n, true);
    cr_expect_gt (n, 2);
  }
  open_store ("P 1");
}
