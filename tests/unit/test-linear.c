/* SPDX-License-Identifier: BSD-3-Clause */
/* The linear target. */

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

TestSuite (linear, .init = setup, .fini = teardown);

Test (linear, status)
{
  fixture_golden (&f, "0 8 linear a 0005", "a 5", "");
}

Test (linear, bad_lines)
{
  fixture_refuse (&f, "0 8 linear", EINVAL, "Invalid argument count: 0");
  fixture_refuse (&f, "0 8 linear a", EINVAL, "Invalid argument count: 1");
  fixture_refuse (&f, "0 8 linear a 0 0", EINVAL,
                  "Invalid argument count: 3");
  fixture_refuse (&f, "0 8 linear nosuch 0x1", EINVAL,
                  "Invalid device sector: '0x1'");
  fixture_refuse (&f, "0 8 linear a -1", EINVAL, "Invalid device sector");
  fixture_refuse (&f, "0 8 linear a 18446744073709551616", EINVAL,
                  "Invalid device sector");
  fixture_refuse (&f, "0 8 linear nosuch 0", ENODEV, "Device lookup failed");
}

Test (linear, every_op_is_moved_to_the_offset)
{
  char data[SECTOR_SIZE];

  cr_assert_eq (fixture_load (&f, "0 8 zero\n8 8 linear a 100"), 0);
  memset (data, 'x', sizeof data);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 9, 1, data), 0);
  cr_assert_eq (a->data[101 * SECTOR_SIZE], 'x');
  a->data[102 * SECTOR_SIZE] = 'y';
  cr_assert_eq (fixture_io (&f, BIO_READ, 10, 1, data), 0);
  cr_assert_eq (data[0], 'y');
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 9, 1, NULL), 0);
  cr_assert_eq (a->data[101 * SECTOR_SIZE], 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 10, 1, NULL), 0);
  cr_assert_eq (a->data[102 * SECTOR_SIZE], 0);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 10, 1, NULL), 0);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (a->counts[BIO_PREFETCH], 1);
  cr_assert_eq (a->counts[BIO_FLUSH], 1);
}

Test (linear, an_offset_near_the_end_of_the_numbers_is_an_error_below)
{
  static char data[8 * SECTOR_SIZE];

  cr_assert_eq (fixture_load (&f, "0 8 linear a 18446744073709551615"), 0);
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), -EIO);
}
