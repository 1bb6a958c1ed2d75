/* SPDX-License-Identifier: BSD-3-Clause */
/* Target types by name, and what targets call. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

Test (dm_target, types_are_found_by_name)
{
  cr_assert_str_eq (target_type_find ("linear")->name, "linear");
  cr_assert_null (target_type_find ("Linear"));
  cr_assert_null (target_type_find (""));
}

/* What Linux 6.1 reports. */
Test (dm_target, types_have_the_kernels_versions)
{
  static const struct { const char *name; unsigned version[3]; } types[] = {
    { "delay", { 1, 3, 0 } },     { "dust", { 1, 0, 0 } },
    { "ebs", { 1, 0, 1 } },       { "error", { 1, 5, 0 } },
    { "flakey", { 1, 5, 0 } },    { "linear", { 1, 4, 0 } },
    { "log-writes", { 1, 1, 0 } }, { "striped", { 1, 6, 0 } },
    { "switch", { 1, 1, 0 } },    { "thin", { 1, 22, 0 } },
    { "thin-pool", { 1, 22, 0 } }, { "unstriped", { 1, 1, 0 } },
    { "zero", { 1, 1, 0 } },
  };
  size_t i;

  for (i = 0; i < sizeof types / sizeof types[0]; i++)
    cr_assert_arr_eq (target_type_find (types[i].name)->version,
                      types[i].version, sizeof types[i].version);
}

Test (dm_target, an_error_without_a_listener_is_still_an_error)
{
  struct dm_target ti = { .message = NULL };

  cr_assert_eq (dm_target_error (&ti, EINVAL, "lost"), -EINVAL);
}

Test (dm_target, the_first_error_text_is_kept)
{
  struct message msg = { "" };
  struct dm_target ti = { .message = &msg };

  cr_assert_eq (dm_target_error (&ti, ENOENT, "deep: %d", 1), -ENOENT);
  cr_assert_eq (dm_target_error (&ti, EINVAL, "shallow"), -EINVAL);
  cr_assert_str_eq (msg.text, "deep: 1");
}

Test (dm_target, what_a_target_can_ask)
{
  struct fixture f;
  struct dm_target *ti;
  char name[128];

  fixture_start (&f);
  cr_assert_eq (fixture_load_readonly (&f, "0 8 zero"), 0);
  ti = f.table->targets[0];
  cr_expect_str_eq (dm_target_md_name (ti, name), "vol");
  cr_expect (dm_target_readonly (ti));
  cr_expect_not (dm_target_noflush_suspending (ti));
  f.md->noflush_suspending = true;
  cr_expect (dm_target_noflush_suspending (ti));
  f.md->noflush_suspending = false;
  cr_expect_eq (dm_target_bdev (ti), &f.md->bdev);
  cr_expect_not (dm_target_is_ending (ti));
  fixture_stop (&f);
}

Test (dm_target, what_a_constructor_can_ask)
{
  struct dm_lookup lookup = { .check = true };
  struct dm_table table = { .lookup = &lookup };
  struct dm_target ti = { .table = &table };

  cr_expect (dm_target_is_check (&ti));
  lookup.check = false;
  cr_expect_not (dm_target_is_check (&ti));
  table.lookup = NULL;
  cr_expect_not (dm_target_is_check (&ti));
}

/* ------------------------------------------------------------------
 * Extents of a device.
 */

struct told {
  struct extent_sink sink;
  sector_t len;
  int answer;
};

static int
told_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct told *told = (struct told *) sink;

  told->len += len;
  return told->answer;
}

/* Tells in pieces of 10 of what goes on for ever, or to sector short_end. */
static sector_t short_end;
static unsigned asked;

static int
endless_extents (struct block_device *bdev, sector_t sector, sector_t len,
                 struct extent_sink *sink)
{
  int r = 0;

  for (; r == 0 && (short_end == 0 || sector < short_end); sector += 10) {
    asked++;
    r = sink->add (sink, 10, EXTENT_HOLE);
  }
  return r < 0 ? r : 0;
}

static const struct block_device_ops endless_ops = {
  .extents = endless_extents
};
static struct block_device endless = { .ops = &endless_ops };
static struct dm_dev dev = { .bdev = &endless };

Test (dm_target, extents_beyond_the_range_are_cut_off)
{
  struct told told = { .sink.add = told_add };

  cr_assert_eq (dm_device_extents (&dev, 5, 25, &told.sink), 0);
  cr_assert_eq (told.len, 25);
  cr_assert_eq (asked, 3, "the device was not told to stop");
}

Test (dm_target, a_device_that_stops_early_is_seen)
{
  struct told told = { .sink.add = told_add };

  short_end = 20;
  cr_assert_eq (dm_device_extents (&dev, 0, 25, &told.sink), 1);
  cr_assert_eq (told.len, 20);
}

Test (dm_target, a_sink_that_has_enough_stops_it)
{
  struct told told = { .sink.add = told_add, .answer = 1 };

  cr_assert_eq (dm_device_extents (&dev, 0, 25, &told.sink), 1);
  cr_assert_eq (told.len, 10);
  told.answer = -ENOMEM;
  cr_assert_eq (dm_device_extents (&dev, 0, 25, &told.sink), -ENOMEM);
}
