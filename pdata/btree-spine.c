/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes of B-trees, and the ways down to a leaf. */

#include "pdata/btree-internal.h"

#include <errno.h>
#include <string.h>

#define NODE_SALT 121107

/* Nodes. */

/* A multiple of three, so that a third is a whole number. */
static uint32_t
node_calc_max (uint32_t value_size)
{
  uint32_t n = (BM_BLOCK_BYTES - sizeof (struct btree_node)) /
    (sizeof (le64) + value_size);

  return n / 3 * 3;
}

static bool
node_keys_ascend (const struct btree_node *n)
{
  unsigned i;

  for (i = 1; i < node_nr (n); i++)
    if (node_key (n, i - 1) >= node_key (n, i))
      return false;
  return true;
}

static int
node_check (const void *data)
{
  const struct btree_node *n = data;
  uint32_t flags = from_le32 (n->flags), size = from_le32 (n->value_size);

  if (flags != BTREE_INTERNAL && flags != BTREE_LEAF)
    return -EILSEQ;
  if (size == 0 || size % sizeof (le32) || size > BTREE_MAX_VALUE_BYTES ||
      node_max (n) != node_calc_max (size) || node_nr (n) > node_max (n))
    return -EILSEQ;
  if (flags == BTREE_INTERNAL && (size != sizeof (le64) || node_nr (n) == 0))
    return -EILSEQ;
  return node_keys_ascend (n) ? 0 : -EILSEQ;
}

const struct bm_validator btree_node_validator = {
  .salt = NODE_SALT,
  .nr_offset = offsetof (struct btree_node, blocknr),
  .check = node_check,
};

void
node_init (struct btree_node *n, unsigned flags, uint32_t value_size)
{
  n->flags = to_le32 (flags);
  n->nr_entries = to_le32 (0);
  n->max_entries = to_le32 (node_calc_max (value_size));
  n->value_size = to_le32 (value_size);
}

/* low is known to be not above key, high to be above or the end. */
int
node_lower_bound (const struct btree_node *n, uint64_t key)
{
  int low = -1, high = node_nr (n);

  while (high - low > 1) {
    int mid = low + (high - low) / 2;

    if (node_key (n, mid) <= key)
      low = mid;
    else
      high = mid;
  }
  return low;
}

bool
node_find (const struct btree_node *n, uint64_t key, unsigned *i)
{
  int at = node_lower_bound (n, key);

  if (at >= 0 && node_key (n, at) == key) {
    *i = at;
    return true;
  }
  *i = at + 1;
  return false;
}

/* Move count entries of src from si on to place di of dst; they may overlap. */
static void
node_move (struct btree_node *dst, unsigned di, const struct btree_node *src,
           unsigned si, unsigned count)
{
  memmove (dst->keys + di, src->keys + si, count * sizeof (le64));
  memmove (node_value (dst, di), node_value (src, si),
           count * from_le32 (src->value_size));
}

void
node_insert (struct btree_node *n, unsigned i, uint64_t key, const void *value)
{
  unsigned nr = node_nr (n);

  node_move (n, i + 1, n, i, nr - i);
  node_set_key (n, i, key);
  memcpy (node_value (n, i), value, from_le32 (n->value_size));
  node_set_nr (n, nr + 1);
}

void
node_delete (struct btree_node *n, unsigned i, unsigned count)
{
  unsigned nr = node_nr (n);

  node_move (n, i, n, i + count, nr - i - count);
  node_set_nr (n, nr - count);
}

/* What is behind the last entry of a node stays as it was; nobody looks. */
void
node_shift (struct btree_node *left, struct btree_node *right, int count)
{
  unsigned nr_left = node_nr (left), nr_right = node_nr (right);

  if (count > 0) {
    node_move (right, count, right, 0, nr_right);
    node_move (right, 0, left, nr_left - count, count);
  } else {
    node_move (left, nr_left, right, 0, -count);
    node_move (right, 0, right, -count, nr_right + count);
  }
  node_set_nr (left, nr_left - count);
  node_set_nr (right, nr_right + count);
}

int
node_check_size (const struct btree_node *n, uint32_t value_size)
{
  if (node_is_leaf (n) && from_le32 (n->value_size) != value_size)
    return -EILSEQ;
  return 0;
}

/* An empty child is refused, too: so a walk that enters one child after another
 * sees ever larger keys, whatever is on disk, and comes to an end.
 */
