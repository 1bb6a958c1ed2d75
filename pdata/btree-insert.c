/* SPDX-License-Identifier: BSD-3-Clause */
/* B-trees: inserting, and the splitting of nodes that goes before it. */

#include <errno.h>
#include <string.h>

#include "pdata/btree-internal.h"

/* Room a sibling must have before entries are moved there. */
#define INSERT_SIBLING_FREE 8

/* One level of an insertion.  A node that has no room for one more entry gets
 * some on the way down, so that nothing ever has to go back up.
 */
struct insertion {
  struct shadow_spine spine;
  const struct btree_value_type *type; /* of the leaves of this level */
  uint64_t key;
};

static struct btree_node *
insertion_parent (struct insertion *ins)
{
  return block_node (ins->spine.parent);
}

/* Of two neighbours, locked both, keep the one whose range has the key. */
static void
insertion_choose (struct insertion *ins, struct bm_block *left,
                  struct bm_block *right, unsigned right_slot)
{
  if (ins->key < node_key (block_node (right), 0)) {
    bm_unlock (right);
    ins->spine.current = left;
    ins->spine.slot = right_slot - 1;
  } else {
    bm_unlock (left);
    ins->spine.current = right;
    ins->spine.slot = right_slot;
  }
}

/* Give the first of two nodes target entries, the other one the rest. */
static void
insertion_even_out (struct btree_node *left, struct btree_node *right,
                    unsigned target)
{
  node_shift (left, right, (int) node_nr (left) - (int) target);
}

static void
insertion_halve (struct btree_node *left, struct btree_node *right)
{
  insertion_even_out (left, right, (node_nr (left) + node_nr (right)) / 2);
}

static int
insertion_new_like (struct insertion *ins, const struct btree_node *model,
                    struct bm_block **block)
{
  return btree_new_node (ins->spine.tm, from_le32 (model->flags),
                         from_le32 (model->value_size), block);
}

static void
insertion_name_in_parent (struct insertion *ins, unsigned slot,
                          struct bm_block *child)
{
  le64 nr = to_le64 (bm_block_nr (child));

  node_insert (insertion_parent (ins), slot,
               node_key (block_node (child), 0), &nr);
}

/* The root keeps its block and becomes the parent of two halves. */
static int
insertion_split_root (struct insertion *ins)
{
  struct btree_node *root = block_node (ins->spine.current);
  struct bm_block *left, *right;
  struct btree_node *l, *r;
  le64 nr;
  int err;

  err = insertion_new_like (ins, root, &left);
  if (err < 0)
    return err;
  err = insertion_new_like (ins, root, &right);
  if (err < 0) {
    bm_unlock (left);
    return err;
  }
  l = block_node (left);
  r = block_node (right);
  node_shift (l, root, -(int) (node_nr (root) / 2));
  node_shift (r, root, -(int) node_nr (root));

  node_init (root, BTREE_INTERNAL, sizeof (le64));
  nr = to_le64 (bm_block_nr (left));
  node_insert (root, 0, node_key (l, 0), &nr);
  nr = to_le64 (bm_block_nr (right));
  node_insert (root, 1, node_key (r, 0), &nr);
  bm_unlock (left);
  bm_unlock (right);
  return 0;
}

/* Siblings are changed, so they have to be our own. */
static int
insertion_shadow_sibling (struct insertion *ins, unsigned slot,
                          struct bm_block **sibling)
{
  int r = btree_shadow_child (ins->spine.tm, insertion_parent (ins), slot,
                              ins->type, sibling);

  if (r < 0)
    return r;
  r = node_check_siblings (block_node (ins->spine.current),
                           block_node (*sibling));
  if (r < 0)
    bm_unlock (*sibling);
  return r;
}

/* Even out with the sibling to the left or to the right. */
static int
insertion_move (struct insertion *ins, bool to_left)
{
  unsigned right_slot = ins->spine.slot + !to_left;
  struct bm_block *left, *right, *sibling;
  int r;

  r = insertion_shadow_sibling (ins, to_left ? right_slot - 1 : right_slot,
                                &sibling);
  if (r < 0)
    return r;
  left = to_left ? sibling : ins->spine.current;
  right = to_left ? ins->spine.current : sibling;
  insertion_halve (block_node (left), block_node (right));
  node_set_key (insertion_parent (ins), right_slot,
                node_key (block_node (right), 0));
  insertion_choose (ins, left, right, right_slot);
  return 0;
}

