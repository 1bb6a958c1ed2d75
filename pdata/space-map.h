/* SPDX-License-Identifier: BSD-3-Clause */
/* Space maps: how many references each block of an area has. */

#ifndef NBDM_SPACE_MAP_H
#define NBDM_SPACE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pdata/block-manager.h"

struct transaction_manager;

/* A count for each of nr_blocks blocks; 0 is free.  There are two kinds.  One
 * counts the blocks of a data device (sm_disk_create).  The other counts the
 * very metadata blocks that all trees and both maps are made of, and belongs
 * to the transaction manager.  The format is the kernel's (Linux 6.1): two
 * bits per block, and a B-tree of the counts from 3 up.
 *
 * A block whose count was above 0 at the last sm_commit is not handed out
 * again before the next, since the metadata on disk still refer to it.
 *
 * Threads: all calls for maps of one transaction manager are serialised by
 * the caller.  Errors: after a failed call that changes counts the only way
 * on is to drop the transaction (pdata/transaction-manager.h).
 */
struct space_map {
  const struct space_map_ops *ops;
};

/* Where a map begins, as it stands in a superblock; the area reserved there
 * may be larger.  Opaque to everybody but the map: 4 numbers of 64 bits.
 */
#define SM_ROOT_BYTES 32

/* Called, in the middle of an allocation, when the free blocks have come down
 * to the threshold; must not use the map or the transaction manager.
 */
typedef void (*sm_threshold_fn) (void *context);

struct space_map_ops {
  void (*destroy) (struct space_map *);
  block_t (*nr_blocks) (struct space_map *);
  block_t (*nr_free) (struct space_map *);
  int (*get_count) (struct space_map *, block_t, uint32_t *count);
  int (*is_shared) (struct space_map *, block_t, bool *shared);
  int (*set_count) (struct space_map *, block_t, uint32_t count);
  int (*inc) (struct space_map *, block_t begin, block_t end);
  int (*dec) (struct space_map *, block_t begin, block_t end);
  int (*new_block) (struct space_map *, block_t *);
  int (*extend) (struct space_map *, block_t extra_blocks);
  int (*commit) (struct space_map *);
  int (*copy_root) (struct space_map *, void *root);
  int (*set_threshold) (struct space_map *, block_t, sm_threshold_fn, void *);
};

/* A map of a data device, of nr_blocks free blocks, written to metadata of
 * tm; or the one that *root (SM_ROOT_BYTES) tells of.  The caller destroys it,
 * before tm.  -EINVAL for more than 2^40 blocks.
 */
int sm_disk_create (struct transaction_manager *tm, block_t nr_blocks,
                    struct space_map **sm);
int sm_disk_open (struct transaction_manager *tm, const void *root,
                  struct space_map **sm);

/* Free what is in memory; what was not committed is lost. */
static inline void
sm_destroy (struct space_map *sm)
{
  if (sm)
    sm->ops->destroy (sm);
}

/* The size.  A data map tells the committed one, as the kernel does: growth
 * shows after sm_commit.
 */
static inline block_t
sm_nr_blocks (struct space_map *sm)
{
  return sm->ops->nr_blocks (sm);
}

/* How many blocks are free.  Blocks freed since the last commit count for a
 * data map, although sm_new_block will not give them out yet (so that it may
 * say -ENOSPC all the same: commit and try again); they do not count for the
 * metadata map.
 */
static inline block_t
sm_nr_free (struct space_map *sm)
{
  return sm->ops->nr_free (sm);
}

/* The count of one block.  -EINVAL beyond the end; or -errno of a read. */
static inline int
sm_get_count (struct space_map *sm, block_t block, uint32_t *count)
{
  return sm->ops->get_count (sm, block, count);
}

/* Whether the count is above 1; cheaper than the count itself. */
static inline int
sm_is_shared (struct space_map *sm, block_t block, bool *shared)
{
  return sm->ops->is_shared (sm, block, shared);
}

/* Set one count; not for metadata that the map itself may be using. */
static inline int
sm_set_count (struct space_map *sm, block_t block, uint32_t count)
{
  return sm->ops->set_count (sm, block, count);
}

/* Add one to, or take one from, each count of [begin, end).  -EINVAL beyond
 * the end, below 0, above 2^32 - 1.
 */
static inline int
sm_inc (struct space_map *sm, block_t begin, block_t end)
{
  return sm->ops->inc (sm, begin, end);
}

static inline int
sm_dec (struct space_map *sm, block_t begin, block_t end)
{
  return sm->ops->dec (sm, begin, end);
}

/* Find a free block, count it once, return its number.  The search goes on
 * where the last one ended and starts over at the end.  -ENOSPC: nothing was
 * changed.
 */
static inline int
sm_new_block (struct space_map *sm, block_t *block)
{
  return sm->ops->new_block (sm, block);
}

/* Add free blocks at the end; maps never shrink.  -EINVAL: too many. */
static inline int
sm_extend (struct space_map *sm, block_t extra_blocks)
{
  return sm->ops->extend (sm, extra_blocks);
}

/* Write what is cached to blocks of the transaction; the transaction manager
 * does it for its own map.
 */
static inline int
sm_commit (struct space_map *sm)
{
  return sm->ops->commit (sm);
}

/* Copy SM_ROOT_BYTES for the superblock; after sm_commit.  Cannot fail at
 * present, but check: it has to come before the superblock is touched.
 */
static inline int
sm_copy_root (struct space_map *sm, void *root)
{
  return sm->ops->copy_root (sm, root);
}

/* Have fn called when an allocation leaves threshold blocks free, or fewer,
 * and the one before left more (Linux 6.1: so it fires once per crossing, and
 * after a commit that freed blocks it can cross again).  -EOPNOTSUPP for data
 * maps.
 */
static inline int
sm_set_threshold (struct space_map *sm, block_t threshold, sm_threshold_fn fn,
                  void *context)
{
  if (sm->ops->set_threshold == NULL)
    return -EOPNOTSUPP;
  return sm->ops->set_threshold (sm, threshold, fn, context);
}

#endif /* NBDM_SPACE_MAP_H */
