/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying chunks between the origin and a COW device. */

#ifndef NBDM_SNAPSHOT_COPY_H
#define NBDM_SNAPSHOT_COPY_H

#include <stdint.h>

#include "common/block-device.h"

/* The most that is read at once; what is longer goes in several steps.  A
 * chunk of up to this size is read once however many snapshots want it.
 */
#define COPY_MAX_SECTORS (UINT64_C (512) << 1)

#define COPY_SMALL_BYTES 4096

/* One thread's buffer, on its stack.  Small chunks need no memory beyond it,
 * and without memory larger ones are copied in small steps: to copy never
 * fails for want of memory.
 *
 * What was read stays in it: a later copy of a part of it does not read again.
 * So who copies to several COW devices starts with the one that has the largest
 * chunks, and sees to it that nobody changes the source meanwhile.
 */
struct copier {
  struct block_device *held_of; /* NULL: nothing is held */
  sector_t held, held_len;

  char *heap;
  sector_t heap_len;
  _Alignas (COPY_SMALL_BYTES) char small[COPY_SMALL_BYTES];
};

void copier_init (struct copier *copier);
void copier_destroy (struct copier *copier);

struct copy {
  struct block_device *from, *to;
  sector_t from_sector, to_sector, len;

  /* NULL, or a write or write-zeroes whose data takes the place of what is in
   * its range of `from`.  What covers whole chunks is neither read nor
   * copied in memory.
   */
  const struct bio *over;
  uint32_t chunk_sectors;
};

/* Blocks.  0, or the -errno of the read or write that failed.  Nothing is
 * flushed.
 */
int copy_sectors (struct copier *copier, const struct copy *copy);

/* Zeroes for [sector, sector+len) of a device, even of one that knows only
 * writes.  flags are a bio's.  Blocks; 0 or -errno.
 */
int copy_zeroes (struct block_device *bdev, sector_t sector, sector_t len,
                 unsigned flags);

#endif /* NBDM_SNAPSHOT_COPY_H */
