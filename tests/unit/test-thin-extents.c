/* SPDX-License-Identifier: BSD-3-Clause */
/* The extents of a thin. */

#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "tests/lib/pool-rig.h"

TestSuite (thin_extents, .init = pool_rig_start, .fini = pool_rig_stop);

static struct mapped_device *md;

/* "LEN[hz] " of each extent, equal neighbours joined. */
struct listing {
  struct extent_sink sink;
  char text[400];
  sector_t len;
  unsigned flags;
};

static void
listing_end (struct listing *l)
{
  char *at = l->text + strlen (l->text);

  if (l->len > 0)
    sprintf (at, "%zu%s%s ", (size_t) l->len, l->flags & EXTENT_HOLE ? "h" :
             "", l->flags & EXTENT_ZERO ? "z" : "");
  l->len = 0;
}

static int
listing_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct listing *l = (struct listing *) sink;

  if (l->len > 0 && l->flags != flags)
    listing_end (l);
  l->flags = flags;
  l->len += len;
  return 0;
}

static void
expect (sector_t sector, sector_t len, const char *text)
{
  struct listing l = { .sink.add = listing_add };

  cr_expect_eq (bdev_extents (dm_block_device (md), sector, len, &l.sink), 0);
  listing_end (&l);
  cr_expect_str_eq (l.text, text);
}

Test (thin_extents, mapped_blocks_are_data_the_rest_are_holes)
{
  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, 64);
  expect (0, 64 * POOL_BLOCK, "8192hz ");
  cr_expect_eq (pool_rig_write (md, 2 * POOL_BLOCK + 5, 1, 'a'), 0);
  cr_expect_eq (pool_rig_write (md, 10 * POOL_BLOCK, POOL_BLOCK + 1, 'a'), 0);
  cr_expect_eq (pool_rig_write (md, 63 * POOL_BLOCK, 1, 'a'), 0);
  expect (0, 64 * POOL_BLOCK, "256hz 128 896hz 256 6528hz 128 ");
  expect (2 * POOL_BLOCK + 7, 1, "1 ");
  expect (2 * POOL_BLOCK + 7, POOL_BLOCK, "121 7hz ");
  expect (POOL_BLOCK, 2 * POOL_BLOCK - 1, "128hz 127 ");
  expect (11 * POOL_BLOCK + 100, 100, "28 72hz ");
}

Test (thin_extents, an_external_origin_shows_through)
{
  pool_rig.mem[2]->bdev.size = 300;
  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 1280 thin pool 0 m3"), 0);
  md = pool_rig_open ("t");
  expect (0, 1280, "300 980hz ");
  cr_expect_eq (pool_rig_write (md, 4 * POOL_BLOCK, 1, 'a'), 0);
  expect (0, 1280, "300 212hz 128 640hz ");
  expect (299, 2, "1 1hz ");
}

/* A TiB takes no longer than what is in it. */
Test (thin_extents, a_large_thin, .timeout = 10)
{
  const sector_t tib = UINT64_C (1) << 31;

  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 2147483648 thin pool 0"), 0);
  md = pool_rig_open ("t");
  cr_expect_eq (pool_rig_write (md, tib - 1, 1, 'a'), 0);
  expect (0, tib, "2147483520hz 128 ");
}

static void *
ask (void *result)
{
  struct nbdm_extent *list;
  size_t n;

  *(int *) result = dm_extents (pool_rig.reg, DM_REF_NAME ("t"), 0, 0, NULL,
                                &list, &n, NULL);
  return NULL;
}

/* It may be that the pool cannot be resumed before. */
Test (thin_extents, a_removal_ends_the_wait_for_the_pool, .timeout = 20)
{
  pthread_t thread;
  int result = 0;

  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  cr_assert_eq (pool_rig_create ("t", "0 8192 thin pool 0"), 0);
  pool_rig_suspend ("pool", 0);
  cr_assert_eq (pthread_create (&thread, NULL, ask, &result), 0);
  usleep (50000);
  pool_rig_remove ("t");
  pthread_join (thread, NULL);
  cr_expect_lt (result, 0);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
}
