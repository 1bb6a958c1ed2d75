/* SPDX-License-Identifier: BSD-3-Clause */
/* The space map of the metadata blocks, which it is itself made of. */

#include "pdata/space-map-metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "pdata/space-map-common.h"

#define INDEX_SALT 160478
#define INDEX_ENTRIES 255

/* Changes of counts that may wait at a time; the kernel's limit, too. */
#define METADATA_MAX_PENDING 1024

/* Changing a count shadows blocks of the map, which changes more counts.  Those
 * wait, first in first out: the count of a new block must be raised before it
 * can be lowered.
 */
struct pending_op {
  bool inc;
  block_t begin, end;
};

struct sm_metadata {
  struct space_map sm;
  struct sm_ll ll;
  unsigned depth;           /* of changes of counts */
  block_t nr_new;           /* allocated in this transaction */
  struct pending_op pending[METADATA_MAX_PENDING];
  unsigned first, nr_pending;

  block_t threshold, last_free; /* last_free: as last compared */
  sm_threshold_fn threshold_fn; /* NULL: none set */
  void *threshold_context;
};

static struct sm_metadata *
sm_metadata (struct space_map *sm)
{
  return container_of (sm, struct sm_metadata, sm);
}

/* The index is one block. */

struct metadata_index {
  le32 csum;
  le32 unused;
  le64 blocknr;
  struct sm_index_entry entries[INDEX_ENTRIES];
};

_Static_assert (sizeof (struct metadata_index) == BM_BLOCK_BYTES, "index");
_Static_assert (SM_METADATA_MAX_BLOCKS == INDEX_ENTRIES *
                SM_ENTRIES_PER_BITMAP, "largest metadata map");

static const struct bm_validator index_validator = {
  .salt = INDEX_SALT,
  .nr_offset = offsetof (struct metadata_index, blocknr),
};

static int
metadata_index_create (struct sm_ll *ll)
{
  struct bm_block *block;
  int r = tm_new_block (ll->tm, &index_validator, &block);

  if (r < 0)
    return r;
  ll->bitmap_root = bm_block_nr (block);
  bm_unlock (block);
  return 0;
}

static int
metadata_index_load (struct sm_ll *ll, uint64_t i,
                     struct sm_index_entry *entry)
{
  const struct metadata_index *index;
  struct bm_block *block;
  int r = tm_read_lock (ll->tm, ll->bitmap_root, &index_validator, &block);

  if (r < 0)
    return r;
  index = bm_data (block);
  *entry = index->entries[i];
  bm_unlock (block);
  return 0;
}

/* Every slot has to be in memory before the first can be written: making the
 * shadow may change slots.
 */
static int
metadata_index_load_all (struct sm_ll *ll)
{
  struct sm_slot *slot;
  uint64_t i;
  int r = 0;

  for (i = 0; r == 0 && i < sm_nr_bitmaps (ll->nr_blocks); i++)
    r = sm_ll_slot (ll, i, &slot);
  return r;
}

static int
metadata_index_commit (struct sm_ll *ll)
{
  struct metadata_index *index;
  struct bm_block *block;
  uint64_t i;
  bool inc;
  int r;

  r = tm_shadow (ll->tm, ll->bitmap_root, &index_validator, &block, &inc);
  if (r < 0)
    return r;
  index = bm_data (block);
  for (i = 0; i < sm_nr_bitmaps (ll->nr_blocks); i++) {
    sm_pack_slot (&ll->chunks[0]->slots[i], &index->entries[i]);
    ll->chunks[0]->slots[i].dirty = false;
  }
  ll->bitmap_root = bm_block_nr (block);
  bm_unlock (block);
  return 0;
}

static const struct sm_index_ops metadata_index_ops = {
  .max_bitmaps = INDEX_ENTRIES,
  .create = metadata_index_create,
  .load = metadata_index_load,
  .commit = metadata_index_commit,
};

/* Waiting changes. */

static int
metadata_defer (struct sm_metadata *smm, bool inc, block_t begin, block_t end)
{
  unsigned i = (smm->first + smm->nr_pending) % METADATA_MAX_PENDING;

  if (smm->nr_pending == METADATA_MAX_PENDING)
    return -ENOMEM;
  smm->pending[i] = (struct pending_op) { inc, begin, end };
  smm->nr_pending++;
  return 0;
}

static int
metadata_apply (struct sm_metadata *smm, const struct pending_op *op)
{
  return op->inc ? sm_ll_inc (&smm->ll, op->begin, op->end)
                 : sm_ll_dec (&smm->ll, op->begin, op->end);
}

/* Carry out what waits, and what that makes wait.  An operation leaves the
 * queue when it is done.
 */
static int
metadata_drain (struct sm_metadata *smm)
{
  int r;

  while (smm->nr_pending > 0) {
    r = metadata_apply (smm, &smm->pending[smm->first]);
    if (r < 0)
      return r;
    smm->first = (smm->first + 1) % METADATA_MAX_PENDING;
    smm->nr_pending--;
  }
  return 0;
}

