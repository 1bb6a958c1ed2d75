/* SPDX-License-Identifier: BSD-3-Clause */
/* B-trees: making, reading, deleting. */

#include "pdata/btree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "pdata/btree-internal.h"

int
btree_empty (const struct btree_info *info, block_t *root)
{
  struct btree_value_type type = btree_level_type (info, 0);
  struct bm_block *block;
  int r;

  r = btree_new_node (info->tm, BTREE_LEAF, type.size, &block);
  if (r < 0)
    return r;
  *root = bm_block_nr (block);
  bm_unlock (block);
  return 0;
}

/* Deleting. */

static int btree_del_tree (const struct btree_info *info, unsigned level,
                           unsigned depth, block_t nr,
                           const struct btree_node *parent, unsigned slot);

static int
btree_del_children (const struct btree_info *info, unsigned level,
                    unsigned depth, const struct btree_node *n)
{
  bool leaf = node_is_leaf (n);
  unsigned i;
  int r = 0;

  if (leaf && level + 1 == info->levels)
    return info->value_type.dec
      ? info->value_type.dec (info->value_type.context, node_value (n, 0),
                              node_nr (n))
      : 0;
  for (i = 0; r == 0 && i < node_nr (n); i++)
    r = leaf
      ? btree_del_tree (info, level + 1, 0, node_child (n, i), NULL, 0)
      : btree_del_tree (info, level, depth + 1, node_child (n, i), n, i);
  return r;
}

/* The last reference to the node goes before those to its children: in a tree
 * that bites its own tail the count is 0 then when the node comes round
 * again.  What has no references can be overwritten, so this works on a copy.
 */
static int
btree_del_node (const struct btree_info *info, unsigned level, unsigned depth,
                struct bm_block *block)
{
  char *CLEANUP_FREE copy = malloc (BM_BLOCK_BYTES);
  block_t nr = bm_block_nr (block);
  int r;

  if (copy)
    memcpy (copy, bm_data (block), BM_BLOCK_BYTES);
  bm_unlock (block);
  if (copy == NULL)
    return -ENOMEM;
  r = tm_dec (info->tm, nr);
  return r < 0 ? r : btree_del_children (info, level, depth, (void *) copy);
}

static int
btree_del_tree (const struct btree_info *info, unsigned level, unsigned depth,
                block_t nr, const struct btree_node *parent, unsigned slot)
{
  struct btree_value_type type = btree_level_type (info, level);
  struct bm_block *block;
  bool shared;
  int r;

  if (depth == BTREE_MAX_DEPTH)
    return -EILSEQ;
  r = tm_is_shared (info->tm, nr, &shared);
  if (r < 0)
    return r;
  if (shared)
    return tm_dec (info->tm, nr);
  r = tm_read_lock (info->tm, nr, &btree_node_validator, &block);
  if (r < 0)
    return r;
  r = node_check_size (block_node (block), type.size);
  if (r == 0 && parent)
    r = node_check_child (parent, slot, block_node (block));
  if (r < 0) {
    bm_unlock (block);
    return r;
  }
  return btree_del_node (info, level, depth, block);
}

int
btree_del (const struct btree_info *info, block_t root)
{
  return btree_del_tree (info, 0, 0, root, NULL, 0);
}

/* Reading. */

int
btree_lookup (const struct btree_info *info, block_t root,
              const uint64_t *keys, void *value)
{
  uint32_t size = info->value_type.size;
  struct bm_block *leaf;
  unsigned i;
  int r;

  r = btree_read_levels (info, root, keys, &root);
  if (r == 0)
    r = btree_read_leaf (info->tm, root, keys[info->levels - 1], size, &leaf,
                         NULL);
  if (r < 0)
    return r;
  if (node_find (block_node (leaf), keys[info->levels - 1], &i))
    memcpy (value, node_value (block_node (leaf), i), size);
  else
    r = -ENODATA;
  bm_unlock (leaf);
  return r;
}

/* No look at neighbouring trees: the upper keys have to match. */
int
btree_lookup_next (const struct btree_info *info, block_t root,
                   const uint64_t *keys, uint64_t *found, void *value)
{
  uint32_t size = info->value_type.size;
  struct bm_block *leaf;
  unsigned i;
  int r;

  r = btree_read_levels (info, root, keys, &root);
  if (r == 0)
    r = btree_read_next (info->tm, root, keys[info->levels - 1], size, &leaf,
                         &i);
  if (r < 0)
    return r;
  *found = node_key (block_node (leaf), i);
  memcpy (value, node_value (block_node (leaf), i), size);
  bm_unlock (leaf);
  return 0;
}

/* The first or last key of one level, and what it leads to. */
static int
btree_find_end (const struct btree_info *info, unsigned level, bool highest,
                uint64_t *key, block_t *root)
{
  struct btree_value_type type = btree_level_type (info, level);
  struct bm_block *leaf;
  struct btree_node *n;
  unsigned i;
  int r;

  r = btree_read_leaf (info->tm, *root, highest ? UINT64_MAX : 0, type.size,
                       &leaf, NULL);
  if (r < 0)
    return r;
  n = block_node (leaf);
  if (node_nr (n) > 0) {
    i = highest ? node_nr (n) - 1 : 0;
    *key = node_key (n, i);
    if (level + 1 < info->levels)
      *root = node_child (n, i);
  } else
    r = -ENODATA;
  bm_unlock (leaf);
  return r;
}

static int
btree_find_end_keys (const struct btree_info *info, block_t root, bool highest,
                     uint64_t *keys)
{
  unsigned level;
  int r = 0;

  for (level = 0; r == 0 && level < info->levels; level++)
    r = btree_find_end (info, level, highest, &keys[level], &root);
  return r;
}

int
btree_find_lowest_key (const struct btree_info *info, block_t root,
                       uint64_t *keys)
{
  return btree_find_end_keys (info, root, false, keys);
}

int
btree_find_highest_key (const struct btree_info *info, block_t root,
                        uint64_t *keys)
{
  return btree_find_end_keys (info, root, true, keys);
}

/* Walking. */

struct btree_walk {
  const struct btree_info *info;
  btree_walk_fn fn;
  void *context;
  uint64_t keys[BTREE_MAX_LEVELS];
};

static int btree_walk_entry (struct btree_walk *w, unsigned level,
                             const void *value);

static int
btree_walk_level (struct btree_walk *w, unsigned level, block_t root)
{
  struct btree_info info = {
    .tm = w->info->tm,
    .levels = 1,
    .value_type = btree_level_type (w->info, level),
  };
  bool at_end = false;
  struct btree_cursor cursor;
  int r;

  r = btree_cursor_begin (&cursor, &info, root, 0);
  if (r < 0)
    return r == -ENODATA ? 0 : r;
  do {
    w->keys[level] = btree_cursor_key (&cursor);
    r = btree_walk_entry (w, level, btree_cursor_value (&cursor));
    if (r == 0) {
      r = btree_cursor_next (&cursor);
      at_end = r == -ENODATA;
    }
  } while (r == 0);
  btree_cursor_end (&cursor);
  return at_end ? 0 : r;
}

static int
btree_walk_entry (struct btree_walk *w, unsigned level, const void *value)
{
  const le64 *root = value;

  if (level + 1 == w->info->levels)
    return w->fn (w->context, w->keys, value);
  return btree_walk_level (w, level + 1, from_le64 (*root));
}

int
btree_walk (const struct btree_info *info, block_t root, btree_walk_fn fn,
            void *context)
{
  struct btree_walk walk = { .info = info, .fn = fn, .context = context };

  return btree_walk_level (&walk, 0, root);
}
