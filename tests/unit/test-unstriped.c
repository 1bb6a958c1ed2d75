/* SPDX-License-Identifier: BSD-3-Clause */
/* The unstriped target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

static struct fixture f;
static struct memdev *a;

static void
setup (void)
{
  fixture_start (&f);
  a = memdev_add ("a", 1024);
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
}

TestSuite (unstriped, .init = setup, .fini = teardown);

Test (unstriped, status)
{
  fixture_golden (&f, "0 90 unstriped 3 5 1 a 7", "3 5 1 a 7", "");
}

Test (unstriped, bad_lines)
{
  fixture_refuse (&f, "0 8 unstriped 3 8 1 a", EINVAL,
                  "Invalid number of arguments: 4");
  fixture_refuse (&f, "0 8 unstriped 3 8 1 a 0 0", EINVAL,
                  "Invalid number of arguments: 6");
  fixture_refuse (&f, "0 8 unstriped 0 8 1 a 0", EINVAL,
                  "Invalid stripe count: '0'");
  fixture_refuse (&f, "0 8 unstriped 3 0 1 a 0", EINVAL,
                  "Invalid chunk_size: '0'");
  fixture_refuse (&f, "0 8 unstriped 3 8 x a 0", EINVAL,
                  "Invalid stripe number: 'x'");
  fixture_refuse (&f, "0 8 unstriped 3 8 4 a 0", EINVAL,
                  "Please provide stripe between [0, # of stripes]");
  fixture_refuse (&f, "0 8 unstriped 3 8 1 nosuch x", EINVAL,
                  "Couldn't get striped device: Device lookup failed");
  fixture_refuse (&f, "0 8 unstriped 3 8 1 a x", EINVAL,
                  "Invalid striped device offset: 'x'");
  fixture_refuse (&f, "0 9 unstriped 3 8 1 a 0", EINVAL,
                  "Target length not divisible by chunk size");
}

Test (unstriped, sectors_that_overflow_are_refused)
{
  fixture_refuse (&f, "0 8 unstriped 3 8 1 a 18446744073709551615", EINVAL,
                  "Invalid striped device offset: the end");
  fixture_refuse (&f, "0 9007199254740992 unstriped 4294967295 1 0 a 0",
                  EINVAL, "Invalid striped device offset: the end");
}

/* As in Linux 6.1. */
Test (unstriped, a_stripe_too_far_is_accepted)
{
  fixture_golden (&f, "0 8 unstriped 3 8 3 a 0", "3 8 3 a 0", "");
  fixture_golden (&f, "0 8 unstriped 1 8 9 a 0", "1 8 9 a 0", "");
}

Test (unstriped, it_undoes_striped)
{
  static char data[30 * SECTOR_SIZE];
  sector_t i;

  for (i = 0; i < 100; i++)
    a->data[(7 + i) * SECTOR_SIZE] = i;
  cr_assert_eq (fixture_load (&f, "0 8 zero\n8 30 unstriped 3 5 1 a 7"), 0);
  cr_assert_eq (fixture_io (&f, BIO_READ, 8, 30, data), 0);
  /* Chunks 1, 4, 7, … of 5 sectors. */
  for (i = 0; i < 30; i++)
    cr_expect_eq (data[i * SECTOR_SIZE], (i / 5 * 3 + 1) * 5 + i % 5);
  cr_expect_eq (a->counts[BIO_READ], 6);
  data[0] = 'w';
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 8 + 11, 1, data), 0);
  cr_expect_eq (a->data[(7 + 35 + 1) * SECTOR_SIZE], 'w');
}

Test (unstriped, beyond_the_striped_device_is_an_error_of_the_io)
{
  static char data[SECTOR_SIZE];

  cr_assert_eq (fixture_load (&f, "0 1000 unstriped 3 5 1 a 7"), 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 335, 1, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 340, 1, data), -EIO);
}

Test (unstriped, a_flush_passes_and_a_discard_does_not)
{
  cr_assert_eq (fixture_load (&f, "0 90 unstriped 3 5 1 a 7"), 0);
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EOPNOTSUPP);
}

Test (unstriped, the_chunk_is_a_hint)
{
  struct queue_limits limits;

  cr_assert_eq (fixture_load (&f, "0 80 unstriped 3 8 1 a 8"), 0);
  cr_assert_eq (table_limits (f.table, NULL, &limits, NULL), 0);
  cr_expect_eq (limits.chunk_sectors, 8);
  cr_expect_not (limits.discard);
}
