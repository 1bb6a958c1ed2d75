/* SPDX-License-Identifier: BSD-3-Clause */
/* The striped target. */

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

TestSuite (striped, .init = setup, .fini = teardown);

Test (striped, status)
{
  fixture_golden (&f, "0 90 striped 3 5 a 0 b 8 c 16", "3 5 a 0 b 8 c 16",
                  "3 a b c 1 AAA");
  fixture_golden (&f, "0 90 striped 1 90 a 7", "1 90 a 7", "1 a 1 A");
}

Test (striped, bad_lines)
{
  fixture_refuse (&f, "0 8 striped", EINVAL, "Not enough arguments");
  fixture_refuse (&f, "0 8 striped 2", EINVAL, "Not enough arguments");
  fixture_refuse (&f, "0 8 striped 0 8", EINVAL, "Invalid stripe count: '0'");
  fixture_refuse (&f, "0 8 striped x 8", EINVAL, "Invalid stripe count: 'x'");
  fixture_refuse (&f, "0 8 striped 2 0", EINVAL, "Invalid chunk_size: '0'");
  fixture_refuse (&f, "0 8 striped 2 4294967296", EINVAL,
                  "Invalid chunk_size");
  fixture_refuse (&f, "0 9 striped 2 4 a 0 b 0", EINVAL,
                  "Target length not divisible by number of stripes");
  fixture_refuse (&f, "0 16 striped 2 5 a 0 b 0", EINVAL,
                  "Target length not divisible by chunk size");
  fixture_refuse (&f, "0 16 striped 2 8 a 0 b", EINVAL,
                  "Not enough destinations specified");
  fixture_refuse (&f, "0 16 striped 2 8 a 0 b 0 c 0", EINVAL,
                  "Not enough destinations specified");
  fixture_refuse (&f, "0 16 striped 2 8 a 0 b x", EINVAL,
                  "Couldn't parse stripe destination: offset 'x' of stripe 1");
  fixture_refuse (&f, "0 16 striped 2 8 a 0 nosuch 0", ENODEV,
                  "Couldn't parse stripe destination: Device lookup failed");
  fixture_refuse (&f, "0 4294967296 striped 4294967295 1", EINVAL,
                  "Target length not divisible by number of stripes");
  fixture_refuse (&f, "0 2147483648 striped 2147483648 1", EINVAL,
                  "Not enough destinations specified");
}

Test (striped, numbers_may_have_a_plus)
{
  fixture_golden (&f, "0 16 striped +2 +8 a 0 b 0", "2 8 a 0 b 0",
                  "2 a b 1 AA");
}

Test (striped, chunks_go_round)
{
  static char data[90 * SECTOR_SIZE];
  sector_t i;

  cr_assert_eq (fixture_load (&f, "0 90 striped 3 5 a 0 b 8 c 16"), 0);
  for (i = 0; i < 90; i++)
    data[i * SECTOR_SIZE] = i;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 90, data), 0);
  /* Sector 38 = chunk 7, third of it: row 2 of stripe 1. */
  cr_assert_eq (b->data[(8 + 10 + 3) * SECTOR_SIZE], 38);
  cr_assert_eq (a->data[5 * SECTOR_SIZE], 15);
  cr_assert_eq (c->data[(16 + 29) * SECTOR_SIZE], 89);
  cr_assert_eq (a->counts[BIO_WRITE], 6);
}

/* The range of a device that is zeroed by a discard of [sector, +len). */
static void
expect_discarded (sector_t sector, sector_t len, sector_t a_begin,
                  sector_t a_end, sector_t b_begin, sector_t b_end)
{
  sector_t i;

  memset (a->data, 'x', sectors_to_bytes (100));
  memset (b->data, 'x', sectors_to_bytes (100));
  a->counts[BIO_DISCARD] = b->counts[BIO_DISCARD] = 0;
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, sector, len, NULL), 0);
  cr_expect_eq (a->counts[BIO_DISCARD], a_begin < a_end);
  cr_expect_eq (b->counts[BIO_DISCARD], b_begin < b_end);
  for (i = 0; i < 100; i++) {
    cr_expect_eq (a->data[i * SECTOR_SIZE],
                  i >= a_begin && i < a_end ? 0 : 'x');
    cr_expect_eq (b->data[i * SECTOR_SIZE],
                  i >= b_begin && i < b_end ? 0 : 'x');
  }
}

