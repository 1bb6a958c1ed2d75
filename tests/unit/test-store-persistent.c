/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent stores: loading, room, invalidation. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/store-rig.h"

#define SIZE 8192 /* sectors of the COW device */

static struct memdev *cow;
static struct store_rig rig;

static void
setup (void)
{
  cow = memdev_new ("cow", SIZE);
}

static void
teardown (void)
{
  memdev_free (cow);
}

TestSuite (store_persistent, .init = setup, .fini = teardown);

static void
expect_status (const char *expected)
{
  char *CLEANUP_FREE text = store_rig_status (&rig);

  cr_expect_str_eq (text, expected);
}

static void
refuse (const char *words, int err, const char *why)
{
  cr_expect_eq (store_rig_open (&rig, &cow->bdev, words), -err, "%s: %s",
                words, why);
  cr_expect_eq (strncmp (rig.msg.text, "Failed to read snapshot metadata: ",
                         34), 0, "%s", rig.msg.text);
  cr_expect_not_null (strstr (rig.msg.text, why), "%s", rig.msg.text);
}

/* ------------------------------------------------------------------
 * New stores.
 */

Test (store_persistent, bytes_of_a_new_store)
{
  static const unsigned char header[16] = {
    0x53, 0x6e, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0 };
  static const unsigned char entries[48] = {
    9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0 };
  char area[4096] = { 0 };

  memset (cow->data + 16, 0xa5, SIZE * SECTOR_SIZE - 16);
  memset (cow->data, 0, 4);
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  expect_status ("16/8192 16");
  cr_expect_arr_eq ((unsigned char *) cow->data, header, sizeof header);
  cr_expect_arr_eq (cow->data + 4096, area, sizeof area);
  cr_assert_eq (store_rig_add (&rig, 9, 2), 0);
  expect_status ("32/8192 16");
  memcpy (area, entries, sizeof entries);
  cr_expect_arr_eq (cow->data + 4096, area, sizeof area);
  store_rig_close (&rig);
}

Test (store_persistent, chunk_size_of_a_new_store)
{
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 0"), 0);
  cr_expect_eq (store_chunk_sectors (rig.store), 32);
  store_rig_close (&rig);
  memset (cow->data, 0, 16);
  cow->limits.logical_block_bytes = 32768;
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 0"), 0);
  cr_expect_eq (store_chunk_sectors (rig.store), 64);
  store_rig_close (&rig);
}

Test (store_persistent, header_and_an_area_must_fit)
{
  refuse ("P 16384", EIO, "no room");
  refuse ("P 8192", EIO, "cannot make");
  cow->bad_end = 8;
  refuse ("P 8", EIO, "header");
}

/* ------------------------------------------------------------------
 * Headers.
 */

static void
set_header (uint32_t magic, uint32_t valid, uint32_t version, uint32_t chunk)
{
  struct cow_disk_header h = {
    to_le32 (magic), to_le32 (valid), to_le32 (version), to_le32 (chunk) };

  memcpy (cow->data, &h, sizeof h);
}

Test (store_persistent, headers_that_are_refused)
{
  static const uint32_t bad_chunks[] = {
    0, 3, 24, 1 << 22, UINT32_C (1) << 31, UINT32_MAX };
  size_t i;

  set_header (COW_MAGIC + 1, 1, 1, 8);
  refuse ("P 8", ENXIO, "something else");
  set_header (COW_MAGIC, 0, 2, 8);
  refuse ("P 8", EINVAL, "version");
  for (i = 0; i < sizeof bad_chunks / sizeof bad_chunks[0]; i++) {
    set_header (COW_MAGIC, 1, 1, bad_chunks[i]);
    refuse ("P 8", EINVAL, "Chunk size");
  }
  set_header (COW_MAGIC, 1, 1, 1 << 14);
  refuse ("P 8", EIO, "cannot read exceptions");
  cr_expect_eq (cow->counts[BIO_WRITE], 0);
}

