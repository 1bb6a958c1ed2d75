/* SPDX-License-Identifier: BSD-3-Clause */
/* What both kinds of space maps have: an index, growth, the search. */

#include "pdata/space-map-common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert (sizeof (struct sm_index_entry) == 16, "index entry");
_Static_assert (sizeof (struct sm_disk_root) == SM_ROOT_BYTES, "root");

uint64_t
sm_nr_bitmaps (block_t nr_blocks)
{
  return nr_blocks / SM_ENTRIES_PER_BITMAP +
    (nr_blocks % SM_ENTRIES_PER_BITMAP != 0);
}

/* The index. */

/* Chunks are made when first asked for: of a large map most are never seen. */
static struct sm_slot *
ll_slot_place (struct sm_ll *ll, uint64_t i)
{
  struct sm_chunk **chunk = &ll->chunks[i / SM_CHUNK_SLOTS];

  if (*chunk == NULL)
    *chunk = calloc (1, sizeof **chunk);
  return *chunk ? &(*chunk)->slots[i % SM_CHUNK_SLOTS] : NULL;
}

/* Foreign tools get the two numbers wrong, so they only have to be sane. */
static int
ll_unpack_slot (struct sm_slot *slot, const struct sm_index_entry *e)
{
  slot->block = from_le64 (e->block);
  slot->nr_free = from_le32 (e->nr_free);
  slot->none_free_before = from_le32 (e->none_free_before);
  if (slot->block == BM_SUPERBLOCK || slot->nr_free > SM_ENTRIES_PER_BITMAP ||
      slot->none_free_before > SM_ENTRIES_PER_BITMAP)
    return -EILSEQ;
  slot->loaded = true;
  return 0;
}

void
sm_pack_slot (const struct sm_slot *slot, struct sm_index_entry *e)
{
  e->block = to_le64 (slot->block);
  e->nr_free = to_le32 (slot->nr_free);
  e->none_free_before = to_le32 (slot->none_free_before);
}

int
sm_ll_slot (struct sm_ll *ll, uint64_t i, struct sm_slot **out)
{
  struct sm_slot *slot = ll_slot_place (ll, i);
  struct sm_index_entry entry;
  int r;

  if (slot == NULL)
    return -ENOMEM;
  *out = slot;
  if (slot->loaded)
    return 0;
  r = ll->index->load (ll, i, &entry);
  return r < 0 ? r : ll_unpack_slot (slot, &entry);
}

void
sm_ll_touch (struct sm_ll *ll, struct sm_slot *slot)
{
  slot->dirty = ll->changed = true;
}

/* The limit comes first: the size may be what damage made of it. */
static int
ll_grow_chunks (struct sm_ll *ll, block_t nr_blocks)
{
  uint64_t i, n = sm_nr_bitmaps (nr_blocks) / SM_CHUNK_SLOTS + 1;
  struct sm_chunk **chunks;

  if (sm_nr_bitmaps (nr_blocks) > ll->index->max_bitmaps)
    return -EINVAL;
  if (n <= ll->nr_chunks)
    return 0;
  chunks = reallocarray (ll->chunks, n, sizeof chunks[0]);
  if (chunks == NULL)
    return -ENOMEM;
  for (i = ll->nr_chunks; i < n; i++)
    chunks[i] = NULL;
  ll->chunks = chunks;
  ll->nr_chunks = n;
  return 0;
}

static void
chunk_forget_before (struct sm_chunk *chunk)
{
  unsigned i;

  for (i = 0; i < SM_CHUNK_SLOTS; i++) {
    free (chunk->slots[i].before);
    chunk->slots[i].before = NULL;
  }
}

/* Birth and death. */

void
sm_ll_init (struct sm_ll *ll, struct transaction_manager *tm,
            const struct sm_index_ops *index)
{
  memset (ll, 0, sizeof *ll);
  ll->tm = tm;
  ll->index = index;
  ll->ref_counts.tm = tm;
  ll->ref_counts.levels = 1;
  ll->ref_counts.value_type.size = sizeof (le32);
}

