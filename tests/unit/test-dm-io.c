/* SPDX-License-Identifier: BSD-3-Clause */
/* Several bios at once on one thread. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "common/block-device.h"
#include "server/dm-io.h"

/* What was called, one letter each: S start, F finish, R submit. */
static char calls[200];

/* Fails with -len of a bio if that is not 0. */
static int
note (char what, struct bio *bio)
{
  size_t n = strlen (calls);

  calls[n] = what;
  calls[n + 1] = '0' + bio->sector % 10;
  return -(int) bio->len;
}

static int
device_submit (struct block_device *bdev, struct bio *bio)
{
  int r = note ('R', bio);

  bio->bdev = NULL; /* whoever has the bio may change it */
  return r;
}

static int
device_start (struct block_device *bdev, struct bio *bio)
{
  return bio->flags ? note ('S', bio) : (note ('S', bio), 0);
}

static int
device_finish (struct block_device *bdev, struct bio *bio)
{
  return note ('F', bio);
}

static const struct block_device_ops plain_ops = { .submit = device_submit };
static const struct block_device_ops async_ops = {
  .submit = device_submit, .start = device_start, .finish = device_finish
};
static struct block_device plain = { .ops = &plain_ops };
static struct block_device async = { .ops = &async_ops };

/* flags 1: len is the error of start, not of finish */
#define BIO(dev, nr, error, f)                                  \
  { .bdev = &dev, .sector = nr, .len = error, .flags = f }

Test (dm_io, what_can_be_started_is_under_way_before_anything_is_waited_for)
{
  struct bio bios[] = { BIO (async, 0, 0, 0), BIO (plain, 1, 0, 0),
                        BIO (async, 2, 0, 0), BIO (plain, 3, 0, 0) };

  cr_assert_eq (dm_io (bios, 4, NULL), 0);
  cr_assert_str_eq (calls, "S0S2R1R3F0F2");
}

Test (dm_io, every_bio_is_tried_and_the_last_failing_one_counts)
{
  struct bio bios[] = { BIO (plain, 0, EIO, 0), BIO (async, 1, ENOSPC, 0),
                        BIO (plain, 2, 0, 0), BIO (async, 3, 0, 0) };
  int results[4];

  cr_assert_eq (dm_io (bios, 4, results), -ENOSPC);
  cr_assert_str_eq (calls, "S1S3R0R2F1F3");
  cr_assert_eq (results[0], -EIO);
  cr_assert_eq (results[1], -ENOSPC);
  cr_assert_eq (results[2], 0);
  cr_assert_eq (results[3], 0);
}

Test (dm_io, what_could_not_be_started_is_not_finished)
{
  struct bio bios[] = { BIO (async, 0, ENOMEM, 1), BIO (async, 1, 0, 0) };

  cr_assert_eq (dm_io (bios, 2, NULL), -ENOMEM);
  cr_assert_str_eq (calls, "S0S1F1");
}

Test (dm_io, as_many_as_there_is_room_for)
{
  struct bio bios[DM_IO_MAX];
  unsigned i;

  for (i = 0; i < DM_IO_MAX; i++)
    bios[i] = (struct bio) { .bdev = &async, .sector = i };
  bios[DM_IO_MAX - 1].bdev = &plain;
  bios[DM_IO_MAX - 1].len = EIO;
  cr_assert_eq (dm_io (bios, 0, NULL), 0);
  cr_assert_eq (strlen (calls), 0);
  /* Only the last 50: calls has no room for all. */
  cr_assert_eq (dm_io (bios + 14, DM_IO_MAX - 14, NULL), -EIO);
  cr_assert_eq (strlen (calls), 2 * (49 + 1 + 49));
}
