/* SPDX-License-Identifier: BSD-3-Clause */
/* The n-th read, write, flush of a pool's work fails, for every n. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

#define NR_MAPPED 1500
#define NR_SPREAD 3001 /* virtual blocks that they are spread over */

static struct thin_rig rig;
static char *base;                  /* the image before the workload */
static block_t expected[NR_SPREAD]; /* device 1's data blocks + 1 */

static void
set_up (void)
{
  struct thin_mapping m;
  block_t b;

  rig_start (&rig, 1024);
  rig_format (&rig, 40000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  for (b = 0; b < NR_MAPPED; b++)
    cr_assert_eq (rig_provision (&rig, 1, b * 7 % NR_SPREAD), 0);
  cr_assert_eq (thin_meta_create_snap (rig.md, 2, 1), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  for (b = 0; b < NR_SPREAD; b++)
    if (rig_find (&rig, 1, b, &m) == 0)
      expected[b] = m.data_block + 1;
  base = malloc (rig_bytes (&rig));
  memcpy (base, rig.dev->data, rig_bytes (&rig));
}

static void
tear_down (void)
{
  rig_stop (&rig);
  free (base);
}

TestSuite (thin_faults, .init = set_up, .fini = tear_down, .timeout = 300);

static void
start_again (void)
{
  faultdev_arm (&rig.fault, 0, 0, false);
  rig_crash (&rig);
  memcpy (rig.dev->data, base, rig_bytes (&rig));
  cr_assert_eq (rig_open (&rig), 0);
}

/* A bit of everything, with commits.  Device 1 only loses its sharing. */
static int
workload (void)
{
  block_t b;
  int r = thin_meta_create_snap (rig.md, 3, 2);

  for (b = 0; r == 0 && b < 300; b++)
    r = rig_provision (&rig, 2, b * 11);
  if (r == 0)
    r = thin_meta_commit (rig.md);
  if (r == 0)
    r = rig_remove (&rig, 3, 100, 2000);
  if (r == 0)
    r = thin_meta_reserve_snap (rig.md);
  if (r == 0)
    r = thin_meta_delete (rig.md, 2);
  if (r == 0)
    r = thin_meta_resize_data (rig.md, 50000);
  if (r == 0)
    r = thin_meta_create_thin (rig.md, 4);
  if (r == 0)
    r = thin_meta_release_snap (rig.md);
  return r < 0 ? r : thin_meta_commit (rig.md);
}

/* An error, or the mapping that is right: never another. */
static void
expect_no_wrong_mapping (void)
{
  struct thin_mapping m;
  block_t b;
  int r;

  for (b = 0; b < NR_SPREAD; b++) {
    r = rig_find (&rig, 1, b, &m);
    if (r == 0)
      cr_assert_eq (m.data_block + 1, expected[b]);
    else
      cr_assert (r != -ENODATA || expected[b] == 0, "block %u is lost",
                 (unsigned) b);
  }
}

/* The device works again: what was dropped can be done. */
static void
expect_abort_mends (void)
{
  metacheck_assert (rig.dev->data, rig_bytes (&rig), "after the failure");
  cr_assert_eq (rig_abort (&rig), 0);
  cr_assert_not (thin_meta_is_broken (rig.md));
  expect_no_wrong_mapping ();
  cr_assert_eq (thin_meta_create_thin (rig.md, 9), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), "after going on");
}

static void
fail_each (unsigned ops, bool on)
{
  unsigned n, failed = 0;
  int r;

  for (n = 1;; n++) {
    start_again ();
    faultdev_arm (&rig.fault, ops, n, on);
    r = workload ();
    if (rig.fault.seen < n)
      break;
    cr_assert_eq (r, -EIO, "%u: %d", n, r);
    expect_no_wrong_mapping ();
    faultdev_arm (&rig.fault, 0, 0, false);
    expect_abort_mends ();
    failed++;
  }
  cr_assert_eq (r, 0);
  cr_assert_gt (failed, 3);
}

Test (thin_faults, every_read_once)
{
  fail_each (1 << BIO_READ, false);
}

Test (thin_faults, every_write_once)
{
  fail_each (1 << BIO_WRITE, false);
}

Test (thin_faults, every_write_and_all_later_ones)
{
  fail_each (1 << BIO_WRITE, true);
}

Test (thin_faults, every_flush_once)
{
  fail_each (1 << BIO_FLUSH, false);
}

/* The flag is what an administrator sees of all this. */
Test (thin_faults, needs_check_can_be_set_after_each_failure_of_a_write)
{
  unsigned n;
  int r;

  for (n = 1;; n++) {
    start_again ();
    faultdev_arm (&rig.fault, 1 << BIO_WRITE, n, false);
    r = workload ();
    if (rig.fault.seen < n)
      break;
    cr_assert_eq (r, -EIO);
    cr_assert_eq (thin_meta_abort (rig.md), 0);
    cr_assert_eq (thin_meta_set_needs_check (rig.md), 0);
    rig_crash (&rig);
    metacheck_assert (rig.dev->data, rig_bytes (&rig), "with the flag");
    cr_assert_eq (rig_open (&rig), 0);
    cr_assert (thin_meta_needs_check (rig.md));
  }
}

Test (thin_faults, needs_check_that_cannot_be_written_is_an_error)
{
  const unsigned ops = 1 << BIO_WRITE | 1 << BIO_FLUSH;
  unsigned n;

  for (n = 1; n <= 2; n++) {
    start_again ();
    faultdev_arm (&rig.fault, ops, n, false);
    cr_assert_eq (thin_meta_set_needs_check (rig.md), -EIO);
    faultdev_arm (&rig.fault, 0, 0, false);
    expect_abort_mends ();
  }
}

Test (thin_faults, every_read_of_opening)
{
  unsigned n;
  int r;

  for (n = 1;; n++) {
    rig_crash (&rig);
    faultdev_arm (&rig.fault, 1 << BIO_READ, n, false);
    r = rig_open (&rig);
    if (rig.fault.seen < n)
      break;
    cr_assert_eq (r, -EIO);
  }
  cr_assert_eq (r, 0);
  cr_assert_gt (n, 2);
}

Test (thin_faults, every_operation_of_formatting)
{
  const unsigned ops = 1 << BIO_WRITE | 1 << BIO_FLUSH |
    1 << BIO_WRITE_ZEROES;
  unsigned n;
  int r;

  for (n = 1;; n++) {
    rig_stop (&rig);
    rig_start (&rig, 1024);
    faultdev_arm (&rig.fault, ops, n, false);
    r = rig_open (&rig);
    if (rig.fault.seen < n)
      break;
    cr_assert_eq (r, -EIO);
    faultdev_arm (&rig.fault, 0, 0, false);
    cr_assert_eq (rig_open (&rig), 0, "it can be tried again");
  }
  cr_assert_eq (r, 0);
  cr_assert_gt (n, 4);
}
