/* SPDX-License-Identifier: BSD-3-Clause */
/* Splitting words and reading numbers. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "common/args.h"

static struct args
split (char *text)
{
  struct args args;

  cr_assert_eq (args_split (text, &args), 0);
  return args;
}

Test (args, words_are_cut_at_any_white_space)
{
  char text[] = "  a\tbb\n \fc\v";
  struct args args = split (text);

  cr_assert_eq (args.argc, 3);
  cr_assert_str_eq (args.argv[0], "a");
  cr_assert_str_eq (args.argv[1], "bb");
  cr_assert_str_eq (args.argv[2], "c");
  free (args.argv);
}

Test (args, a_backslash_quotes_blanks_and_itself)
{
  char text[] = "a\\ b c\\\\d e\\";
  struct args args = split (text);

  cr_assert_eq (args.argc, 3);
  cr_assert_str_eq (args.argv[0], "a b");
  cr_assert_str_eq (args.argv[1], "c\\d");
  cr_assert_str_eq (args.argv[2], "e\\");
  free (args.argv);
}

Test (args, empty_text_has_no_words)
{
  char text[] = " \n";
  struct args args = split (text);

  cr_assert_eq (args.argc, 0);
  cr_assert_null (args_shift (&args));
}

Test (args, numbers_are_digits_only)
{
  static const char *const bad[] = { "", "-1", "+5", "0x10", "1x", " 1", "1 ",
                                     "18446744073709551616" };
  uint64_t n = 7;
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_eq (args_parse_u64 (bad[i], &n), -EINVAL, "%s", bad[i]);
  cr_assert_eq (n, 7);
  cr_assert_eq (args_parse_u64 ("0018446744073709551615", &n), 0);
  cr_assert_eq (n, UINT64_MAX);
}

Test (args, strict_numbers_allow_a_plus_and_a_newline)
{
  uint32_t n;

  cr_assert_eq (args_parse_strict_u32 ("+5\n", &n), 0);
  cr_assert_eq (n, 5);
  cr_assert_eq (args_parse_strict_u32 ("000000000000000000012", &n), 0);
  cr_assert_eq (n, 12);
  cr_assert_eq (args_parse_strict_u32 ("4294967296", &n), -EINVAL);
  cr_assert_eq (args_parse_strict_u32 ("5\n\n", &n), -EINVAL);
  cr_assert_eq (args_parse_strict_u32 ("", &n), -EINVAL);
}
