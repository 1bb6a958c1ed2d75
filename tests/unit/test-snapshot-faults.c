/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots and merges whose n-th I/O fails, for every n. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "server/dm-core.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/snaptest.h"

#define SECTORS 512
#define ALL_OPS (1u << BIO_READ | 1u << BIO_WRITE | 1u << BIO_FLUSH)

/* In the place of m1, the origin, and m2, the COW device of "s".  "t" has m3,
 * which never fails.
 */
static struct faultdev faults[2];

static void
setup (void)
{
  unsigned i;

  snap_start (SECTORS);
  for (i = 0; i < 2; i++) {
    faultdev_init (&faults[i], &snap.mem[i]->bdev);
    dmtest_hide (&snap, i);
    devices_add (&faults[i].bdev);
  }
}

static void
teardown (void)
{
  unsigned i;

  dm_remove_all (snap.reg, 0);
  for (i = 0; i < 2; i++) {
    devices_remove (&faults[i].bdev);
    dmtest_show (&snap, i);
  }
  snap_stop ();
}

TestSuite (snapshot_faults, .timeout = 60);

static bool
is_invalid (const char *name)
{
  return snap_io (name, BIO_READ, 0, 1, 0) == -EIO;
}

/* ------------------------------------------------------------------
 * Origin and snapshot.
 */

static void
create_all (void)
{
  snap_create ("o", "0 512 snapshot-origin m1");
  snap_create ("s", "0 512 snapshot m1 m2 P 4");
  snap_create ("t", "0 512 snapshot m1 m3 P 8");
}

static char written[20];  /* to the snapshot: 's', or 'b' if that failed */
static bool told;          /* a client of the snapshot knows of an error */

/* Writes to both; those to the origin must succeed unless the origin fails. */
static void
run (bool origin_fails)
{
  unsigned i;
  int r;

  told = false;
  for (i = 0; i < 20; i++) {
    r = snap_io ("o", BIO_WRITE, i * 16, 10, 'o');
    cr_expect (origin_fails || r == 0, "write %u: %d", i, r);
    r = snap_io ("s", BIO_WRITE, i * 16 + 3, 2, 's');
    written[i] = r < 0 ? 'b' : 's';
    told |= r < 0;
    if (i % 5 == 0)
      told |= snap_io ("s", BIO_FLUSH, 0, 0, 0) < 0;
  }
}

static void
expect_right_or_invalid (const char *name)
{
  unsigned i;

  if (is_invalid (name))
    return;
  for (i = 0; i < 20; i++) {
    snap_expect (name, i * 16, 3, 'b');
    snap_expect (name, i * 16 + 3, 2, name[0] == 's' ? written[i] : 'b');
    snap_expect (name, i * 16 + 5, 11, 'b');
  }
}

/* Arm the n-th I/O of the device, once or from then on.  False: there is no
 * such I/O any more.
 */
static bool
fail_nth (unsigned device, unsigned n, bool on)
{
  bool happened;
  unsigned i;

  setup ();
  create_all ();
  faultdev_arm (&faults[device], ALL_OPS, n, on);
  run (device == 0);
  happened = faults[device].seen >= n;
  faultdev_arm (&faults[device], 0, 0, false);
  expect_right_or_invalid ("s");
  if (device == 1) {
    cr_expect (!is_invalid ("t"));
    cr_expect (!happened || told || is_invalid ("s"), "I/O %u", n);
    for (i = 0; i < 20; i++)
      snap_expect_mem (1, i * 16, 10, 'o');
  }
  expect_right_or_invalid ("t");
  teardown ();
  return happened;
}

Test (snapshot_faults, of_the_cow_device_are_never_the_origins)
{
  unsigned n;

  for (n = 1; fail_nth (1, n, false); n++)
    ;
  for (n = 1; fail_nth (1, n, true); n++)
    ;
  cr_expect_gt (n, 60);
}

Test (snapshot_faults, of_the_origin_leave_right_snapshots_or_none)
{
  unsigned n;

  for (n = 1; fail_nth (0, n, false); n++)
    ;
  cr_expect_gt (n, 40);
}

/* The origin is written to though nobody can be told that "s" is lost.  So "s"
 * must not come back while the server lives, whatever its COW device says.
 */
Test (snapshot_faults, a_loss_that_cannot_be_written_is_remembered)
{
  setup ();
  create_all ();
  faultdev_arm (&faults[1], 1 << BIO_WRITE, 1, true);
  snap_write ("o", 0, 16, 'o');
  snap_expect_mem (1, 0, 16, 'o');
  snap_expect_info ("s", "Invalid");
  snap_remove ("s");
  snap_refuse ("0 512 snapshot m1 m2 P 4", EIO, "the snapshot is lost");
  snap_refuse ("0 512 snapshot-merge m1 m2 P 4", EIO, "the snapshot is lost");
  faultdev_arm (&faults[1], 0, 0, false);
  snap_create ("s", "0 512 snapshot m1 m2 P 4");
  snap_expect_info ("s", "Invalid");
  snap_expect ("t", 0, 16, 'b');
  teardown ();
}

/* ------------------------------------------------------------------
 * A merge.
 */

static void
wait_events (const char *name, unsigned events)
{
  while (snap_events (name) < events)
    usleep (100);
}

static void
expect_view (const char *name)
{
  unsigned i;

  for (i = 0; i < 40; i++) {
    snap_expect (name, i * 12, 4, 's');
    snap_expect (name, i * 12 + 4, 8, 'b');
  }
}

static bool
fail_nth_of_merge (unsigned device, unsigned n)
{
  bool happened;
  unsigned i;

  setup ();
  snap_create ("s", "0 512 snapshot m1 m2 P 1");
  for (i = 0; i < 40; i++)
    snap_write ("s", i * 7 % 40 * 12, 4, 's');
  snap_remove ("s");
  snap_create ("t", "0 512 snapshot m1 m3 P 8");
  snap_load ("m", "0 512 snapshot-merge m1 m2 P 1");
  faultdev_arm (&faults[device], ALL_OPS, n, false);
  snap_resume ("m");
  wait_events ("m", 1);
  happened = faults[device].seen >= n;
  faultdev_arm (&faults[device], 0, 0, false);
  expect_view ("m");
  snap_suspend ("m");
  snap_resume ("m");
  /* The preserving of "t" may be what has failed: then the merge went on. */
  if (happened && !is_invalid ("t"))
    wait_events ("m", 2);
  snap_expect_info ("m", "2/512 2");
  expect_view ("m");
  if (!is_invalid ("t"))
    snap_expect ("t", 0, SECTORS, 'b');
  teardown ();
  return happened;
}

Test (snapshot_faults, of_a_merge_are_tried_again)
{
  unsigned device, n;

  for (device = 0; device < 2; device++) {
    for (n = 1; fail_nth_of_merge (device, n); n++)
      ;
    cr_expect_gt (n, 10);
  }
}
