/* SPDX-License-Identifier: BSD-3-Clause */
/* Building tables, and carrying out bios through them. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

static struct fixture f;
static struct memdev *a, *b;

static void
setup (void)
{
  fixture_start (&f);
  a = memdev_new ("a", 4096);
  b = memdev_new ("b", 4096);
  devices_add (&a->bdev);
  devices_add (&b->bdev);
}

static void
teardown (void)
{
  fixture_stop (&f);
  devices_remove (&a->bdev);
  devices_remove (&b->bdev);
  memdev_free (a);
  memdev_free (b);
}

TestSuite (dm_table, .init = setup, .fini = teardown);

static void
load (const char *text)
{
  cr_assert_eq (fixture_load (&f, text), 0, "%s", f.msg.text);
}

static void
expect_refused (const char *text, const char *message)
{
  cr_expect_eq (fixture_load (&f, text), -EINVAL, "%s", text);
  cr_expect_str_eq (f.msg.text, message);
}

/* ------------------------------------------------------------------
 * Building.
 */

Test (dm_table, bad_lines_are_refused_and_named)
{
  expect_refused ("", "no targets specified");
  expect_refused ("0 0 zero",
                  "vol: table line 1 (0 0 zero): zero-length target");
  expect_refused ("0 8 zero\n8 8 frob",
                  "vol: table line 2 (8 8 frob): unknown target type");
  expect_refused ("0 8 zero\n9 8 zero",
                  "vol: table line 2 (9 8 zero): Gap in table: the line "
                  "before ends at sector 8");
  expect_refused ("0 8 zero\n7 8 zero",
                  "vol: table line 2 (7 8 zero): Gap in table: the line "
                  "before ends at sector 8");
  expect_refused ("8 8 zero",
                  "vol: table line 1 (8 8 zero): Gap in table: the line "
                  "before ends at sector 0");
  expect_refused ("0 8 zero junk", "vol: table line 1 (0 8 zero): "
                  "No arguments required: 'junk'");
}

Test (dm_table, a_table_ends_before_2_to_the_54)
{
  load ("0 18014398509481983 zero");
  expect_refused ("0 18014398509481984 zero",
                  "vol: table line 1 (0 18014398509481984 zero): too large "
                  "device: a table ends at sector 18014398509481983 at the "
                  "latest");
  cr_expect_eq (fixture_load (&f, "18446744073709551615 8 zero"), -EINVAL);
  cr_expect (strstr (f.msg.text, "too large device"));
}

Test (dm_table, checks_come_in_the_order_of_the_kernel)
{
  cr_expect_eq (fixture_load (&f, "9 0 frob"), -EINVAL);
  cr_expect (strstr (f.msg.text, "zero-length target"));
  cr_expect_eq (fixture_load (&f, "9 18014398509481983 frob"), -EINVAL);
  cr_expect (strstr (f.msg.text, "too large device"));
  cr_expect_eq (fixture_load (&f, "9 8 frob"), -EINVAL);
  cr_expect (strstr (f.msg.text, "unknown target type"));
  cr_expect_eq (fixture_load (&f, "9 8 zero junk"), -EINVAL);
  cr_expect (strstr (f.msg.text, "Gap in table"));
}

Test (dm_table, a_constructor_error_keeps_its_errno)
{
  cr_expect_eq (fixture_load (&f, "0 8 linear nosuch 0"), -ENODEV);
  cr_expect_str_eq (f.msg.text, "vol: table line 1 (0 8 linear): Device "
                    "lookup failed: 'nosuch': no such backing or device");
}

/* The features that no simple target has, put on one for the time of a
 * test.
 */
static struct target_type odd_type;

static void
make_odd (unsigned index, unsigned features)
{
  odd_type = *f.table->targets[index]->type;
  odd_type.features = features;
  f.table->targets[index]->type = &odd_type;
}