Test (store_persistent, the_headers_chunk_size_counts)
{
  static const char *const words[] = { "P 8", "P 0", "P 64", "P 16" };
  size_t i;

  store_rig_format (cow->data, 16, 3);
  for (i = 0; i < 4; i++) {
    cr_assert_eq (store_rig_open (&rig, &cow->bdev, words[i]), 0);
    cr_expect_eq (store_chunk_sectors (rig.store), 16);
    expect_status ("80/8192 32");
    store_rig_close (&rig);
  }
  refuse ("P 16384", EIO, "no room");
}

Test (store_persistent, an_invalid_store_loads_empty)
{
  store_rig_format (cow->data, 8, 3);
  set_header (COW_MAGIC, 0, 1, 8);
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 16"), 0);
  cr_expect_not (store_is_valid (rig.store));
  cr_expect_eq (store_chunk_sectors (rig.store), 8);
  cr_expect_eq (store_rig_count (&rig), 0);
  cr_expect_eq (store_rig_add (&rig, 1, 1), -EIO);
  cr_expect_eq (store_merge_peek (rig.store, NULL, 0), -EIO);
  cr_expect_eq (store_invalidate (rig.store), 0);
  store_rig_close (&rig);
}

/* ------------------------------------------------------------------
 * Entries.
 */

static void
refuse_entry (chunk_t new_chunk, const char *why)
{
  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 1,
                       (struct exception) { 5, new_chunk });
  refuse ("P 8", EILSEQ, why);
}

Test (store_persistent, entries_that_cannot_be)
{
  refuse_entry (SIZE / 8, "beyond the end");
  refuse_entry (1, "holds metadata");
  refuse_entry (258, "holds metadata");
  refuse_entry (COW_MAX_NEW_CHUNK + 3, "is no chunk number");
  refuse_entry (UINT64_MAX, "is no chunk number");
}

Test (store_persistent, the_first_of_two_entries_counts)
{
  struct exception_run run;

  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 2, (struct exception) { 100, 4 });
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cr_expect_eq (store_rig_count (&rig), 2);
  cr_expect (exception_table_lookup (rig.table, 100, 1, &run));
  cr_expect_eq (run.new_chunk, 2);
  store_rig_close (&rig);
}

Test (store_persistent, old_chunk_0_is_no_end)
{
  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 0, (struct exception) { 0, 2 });
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cr_expect_eq (store_rig_count (&rig), 3);
  store_rig_close (&rig);
}

Test (store_persistent, holes_are_not_filled)
{
  struct prepared p = { .old_chunk = 1 };

  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 1, (struct exception) { 7, 257 });
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cr_assert_eq (store_prepare (rig.store, &p, 1), 0);
  cr_expect_eq (p.new_chunk, 259, "258 is a metadata area");
  cr_expect_eq (store_commit (rig.store, &p, 1, true), 0);
  store_rig_close (&rig);
}

/* Nothing that anybody may have written there is believed, or lost. */
Test (store_persistent, any_bytes_at_all)
{
  unsigned seed, i, n;

  for (seed = 1; seed <= 2000; seed++) {
    memset (cow->data, 0, SIZE * SECTOR_SIZE);
    srand (seed);
    store_rig_format (cow->data, 1u << seed % 4, rand () % 100);
    for (n = rand () % 12; n > 0; n--) {
      i = rand () % (rand () % 2 ? 16 : 262144);
      cow->data[i] = rand () % 3 ? rand () : 0;
    }
    if (seed % 7 == 0)
      for (i = 512; i < 20000; i++)
        cow->data[i] = rand ();
    if (store_rig_open (&rig, &cow->bdev, "P 0") < 0)
      continue;
    if (store_is_valid (rig.store))
      store_rig_add (&rig, 1000000, 1 + rand () % 300);
    store_rig_close (&rig);
  }
}

/* ------------------------------------------------------------------
 * Room.
 */