int
node_check_child (const struct btree_node *parent, unsigned i,
                  const struct btree_node *child)
{
  unsigned nr = node_nr (child);

  if (nr == 0 || node_key (child, 0) < node_key (parent, i))
    return -EILSEQ;
  if (i + 1 < node_nr (parent) &&
      node_key (child, nr - 1) >= node_key (parent, i + 1))
    return -EILSEQ;
  return 0;
}

int
node_check_siblings (const struct btree_node *left,
                     const struct btree_node *right)
{
  return node_is_leaf (left) == node_is_leaf (right) ? 0 : -EILSEQ;
}

/* Values that are block numbers. */

static int
block_inc (void *context, const void *values, unsigned count)
{
  return tm_inc_values (context, values, count);
}

static int
block_dec (void *context, const void *values, unsigned count)
{
  return tm_dec_values (context, values, count);
}

static bool
block_equal (void *context, const void *a, const void *b)
{
  return memcmp (a, b, sizeof (le64)) == 0;
}

void
btree_block_type (struct transaction_manager *tm,
                  struct btree_value_type *type)
{
  *type = (struct btree_value_type) {
    .context = tm,
    .size = sizeof (le64),
    .inc = block_inc,
    .dec = block_dec,
    .equal = block_equal,
  };
}

struct btree_value_type
btree_level_type (const struct btree_info *info, unsigned level)
{
  struct btree_value_type type = info->value_type;

  if (level + 1 < info->levels)
    btree_block_type (info->tm, &type);
  return type;
}

/* Reading. */

/* The node below parent's slot, or the root if parent is NULL; checked. */
static int
btree_read_node (struct transaction_manager *tm, block_t nr,
                 struct bm_block *parent, unsigned slot, uint32_t value_size,
                 struct bm_block **node)
{
  int r = tm_read_lock (tm, nr, &btree_node_validator, node);

  if (r < 0)
    return r;
  r = node_check_size (block_node (*node), value_size);
  if (r == 0 && parent)
    r = node_check_child (block_node (parent), slot, block_node (*node));
  if (r < 0)
    bm_unlock (*node);
  return r;
}

/* Each child is locked before its parent is let go. */
int
btree_read_path (struct transaction_manager *tm, block_t root, uint64_t key,
                 uint32_t value_size, unsigned height, struct bm_block **leaf,
                 struct btree_path *path)
{
  struct bm_block *node, *parent = NULL;
  uint64_t upper = 0;
  struct btree_node *n;
  unsigned depth;
  int r, i = 0;

  *leaf = NULL;
  for (depth = 0; depth < BTREE_MAX_DEPTH; depth++, parent = node) {
    path->nodes[depth].block = root;
    path->nodes[depth].upper = upper;
    path->nr = depth + 1;
    if (depth == height) {
      if (parent)
        bm_unlock (parent);
      return 0;
    }
    r = btree_read_node (tm, root, parent, i, value_size, &node);
    if (parent)
      bm_unlock (parent);
    if (r < 0)
      return r;
    n = block_node (node);
    if (node_is_leaf (n)) {
      *leaf = node;
      return 0;
    }
    i = node_lower_bound (n, key);
    if (i < 0)
      i = 0;
    if (i + 1u < node_nr (n))
      upper = node_key (n, i + 1);
    root = node_child (n, i);
  }
  bm_unlock (parent);
  return -EILSEQ;
}

int
btree_read_leaf (struct transaction_manager *tm, block_t root, uint64_t key,
                 uint32_t value_size, struct bm_block **leaf, uint64_t *upper)
{
  struct btree_path path;
  int r = btree_read_path (tm, root, key, value_size, BTREE_MAX_DEPTH, leaf,
                           &path);

  if (r == 0 && upper)
    *upper = path.nodes[path.nr - 1].upper;
  return r;
}

/* If all keys of the leaf for key are below it, the answer is the first entry
 * of the next leaf, whose lowest key the way down has told.
 */
int
btree_read_next (struct transaction_manager *tm, block_t root, uint64_t key,
                 uint32_t value_size, struct bm_block **leaf, unsigned *index)
{
  uint64_t upper;
  int r;

  for (;; key = upper) {
    r = btree_read_leaf (tm, root, key, value_size, leaf, &upper);
    if (r < 0)
      return r;
    node_find (block_node (*leaf), key, index);
    if (*index < node_nr (block_node (*leaf)))
      return 0;
    bm_unlock (*leaf);
    if (upper == 0)
      return -ENODATA;
  }
}

