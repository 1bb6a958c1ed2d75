/* SPDX-License-Identifier: BSD-3-Clause */
/* Discards and zeroes of a thin. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/pool-rig.h"

TestSuite (thin_discard, .init = pool_rig_start, .fini = pool_rig_stop);

static struct mapped_device *md;

static void
start (const char *features, unsigned blocks)
{
  pool_rig_pool (1024, 256, 0, features);
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, blocks);
  cr_assert_eq (pool_rig_write (md, 0, blocks * POOL_BLOCK, 'a'), 0);
}

#define K 2 /* sectors */

/* Only blocks of 64 KiB that are wholly inside go (Linux 6.1, recorded). */
Test (thin_discard, rounding)
{
  static const struct {
    sector_t sector, len;
    const char *left; /* of four blocks */
  } cases[] = {
    { 4 * K, 4 * K, "aaaa" },
    { 0, 64 * K - 1, "aaaa" },
    { 1, 64 * K, "aaaa" },
    { 0, 64 * K, ".aaa" },
    { 4 * K, 128 * K, "a.aa" },
    { 0, 192 * K - 4 * K, "..aa" },
    { 64 * K, 128 * K, "a..a" },
    { 63 * K, 193 * K, "a..." },
    { 0, 256 * K, "...." },
  };
  unsigned i, b;

  start ("", 4);
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cr_assert_eq (pool_rig_write (md, 0, 4 * POOL_BLOCK, 'a'), 0);
    cr_expect_eq (dmtest_io (md, BIO_DISCARD, cases[i].sector, cases[i].len,
                             NULL), 0);
    for (b = 0; b < 4; b++)
      pool_rig_check (md, b * POOL_BLOCK, POOL_BLOCK,
                      cases[i].left[b] == 'a' ? 'a' : 0);
  }
}

/* Its last block can never be unmapped. */
Test (thin_discard, a_device_that_ends_within_a_block)
{
  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 200 thin pool 0"), 0);
  md = pool_rig_open ("t");
  cr_expect_eq (pool_rig_write (md, 0, 200, 'a'), 0);
  pool_rig_expect ("t", "256 255");
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 200, NULL), 0);
  pool_rig_expect ("t", "128 255");
}

Test (thin_discard, passdown)
{
  unsigned before;

  start ("", 8);
  before = pool_rig.mem[0]->counts[BIO_DISCARD];
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 4 * POOL_BLOCK, NULL), 0);
  cr_expect_eq (pool_rig.mem[0]->counts[BIO_DISCARD], before + 1);
  cr_expect_eq (pool_rig.mem[0]->data[0], 0);
  pool_rig_expect ("pool", "0 112/1024 4/256 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  cr_expect_leq (pool_rig_thin_check (), 0);
}

Test (thin_discard, no_passdown)
{
  start ("1 no_discard_passdown", 8);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 4 * POOL_BLOCK, NULL), 0);
  cr_expect_eq (pool_rig.mem[0]->counts[BIO_DISCARD], 0);
  cr_expect_eq (pool_rig.mem[0]->data[0], 'a');
  pool_rig_check (md, 0, 4 * POOL_BLOCK, 0);
}

