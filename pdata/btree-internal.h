/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes of B-trees and the ways down; private to btree*.c. */

#ifndef NBDM_BTREE_INTERNAL_H
#define NBDM_BTREE_INTERNAL_H

#include "common/bytes.h"
#include "pdata/btree.h"

/* A node as it is on disk (Linux 6.1).  After the keys, of which there is
 * room for max_entries, come as many values: of an internal node block
 * numbers of children, whatever the size of the values in the leaves.
 *
 * keys[i] of an internal node is not above the first key of child i, and
 * above all keys of child i - 1.  Only a root can have less than a third of
 * its entries used; an empty tree is a leaf.
 */
struct btree_node {
  le32 csum;
  le32 flags;
  le64 blocknr;
  le32 nr_entries;
  le32 max_entries;
  le32 value_size;
  le32 padding;
  le64 keys[];
};

#define BTREE_INTERNAL 1
#define BTREE_LEAF 2

/* Checks what a node can tell by itself: sizes, order of the keys. */
extern const struct bm_validator btree_node_validator;

/* Block numbers in internal nodes and in leaves above other trees. */
void btree_block_type (struct transaction_manager *tm,
                       struct btree_value_type *type);

static inline unsigned
node_nr (const struct btree_node *n)
{
  return from_le32 (n->nr_entries);
}

static inline unsigned
node_max (const struct btree_node *n)
{
  return from_le32 (n->max_entries);
}

static inline unsigned
node_free (const struct btree_node *n)
{
  return node_max (n) - node_nr (n);
}

static inline bool
node_is_leaf (const struct btree_node *n)
{
  return from_le32 (n->flags) == BTREE_LEAF;
}

static inline uint64_t
node_key (const struct btree_node *n, unsigned i)
{
  return from_le64 (n->keys[i]);
}

static inline void
node_set_key (struct btree_node *n, unsigned i, uint64_t key)
{
  n->keys[i] = to_le64 (key);
}

static inline void *
node_value (const struct btree_node *n, unsigned i)
{
  return (char *) (n->keys + node_max (n)) + i * from_le32 (n->value_size);
}

static inline block_t
node_child (const struct btree_node *n, unsigned i)
{
  return from_le64 (*(const le64 *) node_value (n, i));
}

static inline void
node_set_child (struct btree_node *n, unsigned i, block_t nr)
{
  *(le64 *) node_value (n, i) = to_le64 (nr);
}

static inline void
node_set_nr (struct btree_node *n, unsigned nr)
{
  n->nr_entries = to_le32 (nr);
}

static inline struct btree_node *
block_node (struct bm_block *block)
{
  return bm_data (block);
}

/* Make a zeroed block an empty node. */
void node_init (struct btree_node *n, unsigned flags, uint32_t value_size);

/* The last entry whose key is not above key; -1 if there is none. */
int node_lower_bound (const struct btree_node *n, uint64_t key);

/* True if key is there; *i is its index, or where it would have to go. */
bool node_find (const struct btree_node *n, uint64_t key, unsigned *i);

/* node_insert: there must be room.  node_delete: count entries from i on. */
void node_insert (struct btree_node *n, unsigned i, uint64_t key,
                  const void *value);
void node_delete (struct btree_node *n, unsigned i, unsigned count);

/* Move entries between neighbours: from the end of left to the front of right
 * if count is positive, else -count from the front of right to the end of
 * left.  There must be room.
 */
void node_shift (struct btree_node *left, struct btree_node *right, int count);

/* Check a child against slot i of its parent; -EILSEQ. */
int node_check_child (const struct btree_node *parent, unsigned i,
                      const struct btree_node *child);

/* Check that two children of a node both are leaves, or both are not. */
int node_check_siblings (const struct btree_node *left,
                         const struct btree_node *right);

/* A leaf's values must have this size. */
int node_check_size (const struct btree_node *n, uint32_t value_size);

/* A way down for reading: the leaf for key (or, below all keys, the first),
 * read-locked.  *upper, if not NULL, is where the keys of the next leaf begin;
 * 0 if there is none.
 */
int btree_read_leaf (struct transaction_manager *tm, block_t root,
                     uint64_t key, uint32_t value_size, struct bm_block **leaf,
                     uint64_t *upper);

/* The same, and all nodes on the way: the root first, the leaf last.  upper is
 * where the keys end that lead through the node; 0: nowhere.  The node that is
 * height below the root is named, but not read: *leaf is NULL then.
 */
struct btree_path {
  unsigned nr;
  struct {
    block_t block;
    uint64_t upper;
  } nodes[BTREE_MAX_DEPTH];
};

int btree_read_path (struct transaction_manager *tm, block_t root,
                     uint64_t key, uint32_t value_size, unsigned height,
                     struct bm_block **leaf, struct btree_path *path);

/* The leaf that holds the first entry from key on, and the entry's index. */
int btree_read_next (struct transaction_manager *tm, block_t root,
                     uint64_t key, uint32_t value_size, struct bm_block **leaf,
                     unsigned *index);

/* Follow keys through all levels but the last: the root of the tree there. */
int btree_read_levels (const struct btree_info *info, block_t root,
                       const uint64_t *keys, block_t *last_root);

/* Whether the key is there: 0 or -ENODATA.  Changes nothing, which is why what
 * may fail for want of a key asks it first.
 */
int btree_find_key (const struct btree_info *info, block_t root,
                    const uint64_t *keys);

/* A way down for changing: all nodes on it are shadows, each is named by its
 * parent, and the last two are locked.
 */
struct shadow_spine {
  struct transaction_manager *tm;
  struct bm_block *parent, *current; /* NULL: not so far down yet */
  unsigned slot;  /* of current in parent */
  unsigned depth; /* nodes of the present tree above current */
  block_t root;   /* the topmost shadow */
};

void spine_init (struct shadow_spine *s, struct transaction_manager *tm);
void spine_exit (struct shadow_spine *s);

/* Step down to block nr, which slot of the current node names.  type is of
 * the leaves of this tree.
 */
int spine_step (struct shadow_spine *s, unsigned slot, block_t nr,
                const struct btree_value_type *type);

/* The next step enters a tree that a leaf of this one names. */
void spine_next_tree (struct shadow_spine *s);

/* Shadow child slot of parent, a shadow itself, and name it there. */
int btree_shadow_child (struct transaction_manager *tm,
                        struct btree_node *parent, unsigned slot,
                        const struct btree_value_type *type,
                        struct bm_block **child);

/* Count what a copied node points to once more. */
int btree_inc_children (struct transaction_manager *tm,
                        const struct btree_node *n,
                        const struct btree_value_type *type);

/* A new empty node. */
int btree_new_node (struct transaction_manager *tm, unsigned flags,
                    uint32_t value_size, struct bm_block **block);

/* The type of the values in leaves of this level. */
struct btree_value_type btree_level_type (const struct btree_info *info,
                                          unsigned level);

#endif /* NBDM_BTREE_INTERNAL_H */