static int
add_line (const char *type, sector_t start)
{
  char t[32], params[1] = "";
  struct dm_target_line line = { start, 8, strcpy (t, type), params };

  f.msg.text[0] = '\0';
  return table_add_target (f.table, &line, NULL, &f.msg);
}

Test (dm_table, nothing_comes_after_a_singleton)
{
  load ("0 8 zero");
  make_odd (0, DM_TARGET_SINGLETON);
  f.table->singleton = true;
  cr_assert_eq (add_line ("zero", 8), -EINVAL);
  cr_assert_str_eq (f.msg.text, "vol: table line 2 (8 8 zero): target type "
                    "zero must appear alone in table");
}

Test (dm_table, nothing_is_mixed_with_an_immutable_type)
{
  load ("0 8 zero");
  make_odd (0, DM_TARGET_IMMUTABLE);
  f.table->immutable_type = &odd_type;
  cr_assert_eq (add_line ("error", 8), -EINVAL);
  cr_assert_str_eq (f.msg.text, "vol: table line 2 (8 8 error): immutable "
                    "target type cannot be mixed with other target types");
}

Test (dm_table, the_target_of_each_sector_is_found)
{
  static const struct { sector_t sector; unsigned index; } cases[] = {
    { 0, 0 }, { 7, 0 }, { 8, 1 }, { 9, 2 }, { 15, 2 }, { 16, 3 }, { 115, 3 },
    { 116, 4 }, { 119, 4 },
  };
  size_t i;

  load ("0 8 zero\n8 1 zero\n9 7 zero\n16 100 zero\n116 4 zero");
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
    cr_expect_eq (table_find (f.table, cases[i].sector),
                  f.table->targets[cases[i].index], "%zu", i);
  cr_expect_null (table_find (f.table, 120));
  cr_expect_null (table_find (f.table, UINT64_MAX));
}

/* ------------------------------------------------------------------
 * Reads and writes.
 */

/* Sector n of the buffer is filled with byte first + n. */
static void
fill (char *data, sector_t len, unsigned char first)
{
  sector_t i;

  for (i = 0; i < len; i++)
    memset (data + sectors_to_bytes (i), first + i, SECTOR_SIZE);
}

static unsigned char
byte_at (struct memdev *m, sector_t sector)
{
  return m->data[sectors_to_bytes (sector)];
}

Test (dm_table, one_piece_goes_down_as_it_is)
{
  char data[8 * SECTOR_SIZE];

  load ("0 64 linear a 100\n64 64 linear b 0");
  fill (data, 8, 1);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 56, 8, data), 0);
  cr_assert_eq (a->counts[BIO_WRITE], 1);
  cr_assert_eq (b->counts[BIO_WRITE], 0);
  cr_assert_eq (byte_at (a, 156), 1);
  cr_assert_eq (byte_at (a, 163), 8);
}

Test (dm_table, bios_are_cut_at_targets)
{
  char data[12 * SECTOR_SIZE], back[12 * SECTOR_SIZE];

  load ("0 8 linear a 0\n8 2 linear b 10\n10 64 linear a 100");
  fill (data, 12, 1);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 4, 12, data), 0);
  cr_assert_eq (a->counts[BIO_WRITE], 2);
  cr_assert_eq (b->counts[BIO_WRITE], 1);
  cr_assert_eq (byte_at (a, 4), 1);
  cr_assert_eq (byte_at (b, 10), 5);
  cr_assert_eq (byte_at (a, 100), 7);
  cr_assert_eq (byte_at (a, 105), 12);
  cr_assert_eq (fixture_io (&f, BIO_READ, 4, 12, back), 0);
  cr_assert_arr_eq (data, back, sizeof data);
}

Test (dm_table, bios_are_cut_at_max_io_len_counted_from_the_target)
{
  static char data[20 * SECTOR_SIZE];

  load ("0 5 zero\n5 64 linear a 0");
  f.table->targets[1]->max_io_len = 6;
  /* Pieces 7-10, 11-16, 17-22, 23-26. */
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 7, 20, data), 0);
  cr_assert_eq (a->counts[BIO_WRITE], 4);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 11, 6, NULL), 0);
  cr_assert_eq (fixture_io (&f, BIO_PREFETCH, 10, 6, NULL), 0);
  cr_assert_eq (a->counts[BIO_PREFETCH], 3);
}

