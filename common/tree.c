/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive ordered trees: a node inside each element, no allocation. */

#include "common/tree.h"

#include <assert.h>

void
tree_init (struct tree *t,
           int (*compare) (const void *key, const struct tree_node *node))
{
  *t = (struct tree) TREE_INIT (compare);
}

/* Marsaglia's xorshift. */
static uint32_t
tree_random (struct tree *t)
{
  t->random ^= t->random << 13;
  t->random ^= t->random >> 17;
  t->random ^= t->random << 5;
  return t->random;
}

struct tree_node *
tree_find (const struct tree *t, const void *key)
{
  struct tree_node *node = t->root;
  int c;

  while (node && (c = t->compare (key, node)) != 0)
    node = node->child[c > 0];
  return node;
}

struct tree_node *
tree_after (const struct tree *t, const void *key)
{
  struct tree_node *node = t->root, *best = NULL;

  while (node) {
    bool above = key == NULL || t->compare (key, node) < 0;

    if (above)
      best = node;
    node = node->child[!above];
  }
  return best;
}

void
tree_add (struct tree *t, const void *key, struct tree_node *node)
{
  struct tree_node **p = &t->root, **side[2], *rest;
  bool above;

  node->weight = tree_random (t);
  while (*p && (*p)->weight >= node->weight)
    p = &(*p)->child[t->compare (key, *p) > 0];
  rest = *p;
  *p = node;
  /* What was below that place goes to the one side of node or the other. */
  side[0] = &node->child[0];
  side[1] = &node->child[1];
  while (rest) {
    above = t->compare (key, rest) < 0;
    *side[above] = rest;
    side[above] = &rest->child[!above];
    rest = rest->child[!above];
  }
  *side[0] = *side[1] = NULL;
}

void
tree_del (struct tree *t, const void *key)
{
  struct tree_node **p = &t->root, *low, *high;
  int c;

  while (*p && (c = t->compare (key, *p)) != 0)
    p = &(*p)->child[c > 0];
  assert (*p);
  low = (*p)->child[0];
  high = (*p)->child[1];
  while (low && high)
    if (low->weight > high->weight) {
      *p = low;
      p = &low->child[1];
      low = low->child[1];
    }
    else {
      *p = high;
      p = &high->child[0];
      high = high->child[0];
    }
  *p = low ? low : high;
}
