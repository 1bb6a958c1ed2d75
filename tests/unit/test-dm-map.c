/* SPDX-License-Identifier: BSD-3-Clause */
/* Carrying out bios, and asking for extents, through a table. */

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
  a = memdev_add ("a", 4096);
  b = memdev_add ("b", 4096);
}

static void
teardown (void)
{
  fixture_stop (&f);
  memdev_remove (a);
  memdev_remove (b);
}

TestSuite (dm_map, .init = setup, .fini = teardown);

static void
load (const char *text)
{
  cr_assert_eq (fixture_load (&f, text), 0, "%s", f.msg.text);
}

Test (dm_map, the_target_of_each_sector_is_found)
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

Test (dm_map, one_piece_goes_down_as_it_is)
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

Test (dm_map, bios_are_cut_at_targets)
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

Test (dm_map, bios_are_cut_at_max_io_len_counted_from_the_target)
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

Test (dm_map, many_pieces_arrive_where_they_belong)
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

Test (dm_map, pieces_after_the_failing_one_are_still_written)
{
  char data[24 * SECTOR_SIZE];

  load ("0 8 linear a 0\n8 8 error\n16 8 linear b 0");
  fill (data, 24, 1);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 24, data), -EIO);
  cr_assert_eq (byte_at (a, 7), 8);
  cr_assert_eq (byte_at (b, 0), 17);
}

Test (dm_map, the_last_failing_piece_says_what_went_wrong)
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

Test (dm_map, fua_stays_on_every_piece)
{
  static char data[16 * SECTOR_SIZE];
  struct bio bio = { .op = BIO_WRITE, .flags = BIO_FUA, .len = 16,
                     .data = data };

  load ("0 8 linear a 0\n8 8 linear b 0");
  cr_assert_eq (table_map_bio (f.table, &bio), 0);
  cr_assert_eq (a->fua, 1);
  cr_assert_eq (b->fua, 1);
}

Test (dm_map, beyond_the_end_is_an_error)
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

Test (dm_map, a_target_that_may_hold_a_lock_gets_one_piece_at_a_time)
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

Test (dm_map, parallel_end_io_lets_pieces_run_together)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  probe_type.parallel_end_io = true;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 64, data), 0);
  cr_assert_eq (probe.ends, 8);
  cr_assert_eq (probe.most_under_way, 8);
}

Test (dm_map, what_map_leaves_over_is_mapped_next)
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

Test (dm_map, an_error_before_what_was_left_over_is_kept)
{
  static char data[8 * SECTOR_SIZE];

  load_probes ();
  probe.accept = 3;
  a->bad_end = 1;
  a->bad_errno = ENOSPC;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 8, data), -ENOSPC);
  cr_assert_eq (probe.maps, 3);
}

Test (dm_map, a_piece_pushed_back_leaves_the_rest_of_the_bio)
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

Test (dm_map, end_io_can_push_back_too)
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

Test (dm_map, without_a_noflush_suspend_pushing_back_is_an_error)
{
  static char data[64 * SECTOR_SIZE];

  load_probes ();
  probe.requeue_at = 16;
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 16, 8, data), -EIO);
  cr_assert_eq (fixture_io (&f, BIO_WRITE, 0, 40, data), -EIO);
  cr_assert_eq (a->counts[BIO_WRITE], 4);
}

Test (dm_map, a_bio_that_failed_already_is_not_pushed_back)
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

Test (dm_map, flushes_and_discards_are_pushed_back_from_their_target_on)
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

Test (dm_map, a_flush_goes_to_every_target)
{
  expect_flushes ("0 8 linear a 0\n8 8 linear b 0", 1, 1);
  expect_flushes ("0 8 linear a 0\n8 8 linear a 8", 2, 0);
  expect_flushes ("0 64 striped 2 8 a 0 b 0", 1, 1);
  expect_flushes ("0 64 striped 4 8 a 0 b 0 a 64 a 128", 3, 1);
  expect_flushes ("0 8 linear a 0\n8 8 error", 1, 0);
  expect_flushes ("0 8 error\n8 8 zero", 0, 0);
  expect_flushes ("0 8 delay a 0 0\n8 8 flakey b 0 1 0", 1, 1);
}

Test (dm_map, more_flushes_than_fit_into_one_batch)
{
  char text[100 * 30] = "";
  unsigned i;

  for (i = 0; i < 100; i++)
    sprintf (text + strlen (text), "%u 8 linear %c 0\n", i * 8,
             i % 4 ? 'a' : 'b');
  expect_flushes (text, 75, 25);
}

Test (dm_map, any_failing_flush_fails_the_flush)
{
  load ("0 8 linear a 0\n8 8 linear b 0");
  a->fail_flush = true;
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), -EIO);
  cr_assert_eq (b->counts[BIO_FLUSH], 1);
}

Test (dm_map, discards_are_cut_at_targets_only)
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

Test (dm_map, a_target_gets_as_many_copies_as_it_wants)
{
  load_probes ();
  cr_assert_eq (fixture_io (&f, BIO_FLUSH, 0, 0, NULL), 0);
  cr_assert_eq (a->counts[BIO_FLUSH], 4);
  cr_assert_eq (fixture_io (&f, BIO_DISCARD, 0, 64, NULL), 0);
  cr_assert_eq (a->counts[BIO_DISCARD], 6);
}

Test (dm_map, a_target_without_copies_fails_its_part_only)
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

Test (dm_map, extents_are_asked_target_by_target)
{
  struct told told = { .sink.add = told_add };

  load ("0 8 zero\n8 8 linear a 0\n16 8 error\n24 8 zero");
  cr_assert_eq (table_extents (f.table, 3, 27, &told.sink), 0);
  cr_assert_str_eq (told.text, "3+5 0+8 0+8 3+6 ");
}

Test (dm_map, a_sink_that_has_enough_is_left_alone)
{
  struct told told = { .sink.add = told_add, .enough = 2 };

  load ("0 8 zero\n8 8 linear a 0\n16 8 error");
  cr_assert_eq (table_extents (f.table, 0, 24, &told.sink), 0);
  cr_assert_str_eq (told.text, "3+8 0+8 ");
}

Test (dm_map, a_sink_that_fails_ends_it)
{
  struct told told = { .sink.add = told_add, .error = -ENOMEM };

  load ("0 8 error\n8 8 zero");
  cr_assert_eq (table_extents (f.table, 0, 16, &told.sink), -ENOMEM);
  cr_assert_str_eq (told.text, "0+8 ");
}