Test (dm_table, many_pieces_arrive_where_they_belong)
{
  static char data[200 * SECTOR_SIZE], back[sizeof data];

  load ("0 512 striped 2 1 a 0 b 0");
  fill (data, 200, 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 3, 200, data), 0);
  cr_assert_eq (a->counts[BIO_WRITE] + b->counts[BIO_WRITE], 200);
  cr_assert_eq (byte_at (b, 1), 0);
  cr_assert_eq (byte_at (a, 101), 199);
  cr_assert_eq (fixture_io (&f, BIO_READ, 3, 200, back), 0);
  cr_assert_arr_eq (data, back, sizeof data);
}

Test (dm_table, pieces_after_the_failing_one_are_still_written)
{
  char data[24 * SECTOR_SIZE];

  load ("0 8 linear a 0\n8 8 error\n16 8 linear b 0");
  fill (data, 24, 1);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 24, data), -EIO);
  cr_assert_eq (byte_at (a, 7), 8);
  cr_assert_eq (byte_at (b, 0), 17);
}

Test (dm_table, the_last_failing_piece_says_what_went_wrong)
{
  static char data[24 * SECTOR_SIZE];

  a->bad_end = b->bad_end = 8;
  b->bad_errno = ENOSPC;
  load ("0 8 linear a 0\n8 8 linear b 0\n16 8 linear b 100");
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 24, data), -ENOSPC);
  load ("0 8 linear b 0\n8 8 linear a 0\n16 8 linear b 100");
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 24, data), -EIO);
  load ("0 8 error\n8 8 linear b 0");
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 16, data), -ENOSPC);
  load ("0 8 linear b 0\n8 8 error");
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 16, data), -EIO);
}

Test (dm_table, fua_stays_on_every_piece)
{
  static char data[16 * SECTOR_SIZE];
  struct bio bio = { .op = BIO_WRITE, .flags = BIO_FUA, .len = 16,
                     .data = data };

  load ("0 8 linear a 0\n8 8 linear b 0");
  cr_assert_eq (table_map_bio (f.table, &bio), 0);
  cr_assert_eq (a->fua, 1);
  cr_assert_eq (b->fua, 1);
}

Test (dm_table, beyond_the_end_is_an_error)
{
  static char data[16 * SECTOR_SIZE];

  load ("0 8 linear a 0");
  cr_assert_eq (fixture_io (&f, BIO_READ, 8, 8, data), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_READ, 4, 8, data), -EIO);
}

/* ------------------------------------------------------------------
 * A target that does what the test says.
 */
static struct {
  sector_t accept;        /* map takes no more sectors than that; 0: all */
  sector_t requeue_at;    /* of the device; pushes that piece back */
  bool requeue_at_end;    /* … in end_io instead of map */
  int under_way, most_under_way;
  unsigned maps, ends;
} probe;

static int
probe_map (struct dm_target *ti, struct bio *bio)
{
  probe.maps++;
  bio->cookie = &probe;
  if (bio->sector == probe.requeue_at) {
    if (!probe.requeue_at_end)
      return DM_MAPIO_REQUEUE;
    bio->cookie = NULL;
  }
  if (probe.accept && bio->len > probe.accept)
    bio->len = probe.accept;
  if (++probe.under_way > probe.most_under_way)
    probe.most_under_way = probe.under_way;
  bio->bdev = &a->bdev;
  return DM_MAPIO_REMAPPED;
}

static int
probe_end_io (struct dm_target *ti, struct bio *bio, int error)
{
  probe.ends++;
  probe.under_way--;
  cr_expect_eq (bio->bdev, &a->bdev);
  return bio->cookie ? error : DM_ENDIO_REQUEUE;
}

