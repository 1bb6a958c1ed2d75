/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: metadata are never overwritten, but copied and replaced. */

#include "pdata/transaction-manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pdata/space-map-metadata.h"

/* Open addressing; 0, the superblock, which has no shadow, marks free slots.
 * Never more than half full.
 */
struct tm_shadows {
  block_t *slots;
  size_t nr_slots, nr_used; /* nr_slots is a power of two, or 0 */
};

struct transaction_manager {
  struct block_manager *bm;
  struct space_map *sm;
  struct tm_shadows shadows; /* blocks made in this transaction */
};

static size_t
tm_slot (const struct tm_shadows *set, block_t nr)
{
  size_t i = nr * UINT64_C (0x9e3779b97f4a7c15) >> 20;

  for (i &= set->nr_slots - 1; set->slots[i] && set->slots[i] != nr;
       i = (i + 1) & (set->nr_slots - 1))
    ;
  return i;
}

static bool
tm_is_shadow (const struct transaction_manager *tm, block_t nr)
{
  const struct tm_shadows *set = &tm->shadows;

  return set->nr_slots > 0 && nr != BM_SUPERBLOCK &&
    set->slots[tm_slot (set, nr)] == nr;
}

static int
tm_grow_shadows (struct tm_shadows *set)
{
  struct tm_shadows bigger = { .nr_slots = set->nr_slots ? set->nr_slots * 2
                                                         : 256 };
  size_t i;

  bigger.slots = calloc (bigger.nr_slots, sizeof bigger.slots[0]);
  if (bigger.slots == NULL)
    return -ENOMEM;
  for (i = 0; i < set->nr_slots; i++)
    if (set->slots[i])
      bigger.slots[tm_slot (&bigger, set->slots[i])] = set->slots[i];
  bigger.nr_used = set->nr_used;
  free (set->slots);
  *set = bigger;
  return 0;
}

/* Without memory the block is not noted and will be copied once more than
 * needed, which is no error.
 */
static void
tm_note_shadow (struct transaction_manager *tm, block_t nr)
{
  struct tm_shadows *set = &tm->shadows;
  size_t slot;

  if (set->nr_used * 2 >= set->nr_slots && tm_grow_shadows (set) < 0)
    return;
  slot = tm_slot (set, nr);
  if (set->slots[slot] != nr)
    set->nr_used++;
  set->slots[slot] = nr;
}

static void
tm_forget_shadows (struct transaction_manager *tm)
{
  free (tm->shadows.slots);
  memset (&tm->shadows, 0, sizeof tm->shadows);
}

/* The map is made without contents first: those are blocks of the manager. */
static int
tm_alloc (struct block_manager *bm, struct transaction_manager **out)
{
  struct transaction_manager *tm = calloc (1, sizeof *tm);
  int r;

  if (tm == NULL)
    return -ENOMEM;
  tm->bm = bm;
  r = sm_metadata_alloc (&tm->sm);
  if (r < 0)
    free (tm);
  else
    *out = tm;
  return r;
}

int
tm_create (struct block_manager *bm, struct transaction_manager **out)
{
  block_t nr_blocks = bm_nr_blocks (bm);
  struct transaction_manager *tm;
  int r;

  if (nr_blocks > SM_METADATA_MAX_BLOCKS)
    nr_blocks = SM_METADATA_MAX_BLOCKS;
  r = tm_alloc (bm, &tm);
  if (r < 0)
    return r;
  r = sm_metadata_create (tm->sm, tm, nr_blocks);
  if (r < 0)
    tm_destroy (tm);
  else
    *out = tm;
  return r;
}

int
tm_open (struct block_manager *bm, const void *root,
         struct transaction_manager **out)
{
  struct transaction_manager *tm;
  int r;

  r = tm_alloc (bm, &tm);
  if (r < 0)
    return r;
  r = sm_metadata_open (tm->sm, tm, root);
  if (r < 0)
    tm_destroy (tm);
  else
    *out = tm;
  return r;
}

int
tm_open_without_map (struct block_manager *bm,
                     struct transaction_manager **out)
{
  return tm_alloc (bm, out);
}

