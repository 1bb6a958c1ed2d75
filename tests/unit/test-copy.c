/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying chunks. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "targets/snapshot/copy.h"
#include "tests/lib/memdev.h"

static struct memdev *from, *to;
static struct copier copier;
static char client[64 * SECTOR_SIZE];

static void
setup (void)
{
  from = memdev_new ("from", 8192);
  to = memdev_new ("to", 8192);
  memset (from->data, 'f', 8192 * SECTOR_SIZE);
  memset (to->data, 't', 8192 * SECTOR_SIZE);
  memset (client, 'c', sizeof client);
  copier_init (&copier);
}

static void
teardown (void)
{
  copier_destroy (&copier);
  memdev_free (from);
  memdev_free (to);
}

TestSuite (copy, .init = setup, .fini = teardown);

/* Chunks of 8 sectors, to the same place plus 1000. */
static int
copy (sector_t sector, sector_t len, const struct bio *over)
{
  struct copy c = { .from = &from->bdev, .to = &to->bdev,
                    .from_sector = sector, .to_sector = sector + 1000,
                    .len = len, .over = over, .chunk_sectors = 8 };

  return copy_sectors (&copier, &c);
}

static void
expect (sector_t sector, sector_t len, char letter)
{
  for (; len > 0; sector++, len--)
    cr_assert_eq (to->data[(sector + 1000) * SECTOR_SIZE], letter,
                  "sector %d is '%c'", (int) sector,
                  to->data[(sector + 1000) * SECTOR_SIZE]);
}

Test (copy, small_chunks)
{
  cr_expect_eq (copy (8, 8, NULL), 0);
  expect (7, 1, 't');
  expect (8, 8, 'f');
  expect (16, 1, 't');
}

Test (copy, more_than_a_buffer_goes_in_steps)
{
  cr_expect_eq (copy (0, COPY_MAX_SECTORS + 8, NULL), 0);
  expect (0, COPY_MAX_SECTORS + 8, 'f');
  expect (COPY_MAX_SECTORS + 8, 1, 't');
  cr_expect_eq (from->counts[BIO_READ], 2);
}

Test (copy, what_is_held_is_not_read_again)
{
  cr_expect_eq (copy (0, 64, NULL), 0);
  cr_expect_eq (copy (16, 8, NULL), 0);
  cr_expect_eq (from->counts[BIO_READ], 1);
  cr_expect_eq (copy (56, 16, NULL), 0);
  cr_expect_eq (from->counts[BIO_READ], 2);
  expect (0, 72, 'f');
}

Test (copy, the_clients_data_take_their_place)
{
  struct bio write = { .op = BIO_WRITE, .sector = 12, .len = 30,
                       .data = client };

  cr_expect_eq (copy (8, 40, &write), 0);
  expect (8, 4, 'f');
  expect (12, 30, 'c');
  expect (42, 6, 'f');
  /* What is not the client's is read; and nothing of it is held. */
  cr_expect_eq (from->counts[BIO_READ], 2);
  cr_expect_eq (to->counts[BIO_WRITE], 3);
  cr_expect_eq (copy (40, 8, NULL), 0);
  expect (40, 8, 'f');
}

Test (copy, inside_one_chunk)
{
  struct bio write = { .op = BIO_WRITE, .sector = 3, .len = 2,
                       .data = client };

  cr_expect_eq (copy (0, 8, &write), 0);
  expect (0, 3, 'f');
  expect (3, 2, 'c');
  expect (5, 3, 'f');
  cr_expect_eq (to->counts[BIO_WRITE], 1);
}

Test (copy, a_range_of_a_longer_write)
{
  struct bio write = { .op = BIO_WRITE, .sector = 0, .len = 64,
                       .data = client };

  cr_expect_eq (copy (16, 16, &write), 0);
  expect (15, 1, 't');
  expect (16, 16, 'c');
  expect (32, 1, 't');
  cr_expect_eq (from->counts[BIO_READ], 0);
}

Test (copy, zeroes)
{
  struct bio zeroes = { .op = BIO_WRITE_ZEROES, .sector = 4, .len = 20 };

  cr_expect_eq (copy (0, 24, &zeroes), 0);
  expect (0, 4, 'f');
  expect (4, 20, 0);
  cr_expect_eq (to->counts[BIO_WRITE_ZEROES], 1);
}

Test (copy, errors_of_either_side)
{
  from->bad_start = 9;
  from->bad_end = 10;
  cr_expect_eq (copy (8, 8, NULL), -EIO);
  from->bad_end = 0;
  cr_expect_eq (copy (8, 8, NULL), 0);
  to->bad_start = 1010;
  to->bad_end = 1011;
  cr_expect_eq (copy (8, 8, NULL), -EIO);
}

Test (copy, zeroes_are_written_where_there_is_nothing_better)
{
  to->limits.write_zeroes = false;
  cr_expect_eq (copy_zeroes (&to->bdev, 1000, 500, BIO_FUA), 0);
  expect (0, 500, 0);
  expect (500, 1, 't');
  cr_expect_eq (to->fua, to->counts[BIO_WRITE]);
  cr_expect_eq (copy_zeroes (&to->bdev, 1000, 8, BIO_FAST_ZERO), -EOPNOTSUPP);
}
