/* SPDX-License-Identifier: BSD-3-Clause */
/* The error target. */

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

TestSuite (error, .init = setup, .fini = teardown);

Test (error, arguments_are_ignored)
{
  fixture_golden (&f, "0 8 error", "", "");
  fixture_golden (&f, "0 8 error foo bar", "", "");
}

Test (error, everything_fails_but_a_flush)
{
  static char data[8 * SECTOR_SIZE];

  cr_assert_eq (fixture_load (&f, "0 8 error"), 0);
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 0, 8, NULL), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
}

Test (error, it_may_replace_any_type)
{
  cr_assert (target_type_find ("error")->features & DM_TARGET_WILDCARD);
}
