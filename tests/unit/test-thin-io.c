/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads and writes of a thin, provisioning, breaking of sharing. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/pool-rig.h"

TestSuite (thin_io, .init = pool_rig_start, .fini = pool_rig_stop);

static struct mapped_device *md;

static void
start (const char *features, unsigned blocks)
{
  memset (pool_rig.mem[0]->data, 'o', 64 * POOL_BLOCK_BYTES);
  pool_rig_pool (1024, 256, 0, features);
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, blocks);
}

static unsigned
data_count (enum bio_op op)
{
  return pool_rig.mem[0]->counts[op];
}

Test (thin_io, nothing_is_zeroes)
{
  start ("", 64);
  pool_rig_check (md, 0, 64 * POOL_BLOCK, 0);
  cr_expect_eq (data_count (BIO_READ), 0);
  pool_rig_expect ("t", "0 -");
}

Test (thin_io, the_rest_of_a_new_block_is_zeroes)
{
  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 3 * POOL_BLOCK + 5, 2, 'x'), 0);
  pool_rig_check (md, 3 * POOL_BLOCK, 5, 0);
  pool_rig_check (md, 3 * POOL_BLOCK + 5, 2, 'x');
  pool_rig_check (md, 3 * POOL_BLOCK + 7, POOL_BLOCK - 7, 0);
  cr_expect_eq (data_count (BIO_WRITE_ZEROES), 1);
  cr_expect_eq (data_count (BIO_WRITE), 1);
}

Test (thin_io, a_whole_block_is_only_written)
{
  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'x'), 0);
  cr_expect_eq (data_count (BIO_WRITE_ZEROES), 0);
  cr_expect_eq (data_count (BIO_WRITE), 1);
}

/* Zeroes are written where nothing else will do. */
Test (thin_io, a_data_device_that_cannot_zero)
{
  pool_rig.mem[0]->limits.write_zeroes = false;
  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 5, 2, 'x'), 0);
  pool_rig_check (md, 0, 5, 0);
  pool_rig_check (md, 5, 2, 'x');
  pool_rig_check (md, 7, POOL_BLOCK - 7, 0);
  cr_expect_eq (data_count (BIO_WRITE_ZEROES), 0);
}

Test (thin_io, skip_block_zeroing_shows_what_was_there)
{
  start ("1 skip_block_zeroing", 64);
  cr_expect_eq (pool_rig_write (md, 5, 2, 'x'), 0);
  pool_rig_check (md, 0, 5, 'o');
  pool_rig_check (md, 5, 2, 'x');
  pool_rig_check (md, 7, POOL_BLOCK - 7, 'o');
}

/* Mapped blocks that follow each other are one piece. */
Test (thin_io, large_requests_stay_together)
{
  unsigned before;

  start ("", 256);
  cr_expect_eq (pool_rig_write (md, 0, 256 * POOL_BLOCK, 'x'), 0);
  before = data_count (BIO_WRITE);
  cr_expect_eq (before, 256);
  cr_expect_eq (pool_rig_write (md, 0, 256 * POOL_BLOCK, 'y'), 0);
  cr_expect_leq (data_count (BIO_WRITE), before + 16);
  pool_rig_check (md, 0, 256 * POOL_BLOCK, 'y');
  cr_expect_leq (data_count (BIO_READ), 16);
}

Test (thin_io, a_write_error_maps_nothing)
{
  start ("", 64);
  pool_rig.mem[0]->bad_end = 64 * POOL_BLOCK;
  cr_expect_eq (pool_rig_write (md, 0, 8, 'x'), -EIO);
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'x'), -EIO);
  pool_rig.mem[0]->bad_end = 0;
  pool_rig_expect ("t", "0 -");
  pool_rig_expect ("pool", "0 112/1024 0/256 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  cr_expect_leq (pool_rig_thin_check (), 0);
}

Test (thin_io, a_partial_write_to_a_shared_block_copies_the_rest)
{
  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 0, 2 * POOL_BLOCK, 'a'), 0);
  pool_rig_send ("create_snap 1 0");
  cr_expect_eq (pool_rig_write (md, 10, 3, 'b'), 0);
  pool_rig_check (md, 0, 10, 'a');
  pool_rig_check (md, 10, 3, 'b');
  pool_rig_check (md, 13, 2 * POOL_BLOCK - 13, 'a');
  pool_rig_expect ("t", "256 255");
}