void
sm_ll_exit (struct sm_ll *ll)
{
  uint64_t i;

  for (i = 0; i < ll->nr_chunks; i++)
    if (ll->chunks[i]) {
      chunk_forget_before (ll->chunks[i]);
      free (ll->chunks[i]);
    }
  free (ll->chunks);
  ll->chunks = NULL;
  ll->nr_chunks = 0;
}

int
sm_ll_create (struct sm_ll *ll)
{
  int r = ll->index->create (ll);

  return r < 0 ? r : btree_empty (&ll->ref_counts, &ll->ref_count_root);
}

int
sm_ll_open (struct sm_ll *ll, const void *root)
{
  struct sm_disk_root d;
  int r;

  memcpy (&d, root, sizeof d);
  r = ll_grow_chunks (ll, from_le64 (d.nr_blocks));
  if (r < 0)
    return r;
  ll->nr_blocks = ll->committed_nr_blocks = from_le64 (d.nr_blocks);
  ll->nr_allocated = ll->committed_nr_allocated = from_le64 (d.nr_allocated);
  ll->bitmap_root = from_le64 (d.bitmap_root);
  ll->ref_count_root = from_le64 (d.ref_count_root);
  return 0;
}

void
sm_ll_copy_root (const struct sm_ll *ll, void *root)
{
  struct sm_disk_root d = {
    .nr_blocks = to_le64 (ll->nr_blocks),
    .nr_allocated = to_le64 (ll->nr_allocated),
    .bitmap_root = to_le64 (ll->bitmap_root),
    .ref_count_root = to_le64 (ll->ref_count_root),
  };

  memcpy (root, &d, sizeof d);
}

int
sm_ll_read_bitmap (struct sm_ll *ll, const struct sm_slot *slot,
                struct bm_block **block)
{
  return tm_read_lock (ll->tm, slot->block, &sm_bitmap_validator, block);
}

/* The entries of the last bitmap beyond the end become usable.  Programs that
 * restore metadata do not count them as free (thin_restore 0.9), so count
 * again.
 */
static int
ll_recount_last (struct sm_ll *ll)
{
  struct sm_slot *slot;
  struct bm_block *block;
  uint32_t nr_free, first;
  int r;

  r = sm_ll_slot (ll, ll->nr_blocks / SM_ENTRIES_PER_BITMAP, &slot);
  if (r == 0)
    r = sm_ll_read_bitmap (ll, slot, &block);
  if (r < 0)
    return r;
  nr_free = SM_ENTRIES_PER_BITMAP - bitmap_count_used (bm_data (block));
  first = bitmap_find_free (bm_data (block), NULL, 0, SM_ENTRIES_PER_BITMAP);
  bm_unlock (block);
  if (nr_free != slot->nr_free || first < slot->none_free_before) {
    slot->nr_free = nr_free;
    slot->none_free_before = first;
    sm_ll_touch (ll, slot);
  }
  return 0;
}

static int
ll_add_bitmap (struct sm_ll *ll, uint64_t i)
{
  struct sm_slot *slot = ll_slot_place (ll, i);
  struct bm_block *block;
  int r;

  if (slot == NULL)
    return -ENOMEM;
  r = tm_new_block (ll->tm, &sm_bitmap_validator, &block);
  if (r < 0)
    return r;
  slot->block = bm_block_nr (block);
  slot->nr_free = SM_ENTRIES_PER_BITMAP;
  slot->none_free_before = 0;
  slot->loaded = true;
  sm_ll_touch (ll, slot);
  bm_unlock (block);
  return 0;
}

/* nr_blocks grows first: when the metadata map grows the new bitmaps come from
 * the space that is added.
 */
int
sm_ll_extend (struct sm_ll *ll, block_t extra_blocks)
{
  uint64_t i = sm_nr_bitmaps (ll->nr_blocks);
  block_t nr_blocks = ll->nr_blocks + extra_blocks;
  int r;

  if (nr_blocks < ll->nr_blocks)
    return -EINVAL;
  r = ll_grow_chunks (ll, nr_blocks);
  if (r == 0 && ll->nr_blocks % SM_ENTRIES_PER_BITMAP != 0)
    r = ll_recount_last (ll);
  if (r < 0)
    return r;
  ll->nr_blocks = nr_blocks;
  for (; r == 0 && i < sm_nr_bitmaps (nr_blocks); i++)
    r = ll_add_bitmap (ll, i);
  return r;
}

