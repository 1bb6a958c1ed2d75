/* SPDX-License-Identifier: BSD-3-Clause */
/* The delay target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

static struct fixture f;
static struct memdev *a, *b, *c;

static void
setup (void)
{
  fixture_start (&f);
  a = memdev_add ("a", 1024);
  b = memdev_add ("b", 1024);
  c = memdev_add ("c", 1024);
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
  memdev_remove (b);
  memdev_remove (c);
}

TestSuite (delay, .init = setup, .fini = teardown);

Test (delay, status)
{
  fixture_golden (&f, "0 8 delay a 0 5", "a 0 5", "0 0 0");
  fixture_golden (&f, "0 8 delay a 0 5 b 8 7", "a 0 5 b 8 7", "0 0 0");
  fixture_golden (&f, "0 8 delay a 0 5 b 8 7 c 9 11",
                  "a 0 5 b 8 7 c 9 11", "0 0 0");
}

Test (delay, bad_lines)
{
  fixture_refuse (&f, "0 8 delay a 0", EINVAL,
                  "Requires exactly 3, 6 or 9 arguments: 2");
  fixture_refuse (&f, "0 8 delay a 0 1 b", EINVAL,
                  "Requires exactly 3, 6 or 9 arguments: 4");
  fixture_refuse (&f, "0 8 delay a x 1", EINVAL,
                  "Invalid device sector: 'x'");
  fixture_refuse (&f, "0 8 delay a 0 x", EINVAL, "Invalid delay: 'x'");
  fixture_refuse (&f, "0 8 delay a 0 4294967296", EINVAL, "Invalid delay");
  fixture_refuse (&f, "0 8 delay nosuch 0 1", ENODEV, "Device lookup failed");
  fixture_refuse (&f, "0 8 delay a 0 1 b 0 -1", EINVAL, "Invalid delay: '-1'");
}

static void
expect_counts (const struct memdev *m, unsigned reads, unsigned writes,
               unsigned flushes)
{
  cr_expect_eq (m->counts[BIO_READ], reads, "%s", m->bdev.name);
  cr_expect_eq (m->counts[BIO_WRITE], writes, "%s", m->bdev.name);
  cr_expect_eq (m->counts[BIO_FLUSH], flushes, "%s", m->bdev.name);
}

/* One read, one write, one flush. */
static void
do_one_of_each (void)
{
  static char data[8 * SECTOR_SIZE];

  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), 0);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
}

Test (delay, each_class_goes_to_its_own_device)
{
  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 0 b 0 0 c 0 0"), 0);
  do_one_of_each ();
  expect_counts (a, 1, 0, 0);
  expect_counts (b, 0, 1, 0);
  expect_counts (c, 0, 0, 1);
}

Test (delay, flushes_go_where_writes_go_unless_said)
{
  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 0 b 0 0"), 0);
  do_one_of_each ();
  expect_counts (a, 1, 0, 0);
  expect_counts (b, 0, 1, 1);
}

Test (delay, discards_are_writes_and_offsets_count)
{
  memset (b->data, 'x', sectors_to_bytes (100));
  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 0 b 40 0"), 0);
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 2, 2, NULL), 0);
  cr_assert_eq (b->data[42 * SECTOR_SIZE - 1], 'x');
  cr_assert_eq (b->data[42 * SECTOR_SIZE], 0);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 2, 2, NULL), 0);
  cr_assert_eq (a->counts[BIO_PREFETCH], 1);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 2, 2, NULL), -EOPNOTSUPP);
}

Test (delay, a_bio_takes_its_time)
{
  static char data[SECTOR_SIZE];
  uint64_t start = monotonic_ns ();

  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 40 b 0 0"), 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 1, data), 0);
  cr_assert_lt (monotonic_ns () - start, 40000000);
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 1, data), 0);
  cr_assert_geq (monotonic_ns () - start, 40000000);
}

static void *
read_one (void *unused)
{
  static char data[SECTOR_SIZE];

  return fixture_io (&f, BIO_READ, 0, 1, data) == 0 ? data : NULL;
}

/* Wait until the status is that; false after a while. */
static bool
info_becomes (const char *expected)
{
  static const struct timespec tick = { .tv_nsec = 1000000 };
  bool same = false;
  unsigned i;

  for (i = 0; i < 5000 && !same; i++) {
    char *info = fixture_status (&f, 0, DM_STATUS_INFO);

    same = strcmp (info, expected) == 0;
    free (info);
    nanosleep (&tick, NULL);
  }
  return same;
}

Test (delay, presuspend_lets_go_of_what_is_held)
{
  static char data[SECTOR_SIZE];
  pthread_t thread;
  void *result;

  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 3600000"), 0);
  cr_assert_eq (pthread_create (&thread, NULL, read_one, NULL), 0);
  cr_assert (info_becomes ("1 0 0"));
  table_presuspend (f.table);
  pthread_join (thread, &result);
  cr_assert_not_null (result);
  cr_assert (info_becomes ("0 0 0"));
  /* Nothing is held until resume. */
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 1, data), 0);
}

Test (delay, resume_and_a_broken_off_suspend_hold_again)
{
  pthread_t thread;
  unsigned i;

  cr_assert_eq (fixture_load (&f, "0 8 delay a 0 3600000"), 0);
  for (i = 0; i < 2; i++) {
    table_presuspend (f.table);
    if (i == 0)
      table_resume (f.table);
    else
      table_presuspend_undo (f.table);
    cr_assert_eq (pthread_create (&thread, NULL, read_one, NULL), 0);
    cr_assert (info_becomes ("1 0 0"));
    table_presuspend (f.table);
    pthread_join (thread, NULL);
  }
}
