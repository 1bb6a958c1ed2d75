/* SPDX-License-Identifier: BSD-3-Clause */
/* What two B-trees that share nodes do not agree on. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "pdata/btree-internal.h"

/* One of the two trees, on the way to the key reached. */
struct diff_side {
  block_t root;
  unsigned height;         /* of the root above the leaves, once known */
  struct btree_path path;
  struct btree_node *leaf; /* a copy */
  unsigned i;              /* of the first entry from the key on */
};

/* Down to the leaf; or, where the height is known, only to its name. */
static int
diff_descend (const struct btree_info *info, struct diff_side *s, uint64_t key,
              bool whole)
{
  struct bm_block *leaf;
  int r;

  r = btree_read_path (info->tm, s->root, key, info->value_type.size,
                       whole ? BTREE_MAX_DEPTH : s->height, &leaf, &s->path);
  if (r < 0 || leaf == NULL)
    return r;
  memcpy (s->leaf, bm_data (leaf), BM_BLOCK_BYTES);
  bm_unlock (leaf);
  s->height = s->path.nr - 1;
  node_find (s->leaf, key, &s->i);
  return 0;
}

static int
diff_descend_both (const struct btree_info *info, struct diff_side *a,
                   struct diff_side *b, uint64_t key, bool whole)
{
  int r = diff_descend (info, a, key, whole);

  return r < 0 ? r : diff_descend (info, b, key, whole);
}

/* The lesser of two ends, of which 0 means none. */
static uint64_t
diff_lesser_end (uint64_t a, uint64_t b)
{
  return a == 0 || (b && b < a) ? b : a;
}

/* Whether both ways lead through one node: then there is no difference up to
 * *end, where its keys end in either tree.
 */
static bool
diff_is_shared (const struct diff_side *a, const struct diff_side *b,
                uint64_t *end)
{
  unsigned i, j;

  for (i = 0; i < a->path.nr; i++)
    for (j = 0; j < b->path.nr; j++)
      if (a->path.nodes[i].block == b->path.nodes[j].block) {
        *end = diff_lesser_end (a->path.nodes[i].upper,
                                b->path.nodes[j].upper);
        return true;
      }
  return false;
}

static bool
diff_has (const struct diff_side *s, uint64_t key)
{
  return s->i < node_nr (s->leaf) && node_key (s->leaf, s->i) == key;
}

/* The smallest key from here on in either leaf; false: none below end. */
static bool
diff_next_key (const struct diff_side *a, const struct diff_side *b,
               uint64_t end, uint64_t *key)
{
  bool in_a = a->i < node_nr (a->leaf), in_b = b->i < node_nr (b->leaf);

  if (!in_a && !in_b)
    return false;
  if (!in_b || (in_a && node_key (a->leaf, a->i) < node_key (b->leaf, b->i)))
    *key = node_key (a->leaf, a->i);
  else
    *key = node_key (b->leaf, b->i);
  return *key < end;
}

static bool
diff_equal (const struct btree_info *info, const struct diff_side *a,
            const struct diff_side *b)
{
  const struct btree_value_type *t = &info->value_type;
  const void *x = node_value (a->leaf, a->i), *y = node_value (b->leaf, b->i);

  return t->equal ? t->equal (t->context, x, y) : memcmp (x, y, t->size) == 0;
}

/* Compare the two leaves below end; true if a run was found. */
static bool
diff_leaves (const struct btree_info *info, struct diff_side *a,
             struct diff_side *b, uint64_t end, uint64_t *from, uint64_t *to)
{
  bool found = false, in_a, in_b;
  uint64_t key;

  while (diff_next_key (a, b, end, &key) && (!found || key == *to)) {
    in_a = diff_has (a, key);
    in_b = diff_has (b, key);
    if (in_a && in_b && diff_equal (info, a, b)) {
      if (found)
        break;
    } else {
      if (!found)
        *from = key;
      found = true;
      *to = key + 1;
    }
    a->i += in_a;
    b->i += in_b;
  }
  return found;
}

/* The leaves for a key that no shared node leads to: 1 if they differ.  *stop
 * is where one of them ends.
 */
static int
diff_leaves_of (const struct btree_info *info, struct diff_side *a,
                struct diff_side *b, uint64_t key, uint64_t end,
                uint64_t *stop, uint64_t *from, uint64_t *to)
{
  int r = diff_descend_both (info, a, b, key, true);

  if (r < 0)
    return r;
  *stop = diff_lesser_end (a->path.nodes[a->path.nr - 1].upper,
                           b->path.nodes[b->path.nr - 1].upper);
  return diff_leaves (info, a, b, diff_lesser_end (*stop, end), from, to);
}

int
btree_find_difference (const struct btree_info *info, block_t a, block_t b,
                       uint64_t key, uint64_t end, uint64_t *from,
                       uint64_t *to)
{
  char *CLEANUP_FREE leaves = malloc (2 * BM_BLOCK_BYTES);
  struct diff_side x = { .root = a, .height = BTREE_MAX_DEPTH };
  struct diff_side y = { .root = b, .height = BTREE_MAX_DEPTH };
  uint64_t stop;
  int r = 0;

  if (leaves == NULL)
    return -ENOMEM;
  x.leaf = (struct btree_node *) leaves;
  y.leaf = (struct btree_node *) (leaves + BM_BLOCK_BYTES);
  for (stop = key; r == 0 && stop < end; key = stop) {
    r = diff_descend_both (info, &x, &y, key, false);
    if (r == 0 && !diff_is_shared (&x, &y, &stop))
      r = diff_leaves_of (info, &x, &y, key, end, &stop, from, to);
    if (r == 0 && stop == 0)
      break;
  }
  return r > 0 ? 0 : r < 0 ? r : -ENODATA;
}
