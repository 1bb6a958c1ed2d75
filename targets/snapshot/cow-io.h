/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and writing the parts of a COW device; remembers nothing. */

#ifndef NBDM_COW_IO_H
#define NBDM_COW_IO_H

#include <stddef.h>

#include "common/block-device.h"
#include "targets/snapshot/cow-format.h"

/* All of these block, and return 0 or -errno.  Beyond the end is -EIO.  Buffers
 * are aligned by cow_alloc.
 */

/* Metadata areas can have up to 1 GiB.  They are read, and held in memory, by
 * pages: page nr has the entries from nr * cow_page_entries on.  A page lies
 * within one area.
 */
#define COW_PAGE_MAX_BYTES (64u << 10)

static inline uint32_t
cow_page_bytes (uint32_t chunk_sectors)
{
  uint64_t bytes = sectors_to_bytes (chunk_sectors);

  return bytes < COW_PAGE_MAX_BYTES ? bytes : COW_PAGE_MAX_BYTES;
}

static inline uint32_t
cow_page_entries (uint32_t chunk_sectors)
{
  return cow_page_bytes (chunk_sectors) / sizeof (struct cow_disk_exception);
}

/* Zeroes, aligned for any device; free frees them.  NULL without memory. */
void *cow_alloc (size_t bytes);

/* How many whole chunks the device has now. */
static inline uint64_t
cow_nr_chunks (struct block_device *cow, uint32_t chunk_sectors)
{
  return bdev_size (cow) / chunk_sectors;
}

/* Read or write the first block_bytes (at least a sector) of the device.  What
 * follows in chunk 0 stays as it is.
 */
int cow_read_header (struct block_device *cow, unsigned block_bytes,
                     enum cow_header_kind *kind, struct cow_header *header);

/* block: block_bytes of cow_alloc, so that this cannot run out of memory. */
int cow_write_header (struct block_device *cow, void *block,
                      unsigned block_bytes, const struct cow_header *header);

int cow_read_page (struct block_device *cow, uint32_t chunk_sectors,
                   uint64_t page_nr, struct cow_disk_exception *page);

/* Read or write entries [first, first+n), whole blocks of one page. */
int cow_write_entries (struct block_device *cow, uint32_t chunk_sectors,
                       uint64_t first, struct cow_disk_exception *entries,
                       uint32_t n, unsigned bio_flags);

/* Write zeroes over what follows entry first - 1 in its area: whole blocks
 * only.  first is that of an area for all of it.
 */
int cow_zero_area_from (struct block_device *cow, uint32_t chunk_sectors,
                        uint64_t first);

/* Where the table of a store ends. */
struct cow_end {
  uint64_t nr_entries;

  /* There is something behind the terminator in its area.  It does not count,
   * but would if an append overwrote the terminator only.
   */
  bool stale;
};

/* Call fn for each entry in order; a result other than 0 ends it and is
 * returned.
 */
int cow_read_entries (struct block_device *cow, uint32_t chunk_sectors,
                      int (*fn) (void *opaque, uint64_t nr,
                                 const struct exception *e),
                      void *opaque, struct cow_end *end);

#endif /* NBDM_COW_IO_H */
