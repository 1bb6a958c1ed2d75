/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and writing the parts of a COW device; remembers nothing. */

#include "targets/snapshot/cow-io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define COW_ALIGNMENT 4096

/* Written, never changed: what must not fail for lack of memory uses it. */
static struct cow_disk_exception cow_zeroes[COW_PAGE_MAX_BYTES /
                                            sizeof (struct cow_disk_exception)]
  __attribute__ ((aligned (COW_ALIGNMENT)));

void *
cow_alloc (size_t bytes)
{
  size_t rounded = (bytes + COW_ALIGNMENT - 1) / COW_ALIGNMENT * COW_ALIGNMENT;
  void *p = aligned_alloc (COW_ALIGNMENT, rounded);

  if (p)
    memset (p, 0, rounded);
  return p;
}

static int
cow_rw (struct block_device *cow, enum bio_op op, unsigned flags,
        uint64_t offset_bytes, void *data, size_t bytes)
{
  struct bio bio = { .op = op, .flags = flags, .bdev = cow,
                     .sector = bytes_to_sectors (offset_bytes),
                     .len = bytes_to_sectors (bytes), .data = data };

  if (!sectors_in_range (bio.sector, bio.len, bdev_size (cow)))
    return -EIO;
  return bdev_submit (cow, &bio);
}

int
cow_read_header (struct block_device *cow, unsigned block_bytes,
                 enum cow_header_kind *kind, struct cow_header *header)
{
  void *CLEANUP_FREE block = cow_alloc (block_bytes);
  int r;

  if (block == NULL)
    return -ENOMEM;
  r = cow_rw (cow, BIO_READ, 0, 0, block, block_bytes);
  if (r == 0)
    *kind = cow_header_get (block, header);
  return r;
}

int
cow_write_header (struct block_device *cow, void *block, unsigned block_bytes,
                  const struct cow_header *header)
{
  memset (block, 0, block_bytes);
  cow_header_put (block, header);
  return cow_rw (cow, BIO_WRITE, 0, 0, block, block_bytes);
}

int
cow_read_page (struct block_device *cow, uint32_t chunk_sectors,
               uint64_t page_nr, struct cow_disk_exception *page)
{
  uint64_t first = page_nr * cow_page_entries (chunk_sectors);

  return cow_rw (cow, BIO_READ, 0,
                 cow_entry_offset_bytes (chunk_sectors, first), page,
                 cow_page_bytes (chunk_sectors));
}

int
cow_write_entries (struct block_device *cow, uint32_t chunk_sectors,
                   uint64_t first, struct cow_disk_exception *entries,
                   uint32_t n, unsigned bio_flags)
{
  return cow_rw (cow, BIO_WRITE, bio_flags,
                 cow_entry_offset_bytes (chunk_sectors, first), entries,
                 n * sizeof *entries);
}

int
cow_zero_area_from (struct block_device *cow, uint32_t chunk_sectors,
                    uint64_t first)
{
  uint32_t per_area = cow_entries_per_area (chunk_sectors);
  uint32_t per_page = cow_page_entries (chunk_sectors);
  uint64_t end = (first / per_area + 1) * per_area;
  uint32_t n;
  int r = 0;

  for (; r == 0 && first < end; first += n) {
    n = per_page - first % per_page;
    r = cow_write_entries (cow, chunk_sectors, first, cow_zeroes, n, 0);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Walking through a table.
 */

static bool
cow_is_zero (const struct cow_disk_exception *entries, uint32_t n)
{
  const unsigned char *p = (const void *) entries;
  size_t bytes = n * sizeof *entries;

  return bytes == 0 || (p[0] == 0 && memcmp (p, p + 1, bytes - 1) == 0);
}

/* Look at what follows the terminator, which is in the page. */
static int
cow_find_stale (struct block_device *cow, uint32_t chunk_sectors,
                struct cow_disk_exception *page, struct cow_end *end)
{
  uint32_t per_page = cow_page_entries (chunk_sectors);
  uint64_t pages_per_area = cow_entries_per_area (chunk_sectors) / per_page;
  uint64_t page_nr = end->nr_entries / per_page;
  uint32_t used = end->nr_entries % per_page;
  int r = 0;

  end->stale = !cow_is_zero (page + used, per_page - used);
  while (r == 0 && !end->stale && ++page_nr % pages_per_area != 0) {
    r = cow_read_page (cow, chunk_sectors, page_nr, page);
    end->stale = r == 0 && !cow_is_zero (page, per_page);
  }
  return r;
}

int
cow_read_entries (struct block_device *cow, uint32_t chunk_sectors,
                  int (*fn) (void *, uint64_t, const struct exception *),
                  void *opaque, struct cow_end *end)
{
  struct cow_disk_exception *CLEANUP_FREE page =
    cow_alloc (cow_page_bytes (chunk_sectors));
  uint32_t per_page = cow_page_entries (chunk_sectors);
  struct exception e;
  uint64_t nr;
  int r;

  if (page == NULL)
    return -ENOMEM;
  for (nr = 0;; nr++) {
    if (nr % per_page == 0) {
      r = cow_read_page (cow, chunk_sectors, nr / per_page, page);
      if (r < 0)
        return r;
    }
    e = cow_exception_get (&page[nr % per_page]);
    if (e.new_chunk == 0)
      break;
    r = fn (opaque, nr, &e);
    if (r != 0)
      return r;
  }
  end->nr_entries = nr;
  return cow_find_stale (cow, chunk_sectors, page, end);
}
