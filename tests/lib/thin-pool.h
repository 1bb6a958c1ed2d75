/* SPDX-License-Identifier: BSD-3-Clause */
/* As much of a thin pool's metadata as tests of pdata/ need. */

#ifndef NBDM_TEST_THIN_POOL_H
#define NBDM_TEST_THIN_POOL_H

#include "pdata/btree.h"
#include "tests/lib/thin-super.h"

/* Two trees and two space maps, the shape of a pool's metadata; fields are
 * free to use.  Details are written with every change, which a real pool
 * does at commit.
 */
struct thin_pool {
  struct block_manager *bm;
  struct transaction_manager *tm; /* NULL: not open */
  struct space_map *data_sm;
  struct thin_super super;        /* as read; the fields below count */
  uint32_t time;
  block_t mapping_root, details_root, held_root;
  struct btree_info mappings;     /* device, block: levels 2 */
  struct btree_info devices;      /* the upper level alone */
  struct btree_info blocks;       /* the lower level alone */
  struct btree_info details;
};

#define THIN_VALUE(block, time) ((uint64_t) (block) << 24 | (time))

extern const struct bm_validator thin_super_validator;

/* All return 0 or -errno.  After an error of pool_format or pool_open it is
 * still for pool_close to clean up; after another one, pool_rollback or
 * pool_close.
 */
int pool_format (struct thin_pool *p, struct block_device *bdev,
                 size_t cache_blocks);
int pool_open (struct thin_pool *p, struct block_device *bdev,
               size_t cache_blocks);
void pool_close (struct thin_pool *p);
int pool_commit (struct thin_pool *p);
int pool_rollback (struct thin_pool *p);

int pool_create (struct thin_pool *p, uint64_t dev);
int pool_snap (struct thin_pool *p, uint64_t dev, uint64_t origin);
int pool_delete (struct thin_pool *p, uint64_t dev);

/* Allocate a data block and map it; or unmap [begin, end). */
int pool_provision (struct thin_pool *p, uint64_t dev, uint64_t block,
                    uint64_t *data_block);
int pool_unmap (struct thin_pool *p, uint64_t dev, uint64_t begin,
                uint64_t end, uint64_t *nr);

/* A metadata snapshot, as a pool takes it: commits, before and after. */
int pool_reserve_snap (struct thin_pool *p);
int pool_release_snap (struct thin_pool *p);

#endif /* NBDM_TEST_THIN_POOL_H */