Test (store_persistent, exactly_full_areas)
{
  static const struct {
    unsigned n;
    const char *status;
  } rows[] = {
    { 31, "33/8192 2" }, { 32, "35/8192 3" }, { 33, "36/8192 3" },
    { 64, "68/8192 4" }, { 65, "69/8192 4" }, { 208, "216/8192 8" },
  };
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    /* What was there before must not be taken for entries. */
    memset (cow->data, 0xa5, SIZE * SECTOR_SIZE);
    memset (cow->data, 0, 4);
    cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 1"), 0);
    cr_assert_eq (store_rig_add (&rig, 0, rows[i].n), 0);
    expect_status (rows[i].status);
    cr_assert_eq (store_rig_reopen (&rig), 0, "%s", rig.msg.text);
    expect_status (rows[i].status);
    cr_expect_eq (store_rig_count (&rig), rows[i].n);
    cr_expect_eq (store_rig_add (&rig, 1000, 1), 0);
    cr_expect_eq (store_rig_entry (cow->data, 1, rows[i].n).new_chunk,
                  cow_identity_chunk (1, rows[i].n));
    store_rig_close (&rig);
  }
}

/* Fill a store of so many chunks one by one. */
static unsigned
fill (sector_t chunks, unsigned chunk_sectors)
{
  char words[32];
  unsigned n = 0;

  memset (cow->data, 0, 16);
  cow->bdev.size = chunks * chunk_sectors;
  snprintf (words, sizeof words, "P %u", chunk_sectors);
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, words), 0);
  while (store_rig_add (&rig, n, 1) == 0)
    n++;
  cr_expect_eq (store_rig_add (&rig, n, 1), -ENOSPC);
  cr_expect (store_is_valid (rig.store));
  cr_assert_eq (store_rig_reopen (&rig), 0, "%s", rig.msg.text);
  cr_expect_eq (store_rig_count (&rig), n);
  store_rig_close (&rig);
  return n;
}

Test (store_persistent, full_is_full_and_nothing_worse)
{
  unsigned k;

  cr_expect_eq (fill (258, 8), 255, "Linux 6.1 breaks the store at the 256th");
  cr_expect_eq (fill (259, 8), 256);
  cr_expect_eq (fill (260, 8), 257);
  for (k = 2; k < 110; k++)
    cr_expect_eq (fill (k, 1), cow_capacity (1, k));
}

Test (store_persistent, all_or_none_fit)
{
  cow->bdev.size = 20 * 8;
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cr_expect_eq (store_rig_add (&rig, 0, 19), -ENOSPC);
  expect_status ("16/160 16");
  cr_expect_eq (store_rig_add (&rig, 0, 18), 0);
  cow->bdev.size = 40 * 8;
  expect_status ("160/320 16");
  cr_expect_eq (store_rig_add (&rig, 18, 20), 0, "the device has grown");
  store_rig_close (&rig);
}

Test (store_persistent, new_chunks_are_neighbours_but_for_an_area)
{
  struct prepared p[40] = { { 0 } };
  unsigned i;

  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 1"), 0);
  cr_assert_eq (store_prepare (rig.store, p, 40), 0);
  for (i = 0; i < 40; i++) {
    cr_expect_eq (p[i].new_chunk, i < 32 ? i + 2 : i + 3);
    cr_expect_eq (p[i].sequence, i);
  }
  cr_expect_eq (store_commit (rig.store, p, 40, true), 0);
  store_rig_close (&rig);
}

Test (store_persistent, chunks_larger_than_a_page)
{
  unsigned epa = 256 * 32;

  memdev_free (cow);
  cow = memdev_new ("cow", (epa + 8) * 256);
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 256"), 0);
  cr_expect_eq (store_rig_add (&rig, 0, 4095), 0);
  cr_expect_eq (store_rig_add (&rig, 4095, 2), 0, "over the end of a page");
  cr_expect_eq (store_rig_add (&rig, 4097, epa - 4097 + 1), 0);
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), epa + 1);
  expect_status ("2098176/2099200 768");
  store_rig_close (&rig);
}

Test (store_persistent, large_blocks_are_written_whole)
{
  cow->limits.logical_block_bytes = 4096;
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cr_expect_eq (store_rig_add (&rig, 0, 256), 0);
  cr_expect_eq (store_rig_add (&rig, 256, 40), 0);
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_eq (store_rig_count (&rig), 296);
  store_rig_close (&rig);
}

