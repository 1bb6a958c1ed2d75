/* SPDX-License-Identifier: BSD-3-Clause */
/* Ordered trees. */

#include <criterion/criterion.h>

#include <stdlib.h>

#include "common/list.h"
#include "common/tree.h"

#define MANY 4096

struct item {
  struct tree_node node;
  int key;
  bool in;
};

static int
compare_item (const void *key, const struct tree_node *node)
{
  return *(const int *) key - container_of (node, struct item, node)->key;
}

static struct item items[MANY];
static struct tree tree;

static void
setup (void)
{
  int i;

  tree_init (&tree, compare_item);
  for (i = 0; i < MANY; i++)
    items[i].key = i;
}

TestSuite (tree, .init = setup);

static void
toggle (struct item *item)
{
  if (item->in)
    tree_del (&tree, &item->key);
  else
    tree_add (&tree, &item->key, &item->node);
  item->in = !item->in;
}

static unsigned
height (const struct tree_node *node)
{
  unsigned a, b;

  if (node == NULL)
    return 0;
  a = height (node->child[0]);
  b = height (node->child[1]);
  return 1 + (a > b ? a : b);
}

/* All that are in are found and come in order, and no others. */
static void
check_all (void)
{
  const struct tree_node *next = tree_after (&tree, NULL);
  int i;

  for (i = 0; i < MANY; i++) {
    const struct tree_node *node = tree_find (&tree, &i);

    cr_assert_eq (node, items[i].in ? &items[i].node : NULL, "%d", i);
    if (node == NULL)
      continue;
    cr_assert_eq (next, node, "%d", i);
    next = tree_after (&tree, &i);
  }
  cr_assert_null (next);
}

Test (tree, an_empty_one_holds_nothing)
{
  cr_assert (tree_empty (&tree));
  check_all ();
}

Test (tree, whatever_comes_and_goes_is_found_in_order)
{
  unsigned i;

  srand (1);
  for (i = 0; i < 20000; i++) {
    toggle (&items[rand () % MANY]);
    if (i % 1000 == 0)
      check_all ();
  }
  for (i = 0; i < MANY; i++)
    if (items[i].in)
      toggle (&items[i]);
  cr_assert (tree_empty (&tree));
}

Test (tree, ascending_keys_do_not_make_a_list_of_it)
{
  unsigned i;

  for (i = 0; i < MANY; i++)
    toggle (&items[i]);
  cr_assert_lt (height (tree.root), 50);
  check_all ();
}

Test (tree, a_key_that_is_not_there_has_a_next_one)
{
  int key = 4;

  toggle (&items[3]);
  toggle (&items[7]);
  cr_assert_eq (tree_after (&tree, &key), &items[7].node);
  key = 7;
  cr_assert_null (tree_after (&tree, &key));
}