Test (striped, a_discard_is_one_range_of_each_stripe)
{
  cr_assert_eq (fixture_load (&f, "0 96 striped 2 8 a 0 b 0"), 0);
  expect_discarded (3, 40, 3, 24, 0, 19);
  expect_discarded (3, 2, 3, 5, 0, 0);
  expect_discarded (10, 4, 0, 0, 2, 6);
  expect_discarded (12, 8, 8, 12, 4, 8);
  expect_discarded (0, 96, 0, 48, 0, 48);
}

Test (striped, discards_keep_the_offsets)
{
  memset (b->data, 'x', sectors_to_bytes (100));
  cr_assert_eq (fixture_load (&f, "0 8 zero\n8 96 striped 2 8 a 0 b 50"), 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 8 + 10, 4, NULL), 0);
  cr_assert_eq (b->data[51 * SECTOR_SIZE], 'x');
  cr_assert_eq (b->data[52 * SECTOR_SIZE], 0);
  cr_assert_eq (b->data[55 * SECTOR_SIZE], 0);
  cr_assert_eq (b->data[56 * SECTOR_SIZE], 'x');
}

Test (striped, errors_mark_every_stripe_on_the_device)
{
  static char data[8 * SECTOR_SIZE];
  char *info;

  cr_assert_eq (fixture_load (&f, "0 96 striped 3 8 a 0 b 0 a 100"), 0);
  a->bad_end = 1;
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), -EIO);
  info = fixture_status (&f, 0, DM_STATUS_INFO);
  cr_assert_str_eq (info, "3 a b a 1 DAD");
  free (info);
}

Test (striped, what_is_not_supported_is_no_error_of_a_stripe)
{
  char *info;

  cr_assert_eq (fixture_load (&f, "0 96 striped 2 8 a 0 b 0"), 0);
  a->bad_end = 8;
  a->bad_errno = EOPNOTSUPP;
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EOPNOTSUPP);
  a->bad_errno = EIO;
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 0, 8, NULL), -EIO);
  info = fixture_status (&f, 0, DM_STATUS_INFO);
  cr_assert_str_eq (info, "2 a b 1 AA");
  free (info);
}

Test (striped, a_stripe_raises_14_events_at_most)
{
  static char data[8 * SECTOR_SIZE];
  unsigned i;

  cr_assert_eq (fixture_load (&f, "0 96 striped 2 8 a 0 b 0"), 0);
  f.table->is_live = true;
  a->bad_end = 1;
  for (i = 0; i < 20; i++)
    fixture_io (&f, BIO_READ, 0, 8, data);
  cr_assert_eq (f.md->event_nr, 14);
}

Test (striped, a_table_that_is_not_live_raises_none)
{
  static char data[8 * SECTOR_SIZE];

  cr_assert_eq (fixture_load (&f, "0 96 striped 2 8 a 0 b 0"), 0);
  a->bad_end = 1;
  fixture_io (&f, BIO_READ, 0, 8, data);
  cr_assert_eq (f.md->event_nr, 0);
}

/* ------------------------------------------------------------------
 * Extents.
 */

struct told {
  struct extent_sink sink;
  char text[200];
};

static int
told_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct told *told = (struct told *) sink;
  size_t n = strlen (told->text);

  snprintf (told->text + n, sizeof told->text - n, "%u+%u ", flags,
            (unsigned) len);
  return 0;
}

/* A device that is a hole from sector 12 on; counts the questions. */
static unsigned asked;

static int
holey_extents (struct block_device *bdev, sector_t sector, sector_t len,
               struct extent_sink *sink)
{
  int r;

  asked++;
  if (sector < 12 && (r = sink->add (sink, 12 - sector, 0)) != 0)
    return r < 0 ? r : 0;
  r = sink->add (sink, 100, EXTENT_HOLE | EXTENT_ZERO);
  return r < 0 ? r : 0;
}

Test (striped, extents_are_put_together_from_the_stripes)
{
  struct told told = { .sink.add = told_add };
  struct block_device_ops ops = *a->bdev.ops;

  ops.extents = holey_extents;
  a->bdev.ops = &ops;
  cr_assert_eq (fixture_load (&f, "0 96 striped 2 8 a 0 b 0"), 0);
  cr_assert_eq (table_extents (f.table, 3, 60, &told.sink), 0);
  /* a: 3-7, 16-19 data, 20-23, 32-39, 48-55 hole; b: all data. */
  cr_assert_str_eq (told.text, "0+17 3+4 0+8 3+8 0+8 3+8 0+7 ");
  cr_assert_eq (asked, 2);
}
