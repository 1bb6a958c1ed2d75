/* SPDX-License-Identifier: BSD-3-Clause */
/* The disk format of a persistent exception store, version 1; no I/O. */

#ifndef NBDM_COW_FORMAT_H
#define NBDM_COW_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "targets/snapshot/chunk.h"

/* A COW device is an array of chunks; what is left at its end is not used.
 *
 *   chunk 0                    the header
 *   chunk 1 + a * (epa + 1)    metadata area a, epa entries of 16 bytes
 *   every other chunk          data
 *
 * epa = chunk size / 16 bytes.  An area is nothing but entries, in the order
 * in which the exceptions were made; the first with new_chunk 0 ends the
 * table.  So area a + 1 must be zeroes before the last entry of area a is
 * written.  No checksums.  An entry does not straddle a sector: a torn write
 * leaves each entry old or new.
 *
 * Everything here was seen on stores that Linux 6.1 wrote or activated.
 */
#define COW_MAGIC 0x70416e53 /* "SnAp" */
#define COW_VERSION 1

/* The first bytes of chunk 0.  Nobody looks at the rest of the chunk. */
struct cow_disk_header {
  le32 magic;
  le32 valid;   /* 0: the snapshot is lost for good; any other: it is not */
  le32 version;
  le32 chunk_sectors;
};

struct cow_disk_exception {
  le64 old_chunk; /* 0 is as good as any */
  le64 new_chunk; /* 0, the header's, ends the table */
};

#define COW_ENTRIES_PER_SECTOR \
  (SECTOR_SIZE / sizeof (struct cow_disk_exception))

/* Chunk sizes are powers of two; those above wrap an int when counted in
 * bytes (Linux 6.1 has the limit 2^31 - 1 >> 9).
 */
#define COW_MAX_CHUNK_SECTORS (INT32_MAX >> SECTOR_SHIFT)

/* Linux's in-memory form has a run's length in the top byte of a new chunk, so
 * that it would misread one that uses it.
 */
#define COW_MAX_NEW_CHUNK ((UINT64_C (1) << 56) - 1)

/* NULL if the size will do, otherwise what is wrong with it.  block_bytes:
 * the larger logical block of origin and COW device.
 */
const char *cow_chunk_size_problem (uint32_t chunk_sectors,
                                    unsigned block_bytes);

/* ------------------------------------------------------------------
 * Header.
 */
struct cow_header {
  bool valid;
  uint32_t chunk_sectors; /* as read: not checked */
};

enum cow_header_kind {
  COW_HEADER_OK,
  COW_HEADER_NEW,         /* magic 0: make a new store, whatever follows */
  COW_HEADER_FOREIGN,     /* any other magic: -ENXIO in Linux */
  COW_HEADER_BAD_VERSION, /* -EINVAL, even if it is not valid */
};

/* *header is set for COW_HEADER_OK only. */
enum cow_header_kind cow_header_get (const struct cow_disk_header *disk,
                                     struct cow_header *header);
void cow_header_put (struct cow_disk_header *disk,
                     const struct cow_header *header);

/* ------------------------------------------------------------------
 * Geometry.  Entries are numbered through all areas.
 */
static inline uint32_t
cow_entries_per_area (uint32_t chunk_sectors)
{
  return chunk_sectors * COW_ENTRIES_PER_SECTOR;
}

/* Where metadata area nr is. */
chunk_t cow_area_chunk (uint32_t chunk_sectors, uint64_t area);

/* Header or metadata area: never an exception's new chunk. */
bool cow_is_metadata (uint32_t chunk_sectors, chunk_t chunk);

/* The first data chunk from chunk on. */
chunk_t cow_next_data (uint32_t chunk_sectors, chunk_t chunk);

/* The new chunk of entry nr in a store whose exceptions were written in the
 * order of their allocation, without holes: all those of Linux since about
 * 3.13, and ours.  Older ones may hold any permutation.
 */
chunk_t cow_identity_chunk (uint32_t chunk_sectors, uint64_t entry);

/* Where entry nr is on the COW device, in bytes. */
uint64_t cow_entry_offset_bytes (uint32_t chunk_sectors, uint64_t entry);

/* How many exceptions fit on a device of so many chunks: one that fills an
 * area counts only if the next area fits, too.
 */
uint64_t cow_capacity (uint32_t chunk_sectors, uint64_t nr_chunks);

/* ------------------------------------------------------------------
 * Entries.
 */
struct exception {
  chunk_t old_chunk, new_chunk;
};

static inline struct exception
cow_exception_get (const struct cow_disk_exception *disk)
{
  return (struct exception) { from_le64 (disk->old_chunk),
                              from_le64 (disk->new_chunk) };
}

static inline struct cow_disk_exception
cow_exception_put (struct exception e)
{
  return (struct cow_disk_exception) { to_le64 (e.old_chunk),
                                       to_le64 (e.new_chunk) };
}

/* NULL if an entry may map to this chunk of a device of nr_chunks, otherwise
 * what is wrong with it.  Linux 6.1 looks at none of this: reads of such an
 * exception fail or return metadata, and writes would destroy it.
 */
const char *cow_new_chunk_problem (uint32_t chunk_sectors, uint64_t nr_chunks,
                                   chunk_t new_chunk);

#endif /* NBDM_COW_FORMAT_H */
