/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk format of a persistent exception store, version 1; no I/O. */

#include "targets/snapshot/cow-format.h"

#include <stddef.h>

_Static_assert (sizeof (struct cow_disk_header) == 16, "COW header");
_Static_assert (sizeof (struct cow_disk_exception) == 16, "COW entry");

const char *
cow_chunk_size_problem (uint32_t chunk_sectors, unsigned block_bytes)
{
  if (chunk_sectors == 0 || (chunk_sectors & (chunk_sectors - 1)) != 0)
    return "Chunk size is not a power of 2";
  if (sectors_to_bytes (chunk_sectors) % block_bytes != 0)
    return "Chunk size is not a multiple of device blocksize";
  if (chunk_sectors > COW_MAX_CHUNK_SECTORS)
    return "Chunk size is too high";
  return NULL;
}

enum cow_header_kind
cow_header_get (const struct cow_disk_header *disk, struct cow_header *header)
{
  uint32_t magic = from_le32 (disk->magic);

  if (magic == 0)
    return COW_HEADER_NEW;
  if (magic != COW_MAGIC)
    return COW_HEADER_FOREIGN;
  if (from_le32 (disk->version) != COW_VERSION)
    return COW_HEADER_BAD_VERSION;
  header->valid = from_le32 (disk->valid) != 0;
  header->chunk_sectors = from_le32 (disk->chunk_sectors);
  return COW_HEADER_OK;
}

void
cow_header_put (struct cow_disk_header *disk, const struct cow_header *header)
{
  *disk = (struct cow_disk_header) {
    .magic = to_le32 (COW_MAGIC),
    .valid = to_le32 (header->valid),
    .version = to_le32 (COW_VERSION),
    .chunk_sectors = to_le32 (header->chunk_sectors),
  };
}

/* From the start of one metadata area to that of the next. */
static uint64_t
cow_stride (uint32_t chunk_sectors)
{
  return (uint64_t) cow_entries_per_area (chunk_sectors) + 1;
}

chunk_t
cow_area_chunk (uint32_t chunk_sectors, uint64_t area)
{
  return 1 + area * cow_stride (chunk_sectors);
}

bool
cow_is_metadata (uint32_t chunk_sectors, chunk_t chunk)
{
  return chunk == 0 || chunk % cow_stride (chunk_sectors) == 1;
}

chunk_t
cow_next_data (uint32_t chunk_sectors, chunk_t chunk)
{
  while (cow_is_metadata (chunk_sectors, chunk))
    chunk++;
  return chunk;
}

chunk_t
cow_identity_chunk (uint32_t chunk_sectors, uint64_t entry)
{
  return 2 + entry + entry / cow_entries_per_area (chunk_sectors);
}

uint64_t
cow_entry_offset_bytes (uint32_t chunk_sectors, uint64_t entry)
{
  uint32_t per_area = cow_entries_per_area (chunk_sectors);
  chunk_t chunk = cow_area_chunk (chunk_sectors, entry / per_area);

  return sectors_to_bytes (chunk_start (chunk, chunk_sectors)) +
    entry % per_area * sizeof (struct cow_disk_exception);
}

/* n exceptions take header, n data chunks, and an area for every epa of them,
 * full or not, that exists as soon as the one before is full.  So n of them
 * fit if 2 + n + n / epa <= nr_chunks.
 */
uint64_t
cow_capacity (uint32_t chunk_sectors, uint64_t nr_chunks)
{
  uint64_t left = nr_chunks < 2 ? 0 : nr_chunks - 2;
  uint64_t stride = cow_stride (chunk_sectors);
  uint64_t rest = left % stride;

  return left / stride * (stride - 1) + rest -
    (rest == stride - 1 ? 1 : 0);
}

const char *
cow_new_chunk_problem (uint32_t chunk_sectors, uint64_t nr_chunks,
                       chunk_t new_chunk)
{
  if (new_chunk > COW_MAX_NEW_CHUNK)
    return "is no chunk number";
  if (new_chunk >= nr_chunks)
    return "is beyond the end of the device";
  if (cow_is_metadata (chunk_sectors, new_chunk))
    return "holds metadata";
  return NULL;
}