/* The end of the outermost change; r is its result so far. */
static int
metadata_leave (struct sm_metadata *smm, int r)
{
  if (smm->depth == 1 && r == 0)
    r = metadata_drain (smm);
  smm->depth--;
  return r;
}

static int
metadata_change (struct sm_metadata *smm, bool inc, block_t begin, block_t end)
{
  const struct pending_op op = { inc, begin, end };

  if (smm->depth > 0)
    return metadata_defer (smm, inc, begin, end);
  smm->depth++;
  return metadata_leave (smm, metadata_apply (smm, &op));
}

/* What the waiting changes will do to the count of b. */
static int
metadata_pending (const struct sm_metadata *smm, block_t b)
{
  const struct pending_op *op;
  unsigned i;
  int sum = 0;

  for (i = 0; i < smm->nr_pending; i++) {
    op = &smm->pending[(smm->first + i) % METADATA_MAX_PENDING];
    if (op->begin <= b && b < op->end)
      sum += op->inc ? 1 : -1;
  }
  return sum;
}

/* The map as usual. */

static void
metadata_destroy (struct space_map *sm)
{
  sm_ll_exit (&sm_metadata (sm)->ll);
  free (sm_metadata (sm));
}

static block_t
metadata_nr_blocks (struct space_map *sm)
{
  return sm_metadata (sm)->ll.nr_blocks;
}

static block_t
metadata_nr_free (struct space_map *sm)
{
  struct sm_metadata *smm = sm_metadata (sm);
  block_t used = smm->ll.committed_nr_allocated + smm->nr_new;

  return smm->ll.committed_nr_blocks > used
    ? smm->ll.committed_nr_blocks - used : 0;
}

static int
metadata_get_count (struct space_map *sm, block_t b, uint32_t *count)
{
  struct sm_metadata *smm = sm_metadata (sm);
  int r = sm_ll_get_count (&smm->ll, b, count);

  if (r == 0)
    *count += metadata_pending (smm, b);
  return r;
}

static int
metadata_is_shared (struct space_map *sm, block_t b, bool *shared)
{
  struct sm_metadata *smm = sm_metadata (sm);
  uint32_t count;
  int r = sm_ll_get_count_2bit (&smm->ll, b, &count);

  if (r < 0)
    return r;
  /* At 3 the count may be any; it takes the tree to know, which may be what
   * is being changed.  A copy too many does no harm.
   */
  *shared = count == 3 || (int) count + metadata_pending (smm, b) > 1;
  return 0;
}

static int
metadata_set_count (struct space_map *sm, block_t b, uint32_t count)
{
  struct sm_metadata *smm = sm_metadata (sm);

  if (smm->depth > 0)
    return -EINVAL;
  smm->depth++;
  return metadata_leave (smm, sm_ll_set_count (&smm->ll, b, count));
}

static int
metadata_inc (struct space_map *sm, block_t begin, block_t end)
{
  return metadata_change (sm_metadata (sm), true, begin, end);
}

static int
metadata_dec (struct space_map *sm, block_t begin, block_t end)
{
  return metadata_change (sm_metadata (sm), false, begin, end);
}

static void
metadata_check_threshold (struct sm_metadata *smm)
{
  block_t nr_free = metadata_nr_free (&smm->sm), last = smm->last_free;

  smm->last_free = nr_free;
  if (smm->threshold_fn && nr_free <= smm->threshold && last > smm->threshold)
    smm->threshold_fn (smm->threshold_context);
}

/* The cursor has moved on, so that the block is not found again while its
 * count waits to be raised.
 */
static int
metadata_new_block (struct space_map *sm, block_t *b)
{
  struct sm_metadata *smm = sm_metadata (sm);
  block_t found;
  int r = sm_ll_find_free (&smm->ll, &found);

  if (r == 0)
    r = metadata_change (smm, true, found, found + 1);
  if (r < 0)
    return r;
  smm->nr_new++;
  metadata_check_threshold (smm);
  *b = found;
  return 0;
}

static int metadata_extend (struct space_map *sm, block_t extra_blocks);

static int
metadata_commit (struct space_map *sm)
{
  struct sm_metadata *smm = sm_metadata (sm);
  int r = sm_ll_write_index (&smm->ll);

  if (r == 0) {
    sm_ll_end_transaction (&smm->ll);
    smm->nr_new = 0;
  }
  return r;
}

static int
metadata_copy_root (struct space_map *sm, void *root)
{
  sm_ll_copy_root (&sm_metadata (sm)->ll, root);
  return 0;
}

static int
metadata_set_threshold (struct space_map *sm, block_t threshold,
                        sm_threshold_fn fn, void *context)
{
  struct sm_metadata *smm = sm_metadata (sm);

  smm->threshold = threshold;
  smm->threshold_fn = fn;
  smm->threshold_context = context;
  smm->last_free = UINT64_MAX;
  return 0;
}