static void
probe_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
              FILE *out)
{
}

static struct target_type probe_type = {
  .name = "probe",
  .map = probe_map,
  .end_io = probe_end_io,
  .status = probe_status,
};

/* A table of two probes, 0-31 and 32-63, cut every 8 sectors. */
static void
load_probes (void)
{
  unsigned i;

  memset (&probe, 0, sizeof probe);
  probe.requeue_at = UINT64_MAX;
  load ("0 32 error\n32 32 error");
  for (i = 0; i < 2; i++) {
    f.table->targets[i]->type = &probe_type;
    f.table->targets[i]->max_io_len = 8;
    f.table->targets[i]->num_flush_bios = 2;
    f.table->targets[i]->num_discard_bios = 3;
  }
}

Test (dm_table, a_target_that_may_hold_a_lock_gets_one_piece_at_a_time)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 64, data), 0);
  cr_assert_eq (probe.maps, 8);
  cr_assert_eq (probe.ends, 8);
  cr_assert_eq (probe.most_under_way, 1);
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (probe.most_under_way, 1);
}

Test (dm_table, parallel_end_io_lets_pieces_run_together)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  probe_type.parallel_end_io = true;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 64, data), 0);
  cr_assert_eq (probe.ends, 8);
  cr_assert_eq (probe.most_under_way, 8);
}

Test (dm_table, what_map_leaves_over_is_mapped_next)
{
  static char data[64 * SECTOR_SIZE], back[sizeof data];

  load_probes ();
  fill (data, 64, 1);
  probe.accept = 3;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 1, 30, data), 0);
  /* 1-3 4-6 7, 8-10 11-13 14-15, likewise, 24-26 27-29 30 */
  cr_assert_eq (probe.maps, 12);
  cr_assert_eq (fixture_io (&f, BIO_READ, 1, 7, back), 0);
  cr_assert_eq (probe.maps, 15);
  cr_assert_arr_eq (data, back, 7 * SECTOR_SIZE);
  cr_assert_eq (byte_at (a, 30), 30);
}

Test (dm_table, an_error_before_what_was_left_over_is_kept)
{
  static char data[8 * SECTOR_SIZE];

  load_probes ();
  probe.accept = 3;
  a->bad_end = 1;
  a->bad_errno = ENOSPC;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), -ENOSPC);
  cr_assert_eq (probe.maps, 3);
}

Test (dm_table, a_piece_pushed_back_leaves_the_rest_of_the_bio)
{
  static char data[64 * SECTOR_SIZE];
  struct bio bio = { .op = BIO_WRITE, .len = 40, .data = data };

  load_probes ();
  f.md->noflush_suspending = true;
  probe.requeue_at = 16;
  cr_assert_eq (table_map_bio (f.table, &bio), DM_ENDIO_REQUEUE);
  cr_assert_eq (bio.sector, 16);
  cr_assert_eq (bio.len, 24);
  cr_assert_eq (bio.data, data + 16 * SECTOR_SIZE);
  cr_assert_eq (a->counts[BIO_WRITE], 2);
  probe.requeue_at = UINT64_MAX;
  cr_assert_eq (table_map_bio (f.table, &bio), 0);
  cr_assert_eq (a->counts[BIO_WRITE], 5);
  f.md->noflush_suspending = false;
}

Test (dm_table, end_io_can_push_back_too)
{
  static char data[8 * SECTOR_SIZE];
  struct bio bio = { .op = BIO_WRITE, .sector = 16, .len = 8, .data = data };

  load_probes ();
  f.md->noflush_suspending = true;
  probe.requeue_at = 16;
  probe.requeue_at_end = true;
  cr_assert_eq (table_map_bio (f.table, &bio), DM_ENDIO_REQUEUE);
  cr_assert_eq (bio.sector, 16);
  cr_assert_eq (bio.len, 8);
  cr_assert_eq (bio.data, data);
  f.md->noflush_suspending = false;
}

