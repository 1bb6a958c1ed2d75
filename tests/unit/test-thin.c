/* SPDX-License-Identifier: BSD-3-Clause */
/* The thin target: its lines, status, limits. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/pool-rig.h"

static void
setup (void)
{
  pool_rig_start ();
  pool_rig_pool (1024, 64, 0, "");
  pool_rig_send ("create_thin 0");
}

TestSuite (thin, .init = setup, .fini = pool_rig_stop);

Test (thin, bad_lines)
{
  static const struct {
    const char *params;
    int error;
    const char *text;
  } lines[] = {
    { "pool", EINVAL, "Invalid argument count" },
    { "pool 0 m3 x", EINVAL, "Invalid argument count" },
    { "pool 0 pool", EINVAL, "Error setting origin device" },
    { "pool 0 nosuch", ENODEV, "Error opening origin device" },
    { "nosuch 0", ENODEV, "Error opening pool device" },
    { "pool x", EINVAL, "Invalid device id" },
    { "pool -1", EINVAL, "Invalid device id" },
    { "pool 16777216", EINVAL, "Invalid device id" },
    { "m3 0", EINVAL, "Couldn't get pool mapped device" },
    { "lin 0", EINVAL, "Couldn't find pool object" },
    { "pool 77", ENODATA, "Couldn't open thin internal device" },
  };
  char line[80];
  size_t i;

  cr_assert_eq (pool_rig_create ("lin", "0 128 linear m3 0"), 0);
  for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    snprintf (line, sizeof line, "0 128 thin %s", lines[i].params);
    cr_expect_eq (pool_rig_create ("t", line), -lines[i].error, "%s", line);
    cr_expect (strstr (pool_rig.msg.text, lines[i].text), "%s: %s", line,
               pool_rig.msg.text);
  }
}

Test (thin, a_suspended_pool_takes_no_thin)
{
  pool_rig_suspend ("pool", 0);
  cr_expect_eq (pool_rig_create ("t", "0 128 thin pool 0"), -EINVAL);
  cr_expect (strstr (pool_rig.msg.text, "Unable to activate thin device while "
                     "pool is suspended"));
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  cr_expect_eq (pool_rig_create ("t", "0 128 thin pool 0"), 0);
}

static void
expect_table (const char *line, const char *text)
{
  CLEANUP_FREE char *table = NULL;

  cr_assert_eq (pool_rig_create ("t", line), 0, "%s", pool_rig.msg.text);
  table = pool_rig_text ("t", DM_STATUS_TABLE_FLAG);
  cr_expect_str_eq (table, text);
  pool_rig_remove ("t");
}

Test (thin, table)
{
  expect_table ("0 128 thin pool 0", "pool 0");
  expect_table ("0 128 thin pool 000 m3", "pool 0 m3");
}

Test (thin, status)
{
  struct mapped_device *md = pool_rig_thin ("t", 0, 32);
  struct mapped_device *small;

  pool_rig_expect ("t", "0 -");
  cr_expect_eq (pool_rig_write (md, 5 * POOL_BLOCK, 1, 'x'), 0);
  pool_rig_expect ("t", "128 767");
  small = pool_rig_thin ("small", 0, 1);
  pool_rig_expect ("small", "128 767");
  pool_rig_close (small, "small");
}

/* The pool is held; two devices may be on one thin. */
Test (thin, two_devices_on_one_thin)
{
  struct mapped_device *a = pool_rig_thin ("a", 0, 32);
  struct mapped_device *b = pool_rig_thin ("b", 0, 16);

  cr_expect_eq (dm_device_remove (pool_rig.reg, DM_REF_NAME ("pool"), 0, NULL,
                                  NULL), -EBUSY);
  cr_expect_eq (pool_rig_write (a, 0, 200, 'a'), 0);
  pool_rig_check (b, 0, 200, 'a');
  cr_expect_eq (pool_rig_write (b, 100, 1, 'b'), 0);
  pool_rig_check (a, 100, 1, 'b');
  pool_rig_expect ("a", "256 255");
  pool_rig_close (a, "a");
  pool_rig_expect ("b", "256 255");
  pool_rig_close (b, "b");
}

Test (thin, limits)
{
  struct mapped_device *md = pool_rig_thin ("t", 0, 32);
  struct queue_limits limits;

  bdev_limits (dm_block_device (md), &limits);
  cr_expect_eq (limits.io_min_bytes, POOL_BLOCK_BYTES);
  cr_expect_eq (limits.io_opt_bytes, POOL_BLOCK_BYTES);
  cr_expect (limits.discard);
  cr_expect_eq (limits.discard_granularity_bytes, POOL_BLOCK_BYTES);
  cr_expect_eq (limits.max_discard_sectors, 16u << 21);
  cr_expect (limits.write_cache);
}

Test (thin, ignore_discard_offers_none)
{
  struct mapped_device *md;

  pool_rig_remove ("pool");
  pool_rig_pool (1024, 64, 0, "1 ignore_discard");
  md = pool_rig_thin ("t", 0, 32);
  cr_expect_eq (dmtest_io (md, BIO_DISCARD, 0, 128, NULL), -EOPNOTSUPP);
  pool_rig_close (md, "t");
}
