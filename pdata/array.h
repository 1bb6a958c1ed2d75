/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays on disk, packed into blocks, with copy on write. */

#ifndef NBDM_ARRAY_H
#define NBDM_ARRAY_H

#include "pdata/btree.h"

/* The format of Linux 6.1: a B-tree from the number of an array block to the
 * block, each of which holds as many values as fit (509 of 8 bytes, 1018 of
 * 4); all are full but the last.  The length is the user's to remember.
 *
 * Roots, sharing, errors and threads are as with B-trees (pdata/btree.h).
 * -ENODATA: beyond the end.
 */
struct array_info {
  struct btree_value_type value_type;
  struct btree_info btree; /* private: of the blocks */
};

/* Values are as those of a B-tree, but the array counts references itself: inc
 * is called for values that are set, too.  info must stay where it is, since
 * its B-tree points to it.
 */
void array_info_init (struct array_info *info, struct transaction_manager *tm,
                      const struct btree_value_type *type);

/* A new array without elements. */
int array_empty (const struct array_info *info, block_t *root);

/* Change the length; new elements become *value.  O(difference). */
int array_resize (const struct array_info *info, block_t root,
                  uint32_t old_size, uint32_t new_size, const void *value,
                  block_t *new_root);

/* Drop one reference to the array, and with the last all elements. */
int array_del (const struct array_info *info, block_t root);

int array_get (const struct array_info *info, block_t root, uint32_t index,
               void *value);
int array_set (const struct array_info *info, block_t root, uint32_t index,
               const void *value, block_t *new_root);

/* Call fn for each element in order until it returns anything but 0, which
 * becomes the result.  fn may read other metadata; it may change none.
 */
typedef int (*array_walk_fn) (void *context, uint64_t index,
                              const void *value);
int array_walk (const struct array_info *info, block_t root, array_walk_fn fn,
                void *context);

#endif /* NBDM_ARRAY_H */