Test (dm_table, without_a_noflush_suspend_pushing_back_is_an_error)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  probe.requeue_at = 16;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 16, 8, data), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 40, data), -EIO);
  cr_assert_eq (a->counts[BIO_WRITE], 4);
}

Test (dm_table, a_bio_that_failed_already_is_not_pushed_back)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  f.md->noflush_suspending = true;
  probe.requeue_at = 16;
  a->bad_end = 1;
  a->bad_errno = ENOSPC;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 40, data), -ENOSPC);
  cr_assert_eq (probe.maps, 5);
  f.md->noflush_suspending = false;
}

Test (dm_table, flushes_and_discards_are_pushed_back_from_their_target_on)
{
  struct bio flush = { .op = BIO_FLUSH };
  struct bio discard = { .op = BIO_DISCARD, .sector = 10, .len = 54 };

  load_probes ();
  f.md->noflush_suspending = true;
  probe.requeue_at = 0;
  cr_assert_eq (table_map_bio (f.table, &flush), DM_ENDIO_REQUEUE);
  probe.requeue_at = 32;
  cr_assert_eq (table_map_bio (f.table, &discard), DM_ENDIO_REQUEUE);
  cr_assert_eq (discard.sector, 32);
  cr_assert_eq (discard.len, 32);
  f.md->noflush_suspending = false;
}

/* ------------------------------------------------------------------
 * Flush, discard, write zeroes.
 */

static void
expect_flushes (const char *table, unsigned on_a, unsigned on_b)
{
  load (table);
  a->counts[BIO_FLUSH] = b->counts[BIO_FLUSH] = 0;
  cr_expect_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0, "%s", table);
  cr_expect_eq (a->counts[BIO_FLUSH], on_a, "%s", table);
  cr_expect_eq (b->counts[BIO_FLUSH], on_b, "%s", table);
}

Test (dm_table, a_flush_goes_to_every_target)
{
  expect_flushes ("0 8 linear a 0\n8 8 linear b 0", 1, 1);
  expect_flushes ("0 8 linear a 0\n8 8 linear a 8", 2, 0);
  expect_flushes ("0 64 striped 2 8 a 0 b 0", 1, 1);
  expect_flushes ("0 64 striped 4 8 a 0 b 0 a 64 a 128", 3, 1);
  expect_flushes ("0 8 linear a 0\n8 8 error", 1, 0);
  expect_flushes ("0 8 error\n8 8 zero", 0, 0);
  expect_flushes ("0 8 delay a 0 0\n8 8 flakey b 0 1 0", 1, 1);
}

Test (dm_table, more_flushes_than_fit_into_one_batch)
{
  char text[100 * 30] = "";
  unsigned i;

  for (i = 0; i < 100; i++)
    sprintf (text + strlen (text), "%u 8 linear %c 0\n", i * 8,
             i % 4 ? 'a' : 'b');
  expect_flushes (text, 75, 25);
}

Test (dm_table, any_failing_flush_fails_the_flush)
{
  load ("0 8 linear a 0\n8 8 linear b 0");
  a->fail_flush = true;
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), -EIO);
  cr_assert_eq (b->counts[BIO_FLUSH], 1);
}

Test (dm_table, discards_are_cut_at_targets_only)
{
  memset (a->data, 'x', sectors_to_bytes (4096));
  load ("0 64 linear a 0\n64 64 linear b 0");
  f.table->targets[0]->max_io_len = 8;
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 1, 100, NULL), 0);
  cr_assert_eq (a->counts[BIO_DISCARD], 1);
  cr_assert_eq (b->counts[BIO_DISCARD], 1);
  cr_assert_eq (byte_at (a, 0), 'x');
  cr_assert_eq (byte_at (a, 1), 0);
  cr_assert_eq (byte_at (a, 63), 0);
  cr_assert_eq (byte_at (a, 64), 'x');
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 1, 100, NULL), 0);
  cr_assert_eq (a->counts[BIO_WRITE_ZEROES], 1);
}

