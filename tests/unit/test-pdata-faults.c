/* SPDX-License-Identifier: BSD-3-Clause */
/* The n-th read, write or flush fails, for every n of a workload. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/faultdev.h"
#include "tests/lib/memdev.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-pool.h"

#define NR_METADATA 1024

static struct memdev *dev;
static struct faultdev fault;
static struct thin_pool pool;
static char *base; /* the image before the workload */
static size_t bytes;

/* Two devices that share most of 1500 mappings. */
static void
set_up (void)
{
  uint64_t b, data;

  dev = memdev_new ("metadata", NR_METADATA * BM_BLOCK_SECTORS);
  bytes = sectors_to_bytes (dev->bdev.size);
  faultdev_init (&fault, &dev->bdev);
  cr_assert_eq (pool_format (&pool, &fault.bdev, 64), 0);
  cr_assert_eq (sm_extend (pool.data_sm, 40000), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (pool_create (&pool, 1), 0);
  for (b = 0; b < 1500; b++)
    cr_assert_eq (pool_provision (&pool, 1, b * 7 % 3001, &data), 0);
  cr_assert_eq (pool_snap (&pool, 2, 1), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  base = malloc (bytes);
  memcpy (base, dev->data, bytes);
}

static void
tear_down (void)
{
  pool_close (&pool);
  free (base);
  faultdev_reset (&fault);
  memdev_free (dev);
}

TestSuite (faults, .init = set_up, .fini = tear_down, .timeout = 300);

/* A bit of everything, with two commits. */
static int
workload (void)
{
  uint64_t b, data, nr;
  int r = pool_snap (&pool, 3, 2);

  for (b = 0; r == 0 && b < 300; b++)
    r = pool_provision (&pool, 2, b * 11, &data);
  if (r == 0)
    r = pool_commit (&pool);
  if (r == 0)
    r = pool_unmap (&pool, 3, 100, 2000, &nr);
  if (r == 0)
    r = pool_delete (&pool, 1);
  if (r == 0)
    r = sm_extend (pool.data_sm, 10000);
  return r < 0 ? r : pool_commit (&pool);
}

static void
start_again (void)
{
  pool_close (&pool);
  memcpy (dev->data, base, bytes);
  cr_assert_eq (pool_open (&pool, &fault.bdev, 64), 0);
}

/* Fail the n-th of these operations until the workload does fewer of them. */
static void
fail_each (unsigned ops, bool on)
{
  unsigned n, failed = 0;
  int r;

  for (n = 1;; n++) {
    start_again ();
    faultdev_arm (&fault, ops, n, on);
    r = workload ();
    if (fault.seen < n)
      break;
    cr_assert_eq (r, -EIO, "%u: %d", n, r);
    failed++;
    faultdev_arm (&fault, 0, 0, false);
    metacheck_assert (dev->data, bytes, "after the failure");
    cr_assert_eq (pool_rollback (&pool), 0);
    /* It can go on from there. */
    cr_assert_eq (pool_create (&pool, 9), 0);
    cr_assert_eq (pool_commit (&pool), 0);
    metacheck_assert (dev->data, bytes, "after going on");
  }
  cr_assert_eq (r, 0);
  cr_assert_gt (failed, 3);
}

Test (faults, every_read_once)
{
  fail_each (1 << BIO_READ, false);
}

Test (faults, every_write_once)
{
  fail_each (1 << BIO_WRITE, false);
}

Test (faults, every_write_and_all_later_ones)
{
  fail_each (1 << BIO_WRITE, true);
}

Test (faults, every_flush_once)
{
  fail_each (1 << BIO_FLUSH, false);
}

Test (faults, every_read_of_opening)
{
  unsigned n;
  int r;

  for (n = 1;; n++) {
    pool_close (&pool);
    faultdev_arm (&fault, 1 << BIO_READ, n, false);
    r = pool_open (&pool, &fault.bdev, 64);
    if (fault.seen < n)
      break;
    cr_assert_eq (r, -EIO);
  }
  cr_assert_eq (r, 0);
  cr_assert_gt (n, 1);
}

/* The last two operations of a commit are the superblock and its flush. */
Test (faults, the_superblock_is_as_it_was_if_anything_before_it_fails)
{
  const unsigned ops = 1 << BIO_WRITE | 1 << BIO_FLUSH;
  unsigned n, total;

  start_again ();
  cr_assert_eq (pool_create (&pool, 7), 0);
  faultdev_arm (&fault, ops, 0, false);
  cr_assert_eq (pool_commit (&pool), 0);
  total = fault.seen;
  cr_assert_gt (total, 3);
  cr_assert_neq (memcmp (dev->data, base, BM_BLOCK_BYTES), 0);
  for (n = 1; n < total; n++) {
    start_again ();
    cr_assert_eq (pool_create (&pool, 7), 0);
    faultdev_arm (&fault, ops, n, false);
    cr_assert_eq (pool_commit (&pool), -EIO);
    cr_assert_eq (memcmp (dev->data, base, BM_BLOCK_BYTES), 0);
  }
}

/* Take metadata blocks until n are left. */
static void
leave (block_t n)
{
  struct bm_block *block;

  while (sm_nr_free (tm_metadata_sm (pool.tm)) > n) {
    cr_assert_eq (tm_new_block (pool.tm, &thin_super_validator, &block), 0);
    bm_unlock (block);
  }
}

static int
work_and_commit (void)
{
  uint64_t b, data, nr;
  int r = pool_snap (&pool, 3, 2);

  for (b = 0; r == 0 && b < 300; b++)
    r = pool_provision (&pool, 2, b * 11, &data);
  if (r == 0)
    r = pool_unmap (&pool, 3, 100, 2000, &nr);
  if (r == 0)
    r = pool_delete (&pool, 1);
  return r < 0 ? r : pool_commit (&pool);
}

Test (faults, every_allocation)
{
  unsigned n;
  int r;

  for (n = 0;; n++) {
    start_again ();
    leave (n);
    r = work_and_commit ();
    if (r == 0)
      break;
    cr_assert_eq (r, -ENOSPC, "%u: %d", n, r);
    cr_assert_eq (memcmp (dev->data, base, BM_BLOCK_BYTES), 0);
    cr_assert_eq (pool_rollback (&pool), 0);
    cr_assert_eq (work_and_commit (), 0);
    metacheck_assert (dev->data, bytes, "after going on");
  }
  cr_assert_gt (n, 10);
}
