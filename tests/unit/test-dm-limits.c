/* SPDX-License-Identifier: BSD-3-Clause */
/* From the limits of lower devices to those of a table. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

/* loop0 and loop1 (blocks of 4096) have all features but FUA; ram has none,
 * and a physical block of 4096.
 */
static struct fixture f;
static struct memdev *loop0, *loop1, *ram;
static struct queue_limits limits;

static void
setup (void)
{
  fixture_start (&f);
  loop0 = memdev_new ("loop0", 16384);
  loop1 = memdev_new ("loop1", 16384);
  ram = memdev_new ("ram", 16384);
  loop0->limits.discard_granularity_bytes = 4096;
  loop1->limits.logical_block_bytes = 4096;
  loop1->limits.physical_block_bytes = 4096;
  loop1->limits.io_min_bytes = 4096;
  ram->limits = QUEUE_LIMITS_DEFAULT;
  ram->limits.physical_block_bytes = 4096;
  ram->limits.io_min_bytes = 4096;
  devices_add (&loop0->bdev);
  devices_add (&loop1->bdev);
  devices_add (&ram->bdev);
}

static void
drop (struct memdev *m)
{
  devices_remove (&m->bdev);
  memdev_free (m);
}

static void
teardown (void)
{
  fixture_stop (&f);
  drop (loop0);
  drop (loop1);
  drop (ram);
}

TestSuite (dm_limits, .init = setup, .fini = teardown);

static int
limits_of (const char *table)
{
  cr_assert_eq (fixture_load (&f, table), 0, "%s", f.msg.text);
  return table_limits (f.table, NULL, &limits, &f.msg);
}

static void
expect_fit (const char *table)
{
  cr_expect_eq (limits_of (table), 0, "%s\n%s", table, f.msg.text);
}

static void
expect_misfit (const char *table, const char *message)
{
  cr_expect_eq (limits_of (table), -EINVAL, "%s", table);
  cr_expect_str_eq (f.msg.text, message);
}

/* ------------------------------------------------------------------
 * Sizes and alignment.
 */

Test (dm_limits, an_area_must_lie_in_its_device)
{
  expect_fit ("0 16384 linear loop0 0");
  expect_misfit ("0 16385 linear loop0 0",
                 "vol: table line 1 (0 16385 linear): loop0 too small for "
                 "target: start=0, len=16385, dev_size=16384");
  expect_misfit ("0 8 zero\n8 8 linear loop0 16384",
                 "vol: table line 2 (8 8 linear): loop0 too small for "
                 "target: start=16384, len=8, dev_size=16384");
  expect_misfit ("0 8 linear loop0 18446744073709551615",
                 "vol: table line 1 (0 8 linear): loop0 too small for "
                 "target: start=18446744073709551615, len=8, dev_size=16384");
}

Test (dm_limits, each_stripe_is_an_area)
{
  expect_fit ("0 32768 striped 2 8 loop0 0 ram 0");
  expect_misfit ("0 32768 striped 2 8 loop0 0 ram 8",
                 "vol: table line 1 (0 32768 striped): ram too small for "
                 "target: start=8, len=16384, dev_size=16384");
}

Test (dm_limits, a_device_of_size_0_is_not_checked)
{
  loop1->bdev.size = 0;
  expect_fit ("0 16 linear loop1 3");
}

Test (dm_limits, areas_keep_to_the_logical_blocks_of_their_target)
{
  expect_misfit ("0 8 linear loop1 4",
                 "vol: table line 1 (0 8 linear): start=4 not aligned to h/w "
                 "logical block size 4096 of loop1");
  expect_misfit ("0 804 linear loop1 0",
                 "vol: table line 1 (0 804 linear): len=804 not aligned to "
                 "h/w logical block size 4096 of loop1");
  /* The blocks of one stripe count for the others. */
  expect_misfit ("0 32 striped 2 8 loop0 4 loop1 0",
                 "vol: table line 1 (0 32 striped): start=4 not aligned to "
                 "h/w logical block size 4096 of loop0");
  expect_fit ("0 801 linear loop0 0");
}

