/* SPDX-License-Identifier: BSD-3-Clause */
/* The ebs target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"
#include "tests/lib/rig.h"

static struct fixture f;
static struct memdev *a;
static struct block_device_ops ops;
static bool all_aligned;
static char data[32 * SECTOR_SIZE];

/* A device that sees whether what comes is whole blocks of 8 sectors. */
static int
aligned_submit (struct block_device *bdev, struct bio *bio)
{
  if ((bio->sector | bio->len) % 8)
    all_aligned = false;
  return ops.submit (bdev, bio);
}

static void
setup (void)
{
  static struct block_device_ops aligned;

  fixture_start (&f);
  a = memdev_add ("a", 1024);
  a->limits.logical_block_bytes = 4096;
  ops = aligned = *a->bdev.ops;
  aligned.submit = aligned_submit;
  a->bdev.ops = &aligned;
  all_aligned = true;
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
}

TestSuite (ebs, .init = setup, .fini = teardown);

static void
load (void)
{
  cr_assert_eq (fixture_load (&f, "0 800 ebs a 8 1"), 0, "%s", f.msg.text);
  memset (a->data, 'a', sectors_to_bytes (1024));
}

/* Sectors of the device from 8 on, one letter each. */
static void
expect_sectors (const char *expected)
{
  size_t i;

  for (i = 0; expected[i]; i++)
    cr_expect_eq (a->data[(8 + i) * SECTOR_SIZE], expected[i],
                  "sector %zu: %c", i, a->data[(8 + i) * SECTOR_SIZE]);
  cr_expect (all_aligned);
}

Test (ebs, status)
{
  fixture_golden (&f, "0 8 ebs a 0 1", "a 0 1", "");
  fixture_golden (&f, "0 32 ebs a 16 8 16", "a 16 8 16", "");
}

Test (ebs, bad_lines)
{
  fixture_refuse (&f, "0 8 ebs a 0", EINVAL, "Invalid argument count: 2");
  fixture_refuse (&f, "0 8 ebs a 0 1 8 8", EINVAL, "Invalid argument count");
  fixture_refuse (&f, "0 8 ebs a x 1", EINVAL,
                  "Invalid device offset sector: 'x'");
  fixture_refuse (&f, "0 8 ebs a 8 1", EINVAL,
                  "Invalid device offset sector: '8'");
  fixture_refuse (&f, "0 8 ebs a 0 0", EINVAL, "Invalid emulated block size");
  fixture_refuse (&f, "0 8 ebs a 0 3", EINVAL, "Invalid emulated block size");
  fixture_refuse (&f, "0 8 ebs a 0 16", EINVAL,
                  "Invalid emulated block size");
  fixture_refuse (&f, "0 8 ebs a 0 1 0", EINVAL,
                  "Invalid underlying block size");
  fixture_refuse (&f, "0 8 ebs a 0 1 65536", EINVAL,
                  "Invalid underlying block size");
  fixture_refuse (&f, "0 8 ebs nosuch 0 1", ENODEV, "Device lookup failed");
  fixture_refuse (&f, "0 16 ebs a 9 1", EINVAL, "Device offset must be "
                  "multiple of underlying block size");
}

Test (ebs, a_write_of_a_part_keeps_the_rest)
{
  load ();
  memset (data, 'w', sizeof data);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 3, 2, data), 0);
  expect_sectors ("aaawwaaaa");
  cr_expect_eq (a->counts[BIO_READ], 1);
  cr_expect_eq (a->counts[BIO_WRITE], 1);
}

Test (ebs, a_long_write_is_part_whole_part)
{
  load ();
  memset (data, 'w', sizeof data);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 6, 22, data), 0);
  expect_sectors ("aaaaaawwwwwwwwwwwwwwwwwwwwwwaaaa");
  cr_expect_eq (a->counts[BIO_READ], 2);
  cr_expect_eq (a->counts[BIO_WRITE], 3);
}

