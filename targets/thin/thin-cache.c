/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of a thin that were looked up before, found again without a lock. */

#include "targets/thin/thin-cache.h"

#include <errno.h>
#include <stdlib.h>

#define CACHE_DATA_BITS 39
#define CACHE_DATA_MASK ((UINT64_C (1) << CACHE_DATA_BITS) - 1)
#define CACHE_SHARED (UINT64_C (1) << CACHE_DATA_BITS)
#define CACHE_TAG_SHIFT (CACHE_DATA_BITS + 1)
#define CACHE_TAGS (UINT64_C (1) << (64 - CACHE_TAG_SHIFT))

int
thin_cache_init (struct thin_cache *cache)
{
  cache->slots = calloc (THIN_CACHE_SLOTS, sizeof *cache->slots);
  cache->epoch = 0;
  return cache->slots ? 0 : -ENOMEM;
}

void
thin_cache_destroy (struct thin_cache *cache)
{
  free ((void *) cache->slots);
}

static _Atomic uint64_t *
cache_slot (const struct thin_cache *cache, block_t block)
{
  return &cache->slots[block % THIN_CACHE_SLOTS];
}

bool
thin_cache_find (const struct thin_cache *cache, block_t block,
                 struct thin_mapping *mapping)
{
  uint64_t word = *cache_slot (cache, block);

  if (word == 0 || word >> CACHE_TAG_SHIFT != block >> THIN_CACHE_BITS)
    return false;
  mapping->data_block = (word & CACHE_DATA_MASK) - 1;
  mapping->shared = word & CACHE_SHARED;
  return true;
}

void
thin_cache_note (struct thin_cache *cache, unsigned epoch, block_t block,
                 const struct thin_mapping *mapping)
{
  uint64_t tag = block >> THIN_CACHE_BITS;

  if (tag >= CACHE_TAGS || mapping->data_block >= CACHE_DATA_MASK)
    return;
  *cache_slot (cache, block) = tag << CACHE_TAG_SHIFT |
    (mapping->shared ? CACHE_SHARED : 0) | (mapping->data_block + 1);
  if (cache->epoch != epoch)
    *cache_slot (cache, block) = 0;
}

void
thin_cache_forget (struct thin_cache *cache, block_t begin, block_t end)
{
  struct thin_mapping mapping;

  for (; begin < end; begin++)
    if (thin_cache_find (cache, begin, &mapping))
      *cache_slot (cache, begin) = 0;
}

void
thin_cache_forget_all (struct thin_cache *cache)
{
  size_t i;

  cache->epoch++;
  for (i = 0; i < THIN_CACHE_SLOTS; i++)
    if (cache->slots[i])
      cache->slots[i] = 0;
}