/* The node keeps the first half; a new one takes the rest. */
static int
insertion_one_into_two (struct insertion *ins)
{
  struct bm_block *left = ins->spine.current, *right;
  unsigned slot = ins->spine.slot;
  int r;

  r = insertion_new_like (ins, block_node (left), &right);
  if (r < 0)
    return r;
  insertion_halve (block_node (left), block_node (right));
  insertion_name_in_parent (ins, slot + 1, right);
  insertion_choose (ins, left, right, slot + 1);
  return 0;
}

/* Left a third, middle half of the rest.  The middle one is new. */
static void
insertion_spread (struct btree_node *l, struct btree_node *m,
                  struct btree_node *r)
{
  unsigned total = node_nr (l) + node_nr (r), target = total / 3;

  if (node_nr (l) > target)
    node_shift (l, m, node_nr (l) - target);
  else
    node_shift (l, r, (int) node_nr (l) - (int) target);
  target = (total - target) / 2;
  node_shift (m, r, (int) node_nr (m) - (int) target);
}

static int
insertion_two_into_three (struct insertion *ins)
{
  struct bm_block *left, *middle, *right = ins->spine.current;
  struct btree_node *parent = insertion_parent (ins);
  unsigned slot = ins->spine.slot;
  int err;

  err = insertion_shadow_sibling (ins, slot - 1, &left);
  if (err < 0)
    return err;
  err = insertion_new_like (ins, block_node (right), &middle);
  if (err < 0) {
    bm_unlock (left);
    return err;
  }
  insertion_spread (block_node (left), block_node (middle),
                    block_node (right));
  node_set_key (parent, slot, node_key (block_node (right), 0));
  insertion_name_in_parent (ins, slot, middle);
  if (ins->key < node_key (block_node (middle), 0)) {
    bm_unlock (right);
    insertion_choose (ins, left, middle, slot);
  } else {
    bm_unlock (left);
    insertion_choose (ins, middle, right, slot + 1);
  }
  return 0;
}

/* How much room the child has; *shared children are not looked at. */
static int
insertion_sibling_room (struct insertion *ins, unsigned slot, bool *shared,
                        unsigned *room)
{
  block_t nr = node_child (insertion_parent (ins), slot);
  struct bm_block *block;
  int r;

  *room = 0;
  r = tm_is_shared (ins->spine.tm, nr, shared);
  if (r < 0 || *shared)
    return r;
  r = tm_read_lock (ins->spine.tm, nr, &btree_node_validator, &block);
  if (r < 0)
    return r;
  *room = node_free (block_node (block));
  bm_unlock (block);
  return 0;
}

/* Only when both siblings are full as well is it time for a new node; one for
 * two of them, unless the keys seem to come in order.
 */
static int
insertion_make_room (struct insertion *ins)
{
  unsigned slot = ins->spine.slot, room;
  unsigned last = node_nr (insertion_parent (ins)) - 1;
  bool left_shared = false, right_shared = false;
  int r;

  if (slot > 0) {
    r = insertion_sibling_room (ins, slot - 1, &left_shared, &room);
    if (r < 0)
      return r;
    if (room >= INSERT_SIBLING_FREE)
      return insertion_move (ins, true);
  }
  if (slot < last) {
    r = insertion_sibling_room (ins, slot + 1, &right_shared, &room);
    if (r < 0)
      return r;
    if (room >= INSERT_SIBLING_FREE)
      return insertion_move (ins, false);
  }
  if (left_shared || right_shared || last < 2 || slot == 0 || slot == last)
    return insertion_one_into_two (ins);
  return insertion_two_into_three (ins);
}

static bool
insertion_needs_room (const struct btree_node *n, uint64_t key)
{
  unsigned i;

  return node_free (n) == 0 && !(node_is_leaf (n) && node_find (n, key, &i));
}

/* Down to the leaf for the key, which then has room for it.  *slot: in, of
 * the leaf above that names root; out, the key's place.
 */
