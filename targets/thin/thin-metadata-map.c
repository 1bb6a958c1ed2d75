/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings of thin devices: looking up, inserting, removing. */

#include <errno.h>

#include "targets/thin/thin-metadata-internal.h"

/* Blocks of a run that are told at once, so that nobody who wants to change
 * something waits for long.
 */
#define MAP_MAX_RUN 4096

/* Blocks unmapped under one hold of the gates. */
#define MAP_MAX_REMOVE 16384

/* The root gate is held, or the change gate. */
static int
map_may_read (struct thin_device *td)
{
  int r = thin_meta_may_read (td->md);

  return r == 0 && td->gone ? -ENODATA : r;
}

/* A value as it is on disk.  A block that is not there would be beyond the end
 * of the data device, or somebody else's.  Those of a metadata snapshot belong
 * to the present thins.
 */
static int
map_unpack (const struct thin_device *td, const void *disk,
            struct thin_mapping *mapping)
{
  uint64_t value = from_le64 (*(const le64 *) disk);

  mapping->data_block = value >> 24;
  mapping->shared = td->md->params.metadata_snapshot ||
    td->snapshotted_time > (value & THIN_MAX_TIME);
  return mapping->data_block < td->md->data_end ? 0 : -EILSEQ;
}

int
thin_dev_find (struct thin_device *td, block_t block,
               struct thin_mapping *mapping)
{
  struct thin_metadata *md = td->md;
  ENTER_SHARED_GATE_FOR_SCOPE (&md->root);
  const uint64_t keys[2] = { td->id, block };
  le64 value;
  int r = map_may_read (td);

  if (r == 0)
    r = btree_lookup (&md->mappings, md->mapping_root, keys, &value);
  return r < 0 ? r : map_unpack (td, &value, mapping);
}

/* The root of the device's own tree. */
static int
map_root (struct thin_device *td, block_t *root)
{
  struct thin_metadata *md = td->md;
  const uint64_t key = td->id;
  le64 value;
  int r = map_may_read (td);

  if (r == 0)
    r = btree_lookup (&md->devices, md->mapping_root, &key, &value);
  if (r == 0)
    *root = from_le64 (value);
  return r;
}

/* The cursor stands at the first mapping from begin on. */
static int
map_read_run (struct thin_device *td, struct btree_cursor *c, block_t end,
              struct thin_range *range)
{
  struct thin_mapping m;
  int r;

  r = map_unpack (td, btree_cursor_value (c), &m);
  if (r < 0)
    return r;
  *range = (struct thin_range) {
    .begin = btree_cursor_key (c), .data_begin = m.data_block,
    .shared = m.shared,
  };
  range->end = range->begin;
  do
    range->end++;
  while (range->end < end && range->end - range->begin < MAP_MAX_RUN &&
         btree_cursor_next (c) == 0 && btree_cursor_key (c) == range->end &&
         map_unpack (td, btree_cursor_value (c), &m) == 0 &&
         m.data_block - range->data_begin == range->end - range->begin &&
         m.shared == range->shared);
  return 0;
}

int
thin_dev_find_range (struct thin_device *td, block_t begin, block_t end,
                     struct thin_range *range)
{
  struct thin_metadata *md = td->md;
  ENTER_SHARED_GATE_FOR_SCOPE (&md->root);
  struct btree_cursor cursor;
  block_t root;
  int r = begin < end ? map_root (td, &root) : -ENODATA;

  if (r == 0)
    r = btree_cursor_begin (&cursor, &md->blocks, root, begin);
  if (r < 0)
    return r;
  if (btree_cursor_key (&cursor) >= end)
    r = -ENODATA;
  else
    r = map_read_run (td, &cursor, end, range);
  btree_cursor_end (&cursor);
  return r;
}

int
thin_dev_find_difference (struct thin_device *td, struct thin_device *base,
                          block_t begin, block_t end, block_t *from,
                          block_t *to)
{
  struct thin_metadata *md = td->md;
  ENTER_SHARED_GATE_FOR_SCOPE (&md->root);
  block_t root, base_root;
  int r = map_root (td, &root);

  if (r == 0)
    r = map_root (base, &base_root);
  return r < 0 ? r : btree_find_difference (&md->blocks, root, base_root,
                                            begin, end, from, to);
}

int
thin_dev_highest_mapped (struct thin_device *td, block_t *block)
{
  struct thin_metadata *md = td->md;
  ENTER_SHARED_GATE_FOR_SCOPE (&md->root);
  block_t root;
  int r = map_root (td, &root);

  return r < 0 ? r : btree_find_highest_key (&md->blocks, root, block);
}

/* Changing. */

static int
map_may_change (struct thin_device *td)
{
  int r = thin_meta_may_change (td->md);

  return r == 0 && td->gone ? -ENODATA : r;
}

static int
map_insert (struct thin_device *td, block_t block, block_t data_block)
{
  struct thin_metadata *md = td->md;
  const uint64_t keys[2] = { td->id, block };
  const le64 value = to_le64 (data_block << 24 | md->time);
  bool inserted;
  int r;

  thin_meta_touch (md);
  r = btree_insert (&md->mappings, md->mapping_root, keys, &value,
                    &md->mapping_root, &inserted);
  if (r < 0)
    return r;
  td->mapped_blocks += inserted;
  td->changed = true;
  return 0;
}

int
thin_dev_insert (struct thin_device *td, block_t block, block_t data_block)
{
  struct thin_metadata *md = td->md;
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  int r = map_may_change (td);

  if (r < 0)
    return r;
  return thin_meta_settle (md, map_insert (td, block, data_block));
}

/* Remove some from *begin on, and advance it. */
static int
map_remove (struct thin_device *td, block_t *begin, block_t end)
{
  struct thin_metadata *md = td->md;
  uint64_t keys[2] = { td->id, *begin }, n;
  le64 value;
  int r;

  r = btree_lookup_next (&md->mappings, md->mapping_root, keys, &keys[1],
                         &value);
  if (r == -ENODATA || (r == 0 && keys[1] >= end)) {
    *begin = end;
    return 0;
  }
  if (r < 0)
    return r;
  *begin = end - keys[1] > MAP_MAX_REMOVE ? keys[1] + MAP_MAX_REMOVE : end;
  thin_meta_touch (md);
  td->changed = true;
  r = btree_remove_range (&md->mappings, md->mapping_root, keys, *begin,
                          &md->mapping_root, &n);
  if (r < 0)
    return r;
  td->mapped_blocks -= n;
  return 0;
}

static int
map_remove_some (struct thin_device *td, block_t *begin, block_t end)
{
  struct thin_metadata *md = td->md;
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  int r = map_may_change (td);

  if (r < 0)
    return r;
  return thin_meta_settle (md, map_remove (td, begin, end));
}

int
thin_dev_remove_range (struct thin_device *td, block_t begin, block_t end)
{
  int r = 0;

  while (r == 0 && begin < end)
    r = map_remove_some (td, &begin, end);
  return r;
}
