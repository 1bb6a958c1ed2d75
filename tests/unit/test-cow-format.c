/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk format of an exception store: bytes, places, room. */

#include <criterion/criterion.h>

#include <string.h>

#include "targets/snapshot/cow-format.h"

Test (cow_format, header_bytes)
{
  static const unsigned char golden[16] = {
    0x53, 0x6e, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0, 0x40, 0, 0, 0 };
  struct cow_header header = { .valid = true, .chunk_sectors = 64 };
  struct cow_disk_header disk;

  cow_header_put (&disk, &header);
  cr_expect_arr_eq ((unsigned char *) &disk, golden, sizeof golden);
  memset (&header, 0, sizeof header);
  cr_expect_eq (cow_header_get (&disk, &header), COW_HEADER_OK);
  cr_expect (header.valid);
  cr_expect_eq (header.chunk_sectors, 64);
}

Test (cow_format, entry_bytes)
{
  static const unsigned char golden[16] = {
    8, 7, 6, 5, 4, 3, 2, 1, 0x10, 0x0f, 0, 0, 0, 0, 0, 0 };
  struct cow_disk_exception disk = cow_exception_put (
    (struct exception) { UINT64_C (0x0102030405060708), 0x0f10 });
  struct exception e = cow_exception_get (&disk);

  cr_expect_arr_eq ((unsigned char *) &disk, golden, sizeof golden);
  cr_expect_eq (e.old_chunk, UINT64_C (0x0102030405060708));
  cr_expect_eq (e.new_chunk, 0x0f10);
}

static enum cow_header_kind
kind (uint32_t magic, uint32_t valid, uint32_t version, bool *is_valid)
{
  struct cow_disk_header disk = {
    to_le32 (magic), to_le32 (valid), to_le32 (version), to_le32 (8) };
  struct cow_header header = { 0 };
  enum cow_header_kind k = cow_header_get (&disk, &header);

  *is_valid = header.valid;
  return k;
}

Test (cow_format, kinds_of_header)
{
  bool valid;

  cr_expect_eq (kind (0, 7, 7, &valid), COW_HEADER_NEW);
  cr_expect_eq (kind (COW_MAGIC + 1, 1, 1, &valid), COW_HEADER_FOREIGN);
  cr_expect_eq (kind (COW_MAGIC, 0, 2, &valid), COW_HEADER_BAD_VERSION);
  cr_expect_eq (kind (COW_MAGIC, 0, 0, &valid), COW_HEADER_BAD_VERSION);
  cr_expect_eq (kind (COW_MAGIC, 0, 1, &valid), COW_HEADER_OK);
  cr_expect_not (valid);
  cr_expect_eq (kind (COW_MAGIC, 2, 1, &valid), COW_HEADER_OK);
  cr_expect (valid, "any other value than 0 is valid");
}

Test (cow_format, chunk_sizes)
{
  cr_expect_null (cow_chunk_size_problem (1, 512));
  cr_expect_null (cow_chunk_size_problem (1 << 21, 512));
  cr_expect_null (cow_chunk_size_problem (8, 4096));
  cr_expect_str_eq (cow_chunk_size_problem (0, 512),
                    "Chunk size is not a power of 2");
  cr_expect_str_eq (cow_chunk_size_problem (24, 512),
                    "Chunk size is not a power of 2");
  cr_expect_str_eq (cow_chunk_size_problem (4, 4096),
                    "Chunk size is not a multiple of device blocksize");
  cr_expect_str_eq (cow_chunk_size_problem (1 << 22, 512),
                    "Chunk size is too high");
  cr_expect_str_eq (cow_chunk_size_problem (UINT32_C (1) << 31, 512),
                    "Chunk size is too high");
}

Test (cow_format, places_of_areas)
{
  static const struct {
    uint32_t chunk_sectors;
    chunk_t areas[4];
  } rows[] = {
    { 1, { 1, 34, 67, 100 } },
    { 8, { 1, 258, 515, 772 } },
    { 16, { 1, 514, 1027, 1540 } },
    { 32, { 1, 1026, 2051, 3076 } },
    { 64, { 1, 2050, 4099, 6148 } },
    { 1024, { 1, 32770, 65539, 98308 } },
  };
  size_t i;
  unsigned a;

  for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
    for (a = 0; a < 4; a++) {
      uint32_t cs = rows[i].chunk_sectors;
      chunk_t area = rows[i].areas[a];

      cr_expect_eq (cow_area_chunk (cs, a), area);
      cr_expect (cow_is_metadata (cs, area));
      cr_expect_not (cow_is_metadata (cs, area + 1));
      cr_expect_eq (cow_next_data (cs, area), area + 1);
    }
  cr_expect (cow_is_metadata (8, 0));
  cr_expect_eq (cow_next_data (8, 0), 2);
  cr_expect_eq (cow_next_data (8, 257), 257);
}

Test (cow_format, nth_entry)
{
  uint64_t n;
  chunk_t next = 2;

  for (n = 0; n < 1000; n++) {
    cr_assert_eq (cow_identity_chunk (1, n), next, "entry %d", (int) n);
    next = cow_next_data (1, next + 1);
  }
  cr_expect_eq (cow_entry_offset_bytes (8, 0), 4096);
  cr_expect_eq (cow_entry_offset_bytes (8, 255), 4096 + 255 * 16);
  cr_expect_eq (cow_entry_offset_bytes (8, 256), 258 * 4096);
  /* 32 bits are not enough for any of it. */
  cr_expect_eq (cow_entry_offset_bytes (1 << 21, UINT64_C (1) << 33),
                (1 + 128 * ((UINT64_C (1) << 26) + 1)) << 30);
}

/* The largest n with 2 + n + n / epa <= nr_chunks. */
static uint64_t
slow_capacity (uint32_t chunk_sectors, uint64_t nr_chunks)
{
  uint64_t n = 0;

  while (2 + (n + 1) + (n + 1) / cow_entries_per_area (chunk_sectors) <=
         nr_chunks)
    n++;
  return nr_chunks < 2 ? 0 : n;
}

Test (cow_format, room)
{
  uint64_t k;

  for (k = 0; k < 200; k++)
    cr_expect_eq (cow_capacity (1, k), slow_capacity (1, k), "%d chunks: %d",
                  (int) k, (int) cow_capacity (1, k));
  cr_expect_eq (cow_capacity (8, 257), 255);
  cr_expect_eq (cow_capacity (8, 258), 255, "no room for the next area");
  cr_expect_eq (cow_capacity (8, 259), 256);
  cr_expect_eq (cow_capacity (8, 260), 257);
}

Test (cow_format, new_chunks_that_cannot_be)
{
  cr_expect_null (cow_new_chunk_problem (8, 1000, 2));
  cr_expect_null (cow_new_chunk_problem (8, 1000, 999));
  cr_expect_str_eq (cow_new_chunk_problem (8, 1000, 1000),
                    "is beyond the end of the device");
  cr_expect_str_eq (cow_new_chunk_problem (8, 1000, 258), "holds metadata");
  cr_expect_str_eq (cow_new_chunk_problem (8, 1000, 1), "holds metadata");
  cr_expect_str_eq (cow_new_chunk_problem (8, UINT64_MAX,
                                           COW_MAX_NEW_CHUNK + 1),
                    "is no chunk number");
}
