/* SPDX-License-Identifier: BSD-3-Clause */
/* B-trees with copy on write, from keys of 64 bits to values of one size. */

#ifndef NBDM_BTREE_H
#define NBDM_BTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "pdata/transaction-manager.h"

/* The format, and the rules of splitting and merging nodes, of the kernel's
 * persistent-data library (Linux 6.1.192): the same operations in the same
 * order make the same trees.
 *
 * A tree is named by the block of its root.  Functions that change a tree
 * take the old root by value and give the new one, only on success; the old
 * root must not be used any more then.  (After an error drop the transaction.)
 *
 * Trees can share nodes.  A copy of a tree, in time O(1), is one more
 * reference to its root (tm_inc); from then on both roots are used like trees
 * of their own, and what one of them changes is copied before.
 *
 * Trees nest: with levels = 2 each value of the tree at the root is the root
 * of another tree, whose values are the real ones, and a key is an array of
 * two numbers.
 *
 * What is on disk is not trusted.  Each node is checked against its parent
 * and against the kind of tree it should belong to; -EILSEQ if something is
 * wrong.  A depth of BTREE_MAX_DEPTH is never reached by a sound tree.
 *
 * Threads: lookups, walks and cursors from any number of threads, but not
 * while the tree, or any tree that shares nodes with it, is being changed;
 * one thread at a time for the rest, for all trees of a transaction manager.
 */
#define BTREE_MAX_LEVELS 4
#define BTREE_MAX_DEPTH 16

/* With larger values nodes would hold too few for the rules of merging. */
#define BTREE_MAX_VALUE_BYTES 512

/* The values.  inc is called when a leaf that is shared is copied, so that
 * what its values stand for has one more user; dec when a value is removed,
 * replaced by an unequal one, or goes away with its tree.  An insertion calls
 * neither for the value inserted: its reference is the caller's, who hands it
 * on.  All optional.  They get the batch of count values as it lies in the
 * node; their error becomes the operation's.
 */
struct btree_value_type {
  void *context;
  uint32_t size; /* a multiple of 4 up to BTREE_MAX_VALUE_BYTES */
  int (*inc) (void *context, const void *values, unsigned count);
  int (*dec) (void *context, const void *values, unsigned count);
  bool (*equal) (void *context, const void *a, const void *b);
};

struct btree_info {
  struct transaction_manager *tm;
  unsigned levels; /* 1 .. BTREE_MAX_LEVELS */
  struct btree_value_type value_type;
};

/* A new empty tree. */
int btree_empty (const struct btree_info *info, block_t *root);

/* Drop one reference to the tree; if it was the last, everything in it goes.
 * O(size) of what is not shared.  Allocates memory.
 */
int btree_del (const struct btree_info *info, block_t root);

/* Functions below take info->levels keys.  Values are copied as they are on
 * disk (value_type.size bytes).  -ENODATA: no such key; nothing was changed.
 */
int btree_lookup (const struct btree_info *info, block_t root,
                  const uint64_t *keys, void *value);

/* The entry with the smallest last key that is not below keys[last]. */
int btree_lookup_next (const struct btree_info *info, block_t root,
                       const uint64_t *keys, uint64_t *found, void *value);

/* The smallest and the largest keys there are; -ENODATA for an empty tree (or
 * one in which the tree below the smallest, or largest, key is empty).
 */
int btree_find_lowest_key (const struct btree_info *info, block_t root,
                           uint64_t *keys);
int btree_find_highest_key (const struct btree_info *info, block_t root,
                            uint64_t *keys);

/* Insert or replace.  Missing trees in between are made.  *inserted, which
 * may be NULL, tells whether the key is new.
 */
int btree_insert (const struct btree_info *info, block_t root,
                  const uint64_t *keys, const void *value, block_t *new_root,
                  bool *inserted);

/* Replace the value of a key that exists (else -ENODATA), in a tree of one
 * level; nodes are copied, but never split.
 */
int btree_overwrite (const struct btree_info *info, block_t root, uint64_t key,
                     const void *value, block_t *new_root);

int btree_remove (const struct btree_info *info, block_t root,
                  const uint64_t *keys, block_t *new_root);

/* Remove all entries whose last key is in [keys[last], end), a leaf at a
 * time; *nr_removed tells how many these were.  No entries are no error, but
 * a missing tree above is -ENODATA.
 */
int btree_remove_range (const struct btree_info *info, block_t root,
                        const uint64_t *keys, uint64_t end, block_t *new_root,
                        uint64_t *nr_removed);

/* Call fn for all entries in ascending order until it returns anything but 0,
 * which becomes the result.  keys and value are valid during the call only;
 * no block is locked.
 */
typedef int (*btree_walk_fn) (void *context, const uint64_t *keys,
                              const void *value);
int btree_walk (const struct btree_info *info, block_t root, btree_walk_fn fn,
                void *context);

/* The first keys of [key, end) that two trees of one level do not agree on, as
 * a run [*from, *to): each key in it is in one of them only, or has values that
 * are not equal (value_type.equal, or their bytes).  A long run may be told in
 * parts.  What the trees share is not read, so that finding all that a copy of
 * a tree has changed since is O(changes).  -ENODATA: they agree.
 */
int btree_find_difference (const struct btree_info *info, block_t a,
                           block_t b, uint64_t key, uint64_t end,
                           uint64_t *from, uint64_t *to);

/* A cursor goes through the entries of a tree of one level in ascending
 * order.  It holds a copy of one leaf and no lock, so that others may use the
 * block manager between the calls.
 */
struct btree_cursor {
  const struct btree_info *info;
  block_t root;
  unsigned index;   /* in the leaf */
  uint64_t *leaf;   /* a copy */
};

/* Start at the first key that is not below key.  -ENODATA if there is none,
 * -ENOMEM.  After success, and only then, the caller calls btree_cursor_end.
 */
int btree_cursor_begin (struct btree_cursor *cursor,
                        const struct btree_info *info, block_t root,
                        uint64_t key);
void btree_cursor_end (struct btree_cursor *cursor);

/* To the next entry; -ENODATA behind the last, from where only
 * btree_cursor_end leads on.
 */
int btree_cursor_next (struct btree_cursor *cursor);

/* Where it stands.  The value is valid until the next call. */
uint64_t btree_cursor_key (const struct btree_cursor *cursor);
const void *btree_cursor_value (const struct btree_cursor *cursor);

#endif /* NBDM_BTREE_H */