static int
insertion_descend (struct insertion *ins, block_t root, unsigned *slot)
{
  struct btree_node *n;
  bool top = true;
  int r, i = *slot;

  for (;; top = false) {
    r = spine_step (&ins->spine, i, root, ins->type);
    if (r < 0)
      return r;
    if (insertion_needs_room (block_node (ins->spine.current), ins->key)) {
      r = top ? insertion_split_root (ins) : insertion_make_room (ins);
      if (r < 0)
        return r;
    }
    n = block_node (ins->spine.current);
    if (node_is_leaf (n))
      break;
    i = node_lower_bound (n, ins->key);
    if (i < 0) {
      node_set_key (n, 0, ins->key);
      i = 0;
    }
    root = node_child (n, i);
  }
  node_find (n, ins->key, slot);
  return 0;
}

/* One level above the last: find, or make, the tree below. */
static int
insertion_enter (struct insertion *ins, const struct btree_info *info,
                 unsigned level, block_t *root, unsigned *slot)
{
  struct btree_info below = *info;
  struct btree_node *n;
  le64 nr;
  int r;

  r = insertion_descend (ins, *root, slot);
  if (r < 0)
    return r;
  n = block_node (ins->spine.current);
  if (*slot < node_nr (n) && node_key (n, *slot) == ins->key) {
    *root = node_child (n, *slot);
  } else {
    below.levels = info->levels - level - 1;
    r = btree_empty (&below, root);
    if (r < 0)
      return r;
    nr = to_le64 (*root);
    node_insert (n, *slot, ins->key, &nr);
  }
  spine_next_tree (&ins->spine);
  return 0;
}

/* Equal values are written all the same: what the type calls equal may differ
 * in parts that count for nothing.
 */
static int
insertion_replace (const struct btree_value_type *type, void *old,
                   const void *value)
{
  bool equal = type->equal && type->equal (type->context, old, value);
  int r = 0;

  if (!equal && type->dec)
    r = type->dec (type->context, old, 1);
  if (r == 0)
    memcpy (old, value, type->size);
  return r;
}

static int
insertion_put (struct insertion *ins, block_t root, unsigned slot,
               const void *value, bool *inserted)
{
  struct btree_node *n;
  int r;

  r = insertion_descend (ins, root, &slot);
  if (r < 0)
    return r;
  n = block_node (ins->spine.current);
  *inserted = slot == node_nr (n) || node_key (n, slot) != ins->key;
  if (!*inserted)
    return insertion_replace (ins->type, node_value (n, slot), value);
  node_insert (n, slot, ins->key, value);
  return 0;
}

int
btree_insert (const struct btree_info *info, block_t root,
              const uint64_t *keys, const void *value, block_t *new_root,
              bool *inserted)
{
  struct btree_value_type type;
  struct insertion ins = { .type = &type };
  unsigned level, slot = 0;
  bool is_new;
  int r = 0;

  spine_init (&ins.spine, info->tm);
  for (level = 0; r == 0 && level + 1 < info->levels; level++) {
    type = btree_level_type (info, level);
    ins.key = keys[level];
    r = insertion_enter (&ins, info, level, &root, &slot);
  }
  if (r == 0) {
    type = info->value_type;
    ins.key = keys[level];
    r = insertion_put (&ins, root, slot, value, &is_new);
  }
  spine_exit (&ins.spine);
  if (r < 0)
    return r;
  *new_root = ins.spine.root;
  if (inserted)
    *inserted = is_new;
  return 0;
}

/* The key has been seen: if it is not there now, two nodes disagree. */
static int
overwrite_descend (struct shadow_spine *spine, block_t root, uint64_t key,
                   const struct btree_value_type *type, unsigned *slot)
{
  struct btree_node *n;
  int r, i = 0;

  for (;;) {
    r = spine_step (spine, i, root, type);
    if (r < 0)
      return r;
    n = block_node (spine->current);
    if (node_is_leaf (n))
      return node_find (n, key, slot) ? 0 : -EILSEQ;
    i = node_lower_bound (n, key);
    if (i < 0)
      return -EILSEQ;
    root = node_child (n, i);
  }
}

int
btree_overwrite (const struct btree_info *info, block_t root, uint64_t key,
                 const void *value, block_t *new_root)
{
  const struct btree_value_type *type = &info->value_type;
  struct shadow_spine spine;
  unsigned slot;
  int r;

  r = btree_find_key (info, root, &key);
  if (r < 0)
    return r;

  spine_init (&spine, info->tm);
  r = overwrite_descend (&spine, root, key, type, &slot);
  if (r == 0)
    r = insertion_replace (type, node_value (block_node (spine.current), slot),
                           value);
  spine_exit (&spine);
  if (r == 0)
    *new_root = spine.root;
  return r;
}
