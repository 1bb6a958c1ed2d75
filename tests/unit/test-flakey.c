/* SPDX-License-Identifier: BSD-3-Clause */
/* The flakey target. */

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

TestSuite (flakey, .init = setup, .fini = teardown);

Test (flakey, status)
{
  fixture_golden (&f, "0 8 flakey a 0 1 2", "a 0 1 2 0 ", "");
  fixture_golden (&f, "0 8 flakey a 0 1 2 0 junk extra", "a 0 1 2 0 ", "");
  fixture_golden (&f, "0 8 flakey a 3 1 2 1 ERROR_WRITES",
                  "a 3 1 2 1 error_writes ", "");
  fixture_golden (&f, "0 8 flakey a 3 1 2 5 corrupt_bio_byte 32 r 1 0",
                  "a 3 1 2 5 corrupt_bio_byte 32 r 1 0 ", "");
  fixture_golden (&f, "0 8 flakey a 3 1 2 6 drop_writes "
                  "corrupt_bio_byte 32 r 1 32",
                  "a 3 1 2 6 drop_writes corrupt_bio_byte 32 r 1 32 ", "");
}

Test (flakey, bad_lines)
{
  fixture_refuse (&f, "0 8 flakey a 0 1", EINVAL, "Invalid argument count");
  fixture_refuse (&f, "0 8 flakey a x 1 1", EINVAL, "Invalid device sector");
  fixture_refuse (&f, "0 8 flakey a 0 x 1", EINVAL, "Invalid up interval");
  fixture_refuse (&f, "0 8 flakey a 0 1 x", EINVAL, "Invalid up interval");
  fixture_refuse (&f, "0 8 flakey a 0 0 0", EINVAL,
                  "Total (up + down) interval is zero");
  fixture_refuse (&f, "0 8 flakey a 0 4294967295 1", EINVAL,
                  "Total (up + down) interval is zero");
  fixture_refuse (&f, "0 8 flakey a 0 4294967295 2", EINVAL,
                  "Interval overflow");
  fixture_refuse (&f, "0 8 flakey nosuch 0 1 1 1 junk", EINVAL,
                  "Unrecognised flakey feature requested");
  fixture_refuse (&f, "0 8 flakey nosuch 0 1 1", ENODEV,
                  "Device lookup failed");
}

static void
refuse_features (const char *features, const char *message)
{
  char line[200];

  snprintf (line, sizeof line, "0 8 flakey a 0 1 1 %s", features);
  fixture_refuse (&f, line, EINVAL, message);
}

Test (flakey, bad_features)
{
  refuse_features ("x", "Invalid number of feature args");
  refuse_features ("7 a b c d e f g", "Invalid number of feature args");
  refuse_features ("2 drop_writes", "Invalid number of feature args");
  refuse_features ("2 drop_writes drop_writes",
                   "Feature drop_writes duplicated");
  refuse_features ("2 error_writes error_writes",
                   "Feature error_writes duplicated");
  refuse_features ("2 error_writes drop_writes", "Feature drop_writes "
                   "conflicts with feature error_writes");
  refuse_features ("2 drop_writes error_writes", "Feature error_writes "
                   "conflicts with feature drop_writes");
  refuse_features ("1 junk", "Unrecognised flakey feature requested: 'junk'");
}

Test (flakey, bad_parameters_of_corrupt_bio_byte)
{
  refuse_features ("1 corrupt_bio_byte",
                   "Feature corrupt_bio_byte requires parameters");
  refuse_features ("5 corrupt_bio_byte 0 r 1 0", "Invalid corrupt bio byte");
  refuse_features ("5 corrupt_bio_byte 1 x 1 0",
                   "Invalid corrupt bio direction (r or w)");
  refuse_features ("2 corrupt_bio_byte 1",
                   "Invalid corrupt bio direction (r or w)");
  refuse_features ("5 corrupt_bio_byte 1 r 256 0",
                   "Invalid corrupt value to write into bio byte (0-255)");
  refuse_features ("5 corrupt_bio_byte 1 r 1 x",
                   "Invalid corrupt bio flags mask");
  refuse_features ("4 corrupt_bio_byte 1 r 1",
                   "Invalid corrupt bio flags mask");
  refuse_features ("6 drop_writes corrupt_bio_byte 1 w 1 0",
                   "drop_writes is incompatible with corrupt_bio_byte with "
                   "the WRITE flag set");
  refuse_features ("6 error_writes corrupt_bio_byte 1 w 1 0",
                   "error_writes is incompatible with corrupt_bio_byte with "
                   "the WRITE flag set");
}

