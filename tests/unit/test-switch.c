/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch target. */

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

TestSuite (switch, .init = setup, .fini = teardown);

Test (switch, status)
{
  fixture_golden (&f, "0 8 switch 3 7 0 a 0 b 8 c 16",
                  "3 7 0 a 0 b 8 c 16", "");
}

Test (switch, bad_lines)
{
  fixture_refuse (&f, "0 8 switch", EINVAL, "Invalid number of paths");
  fixture_refuse (&f, "0 8 switch 0 7 0", EINVAL,
                  "Invalid number of paths: '0'");
  fixture_refuse (&f, "0 8 switch 4294967297 7 0", EINVAL,
                  "Invalid number of paths");
  fixture_refuse (&f, "0 8 switch 1", EINVAL, "Invalid region size: missing");
  fixture_refuse (&f, "0 8 switch 1 0", EINVAL, "Invalid region size: '0'");
  fixture_refuse (&f, "0 8 switch 1 7 1 x a 0", EINVAL,
                  "Invalid number of optional args: '1'");
  fixture_refuse (&f, "0 8 switch 2 7 0 a 0", EINVAL,
                  "Incorrect number of path arguments");
  fixture_refuse (&f, "0 8 switch 2147483648 7 0", EINVAL,
                  "Incorrect number of path arguments");
  fixture_refuse (&f, "0 8 switch 1 7 0 nosuch x", ENODEV,
                  "Device lookup failed");
  fixture_refuse (&f, "0 8 switch 1 7 0 a x", EINVAL,
                  "Invalid device starting offset: 'x'");
}

/* Write one byte that differs to each of 12 regions of 8 sectors and tell
 * which devices it came to, a letter for each.
 */
static void
expect_paths (const char *expected)
{
  static char data[SECTOR_SIZE], paths[13];
  struct memdev *const devices[] = { a, b, c };
  unsigned i, j;

  for (i = 0; i < 12; i++) {
    size_t at = (i * 8 + 3) * SECTOR_SIZE;

    data[0]++;
    cr_assert_eq (fixture_io (&f, BIO_WRITE, i * 8 + 3, 1, data), 0);
    paths[i] = '?';
    for (j = 0; j < 3; j++)
      if (devices[j]->data[at] == data[0])
        paths[i] = "abc"[j];
  }
  cr_expect_str_eq (paths, expected);
}

static void
load (void)
{
  cr_assert_eq (fixture_load (&f, "0 96 switch 3 8 0 a 0 b 0 c 0"), 0);
}

Test (switch, regions_go_round_at_first)
{
  load ();
  expect_paths ("abcabcabcabc");
}

Test (switch, offsets_and_begin_count)
{
  static char data[SECTOR_SIZE] = "x";

  cr_assert_eq (fixture_load (&f, "0 4 zero\n"
                              "4 96 switch 2 8 0 a 100 b 200"), 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 4 + 9, 1, data), 0);
  cr_expect_eq (b->data[(200 + 9) * SECTOR_SIZE], 'x');
}

Test (switch, messages_set_regions)
{
  load ();
  fixture_answer (&f, "set_region_mappings 0:2 :2 A:1 b:0", "");
  expect_paths ("cccabcabcaba");
  fixture_answer (&f, "SET_REGION_MAPPINGS", "");
  fixture_answer (&f, "set_region_mappings :1", "");
  expect_paths ("cbcabcabcaba");
}

Test (switch, messages_repeat_regions)
{
  load ();
  fixture_answer (&f, "set_region_mappings 0:2 1:1 R2,a", "");
  expect_paths ("cbcbcbcbcbcb");
  fixture_answer (&f, "set_region_mappings 3:0 r1,4 :2 R1,0", "");
  expect_paths ("cbcaaaaacbcb");
}

Test (switch, words_before_a_bad_one_count)
{
  load ();
  fixture_refuse_message (&f, "set_region_mappings 0:2 1:7",
                          "invalid set_region_mappings device: 7 >= 3");
  expect_paths ("cbcabcabcabc");
}

Test (switch, bad_messages)
{
  static const char *const syntax[] = {
    "0", "0:", ":", "x:0", "0:x", "0:1x", "R", "R,1", "R1", "R1,", "Rx,1",
    "R1,1x", "10000000000000000:0", "0:10000000000000000"
  };
  char words[100], error[100];
  size_t i;

  load ();
  for (i = 0; i < sizeof syntax / sizeof syntax[0]; i++) {
    snprintf (words, sizeof words, "set_region_mappings %s", syntax[i]);
    snprintf (error, sizeof error,
              "invalid set_region_mappings argument: '%s'", syntax[i]);
    fixture_refuse_message (&f, words, error);
  }
  fixture_refuse_message (&f, "set_region_mappings c:0", "invalid "
                          "set_region_mappings region number: 12 >= 12");
  fixture_refuse_message (&f, "set_region_mappings 0:3",
                          "invalid set_region_mappings device: 3 >= 3");
  fixture_refuse_message (&f, "set_region_mappings R2,1", "invalid "
                          "set_region_mappings cycle length: 1 > 0");
  fixture_refuse_message (&f, "set_region_mappings R0,1", "invalid "
                          "set_region_mappings cycle length: "
                          "18446744073709551615 > 0");
  fixture_refuse_message (&f, "set_region_mappings R1,c", "invalid "
                          "set_region_mappings region number: 0 + 12 >= 12");
  fixture_refuse_message (&f, "set_region_mappings 1:0 R1,ffffffffffffffff",
                          "invalid set_region_mappings region number: 1 + "
                          "18446744073709551615 >= 12");
  fixture_refuse_message (&f, "hello", "Unrecognised message received.");
  expect_paths ("aacabcabcabc");
}

Test (switch, a_flush_goes_to_every_path)
{
  load ();
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  cr_expect_eq (b->counts[BIO_FLUSH], 1);
  cr_expect_eq (c->counts[BIO_FLUSH], 1);
}

Test (switch, a_discard_is_cut_where_the_path_changes)
{
  sector_t i;

  load ();
  fixture_answer (&f, "set_region_mappings 0:0 1:0 2:0 3:1", "");
  memset (a->data, 'x', sectors_to_bytes (100));
  memset (b->data, 'x', sectors_to_bytes (100));
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 3, 25, NULL), 0);
  for (i = 0; i < 40; i++) {
    cr_expect_eq (a->data[i * SECTOR_SIZE], i >= 3 && i < 24 ? 0 : 'x');
    cr_expect_eq (b->data[i * SECTOR_SIZE], i >= 24 && i < 28 ? 0 : 'x');
  }
  cr_expect_eq (a->counts[BIO_DISCARD], 1);
  cr_expect_eq (b->counts[BIO_DISCARD], 1);
}

Test (switch, a_discard_that_fails_in_part_goes_on_and_fails)
{
  load ();
  a->bad_end = 8;
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 24, NULL), -EIO);
  cr_expect_eq (c->counts[BIO_DISCARD], 1);
}

#ifndef __SANITIZE_ADDRESS__ /* which ends a program that asks for so much */
/* 2^52 regions would be 2^54 bytes if they were written down. */
Test (switch, a_map_too_large_is_refused)
{
  fixture_refuse (&f, "0 4503599627370496 switch 1 1 0 a 0", ENOMEM,
                  "Cannot allocate region table");
}
#endif