static int
btree_read_level (struct transaction_manager *tm, uint64_t key, block_t *root)
{
  struct bm_block *leaf;
  unsigned i;
  int r;

  r = btree_read_leaf (tm, *root, key, sizeof (le64), &leaf, NULL);
  if (r < 0)
    return r;
  if (node_find (block_node (leaf), key, &i))
    *root = node_child (block_node (leaf), i);
  else
    r = -ENODATA;
  bm_unlock (leaf);
  return r;
}

int
btree_read_levels (const struct btree_info *info, block_t root,
                   const uint64_t *keys, block_t *last_root)
{
  unsigned level;
  int r = 0;

  for (level = 0; r == 0 && level + 1 < info->levels; level++)
    r = btree_read_level (info->tm, keys[level], &root);
  *last_root = root;
  return r;
}

int
btree_find_key (const struct btree_info *info, block_t root,
                const uint64_t *keys)
{
  unsigned last = info->levels - 1, i;
  struct bm_block *leaf;
  int r;

  r = btree_read_levels (info, root, keys, &root);
  if (r == 0)
    r = btree_read_leaf (info->tm, root, keys[last], info->value_type.size,
                         &leaf, NULL);
  if (r < 0)
    return r;
  r = node_find (block_node (leaf), keys[last], &i) ? 0 : -ENODATA;
  bm_unlock (leaf);
  return r;
}

/* Changing. */

int
btree_inc_children (struct transaction_manager *tm, const struct btree_node *n,
                    const struct btree_value_type *type)
{
  const void *values = node_value (n, 0);

  if (!node_is_leaf (n))
    return tm_inc_values (tm, values, node_nr (n));
  return type->inc ? type->inc (type->context, values, node_nr (n)) : 0;
}

int
btree_new_node (struct transaction_manager *tm, unsigned flags,
                uint32_t value_size, struct bm_block **block)
{
  int r = tm_new_block (tm, &btree_node_validator, block);

  if (r == 0)
    node_init (block_node (*block), flags, value_size);
  return r;
}

/* Checked before its children are counted: of a node that is not what it should
 * be nobody knows what it points to.
 */
static int
btree_shadow (struct transaction_manager *tm, block_t nr,
              const struct btree_value_type *type, struct bm_block **block)
{
  bool inc;
  int r;

  r = tm_shadow (tm, nr, &btree_node_validator, block, &inc);
  if (r < 0)
    return r;
  r = node_check_size (block_node (*block), type->size);
  if (r == 0 && inc)
    r = btree_inc_children (tm, block_node (*block), type);
  if (r < 0)
    bm_unlock (*block);
  return r;
}

int
btree_shadow_child (struct transaction_manager *tm, struct btree_node *parent,
                    unsigned slot, const struct btree_value_type *type,
                    struct bm_block **child)
{
  int r;

  r = btree_shadow (tm, node_child (parent, slot), type, child);
  if (r < 0)
    return r;
  r = node_check_child (parent, slot, block_node (*child));
  if (r < 0)
    bm_unlock (*child);
  else
    node_set_child (parent, slot, bm_block_nr (*child));
  return r;
}

void
spine_init (struct shadow_spine *s, struct transaction_manager *tm)
{
  memset (s, 0, sizeof *s);
  s->tm = tm;
}

void
spine_exit (struct shadow_spine *s)
{
  if (s->parent)
    bm_unlock (s->parent);
  if (s->current)
    bm_unlock (s->current);
  s->parent = s->current = NULL;
}

void
spine_next_tree (struct shadow_spine *s)
{
  s->depth = 0;
}

/* Parents are let go two levels up: they are complete, since whatever happens
 * below can change a node and its parent, but nothing above.
 */
int
spine_step (struct shadow_spine *s, unsigned slot, block_t nr,
            const struct btree_value_type *type)
{
  struct bm_block *block;
  int r;

  if (s->depth == BTREE_MAX_DEPTH)
    return -EILSEQ;
  if (s->parent)
    bm_unlock (s->parent);
  s->parent = s->current;
  s->current = NULL;
  r = btree_shadow (s->tm, nr, type, &block);
  if (r < 0)
    return r;
  s->current = block;
  s->slot = slot;
  if (s->parent == NULL)
    s->root = bm_block_nr (block);
  else
    node_set_child (block_node (s->parent), slot, bm_block_nr (block));
  if (s->depth++ > 0)
    return node_check_child (block_node (s->parent), slot, block_node (block));
  return 0;
}
