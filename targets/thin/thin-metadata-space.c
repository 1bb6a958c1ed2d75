/* SPDX-License-Identifier: BSD-3-Clause */
/* Data blocks and space of a thin pool; its metadata snapshot. */

#include <errno.h>
#include <string.h>

#include "pdata/space-map-metadata.h"
#include "targets/thin/thin-metadata-internal.h"

/* Data blocks.  Lookups do not read these trees: the root gate stays open. */

/* The map of data blocks says -ENOSPC before it changes anything, but when it
 * finds no metadata block for its own changes it says the same.
 */
static int
space_alloc (struct thin_metadata *md, block_t *block)
{
  int r;

  md->touched = true;
  r = sm_new_block (md->data_sm, block);
  if (r == 0)
    md->changed = true;
  else if (r == -ENOSPC && sm_nr_free (tm_metadata_sm (md->tm)) > 0)
    md->touched = false;
  return r;
}

int
thin_meta_alloc_data_block (struct thin_metadata *md, block_t *block)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  return thin_meta_settle (md, space_alloc (md, block));
}

static int
space_count (struct thin_metadata *md, tm_run_fn fn, block_t begin,
             block_t end)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  thin_meta_touch (md);
  return thin_meta_settle (md, fn (md->data_sm, begin, end));
}

int
thin_meta_inc_data (struct thin_metadata *md, block_t begin, block_t end)
{
  return space_count (md, sm_inc, begin, end);
}

int
thin_meta_dec_data (struct thin_metadata *md, block_t begin, block_t end)
{
  return space_count (md, sm_dec, begin, end);
}

int
thin_meta_data_is_shared (struct thin_metadata *md, block_t block,
                          bool *shared)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_read (md);

  return r < 0 ? r : sm_is_shared (md->data_sm, block, shared);
}

/* Space. */

static block_t
space_reserve (block_t metadata_blocks)
{
  return metadata_blocks / 10 < 4096 ? metadata_blocks / 10 : 4096;
}

/* The sizes can change between the reads. */
void
thin_meta_usage (struct thin_metadata *md, struct thin_meta_usage *usage)
{
  block_t metadata_free = md->metadata_free, data_free = md->data_free;
  block_t reserve;

  usage->metadata_blocks = md->metadata_blocks;
  usage->data_blocks = md->data_blocks;
  reserve = space_reserve (usage->metadata_blocks);
  metadata_free = metadata_free > reserve ? metadata_free - reserve : 0;
  usage->metadata_free = metadata_free < usage->metadata_blocks
    ? metadata_free : usage->metadata_blocks;
  usage->data_free = data_free < usage->data_blocks
    ? data_free : usage->data_blocks;
}

/* old: growth that is not yet committed counts. */
static int
space_extend (struct thin_metadata *md, struct space_map *sm, block_t old,
              block_t nr_blocks)
{
  if (nr_blocks <= old)
    return nr_blocks < old ? -EINVAL : 0;
  thin_meta_touch (md);
  return sm_extend (sm, nr_blocks - old);
}

int
thin_meta_resize_data (struct thin_metadata *md, block_t nr_blocks)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  r = space_extend (md, md->data_sm, md->data_end, nr_blocks);
  if (r == 0)
    md->data_end = nr_blocks;
  return thin_meta_settle (md, r);
}

int
thin_meta_resize_metadata (struct thin_metadata *md, block_t nr_blocks)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  struct space_map *sm;
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  if (nr_blocks > SM_METADATA_MAX_BLOCKS)
    nr_blocks = SM_METADATA_MAX_BLOCKS;
  sm = tm_metadata_sm (md->tm);
  r = space_extend (md, sm, sm_nr_blocks (sm), nr_blocks);
  return thin_meta_settle (md, r);
}

int
thin_meta_set_threshold (struct thin_metadata *md, block_t free_blocks,
                         void (*fn) (void *context), void *context)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_read (md);

  if (r < 0)
    return r;
  md->threshold = free_blocks;
  md->threshold_fn = fn;
  md->threshold_context = context;
  if (md->no_map)
    return 0;
  return sm_set_threshold (tm_metadata_sm (md->tm), free_blocks, fn, context);
}

/* The metadata snapshot. */

/* A copy of the superblock in a block of its own, without the space maps, which
 * nobody keeps for it.
 */
static int
snap_copy_super (struct thin_metadata *md, block_t *nr)
{
  struct thin_superblock *copy;
  struct bm_block *block;
  bool inc;
  int r;

  r = tm_inc (md->tm, BM_SUPERBLOCK);
  if (r == 0)
    r = tm_shadow (md->tm, BM_SUPERBLOCK, &thin_superblock_validator, &block,
                   &inc);
  if (r < 0)
    return r;
  copy = bm_data (block);
  memset (copy->data_sm_root, 0, sizeof copy->data_sm_root);
  memset (copy->metadata_sm_root, 0, sizeof copy->metadata_sm_root);
  *nr = bm_block_nr (block);
  bm_unlock (block);
  return 0;
}

static int
snap_reserve (struct thin_metadata *md)
{
  block_t copy;
  int r;

  if (md->held_root)
    return -EBUSY;
  r = thin_meta_commit_locked (md);
  if (r < 0)
    return r;
  thin_meta_touch (md);
  r = snap_copy_super (md, &copy);
  if (r == 0)
    r = tm_inc (md->tm, md->mapping_root);
  if (r == 0)
    r = tm_inc (md->tm, md->details_root);
  if (r < 0)
    return r;
  md->held_root = copy;
  return thin_meta_commit_locked (md);
}

int
thin_meta_reserve_snap (struct thin_metadata *md)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  return thin_meta_settle (md, snap_reserve (md));
}

static int
snap_read (struct thin_metadata *md, block_t held, block_t *mapping_root,
           block_t *details_root)
{
  const struct thin_superblock *s;
  struct bm_block *block;
  int r;

  r = bm_read_lock (md->bm, held, &thin_superblock_validator, &block);
  if (r < 0)
    return r;
  s = bm_data (block);
  *mapping_root = from_le64 (s->mapping_root);
  *details_root = from_le64 (s->details_root);
  bm_unlock (block);
  return 0;
}

static int
snap_release (struct thin_metadata *md)
{
  block_t held = md->held_root, mapping_root, details_root;
  int r = held ? snap_read (md, held, &mapping_root, &details_root) : -EINVAL;

  if (r < 0)
    return r;
  thin_meta_touch (md);
  md->held_root = 0;
  r = btree_del (&md->mappings, mapping_root);
  if (r == 0)
    r = btree_del (&md->details, details_root);
  if (r == 0)
    r = tm_dec (md->tm, held);
  return r < 0 ? r : thin_meta_commit_locked (md);
}

int
thin_meta_release_snap (struct thin_metadata *md)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  return thin_meta_settle (md, snap_release (md));
}
