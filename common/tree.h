/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive ordered trees: a node inside each element, no allocation. */

#ifndef NBDM_TREE_H
#define NBDM_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Elements are found, entered and taken out by key in O(log n) on average,
 * whatever order they come in: a treap, balanced by random weights.  What the
 * key is only compare knows: it orders a key against the element of a node, as
 * strcmp does.  The key of an element in the tree must not change.
 */
struct tree_node {
  struct tree_node *child[2]; /* lower keys, higher keys */
  uint32_t weight;
};

struct tree {
  struct tree_node *root;
  int (*compare) (const void *key, const struct tree_node *node);
  uint32_t random;
};

#define TREE_SEED 2463534242u
#define TREE_INIT(compare) { NULL, (compare), TREE_SEED }

void tree_init (struct tree *t,
                int (*compare) (const void *key,
                                const struct tree_node *node));

/* NULL if there is none. */
struct tree_node *tree_find (const struct tree *t, const void *key);

/* The element with the lowest key above this one (NULL: of all), or NULL. */
struct tree_node *tree_after (const struct tree *t, const void *key);

/* key is node's, and no element has it yet. */
void tree_add (struct tree *t, const void *key, struct tree_node *node);

/* key is that of an element. */
void tree_del (struct tree *t, const void *key);

static inline bool
tree_empty (const struct tree *t)
{
  return t->root == NULL;
}

#endif /* NBDM_TREE_H */