/* What somebody else has is not passed down; once he has not, it is. */
Test (thin_discard, shared_blocks_are_not_passed_down)
{
  struct mapped_device *snap;

  start ("", 8);
  pool_rig_send ("create_snap 1 0");
  snap = pool_rig_thin ("s", 1, 8);
  cr_expect_eq (pool_rig_write (snap, POOL_BLOCK, 8, 's'), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 3 * POOL_BLOCK, NULL), 0);
  cr_expect_eq (pool_rig.mem[0]->counts[BIO_DISCARD], 1);
  pool_rig_check (md, 0, 3 * POOL_BLOCK, 0);
  pool_rig_check (snap, 0, POOL_BLOCK, 'a');
  pool_rig_check (snap, POOL_BLOCK, 8, 's');
  pool_rig_check (snap, POOL_BLOCK + 8, 2 * POOL_BLOCK - 8, 'a');
  cr_expect_eq (pool_rig.mem[0]->data[POOL_BLOCK_BYTES], 0);
  cr_expect_eq (dmtest_io (snap, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  cr_expect_eq (pool_rig.mem[0]->counts[BIO_DISCARD], 2);
  cr_expect_eq (pool_rig.mem[0]->data[0], 0);
  pool_rig_close (snap, "s");
}

/* The metadata on disk still give the block to the snapshot, which has a block
 * of its own only in memory.
 */
Test (thin_discard, what_a_crash_would_give_back_is_not_passed_down)
{
  struct mapped_device *snap;
  char *image = malloc (1024 * 4096);

  start ("", 8);
  pool_rig_send ("create_snap 1 0");
  snap = pool_rig_thin ("s", 1, 8);
  cr_expect_eq (pool_rig_write (snap, 0, POOL_BLOCK, 's'), 0);
  memcpy (image, pool_rig.mem[1]->data, 1024 * 4096);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  cr_expect_eq (memcmp (image, pool_rig.mem[1]->data, 1024 * 4096) == 0,
                pool_rig.mem[0]->data[0] == 'a', "neither commit nor discard, "
                "or both");
  free (image);
  pool_rig_close (snap, "s");
}

/* A whole terabyte, of which little is mapped. */
Test (thin_discard, a_large_range_costs_what_is_mapped, .timeout = 10)
{
  const sector_t tib = UINT64_C (1) << 31;
  unsigned i;

  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 2147483648 thin pool 0"), 0);
  md = pool_rig_open ("t");
  for (i = 0; i < 200; i++)
    cr_expect_eq (pool_rig_write (md, i * (tib / 200) / 8 * 8, 8, 'a'), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, tib, NULL), 0);
  pool_rig_expect ("t", "0 -");
}

/* ------------------------------------------------------------------
 * Zeroes.
 */

static int
zero (sector_t sector, sector_t len, unsigned flags)
{
  struct bio bio = { .op = BIO_WRITE_ZEROES, .flags = flags,
                     .sector = sector, .len = len,
                     .bdev = dm_block_device (md) };

  return bdev_submit (bio.bdev, &bio);
}

Test (thin_discard, zeroes_give_whole_blocks_back)
{
  start ("", 8);
  cr_expect_eq (zero (64, 3 * POOL_BLOCK, 0), 0);
  pool_rig_check (md, 0, 64, 'a');
  pool_rig_check (md, 64, 3 * POOL_BLOCK, 0);
  pool_rig_check (md, 64 + 3 * POOL_BLOCK, 4 * POOL_BLOCK, 'a');
  pool_rig_expect ("t", "768 1023");
}

Test (thin_discard, zeroes_can_keep_the_blocks)
{
  start ("", 8);
  cr_expect_eq (zero (0, 4 * POOL_BLOCK, BIO_NOUNMAP), 0);
  pool_rig_check (md, 0, 4 * POOL_BLOCK, 0);
  pool_rig_expect ("t", "1024 1023");
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 8 * POOL_BLOCK, NULL), 0);
  cr_expect_eq (zero (100, 100, BIO_NOUNMAP), 0);
  pool_rig_expect ("t", "256 255");
  pool_rig_check (md, 0, 8 * POOL_BLOCK, 0);
}

Test (thin_discard, zeroes_where_nothing_is_do_nothing)
{
  start ("", 8);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 8 * POOL_BLOCK, NULL), 0);
  cr_expect_eq (zero (100, 500, 0), 0);
  pool_rig_expect ("t", "0 -");
}

Test (thin_discard, zeroes_spare_the_snapshot)
{
  struct mapped_device *snap;

  start ("", 8);
  pool_rig_send ("create_snap 1 0");
  cr_expect_eq (zero (64, 3 * POOL_BLOCK, 0), 0);
  pool_rig_check (md, 0, 64, 'a');
  pool_rig_check (md, 64, 3 * POOL_BLOCK, 0);
  snap = pool_rig_thin ("s", 1, 8);
  pool_rig_check (snap, 0, 8 * POOL_BLOCK, 'a');
  pool_rig_close (snap, "s");
}
