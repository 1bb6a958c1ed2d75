/* SPDX-License-Identifier: BSD-3-Clause */
/* The zero target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;

static void
setup (void)
{
  fixture_start (&f);
}

static void
teardown (void)
{
  fixture_stop (&f);
}

TestSuite (zero, .init = setup, .fini = teardown);

Test (zero, it_takes_no_arguments)
{
  fixture_golden (&f, "0 8 zero", "", "");
  fixture_refuse (&f, "0 8 zero x", EINVAL, "No arguments required: 'x'");
}

Test (zero, it_reads_zeroes_and_forgets_writes)
{
  char data[2 * SECTOR_SIZE], zeroes[2 * SECTOR_SIZE] = "";

  cr_assert_eq (fixture_load (&f, "0 8 zero"), 0);
  memset (data, 'x', sizeof data);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 3, 2, data), 0);
  cr_assert_eq (fixture_io (&f, BIO_READ, 3, 2, data), 0);
  cr_assert_arr_eq (data, zeroes, sizeof data);
}

Test (zero, what_else_reaches_it_fails)
{
  cr_assert_eq (fixture_load (&f, "0 8 zero"), 0);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 0, 8, NULL), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
}
