/* SPDX-License-Identifier: BSD-3-Clause */
/* Cursors: the entries of a B-tree in ascending order. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pdata/btree-internal.h"

static const struct btree_node *
cursor_node (const struct btree_cursor *cursor)
{
  return (const struct btree_node *) cursor->leaf;
}

/* Copy the leaf of the first entry that is not below key. */
static int
cursor_load (struct btree_cursor *cursor, uint64_t key)
{
  struct bm_block *leaf;
  int r;

  r = btree_read_next (cursor->info->tm, cursor->root, key,
                       cursor->info->value_type.size, &leaf, &cursor->index);
  if (r < 0)
    return r;
  memcpy (cursor->leaf, bm_data (leaf), BM_BLOCK_BYTES);
  bm_unlock (leaf);
  return 0;
}

int
btree_cursor_begin (struct btree_cursor *cursor, const struct btree_info *info,
                    block_t root, uint64_t key)
{
  int r;

  cursor->info = info;
  cursor->root = root;
  cursor->leaf = malloc (BM_BLOCK_BYTES);
  if (cursor->leaf == NULL)
    return -ENOMEM;
  r = cursor_load (cursor, key);
  if (r < 0)
    btree_cursor_end (cursor);
  return r;
}

void
btree_cursor_end (struct btree_cursor *cursor)
{
  free (cursor->leaf);
  cursor->leaf = NULL;
}

int
btree_cursor_next (struct btree_cursor *cursor)
{
  uint64_t key = btree_cursor_key (cursor);

  if (cursor->index + 1 < node_nr (cursor_node (cursor))) {
    cursor->index++;
    return 0;
  }
  return key == UINT64_MAX ? -ENODATA : cursor_load (cursor, key + 1);
}

uint64_t
btree_cursor_key (const struct btree_cursor *cursor)
{
  return node_key (cursor_node (cursor), cursor->index);
}

const void *
btree_cursor_value (const struct btree_cursor *cursor)
{
  return node_value (cursor_node (cursor), cursor->index);
}