Test (thin_io, a_whole_write_to_a_shared_block_copies_nothing)
{
  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'a'), 0);
  pool_rig_send ("create_snap 1 0");
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'b'), 0);
  cr_expect_eq (data_count (BIO_READ), 0);
}

/* Sharing is broken once. */
Test (thin_io, a_block_of_its_own_is_overwritten)
{
  unsigned i;

  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'a'), 0);
  pool_rig_send ("create_snap 1 0");
  for (i = 0; i < 5; i++)
    cr_expect_eq (pool_rig_write (md, 0, 8, 'b' + i), 0);
  pool_rig_expect ("pool", "0 113/1024 2/256 - rw discard_passdown "
                   "queue_if_no_space - 256 ");
  pool_rig_check (md, 0, 8, 'f');
  pool_rig_check (md, 8, POOL_BLOCK - 8, 'a');
}

/* A reader of a shared block keeps it from being given to somebody else. */
Test (thin_io, what_is_read_stays_what_it_is)
{
  struct mapped_device *snap;
  struct pool_io io, discard;

  start ("", 64);
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'a'), 0);
  pool_rig_send ("create_snap 1 0");
  snap = pool_rig_thin ("s", 1, 64);
  pool_rig.mem[0]->stalled = true;
  pool_rig_start_io (&io, snap, BIO_READ, 0, 8, 0);
  cr_assert (EVENTUALLY (pool_rig.mem[0]->waiting == 1));
  pool_rig_start_io (&discard, snap, BIO_DISCARD, 0, POOL_BLOCK, 0);
  usleep (50000);
  cr_expect_not (discard.done);
  pool_rig.mem[0]->stalled = false;
  cr_expect_eq (pool_rig_join (&io), 0);
  cr_expect_eq (pool_rig_join (&discard), 0);
  pool_rig_check (md, 0, POOL_BLOCK, 'a');
  pool_rig_check (snap, 0, POOL_BLOCK, 0);
  pool_rig_close (snap, "s");
}

/* 192 KiB, no power of two; and as large as can be. */
Test (thin_io, blocks_of_other_sizes)
{
  cr_assert_eq (pool_rig_create ("pool", "0 38400 thin-pool m2 m1 384 0"), 0);
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 30);
  cr_expect_eq (pool_rig_write (md, 383, 2, 'a'), 0);
  cr_expect_eq (pool_rig_write (md, 1000, 1000, 'b'), 0);
  pool_rig_check (md, 0, 383, 0);
  pool_rig_check (md, 383, 2, 'a');
  pool_rig_check (md, 385, 615, 0);
  pool_rig_check (md, 1000, 1000, 'b');
  pool_rig_expect ("t", "2304 2303");
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 384, 1000, NULL), 0);
  pool_rig_expect ("t", "1536 2303");
  pool_rig_check (md, 384, 768, 0);
  pool_rig_check (md, 1152, 848, 'b');
}

Test (thin_io, the_largest_blocks)
{
  cr_assert_eq (pool_rig_create ("data", "0 8388608 zero"), 0);
  cr_assert_eq (pool_rig_create ("pool", "0 8388608 thin-pool m2 data 2097152 "
                                 "0 1 skip_block_zeroing"), 0);
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 6291456 thin pool 0"), 0);
  md = pool_rig_open ("t");
  cr_expect_eq (pool_rig_write (md, 2097151, 2, 'a'), 0);
  pool_rig_expect ("t", "4194304 4194303");
  pool_rig_check (md, 6291455, 1, 0);
}

/* ------------------------------------------------------------------
 * External origins.
 */

#define ORIGIN_SECTORS (3 * POOL_BLOCK + 40)

static void
start_on_origin (const char *features)
{
  memset (pool_rig.mem[2]->data, 'e', ORIGIN_SECTORS * SECTOR_SIZE);
  pool_rig.mem[2]->bdev.size = ORIGIN_SECTORS;
  memset (pool_rig.mem[0]->data, 'o', 64 * POOL_BLOCK_BYTES);
  pool_rig_pool (1024, 256, 0, features);
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 1280 thin pool 0 m3"), 0);
  md = pool_rig_open ("t");
}

