/* SPDX-License-Identifier: BSD-3-Clause */
/* The dust target. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

static struct fixture f;
static struct memdev *a;
static char data[16 * SECTOR_SIZE];

static void
setup (void)
{
  fixture_start (&f);
  a = memdev_add ("a", 1024);
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
}

TestSuite (dust, .init = setup, .fini = teardown);

/* Blocks of 8 sectors; sector 0 of the target is in block 2 of the device. */
static void
load_with_bad_block (const char *words)
{
  cr_assert_eq (fixture_load (&f, "0 800 dust a 16 4096"), 0);
  fixture_answer (&f, words, "");
  fixture_answer (&f, "enable", "");
}

static void
expect_info (const char *expected)
{
  char *info = fixture_status (&f, 0, DM_STATUS_INFO);

  cr_expect_str_eq (info, expected);
  free (info);
}

Test (dust, status)
{
  fixture_golden (&f, "0 8 dust a 16 4096", "a 16 4096", "a bypass verbose");
  fixture_answer (&f, "ENABLE", "");
  fixture_answer (&f, "quiet", "");
  expect_info ("a fail_read_on_bad_block quiet");
  fixture_answer (&f, "disable", "");
  fixture_answer (&f, "quiet", "");
  expect_info ("a bypass verbose");
}

Test (dust, bad_lines)
{
  fixture_refuse (&f, "0 8 dust a 0", EINVAL, "Invalid argument count: 2");
  fixture_refuse (&f, "0 8 dust a 0 512 1", EINVAL, "Invalid argument count");
  fixture_refuse (&f, "0 8 dust a x 0", EINVAL,
                  "Invalid block size parameter: '0'");
  fixture_refuse (&f, "0 8 dust a x 4294967296", EINVAL,
                  "Invalid block size parameter");
  fixture_refuse (&f, "0 8 dust a x 511", EINVAL,
                  "Block size must be at least 512: 511");
  fixture_refuse (&f, "0 8 dust a x 1536", EINVAL,
                  "Block size must be a power of 2: 1536");
  fixture_refuse (&f, "0 8 dust a x 8192", EINVAL,
                  "Block size is too large: 8192");
  fixture_refuse (&f, "0 18014398509481983 dust a x 2147483648", EINVAL,
                  "Block size is too large: 2147483648");
  fixture_refuse (&f, "0 8 dust nosuch x 512", EINVAL,
                  "Invalid device offset sector: 'x'");
  fixture_refuse (&f, "0 8 dust nosuch 0 512", EINVAL,
                  "Device lookup failed");
}

Test (dust, nothing_fails_before_enable)
{
  cr_assert_eq (fixture_load (&f, "0 800 dust a 16 4096"), 0);
  fixture_answer (&f, "addbadblock 2", "");
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 1, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 0, 1, data), 0);
  fixture_answer (&f, "queryblock 2",
                  "dust_query_block: block 2 found in badblocklist");
}

Test (dust, reads_of_a_bad_block_fail)
{
  load_with_bad_block ("addbadblock 3");
  cr_expect_eq (fixture_io (&f, BIO_READ, 7, 1, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 8, 1, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_READ, 15, 1, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_READ, 16, 1, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 16, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_PREFETCH, 8, 1, NULL), -EIO);
}

Test (dust, a_write_repairs_the_block)
{
  load_with_bad_block ("addbadblock 3");
  memset (data, 'w', sizeof data);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 8, 1, data), 0);
  cr_expect_eq (a->data[24 * SECTOR_SIZE], 'w');
  cr_expect_eq (fixture_io (&f, BIO_READ, 8, 8, data), 0);
  fixture_answer (&f, "countbadblocks", "countbadblocks: 0 badblock(s) found");
}

Test (dust, writes_can_fail_some_times)
{
  load_with_bad_block ("addbadblock 3 2");
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 8, 1, data), -EIO);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 8, 1, data), -EIO);
  cr_expect_eq (a->counts[BIO_WRITE], 0);
  cr_expect_eq (fixture_io (&f, BIO_WRITE, 8, 1, data), 0);
  cr_expect_eq (fixture_io (&f, BIO_READ, 8, 1, data), 0);
}

Test (dust, a_flush_repairs_nothing)
{
  load_with_bad_block ("addbadblock 2");
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_expect_eq (a->counts[BIO_FLUSH], 1);
  cr_expect_eq (fixture_io (&f, BIO_READ, 0, 1, data), -EIO);
}

/* As in Linux 6.1. */
Test (dust, a_discard_repairs_its_first_block)
{
  load_with_bad_block ("addbadblock 2");
  fixture_answer (&f, "addbadblock 3", "");
  cr_expect_eq (fixture_io (&f, BIO_DISCARD, 0, 16, NULL), 0);
  fixture_answer (&f, "listbadblocks", "3\n");
}

Test (dust, the_list_ascends)
{
  cr_assert_eq (fixture_load (&f, "0 800 dust a 0 4096"), 0);
  fixture_answer (&f, "listbadblocks", "No blocks in badblocklist");
  fixture_answer (&f, "clearbadblocks",
                  "dust_clear_badblocks: no badblocks found");
  fixture_answer (&f, "AddBadBlock 60", "");
  fixture_answer (&f, "addbadblock 7 255", "");
  fixture_answer (&f, "addbadblock 128", "");
  fixture_answer (&f, "addbadblock 8", "");
  fixture_answer (&f, "listbadblocks", "7\n8\n60\n128\n");
  fixture_answer (&f, "removebadblock 8", "");
  fixture_answer (&f, "queryblock 8",
                  "dust_query_block: block 8 not found in badblocklist");
  fixture_answer (&f, "countbadblocks", "countbadblocks: 3 badblock(s) found");
  fixture_answer (&f, "clearbadblocks",
                  "dust_clear_badblocks: badblocks cleared");
  fixture_answer (&f, "countbadblocks", "countbadblocks: 0 badblock(s) found");
}

Test (dust, bad_messages)
{
  cr_assert_eq (fixture_load (&f, "0 800 dust a 0 4096"), 0);
  fixture_answer (&f, "addbadblock 5", "");
  fixture_refuse_message (&f, "addbadblock",
                          "addbadblock requires an additional argument");
  fixture_refuse_message (&f, "addbadblock 5",
                          "addbadblock: block 5 already in badblocklist");
  fixture_refuse_message (&f, "removebadblock 6",
                          "removebadblock: block 6 not found");
  fixture_refuse_message (&f, "addbadblock x", "not a block number: 'x'");
  fixture_refuse_message (&f, "addbadblock 129",
                          "selected block value out of range: 129 of 128");
  fixture_refuse_message (&f, "addbadblock 6 x",
                          "not a write fail count: 'x'");
  fixture_refuse_message (&f, "addbadblock 6 256",
                          "selected write fail count out of range: 256");
  fixture_refuse_message (&f, "removebadblock 5 1",
                          "unrecognized message 'removebadblock' received");
  fixture_refuse_message (&f, "dance", "unrecognized message 'dance'");
  fixture_refuse_message (&f, "dance 5", "unrecognized message 'dance'");
  fixture_refuse_message (&f, "addbadblock 6 1 1",
                          "invalid number of arguments '4'");
}