/* The table of the kernel's answers. */
Test (dm_limits, targets_keep_to_the_logical_blocks_of_the_table)
{
  expect_fit ("0 8 linear loop0 0\n8 8 linear loop1 0");
  cr_expect_eq (limits.logical_block_bytes, 4096);
  expect_misfit ("0 4 linear loop0 0\n4 8 linear loop1 0",
                 "vol: table line 1 (start sect 4 len 8) not aligned to h/w "
                 "logical block size 4096");
  expect_fit ("0 4 linear loop0 0\n4 4 linear loop0 8\n8 8 linear loop1 0");
  expect_fit ("0 4 linear loop0 0\n4 4 error\n8 8 linear loop1 0");
  expect_misfit ("0 8 linear loop1 0\n8 4 linear loop0 0",
                 "vol: table line 2 (start sect 8 len 4) not aligned to h/w "
                 "logical block size 4096");
  expect_misfit ("0 8 linear loop1 0\n8 4 error",
                 "vol: table line 2 (start sect 8 len 4) not aligned to h/w "
                 "logical block size 4096");
  expect_fit ("0 8 linear loop1 0\n8 3 linear loop0 0\n11 5 linear loop0 0");
}

/* ------------------------------------------------------------------
 * What comes out: the kernel's examples.
 */

static void
expect_sizes (unsigned logical, unsigned physical, unsigned min, unsigned opt)
{
  cr_expect_eq (limits.logical_block_bytes, logical);
  cr_expect_eq (limits.physical_block_bytes, physical);
  cr_expect_eq (limits.io_min_bytes, min, "%u", limits.io_min_bytes);
  cr_expect_eq (limits.io_opt_bytes, opt, "%u", limits.io_opt_bytes);
}

static void
expect_features (bool discard, bool write_zeroes, bool write_cache)
{
  cr_expect_eq (limits.discard, discard);
  cr_expect_eq (limits.write_zeroes, write_zeroes);
  cr_expect_eq (limits.write_cache, write_cache);
  cr_expect_not (limits.fua);
}

Test (dm_limits, linear)
{
  expect_fit ("0 16 linear loop0 0");
  expect_sizes (512, 512, 512, 0);
  expect_features (true, true, true);
  cr_expect_eq (limits.discard_granularity_bytes, 4096);
}

Test (dm_limits, striped)
{
  expect_fit ("0 16 striped 2 8 loop0 0 loop0 8");
  expect_sizes (512, 512, 4096, 8192);
  expect_features (true, true, true);
  expect_fit ("0 30 striped 3 10 loop0 0 loop0 10 loop0 20");
  expect_sizes (512, 512, 5120, 15360);
  expect_fit ("0 16 striped 2 8 loop0 0 ram 0");
  expect_sizes (512, 4096, 4096, 8192);
  expect_features (false, false, true);
  /* A chunk below the physical block is no minimum. */
  expect_fit ("0 4 striped 2 2 ram 0 ram 8");
  cr_expect_eq (limits.io_min_bytes, 4096);
}

Test (dm_limits, a_chunk_too_large_to_be_a_hint_is_none)
{
  loop0->bdev.size = 1 << 24;
  expect_fit ("0 8388608 striped 1 8388608 loop0 0");
  expect_sizes (512, 512, 512, 0);
}

Test (dm_limits, flakey_and_delay)
{
  expect_fit ("0 16 flakey loop0 0 1 1");
  expect_sizes (512, 512, 512, 0);
  expect_features (true, false, true);
  expect_fit ("0 16 delay loop0 0 0");
  expect_sizes (512, 512, 512, 0);
  expect_features (true, false, true);
}

Test (dm_limits, zero_and_error)
{
  expect_fit ("0 16 zero\n16 16 error");
  expect_sizes (512, 512, 512, 0);
  expect_features (false, false, false);
  expect_fit ("0 16 linear loop0 0\n16 16 error");
  expect_features (false, false, true);
}

Test (dm_limits, a_write_cache_anywhere_is_one_of_the_table)
{
  expect_fit ("0 16 linear ram 0");
  expect_features (false, false, false);
  expect_fit ("0 16 linear ram 0\n16 16 linear loop0 0");
  expect_features (false, false, true);
}

Test (dm_limits, flush_supported_stands_for_a_device_with_a_cache)
{
  cr_assert_eq (fixture_load (&f, "0 16 linear ram 0"), 0);
  f.table->targets[0]->flush_supported = true;
  f.table->targets[0]->discards_supported = true;
  f.table->targets[0]->num_write_zeroes_bios = 1;
  f.table->targets[0]->write_zeroes_supported = true;
  cr_assert_eq (table_limits (f.table, NULL, &limits, &f.msg), 0);
  cr_expect (limits.write_cache);
  cr_expect (limits.fua);
  cr_expect (limits.discard);
  cr_expect (limits.write_zeroes);
  f.table->targets[0]->num_flush_bios = 0;
  f.table->targets[0]->num_discard_bios = 0;
  f.table->targets[0]->num_write_zeroes_bios = 0;
  cr_assert_eq (table_limits (f.table, NULL, &limits, &f.msg), 0);
  cr_expect_not (limits.write_cache);
  cr_expect_not (limits.fua);
  cr_expect_not (limits.discard);
  cr_expect_not (limits.write_zeroes);
}

