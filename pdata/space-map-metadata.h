/* SPDX-License-Identifier: BSD-3-Clause */
/* The space map of the metadata blocks themselves; made by tm_create, tm_open.
 */

#ifndef NBDM_SPACE_MAP_METADATA_H
#define NBDM_SPACE_MAP_METADATA_H

#include "pdata/space-map.h"

/* One index block of 255 entries bounds what this map can count, and so the
 * useful size of a metadata device: 15.88 GiB (Linux 6.1).
 */
#define SM_METADATA_MAX_BLOCKS (255 * UINT64_C (16320))

/* The transaction manager and this map need each other, hence two steps: the
 * empty object, which the manager is made with, and then its contents (those
 * of a new map of nr_blocks blocks, the superblock counted; or what the
 * SM_ROOT_BYTES at root name).  sm_destroy frees it in each state.
 *
 * -ENOMEM; the second step also -ENOSPC, -EINVAL for a size out of range,
 * -errno of the blocks read and written.
 */
int sm_metadata_alloc (struct space_map **sm);
int sm_metadata_create (struct space_map *sm, struct transaction_manager *tm,
                        block_t nr_blocks);
int sm_metadata_open (struct space_map *sm, struct transaction_manager *tm,
                      const void *root);

#endif /* NBDM_SPACE_MAP_METADATA_H */