/* A device of 'a's under a flakey that is always down. */
static char data[8 * SECTOR_SIZE];

static void
load_down (const char *features)
{
  char line[200];

  snprintf (line, sizeof line, "0 8 flakey a 0 0 1 %s", features);
  cr_assert_eq (fixture_load (&f, line), 0, "%s", f.msg.text);
  memset (a->data, 'a', sectors_to_bytes (100));
  memset (data, 'w', sizeof data);
}

Test (flakey, up_it_is_linear)
{
  cr_assert_eq (fixture_load (&f, "0 8 zero\n8 8 flakey a 40 60 60"), 0);
  memset (data, 'w', sizeof data);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 9, 2, data), 0);
  cr_assert_eq (a->data[41 * SECTOR_SIZE], 'w');
  cr_assert_eq (fixture_io (&f, BIO_READ, 9, 2, data), 0);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (a->counts[BIO_FLUSH], 1);
}

Test (flakey, down_everything_fails)
{
  load_down ("");
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 8, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_PREFETCH, 0, 8, NULL), -EIO);
  cr_expect_eq (a->data[0], 'a');
}

Test (flakey, drop_writes_forgets_them)
{
  load_down ("1 drop_writes");
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), 0);
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 8, data), 0);
  cr_expect_eq (data[0], 'a');
}

Test (flakey, error_writes_fails_them)
{
  load_down ("1 error_writes");
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 8, NULL), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 8, data), 0);
  cr_expect_eq (data[0], 'a');
}

Test (flakey, a_byte_of_each_read_is_corrupted)
{
  load_down ("5 corrupt_bio_byte 513 r 122 0");
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 2, data), 0);
  cr_expect_eq (data[511], 'a');
  cr_expect_eq (data[512], 'z');
  cr_expect_eq (data[513], 'a');
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 1, data), 0);
  cr_expect_eq (data[0], 'a');
  cr_expect_eq (fixture_io (&f, BIO_PREFETCH, 0, 2, NULL), 0);
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  memset (data, 'w', sizeof data);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 2, data), 0);
  cr_expect_eq (a->data[512], 'w');
}

Test (flakey, a_failed_read_stays_a_failed_read)
{
  load_down ("5 corrupt_bio_byte 1 r 122 0");
  a->bad_end = 1;
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 2, data), -EIO);
  cr_expect_eq (data[0], 'w');
}

Test (flakey, a_corrupted_write_leaves_the_callers_data_alone)
{
  load_down ("5 corrupt_bio_byte 2 W 122 0");
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), 0);
  cr_expect_eq (data[1], 'w');
  cr_expect_eq (a->data[0], 'w');
  cr_expect_eq (a->data[1], 'z');
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 8, data), 0);
  cr_expect_eq (data[1], 'z');
}

Test (flakey, the_flags_of_a_bio_must_match)
{
  struct bio bio = { .op = BIO_WRITE, .len = 8, .data = data };

  /* 1 << 17 is the kernel's FUA. */
  load_down ("5 corrupt_bio_byte 1 w 122 131073");
  cr_expect_eq (table_map_bio (f.table, &bio), 0);
  cr_expect_eq (a->data[0], 'w');
  bio.flags = BIO_FUA;
  cr_expect_eq (table_map_bio (f.table, &bio), 0);
  cr_expect_eq (a->data[0], 'z');
}

Test (flakey, the_clock_starts_in_the_constructor)
{
  static const struct timespec more_than_a_second = {
    .tv_sec = 1, .tv_nsec = 50000000
  };

  cr_assert_eq (fixture_load (&f, "0 8 flakey a 0 1 1000"), 0);
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), 0);
  nanosleep (&more_than_a_second, NULL);
  cr_assert_eq (fixture_io (&f, BIO_READ, 0, 8, data), -EIO);
}