/* Reading counts. */

int
sm_ll_get_count_2bit (struct sm_ll *ll, block_t b, uint32_t *count)
{
  struct sm_slot *slot;
  struct bm_block *block;
  int r;

  if (b >= ll->nr_blocks)
    return -EINVAL;
  r = sm_ll_slot (ll, b / SM_ENTRIES_PER_BITMAP, &slot);
  if (r == 0)
    r = sm_ll_read_bitmap (ll, slot, &block);
  if (r < 0)
    return r;
  *count = bitmap_get (bm_data (block), b % SM_ENTRIES_PER_BITMAP);
  bm_unlock (block);
  return 0;
}

int
sm_ll_get_large_count (struct sm_ll *ll, block_t b, uint32_t *count)
{
  le32 value;
  int r = btree_lookup (&ll->ref_counts, ll->ref_count_root, &b, &value);

  if (r < 0)
    return r == -ENODATA ? -EILSEQ : r;
  *count = from_le32 (value);
  return *count < 3 ? -EILSEQ : 0;
}

int
sm_ll_get_count (struct sm_ll *ll, block_t b, uint32_t *count)
{
  int r = sm_ll_get_count_2bit (ll, b, count);

  return r == 0 && *count == 3 ? sm_ll_get_large_count (ll, b, count) : r;
}

/* Finding free blocks. */

static int
ll_search_bitmap (struct sm_ll *ll, uint64_t i, unsigned begin, unsigned end,
                  unsigned *found)
{
  struct sm_slot *slot;
  struct bm_block *block;
  int r;

  *found = end;
  r = sm_ll_slot (ll, i, &slot);
  if (r < 0 || slot->nr_free == 0)
    return r;
  if (begin < slot->none_free_before)
    begin = slot->none_free_before;
  r = sm_ll_read_bitmap (ll, slot, &block);
  if (r < 0)
    return r;
  *found = bitmap_find_free (bm_data (block), slot->before, begin, end);
  bm_unlock (block);
  return 0;
}

/* Bitmap by bitmap.  Only the index is looked at of those that are full. */
static int
ll_search (struct sm_ll *ll, block_t begin, block_t end, block_t *b)
{
  uint64_t i;
  block_t base;
  unsigned limit, found;
  int r;

  for (; begin < end; begin = base + SM_ENTRIES_PER_BITMAP) {
    i = begin / SM_ENTRIES_PER_BITMAP;
    base = i * SM_ENTRIES_PER_BITMAP;
    limit = end - base < SM_ENTRIES_PER_BITMAP ? end - base
                                               : SM_ENTRIES_PER_BITMAP;
    r = ll_search_bitmap (ll, i, begin - base, limit, &found);
    if (r < 0)
      return r;
    if (found < limit) {
      *b = base + found;
      return 0;
    }
  }
  return -ENOSPC;
}

/* Not from the start each time: that way allocation walks the whole device, and
 * what was freed rests for a while.
 */
int
sm_ll_find_free (struct sm_ll *ll, block_t *b)
{
  int r = ll_search (ll, ll->cursor, ll->nr_blocks, b);

  if (r == -ENOSPC)
    r = ll_search (ll, 0, ll->cursor, b);
  if (r == 0)
    ll->cursor = *b + 1;
  return r;
}

/* Commit. */

int
sm_ll_write_index (struct sm_ll *ll)
{
  int r;

  if (!ll->changed)
    return 0;
  r = ll->index->commit (ll);
  if (r == 0)
    ll->changed = false;
  return r;
}

void
sm_ll_end_transaction (struct sm_ll *ll)
{
  uint64_t i;

  for (i = 0; i < ll->nr_chunks; i++)
    if (ll->chunks[i])
      chunk_forget_before (ll->chunks[i]);
  ll->committed_nr_blocks = ll->nr_blocks;
  ll->committed_nr_allocated = ll->nr_allocated;
}