/* ------------------------------------------------------------------
 * Invalidation.
 */

Test (store_persistent, invalidation_is_on_disk_and_flushed)
{
  static const unsigned char header[16] = {
    0x53, 0x6e, 0x41, 0x70, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0 };
  struct prepared p = { .old_chunk = 9 };
  struct faultdev f;

  faultdev_init (&f, &cow->bdev);
  cr_assert_eq (store_rig_open (&rig, &f.bdev, "P 8"), 0);
  cr_assert_eq (store_rig_add (&rig, 1, 3), 0);
  f.record = true;
  cr_expect_eq (store_invalidate (rig.store), 0);
  cr_assert_eq (f.log.len, 2);
  cr_expect_eq (f.log.ptr[0].sector, 0);
  cr_expect_arr_eq ((unsigned char *) f.log.ptr[0].data, header, 16);
  cr_expect_null (f.log.ptr[1].data, "then a flush");
  cr_expect_eq (store_rig_entry (cow->data, 8, 2).old_chunk, 3,
                "the area is left alone");
  cr_expect_eq (store_invalidate (rig.store), 0);
  cr_expect_eq (f.log.len, 2, "once is enough");
  cr_expect_not (store_is_valid (rig.store));
  cr_expect_eq (store_prepare (rig.store, &p, 1), -EIO);
  cr_assert_eq (store_rig_reopen (&rig), 0);
  cr_expect_not (store_is_valid (rig.store));
  store_rig_close (&rig);
  faultdev_reset (&f);
}

Test (store_persistent, invalidation_that_fails_says_so)
{
  unsigned writes;

  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "P 8"), 0);
  cow->fail_flush = true;
  cr_expect_eq (store_invalidate (rig.store), -EIO);
  cr_expect_not (store_is_valid (rig.store));
  cow->fail_flush = false;
  writes = cow->counts[BIO_WRITE];
  cr_expect_eq (store_invalidate (rig.store), 0);
  cr_expect_eq (cow->counts[BIO_WRITE], writes + 1,
                "a flush alone would prove nothing");
  store_rig_close (&rig);
}

/* ------------------------------------------------------------------
 * Faults.
 */

/* Returns how many bios there were. */
static unsigned
work_until_it_fails (unsigned ops, unsigned at, bool on)
{
  struct faultdev f;
  unsigned done, seen;
  int r = 0;

  memset (cow->data, 0, SIZE * SECTOR_SIZE);
  faultdev_init (&f, &cow->bdev);
  faultdev_arm (&f, ops, at, on);
  if (store_rig_open (&rig, &f.bdev, "P 1") < 0)
    return f.seen;
  for (done = 0; done < 70 && r == 0; done += r == 0 ? 7 : 0)
    r = store_rig_add (&rig, done, 7);
  seen = f.seen;
  cr_expect_eq (store_is_valid (rig.store), r == 0);
  faultdev_arm (&f, 0, 0, false);
  if (r < 0) {
    cr_expect_eq (store_rig_add (&rig, 500, 1), -EIO, "for good");
    cr_expect_eq (store_invalidate (rig.store), 0);
  }
  cr_expect_eq (store_rig_reopen (&rig), 0, "%s", rig.msg.text);
  cr_expect_eq (store_is_valid (rig.store), r == 0);
  cr_expect_eq (store_rig_count (&rig), r == 0 ? done : 0);
  store_rig_close (&rig);
  return seen;
}

Test (store_persistent, every_bio_failing)
{
  static const unsigned ops[] = {
    1 << BIO_READ, 1 << BIO_WRITE, 1 << BIO_FLUSH };
  unsigned i, n;

  for (i = 0; i < 3; i++) {
    for (n = 1; work_until_it_fails (ops[i], n, false) >= n; n++)
      work_until_it_fails (ops[i], n, true);
    cr_expect_gt (n, 2);
  }
}
