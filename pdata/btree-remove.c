/* SPDX-License-Identifier: BSD-3-Clause */
/* B-trees: removing, and the merging of nodes that goes before it. */

#include <errno.h>
#include <string.h>

#include "pdata/btree-internal.h"

/* One level of a removal.  The nodes on the way down, and their neighbours,
 * are filled up so far that each can lose an entry and still has a third of
 * them.
 */
struct removal {
  struct shadow_spine spine;
  const struct btree_info *info;
  struct btree_value_type type; /* of the leaves of this level */
};

static struct btree_node *
removal_node (struct removal *rm)
{
  return block_node (rm->spine.current);
}

/* The only child takes the place of its parent. */
static int
removal_collapse (struct removal *rm)
{
  struct transaction_manager *tm = rm->info->tm;
  struct btree_node *n = removal_node (rm);
  block_t nr = node_child (n, 0);
  struct bm_block *child;
  bool shared = false;
  int r;

  r = tm_read_lock (tm, nr, &btree_node_validator, &child);
  if (r < 0)
    return r;
  r = node_check_size (block_node (child), rm->type.size);
  if (r == 0)
    r = node_check_child (n, 0, block_node (child));
  if (r == 0)
    r = tm_is_shared (tm, nr, &shared);
  if (r == 0)
    memcpy (n, bm_data (child), BM_BLOCK_BYTES);
  bm_unlock (child);
  /* Somebody else keeps the child: its children have two parents now. */
  if (r == 0 && shared)
    r = btree_inc_children (tm, n, &rm->type);
  return r < 0 ? r : tm_dec (tm, nr);
}

/* An emptied child goes away; what it pointed to has moved elsewhere. */
static int
removal_drop_child (struct removal *rm, struct bm_block *child, unsigned slot)
{
  block_t nr = bm_block_nr (child);

  node_delete (removal_node (rm), slot, 1);
  bm_unlock (child);
  return tm_dec (rm->info->tm, nr);
}

/* Merge two neighbours, or give both the same number of entries.  Unlocks
 * them.
 */
static int
removal_even_two (struct removal *rm, struct bm_block *left,
                  struct bm_block *right, unsigned right_slot)
{
  struct btree_node *l = block_node (left), *r = block_node (right);
  unsigned total = node_nr (l) + node_nr (r);
  int err = 0;

  if (total < 2 * (node_max (l) / 3 + 1)) {
    node_shift (l, r, -(int) node_nr (r));
    err = removal_drop_child (rm, right, right_slot);
  } else {
    node_shift (l, r, (int) node_nr (l) - (int) (total / 2));
    node_set_key (removal_node (rm), right_slot, node_key (r, 0));
    bm_unlock (right);
  }
  bm_unlock (left);
  return err;
}

/* Shift so that the left one gets tl entries and the right one tr.  One of the
 * outer nodes may need more than the centre has: then the centre is emptied
 * and the rest comes from beyond.
 */
static void
removal_even_three (struct btree_node *l, struct btree_node *c,
                    struct btree_node *r, int tl, int tr)
{
  int nc = node_nr (c);
  int give_left = (int) node_nr (l) - tl, take_right = tr - (int) node_nr (r);

  if (node_nr (l) < node_nr (r)) {
    if (give_left < 0 && nc < -give_left) {
      node_shift (l, c, -nc);
      node_shift (l, r, give_left + nc);
    } else
      node_shift (l, c, give_left);
    node_shift (c, r, tr - (int) node_nr (r));
  } else {
    if (take_right > 0 && nc < take_right) {
      node_shift (c, r, nc);
      node_shift (l, r, take_right - nc);
    } else
      node_shift (c, r, take_right);
    node_shift (l, c, (int) node_nr (l) - tl);
  }
}

/* Divide the centre's entries among its neighbours and drop it. */
static int
removal_empty_centre (struct removal *rm, struct btree_node *l,
                      struct bm_block *centre, struct btree_node *r,
                      unsigned centre_slot)
{
  struct btree_node *c = block_node (centre);
  unsigned to_left = node_nr (c);

  if (to_left > node_free (l))
    to_left = node_free (l);
  node_shift (l, c, -(int) to_left);
  node_shift (c, r, node_nr (c));
  node_set_key (removal_node (rm), centre_slot + 1, node_key (r, 0));
  return removal_drop_child (rm, centre, centre_slot);
}