Test (ebs, reads_of_any_range)
{
  unsigned i, begin, end;

  load ();
  for (i = 0; i < 32; i++)
    a->data[(8 + i) * SECTOR_SIZE] = i;
  for (begin = 0; begin < 24; begin++)
    for (end = begin + 1; end <= 24; end++) {
      memset (data, 'x', sizeof data);
      cr_assert_eq (fixture_io (&f, BIO_READ, begin, end - begin, data), 0);
      for (i = begin; i < end; i++)
        cr_expect_eq (data[(i - begin) * SECTOR_SIZE], (char) i);
      cr_expect_eq (data[(end - begin) * SECTOR_SIZE], 'x');
    }
  cr_expect (all_aligned);
}

Test (ebs, a_discard_is_trimmed_to_whole_blocks)
{
  load ();
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 3, 24, NULL), 0);
  expect_sectors ("aaaaaaaa" "\0" "aaaaaaaa");
  cr_expect_eq (a->data[23 * SECTOR_SIZE], 0);
  cr_expect_eq (a->data[31 * SECTOR_SIZE], 0);
  cr_expect_eq (a->data[32 * SECTOR_SIZE], 'a');
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 1, 7, NULL), 0);
  cr_expect_eq (a->counts[BIO_DISCARD], 1);
}

Test (ebs, fua_flush_and_prefetch_pass)
{
  struct bio bio = { .op = BIO_WRITE, .flags = BIO_FUA, .sector = 1, .len = 1,
                     .data = data };

  load ();
  cr_assert_eq (table_map_bio (f.table, &bio), 0);
  cr_expect_eq (a->fua, 1);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 3, 20, NULL), 0);
  cr_expect_eq (a->counts[BIO_PREFETCH], 1);
  cr_expect (all_aligned);
}

Test (ebs, limits_are_those_of_both_blocks)
{
  struct queue_limits limits;

  load ();
  cr_assert_eq (table_limits (f.table, NULL, &limits, NULL), 0);
  cr_expect_eq (limits.logical_block_bytes, 512);
  cr_expect_eq (limits.physical_block_bytes, 4096);
  cr_expect_eq (limits.io_min_bytes, 4096);
  cr_expect (limits.discard);
  cr_expect_not (limits.write_zeroes);
}

/* Eight threads, each with a sector of its own in the same block. */
static void *
sector_thread (void *opaque)
{
  uintptr_t sector = (uintptr_t) opaque;
  char block[SECTOR_SIZE];
  unsigned i;

  for (i = 0; i < 1000; i++) {
    memset (block, i, sizeof block);
    cr_assert_eq (fixture_io (&f, BIO_WRITE, sector, 1, block), 0);
    memset (block, 'x', sizeof block);
    cr_assert_eq (fixture_io (&f, BIO_READ, sector, 1, block), 0);
    cr_assert_eq (block[0], (char) i);
  }
  return NULL;
}

Test (ebs, writers_of_one_block_do_not_undo_each_other)
{
  pthread_t threads[8];
  uintptr_t i;

  load ();
  for (i = 0; i < 8; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, sector_thread,
                                  (void *) i), 0);
  for (i = 0; i < 8; i++)
    pthread_join (threads[i], NULL);
}

static void *
whole_thread (void *unused)
{
  static char whole[8 * SECTOR_SIZE];

  memset (whole, 'w', sizeof whole);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 8, whole), 0);
  return NULL;
}

static void *
part_thread (void *unused)
{
  static char part[SECTOR_SIZE] = "p";

  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 1, part), 0);
  return NULL;
}

/* The part's read is under way when the whole comes. */
Test (ebs, a_part_does_not_bring_back_what_a_whole_block_replaced)
{
  static const struct timespec moment = { .tv_nsec = 20000000 };
  pthread_t part, whole;

  load ();
  a->stalled = true;
  cr_assert_eq (pthread_create (&part, NULL, part_thread, NULL), 0);
  cr_assert (EVENTUALLY (a->waiting == 1));
  cr_assert_eq (pthread_create (&whole, NULL, whole_thread, NULL), 0);
  nanosleep (&moment, NULL);
  a->stalled = false;
  pthread_join (part, NULL);
  pthread_join (whole, NULL);
  expect_sectors ("wwwwwwwwa");
}