static const struct space_map_ops metadata_ops = {
  .destroy = metadata_destroy,
  .nr_blocks = metadata_nr_blocks,
  .nr_free = metadata_nr_free,
  .get_count = metadata_get_count,
  .is_shared = metadata_is_shared,
  .set_count = metadata_set_count,
  .inc = metadata_inc,
  .dec = metadata_dec,
  .new_block = metadata_new_block,
  .extend = metadata_extend,
  .commit = metadata_commit,
  .copy_root = metadata_copy_root,
  .set_threshold = metadata_set_threshold,
};

/* The map while it is created or extended: there is no bitmap yet to look
 * into, so blocks are handed out in order, and everything else waits.
 */

static int
bootstrap_new_block (struct space_map *sm, block_t *b)
{
  struct sm_ll *ll = &sm_metadata (sm)->ll;

  if (ll->cursor == ll->nr_blocks)
    return -ENOSPC;
  *b = ll->cursor++;
  return 0;
}

static int
bootstrap_get_count (struct space_map *sm, block_t b, uint32_t *count)
{
  *count = b < sm_metadata (sm)->ll.cursor;
  return 0;
}

static int
bootstrap_is_shared (struct space_map *sm, block_t b, bool *shared)
{
  *shared = false;
  return 0;
}

static int
bootstrap_inc (struct space_map *sm, block_t begin, block_t end)
{
  return metadata_defer (sm_metadata (sm), true, begin, end);
}

static int
bootstrap_dec (struct space_map *sm, block_t begin, block_t end)
{
  return metadata_defer (sm_metadata (sm), false, begin, end);
}

static const struct space_map_ops bootstrap_ops = {
  .destroy = metadata_destroy,
  .nr_blocks = metadata_nr_blocks,
  .nr_free = metadata_nr_free,
  .get_count = bootstrap_get_count,
  .is_shared = bootstrap_is_shared,
  .inc = bootstrap_inc,
  .dec = bootstrap_dec,
  .new_block = bootstrap_new_block,
};

/* Count the blocks that the new bitmaps, and the shadows made to count them,
 * have taken; writing the index may take one more; until nothing is taken.
 */
static int
metadata_settle (struct sm_metadata *smm, block_t counted)
{
  block_t taken;
  int r;

  do {
    taken = smm->ll.cursor;
    r = metadata_defer (smm, true, counted, taken);
    if (r == 0)
      r = metadata_drain (smm);
    if (r == 0)
      r = sm_ll_write_index (&smm->ll);
    counted = taken;
  } while (r == 0 && smm->ll.cursor != counted);
  return r;
}

static int
metadata_extend (struct space_map *sm, block_t extra_blocks)
{
  struct sm_metadata *smm = sm_metadata (sm);
  block_t old = smm->ll.nr_blocks;
  int r;

  if (extra_blocks == 0)
    return 0;
  r = metadata_index_load_all (&smm->ll);
  if (r < 0)
    return r;
  smm->ll.cursor = old;
  sm->ops = &bootstrap_ops;
  r = sm_ll_extend (&smm->ll, extra_blocks);
  if (r == 0)
    r = metadata_settle (smm, old);
  sm->ops = &metadata_ops;
  return r;
}

int
sm_metadata_alloc (struct space_map **sm)
{
  struct sm_metadata *smm = calloc (1, sizeof *smm);

  if (smm == NULL)
    return -ENOMEM;
  smm->sm.ops = &metadata_ops;
  smm->last_free = UINT64_MAX;
  *sm = &smm->sm;
  return 0;
}

int
sm_metadata_create (struct space_map *sm, struct transaction_manager *tm,
                    block_t nr_blocks)
{
  struct sm_metadata *smm = sm_metadata (sm);
  struct sm_ll *ll = &smm->ll;
  int r;

  sm_ll_init (ll, tm, &metadata_index_ops);
  ll->cursor = BM_SUPERBLOCK + 1;
  ll->nr_blocks = nr_blocks; /* bounds the bootstrap allocator */
  sm->ops = &bootstrap_ops;
  r = sm_ll_create (ll);
  ll->nr_blocks = 0;
  if (r == 0)
    r = sm_ll_extend (ll, nr_blocks);
  sm->ops = &metadata_ops;
  if (r == 0)
    r = metadata_defer (smm, true, BM_SUPERBLOCK, ll->cursor);
  if (r == 0)
    r = metadata_drain (smm);
  return r < 0 ? r : metadata_commit (sm);
}

int
sm_metadata_open (struct space_map *sm, struct transaction_manager *tm,
                  const void *root)
{
  struct sm_metadata *smm = sm_metadata (sm);
  int r;

  sm_ll_init (&smm->ll, tm, &metadata_index_ops);
  r = sm_ll_open (&smm->ll, root);
  return r < 0 ? r : metadata_index_load_all (&smm->ll);
}