Test (dm_limits, fua_counts_with_a_cache_only)
{
  ram->limits.fua = true;
  expect_fit ("0 16 linear ram 0");
  cr_expect_not (limits.fua);
  loop0->limits.fua = true;
  expect_fit ("0 16 linear ram 0\n16 16 linear loop0 0");
  cr_expect (limits.fua);
}

Test (dm_limits, one_rotational_device_makes_the_table_so)
{
  expect_fit ("0 16 zero");
  cr_expect_not (limits.rotational);
  loop0->limits.rotational = true;
  expect_fit ("0 16 linear ram 0\n16 16 linear loop0 0");
  cr_expect (limits.rotational);
}

/* ------------------------------------------------------------------
 * Stacking.
 */

Test (dm_limits, the_smallest_limits_count_and_0_is_none)
{
  loop0->limits.max_sectors = 256;
  loop0->limits.max_discard_sectors = 1000;
  ram->limits.max_sectors = 128;
  expect_fit ("0 16 linear loop0 0\n16 16 linear loop1 0");
  cr_expect_eq (limits.max_sectors, 256);
  cr_expect_eq (limits.max_discard_sectors, 1000);
  expect_fit ("0 16 linear loop0 0\n16 16 linear ram 0");
  cr_expect_eq (limits.max_sectors, 128);
  cr_expect_eq (limits.max_discard_sectors, 0, "no discard, no limit of it");
}

Test (dm_limits, the_best_sizes_are_common_multiples)
{
  loop0->limits.io_opt_bytes = 4096 * 4;
  ram->limits.io_opt_bytes = 4096 * 6;
  loop0->limits.chunk_sectors = 64;
  ram->limits.chunk_sectors = 96;
  expect_fit ("0 16 linear loop0 0\n16 16 linear ram 0");
  cr_expect_eq (limits.io_opt_bytes, 4096 * 12);
  cr_expect_eq (limits.chunk_sectors, 32);
}

Test (dm_limits, what_does_not_line_up_is_a_warning_only)
{
  /* 30 sectors into a device with physical blocks of 8. */
  expect_fit ("0 16 linear ram 30");
  cr_expect_not (limits.misaligned);
  cr_expect_eq (limits.alignment_offset_bytes, 1024);
  expect_fit ("0 16 striped 2 8 ram 0 ram 30");
  cr_expect (limits.misaligned);
  expect_fit ("0 16 linear ram 32");
  cr_expect_eq (limits.alignment_offset_bytes, 0);
}

Test (dm_limits, sizes_that_do_not_divide_are_given_up)
{
  ram->limits.io_opt_bytes = 5000;
  ram->limits.chunk_sectors = 3;
  expect_fit ("0 16 linear ram 0");
  cr_expect_eq (limits.io_opt_bytes, 0);
  cr_expect_eq (limits.chunk_sectors, 0);
  cr_expect (limits.misaligned);
}

/* ------------------------------------------------------------------
 * Keeping the limits there were.
 */

static int
no_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  return 0;
}

Test (dm_limits, only_a_table_that_lists_no_devices_keeps_the_old_limits)
{
  struct queue_limits old = QUEUE_LIMITS_DEFAULT;
  struct target_type type;

  old.logical_block_bytes = 4096;
  cr_assert_eq (fixture_load (&f, "0 16 error"), 0);
  cr_assert_eq (table_limits (f.table, &old, &limits, &f.msg), 0);
  cr_expect_eq (limits.logical_block_bytes, 512, "error tells nothing");

  type = *f.table->targets[0]->type;
  type.iterate_devices = no_devices;
  f.table->targets[0]->type = &type;
  cr_assert_eq (table_limits (f.table, &old, &limits, &f.msg), 0);
  cr_expect_eq (limits.logical_block_bytes, 4096);
  cr_assert_eq (table_limits (f.table, NULL, &limits, &f.msg), 0);
  cr_expect_eq (limits.logical_block_bytes, 512, "nothing to keep");

  cr_assert_eq (fixture_load (&f, "0 16 linear loop0 0"), 0);
  cr_assert_eq (table_limits (f.table, &old, &limits, &f.msg), 0);
  cr_expect_eq (limits.logical_block_bytes, 512);
}