/* Shadow n neighbours from slot on; none stays locked after an error. */
static int
removal_shadow (struct removal *rm, unsigned slot, unsigned n,
                struct bm_block **child)
{
  unsigned i;
  int r = 0;

  for (i = 0; i < n; i++) {
    r = btree_shadow_child (rm->info->tm, removal_node (rm), slot + i,
                            &rm->type, &child[i]);
    if (r < 0)
      break;
    r = node_check_siblings (block_node (child[0]), block_node (child[i]));
    if (r < 0) {
      i++;
      break;
    }
  }
  while (r < 0 && i > 0)
    bm_unlock (child[--i]);
  return r;
}

static int
removal_rebalance_two (struct removal *rm, unsigned slot)
{
  struct bm_block *child[2];
  int r = removal_shadow (rm, slot, 2, child);

  return r < 0 ? r : removal_even_two (rm, child[0], child[1], slot + 1);
}

static int
removal_rebalance_three (struct removal *rm, unsigned slot)
{
  struct bm_block *child[3];
  struct btree_node *l, *c, *r;
  unsigned total, third;
  int err = removal_shadow (rm, slot, 3, child);

  if (err < 0)
    return err;
  l = block_node (child[0]);
  c = block_node (child[1]);
  r = block_node (child[2]);
  total = node_nr (l) + node_nr (c) + node_nr (r);
  if (total < 4 * (node_max (l) / 3) + 1) {
    err = removal_empty_centre (rm, l, child[1], r, slot + 1);
    if (err == 0)
      return removal_even_two (rm, child[0], child[2], slot + 1);
  } else {
    third = total / 3;
    removal_even_three (l, c, r, third + (total % 3 != 0), third);
    node_set_key (removal_node (rm), slot + 1, node_key (c, 0));
    node_set_key (removal_node (rm), slot + 2, node_key (r, 0));
    bm_unlock (child[1]);
  }
  bm_unlock (child[0]);
  bm_unlock (child[2]);
  return err;
}

/* Put the children around the one for key in order, even if none is short: what
 * the kernel does decides what the trees look like.
 */
static int
removal_rebalance (struct removal *rm, uint64_t key)
{
  unsigned nr = node_nr (removal_node (rm));
  int i;

  if (nr == 1)
    return removal_collapse (rm);
  i = node_lower_bound (removal_node (rm), key);
  if (i < 0)
    return -ENODATA;
  if (i == 0)
    return removal_rebalance_two (rm, 0);
  if (i + 1u == nr)
    return removal_rebalance_two (rm, i - 1);
  return removal_rebalance_three (rm, i - 1);
}

/* Down to the leaf for key, which the spine has then.  slot: of the leaf above
 * that names root.  -ENODATA: key is below all keys.
 */
static int
removal_descend (struct removal *rm, block_t root, unsigned slot, uint64_t key)
{
  int r, i = slot;

  for (;;) {
    r = spine_step (&rm->spine, i, root, &rm->type);
    if (r < 0 || node_is_leaf (removal_node (rm)))
      return r;
    r = removal_rebalance (rm, key);
    if (r < 0 || node_is_leaf (removal_node (rm)))
      return r;
    i = node_lower_bound (removal_node (rm), key);
    if (i < 0)
      return -ENODATA;
    root = node_child (removal_node (rm), i);
  }
}

/* Down through the levels above the last; *root and *slot lead on. */
static int
removal_enter (struct removal *rm, const uint64_t *keys, block_t *root,
               unsigned *slot)
{
  unsigned level;
  int r;

  for (level = 0; level + 1 < rm->info->levels; level++) {
    rm->type = btree_level_type (rm->info, level);
    r = removal_descend (rm, *root, *slot, keys[level]);
    if (r < 0)
      return r;
    if (!node_find (removal_node (rm), keys[level], slot))
      return -EILSEQ; /* a lookup has just found it */
    *root = node_child (removal_node (rm), *slot);
    spine_next_tree (&rm->spine);
  }
  rm->type = rm->info->value_type;
  return 0;
}

static int
removal_delete (struct removal *rm, unsigned i, unsigned count)
{
  struct btree_node *n = removal_node (rm);
  int r = 0;

  if (rm->type.dec)
    r = rm->type.dec (rm->type.context, node_value (n, i), count);
  if (r == 0)
    node_delete (n, i, count);
  return r;
}

/* How many entries from i on can go at once: those below end, but a third of
 * the leaf has to stay until the next descent puts it in order again.
 */
