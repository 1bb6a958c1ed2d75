/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of a thin that were looked up before, found again without a lock. */

#ifndef NBDM_THIN_CACHE_H
#define NBDM_THIN_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "targets/thin/thin-metadata.h"

#define THIN_CACHE_BITS 16
#define THIN_CACHE_SLOTS (1u << THIN_CACHE_BITS)

/* One word per slot, so that it is read and written as a whole: 24 bits tell
 * which of the virtual blocks that share the slot it is, one that the mapping
 * may be shared, 39 the data block + 1.  Zero is empty.  Blocks that do not fit
 * into these bits are not kept.
 *
 * Who holds a cell on a block may note its mapping or forget it; so what is
 * found under a cell is true.  What changes mappings beside all cells (a
 * rolled back transaction) moves the epoch, then forgets everything; a note
 * that was looked up before that is taken back.
 */
struct thin_cache {
  _Atomic uint64_t *slots;
  atomic_uint epoch;
};

/* 512 KiB of address space, of which the pages in use are taken. */
int thin_cache_init (struct thin_cache *cache); /* -ENOMEM */
void thin_cache_destroy (struct thin_cache *cache);

bool thin_cache_find (const struct thin_cache *cache, block_t block,
                      struct thin_mapping *mapping);

/* epoch: cache->epoch before the mapping was looked up. */
void thin_cache_note (struct thin_cache *cache, unsigned epoch, block_t block,
                      const struct thin_mapping *mapping);

void thin_cache_forget (struct thin_cache *cache, block_t begin, block_t end);
void thin_cache_forget_all (struct thin_cache *cache);

#endif /* NBDM_THIN_CACHE_H */
