/* SPDX-License-Identifier: BSD-3-Clause */
/* The chunk: what snapshots copy, count and number. */

#ifndef NBDM_SNAPSHOT_CHUNK_H
#define NBDM_SNAPSHOT_CHUNK_H

#include <stdint.h>

#include "common/units.h"

/* The number of a chunk: a position divided by the chunk size of the snapshot,
 * which is a power of two of sectors.  An old chunk is one of the origin,
 * counted from the start of the origin device wherever the target begins; a
 * new chunk is one of the COW device.  64 bits: only a chunk's size is small.
 */
typedef uint64_t chunk_t;

/* Old chunks [old_chunk, old_chunk+len) are kept at new chunks
 * [new_chunk, new_chunk+len).
 */
struct exception_run {
  chunk_t old_chunk, new_chunk;
  uint64_t len;
};

static inline chunk_t
chunk_of (sector_t sector, uint32_t chunk_sectors)
{
  return sector / chunk_sectors;
}

static inline sector_t
chunk_start (chunk_t chunk, uint32_t chunk_sectors)
{
  return chunk * chunk_sectors;
}

#endif /* NBDM_SNAPSHOT_CHUNK_H */