static unsigned
removal_run (struct removal *rm, unsigned i, uint64_t end)
{
  struct btree_node *n = removal_node (rm);
  unsigned nr = node_nr (n), keep = node_max (n) / 3, run = 0;

  while (i + run < nr && node_key (n, i + run) < end)
    run++;
  if (rm->spine.depth > 1 && nr - run < keep)
    run = nr > keep ? nr - keep : 1;
  return run;
}

/* Remove what a leaf has of [*key, end) and advance *key behind it. */
static int
removal_take_run (struct removal *rm, uint64_t *key, uint64_t end,
                  unsigned *run)
{
  struct btree_node *n = removal_node (rm);
  int i = node_lower_bound (n, *key);
  uint64_t next;
  int r;

  if (i < 0)
    i = 0;
  if ((unsigned) i >= node_nr (n) || node_key (n, i) < *key ||
      node_key (n, i) >= end)
    return 0;
  *run = removal_run (rm, i, end);
  next = node_key (n, i + *run - 1) + 1;
  r = removal_delete (rm, i, *run);
  if (r == 0)
    *key = next;
  return r;
}

/* One descent; *run is how many it removed.  The keys' last one advances. */
static int
removal_pass (const struct btree_info *info, block_t *root, uint64_t *keys,
              uint64_t end, unsigned *run)
{
  struct removal rm = { .info = info };
  uint64_t *key = &keys[info->levels - 1];
  unsigned slot = 0;
  int r;

  *run = 0;
  spine_init (&rm.spine, info->tm);
  r = removal_enter (&rm, keys, root, &slot);
  if (r == 0) {
    r = removal_descend (&rm, *root, slot, *key);
    if (r == 0)
      r = removal_take_run (&rm, key, end, run);
    else if (r == -ENODATA) /* all keys are above: so far so good */
      r = 0;
  }
  spine_exit (&rm.spine);
  *root = rm.spine.root;
  return r;
}

/* Move the last key on to the next one that exists; false if that is not
 * below end.
 */
static int
removal_find_next (const struct btree_info *info, block_t root,
                   uint64_t *keys, uint64_t end, bool *found)
{
  unsigned last = info->levels - 1, i;
  struct bm_block *leaf;
  int r;

  *found = false;
  r = btree_read_levels (info, root, keys, &root);
  if (r < 0)
    return r;
  r = btree_read_next (info->tm, root, keys[last], info->value_type.size,
                       &leaf, &i);
  if (r < 0)
    return r == -ENODATA ? 0 : r;
  keys[last] = node_key (block_node (leaf), i);
  *found = keys[last] < end;
  bm_unlock (leaf);
  return 0;
}

int
btree_remove_range (const struct btree_info *info, block_t root,
                    const uint64_t *keys, uint64_t end, block_t *new_root,
                    uint64_t *nr_removed)
{
  uint64_t at[BTREE_MAX_LEVELS], total = 0, before;
  unsigned run;
  bool found;
  int r;

  memcpy (at, keys, info->levels * sizeof at[0]);
  for (;;) {
    r = removal_find_next (info, root, at, end, &found);
    if (r < 0)
      return r;
    if (!found)
      break;
    /* The pass that finds nothing more belongs to it: it leaves the nodes as
     * the kernel does.
     */
    before = total;
    do {
      r = removal_pass (info, &root, at, end, &run);
      if (r < 0)
        return r;
      total += run;
    } while (run > 0);
    if (total == before)
      return -EILSEQ; /* found by a lookup, but not on the way down */
  }
  *new_root = root;
  *nr_removed = total;
  return 0;
}

int
btree_remove (const struct btree_info *info, block_t root,
              const uint64_t *keys, block_t *new_root)
{
  struct removal rm = { .info = info };
  uint64_t key = keys[info->levels - 1];
  unsigned slot = 0;
  int r;

  r = btree_find_key (info, root, keys);
  if (r < 0)
    return r;
  spine_init (&rm.spine, info->tm);
  r = removal_enter (&rm, keys, &root, &slot);
  if (r == 0)
    r = removal_descend (&rm, root, slot, key);
  if (r == 0)
    r = node_find (removal_node (&rm), key, &slot)
      ? removal_delete (&rm, slot, 1)
      : -EILSEQ;
  spine_exit (&rm.spine);
  if (r == 0)
    *new_root = rm.spine.root;
  return r;
}