Test (dm_table, a_target_gets_as_many_copies_as_it_wants)
{
  load_probes ();
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (a->counts[BIO_FLUSH], 4);
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 0, 64, NULL), 0);
  cr_assert_eq (a->counts[BIO_DISCARD], 6);
}

Test (dm_table, a_target_without_copies_fails_its_part_only)
{
  load ("0 8 linear a 0\n8 8 zero\n16 8 linear b 0");
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 0, 8, NULL), 0);
  cr_assert_eq (fixture_io (&f, BIO_WRITE_ZEROES, 0, 24, NULL), -EOPNOTSUPP);
  cr_assert_eq (a->counts[BIO_WRITE_ZEROES], 2);
  cr_assert_eq (b->counts[BIO_WRITE_ZEROES], 1);
}

/* ------------------------------------------------------------------
 * Extents.
 */

struct told {
  struct extent_sink sink;
  char text[200];
  unsigned enough; /* after so many; 0: never */
  int error;
};

static int
told_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct told *told = (struct told *) sink;
  size_t n = strlen (told->text);

  snprintf (told->text + n, sizeof told->text - n, "%u+%u ", flags,
            (unsigned) len);
  if (told->error)
    return told->error;
  return told->enough && --told->enough == 0;
}

Test (dm_table, extents_are_asked_target_by_target)
{
  struct told told = { .sink.add = told_add };

  load ("0 8 zero\n8 8 linear a 0\n16 8 error\n24 8 zero");
  cr_assert_eq (table_extents (f.table, 3, 27, &told.sink), 0);
  cr_assert_str_eq (told.text, "3+5 0+8 0+8 3+6 ");
}

Test (dm_table, a_sink_that_has_enough_is_left_alone)
{
  struct told told = { .sink.add = told_add, .enough = 2 };

  load ("0 8 zero\n8 8 linear a 0\n16 8 error");
  cr_assert_eq (table_extents (f.table, 0, 24, &told.sink), 0);
  cr_assert_str_eq (told.text, "3+8 0+8 ");
}

Test (dm_table, a_sink_that_fails_ends_it)
{
  struct told told = { .sink.add = told_add, .error = -ENOMEM };

  load ("0 8 error\n8 8 zero");
  cr_assert_eq (table_extents (f.table, 0, 16, &told.sink), -ENOMEM);
  cr_assert_str_eq (told.text, "0+8 ");
}

/* ------------------------------------------------------------------
 * Hooks.
 */

static int
hook_preresume (struct dm_target *ti)
{
  probe.maps++;
  return ti->begin == 0 ? 0 : dm_target_error (ti, EUCLEAN, "not today");
}

static void
hook (struct dm_target *ti)
{
  probe.ends++;
}

static struct target_type hook_type = {
  .name = "hook",
  .presuspend = hook,
  .postsuspend = hook,
  .preresume = hook_preresume,
  .resume = hook,
};

Test (dm_table, the_first_failing_preresume_ends_them_and_is_named)
{
  unsigned i;

  load ("0 8 zero\n8 8 zero\n16 8 zero");
  for (i = 0; i < 3; i++)
    f.table->targets[i]->type = &hook_type;
  cr_assert_eq (table_preresume (f.table, &f.msg), -EUCLEAN);
  cr_assert_str_eq (f.msg.text, "vol: table line 2 (8 8 hook): not today");
  cr_assert_eq (probe.maps, 2);
}

Test (dm_table, hooks_reach_every_target_that_has_them)
{
  load ("0 8 zero\n8 8 zero\n16 8 zero");
  f.table->targets[0]->type = f.table->targets[2]->type = &hook_type;
  table_presuspend (f.table);
  table_presuspend_undo (f.table);
  table_postsuspend (f.table);
  table_resume (f.table);
  cr_assert_eq (probe.ends, 6);
}