Test (thin_io, what_is_not_mapped_is_read_from_the_external_origin)
{
  start_on_origin ("");
  pool_rig_check (md, 0, ORIGIN_SECTORS, 'e');
  pool_rig_check (md, ORIGIN_SECTORS, 1280 - ORIGIN_SECTORS, 0);
  cr_expect_eq (dmtest_io (md, BIO_READ, ORIGIN_SECTORS - 1, 2,
                           pool_rig.mem[4]->data), 0, "across the end");
  pool_rig_expect ("t", "0 -");
}

Test (thin_io, a_new_block_is_a_copy_of_the_external_origin)
{
  start_on_origin ("");
  cr_expect_eq (pool_rig_write (md, POOL_BLOCK + 8, 8, 'x'), 0);
  pool_rig_check (md, 0, POOL_BLOCK + 8, 'e');
  pool_rig_check (md, POOL_BLOCK + 8, 8, 'x');
  pool_rig_check (md, POOL_BLOCK + 16, ORIGIN_SECTORS - POOL_BLOCK - 16, 'e');
}

static void
check_up_to (sector_t begin, sector_t end, char byte)
{
  if (begin < end)
    pool_rig_check (md, begin, end - begin, byte);
}

/* It ends before, where, and after the thin does; read-only, too. */
Test (thin_io, external_origins_of_all_sizes)
{
  static const sector_t sizes[] = { 1, 1000, 1024, 1025, 1280, 2000 };
  sector_t end;
  unsigned i;

  pool_rig_pool (1024, 256, 0, "");
  memset (pool_rig.mem[2]->data, 'e', 2000 * SECTOR_SIZE);
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    end = sizes[i] < 1280 ? sizes[i] : 1280;
    pool_rig.mem[2]->bdev.size = sizes[i];
    pool_rig_send ("create_thin 0");
    cr_assert_eq (pool_rig_create ("t", "0 1280 thin pool 0 m3"), 0);
    md = pool_rig_open ("t");
    cr_expect_eq (pool_rig_write (md, 1152, 8, 'x'), 0);
    cr_assert_eq (pool_rig_reload (1024, 256, 0, i % 2 ? "1 read_only" : ""),
                  0);
    check_up_to (0, end < 1152 ? end : 1152, 'e');
    check_up_to (end, 1152, 0);
    check_up_to (1152, 1160, 'x');
    check_up_to (1160, end, 'e');
    check_up_to (end > 1160 ? end : 1160, 1280, 0);
    cr_assert_eq (pool_rig_reload (1024, 256, 0, ""), 0);
    pool_rig_close (md, "t");
    pool_rig_send ("delete 0");
  }
}

/* The block that the end of the origin is in. */
Test (thin_io, the_tail_of_the_external_origin)
{
  start_on_origin ("");
  cr_expect_eq (pool_rig_write (md, 3 * POOL_BLOCK, 8, 'x'), 0);
  pool_rig_check (md, 3 * POOL_BLOCK, 8, 'x');
  pool_rig_check (md, 3 * POOL_BLOCK + 8, 32, 'e');
  pool_rig_check (md, ORIGIN_SECTORS, POOL_BLOCK - 40, 0);
  cr_expect_eq (pool_rig_write (md, 4 * POOL_BLOCK, 8, 'x'), 0);
  pool_rig_check (md, 4 * POOL_BLOCK + 8, POOL_BLOCK - 8, 0);
}

Test (thin_io, the_external_origin_comes_back_after_a_discard)
{
  start_on_origin ("");
  cr_expect_eq (pool_rig_write (md, 0, POOL_BLOCK, 'x'), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, POOL_BLOCK, NULL), 0);
  pool_rig_check (md, 0, POOL_BLOCK, 'e');
}

Test (thin_io, the_external_origin_is_never_written)
{
  unsigned op;

  start_on_origin ("");
  cr_expect_eq (pool_rig_write (md, 0, 1280, 'x'), 0);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 1280, NULL), 0);
  cr_expect_eq (dmtest_io (md, BIO_WRITE_ZEROES, 0, 1280, NULL), 0);
  for (op = 0; op <= BIO_PREFETCH; op++)
    if (op != BIO_READ)
      cr_expect_eq (pool_rig.mem[2]->counts[op], 0);
  pool_rig_check (md, 0, 1280, 0);
}