void
tm_destroy (struct transaction_manager *tm)
{
  if (tm == NULL)
    return;
  sm_destroy (tm->sm);
  tm_forget_shadows (tm);
  free (tm);
}

struct block_manager *
tm_block_manager (struct transaction_manager *tm)
{
  return tm->bm;
}

struct space_map *
tm_metadata_sm (struct transaction_manager *tm)
{
  return tm->sm;
}

int
tm_pre_commit (struct transaction_manager *tm)
{
  int r = sm_commit (tm->sm);

  return r < 0 ? r : bm_flush (tm->bm);
}

int
tm_commit (struct transaction_manager *tm, struct bm_block *superblock)
{
  int r;

  bm_unlock (superblock);
  r = bm_flush (tm->bm);
  if (r == 0)
    tm_forget_shadows (tm);
  return r;
}

int
tm_new_block (struct transaction_manager *tm, const struct bm_validator *v,
              struct bm_block **block)
{
  block_t nr;
  int r;

  r = sm_new_block (tm->sm, &nr);
  if (r < 0)
    return r;
  if (nr == BM_SUPERBLOCK) /* then the map on disk says that it is free */
    return -EILSEQ;
  r = bm_write_lock_zero (tm->bm, nr, v, block);
  if (r == 0)
    tm_note_shadow (tm, nr);
  return r;
}

/* The new block is allocated before the old one is let go, and the old one
 * keeps its contents: it is part of what is on disk.
 */
static int
tm_copy (struct transaction_manager *tm, block_t orig,
         const struct bm_validator *v, struct bm_block **block)
{
  struct bm_block *copy, *old;
  int r;

  r = tm_new_block (tm, v, &copy);
  if (r < 0)
    return r;
  r = sm_dec (tm->sm, orig, orig + 1);
  if (r == 0)
    r = bm_read_lock (tm->bm, orig, v, &old);
  if (r < 0) {
    bm_unlock (copy);
    return r;
  }
  memcpy (bm_data (copy), bm_data (old), BM_BLOCK_BYTES);
  bm_unlock (old);
  *block = copy;
  return 0;
}

int
tm_shadow (struct transaction_manager *tm, block_t orig,
           const struct bm_validator *v, struct bm_block **block, bool *inc)
{
  int r;

  r = sm_is_shared (tm->sm, orig, inc);
  if (r < 0)
    return r;
  if (!*inc && tm_is_shadow (tm, orig))
    return bm_write_lock (tm->bm, orig, v, block);
  return tm_copy (tm, orig, v, block);
}

int
tm_read_lock (struct transaction_manager *tm, block_t nr,
              const struct bm_validator *v, struct bm_block **block)
{
  return bm_read_lock (tm->bm, nr, v, block);
}

int
tm_inc (struct transaction_manager *tm, block_t nr)
{
  return sm_inc (tm->sm, nr, nr + 1);
}

int
tm_dec (struct transaction_manager *tm, block_t nr)
{
  return sm_dec (tm->sm, nr, nr + 1);
}

int
tm_get_count (struct transaction_manager *tm, block_t nr, uint32_t *count)
{
  return sm_get_count (tm->sm, nr, count);
}

int
tm_is_shared (struct transaction_manager *tm, block_t nr, bool *shared)
{
  return sm_is_shared (tm->sm, nr, shared);
}

/* Values of neighbouring keys tend to be neighbours themselves, and a range
 * costs one look at a bitmap.
 */
int
tm_for_each_run (struct space_map *sm, tm_run_fn fn, const le64 *values,
                 unsigned n)
{
  block_t begin, end;
  unsigned i = 0;
  int r;

  while (i < n) {
    begin = end = from_le64 (values[i]);
    for (; i < n && from_le64 (values[i]) == end; i++)
      end++;
    r = fn (sm, begin, end);
    if (r < 0)
      return r;
  }
  return 0;
}

int
tm_inc_values (struct transaction_manager *tm, const le64 *values, unsigned n)
{
  return tm_for_each_run (tm->sm, sm_inc, values, n);
}

int
tm_dec_values (struct transaction_manager *tm, const le64 *values, unsigned n)
{
  return tm_for_each_run (tm->sm, sm_dec, values, n);
}
