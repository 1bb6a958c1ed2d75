/* SPDX-License-Identifier: BSD-3-Clause */
/* Minor numbers. */

#include <criterion/criterion.h>

#include "common/numbers.h"

static struct numbers n;

Test (numbers, the_lowest_free_one_is_told)
{
  uint32_t i;

  for (i = 0; i < 10000; i++) {
    cr_assert_eq (numbers_lowest (&n), i);
    cr_assert (numbers_take (&n, i));
  }
  numbers_give_back (&n, 4097);
  numbers_give_back (&n, 70);
  cr_assert_eq (numbers_lowest (&n), 70);
  cr_assert (numbers_take (&n, 70));
  cr_assert_eq (numbers_lowest (&n), 4097);
}

Test (numbers, none_is_taken_twice)
{
  cr_assert (numbers_take (&n, 5));
  cr_assert_not (numbers_take (&n, 5));
  numbers_give_back (&n, 5);
  cr_assert (numbers_take (&n, 5));
}

Test (numbers, they_come_to_an_end)
{
  uint32_t i;

  for (i = 0; i < NUMBERS_MAX; i++)
    numbers_take (&n, i);
  cr_assert_eq (numbers_lowest (&n), NUMBERS_MAX);
  cr_assert_not (numbers_take (&n, NUMBERS_MAX));
  cr_assert_not (numbers_take (&n, UINT32_MAX));
  numbers_give_back (&n, NUMBERS_MAX - 1);
  cr_assert_eq (numbers_lowest (&n), NUMBERS_MAX - 1);
}
