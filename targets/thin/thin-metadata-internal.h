/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of thin metadata; private to thin-metadata*.c. */

#ifndef NBDM_THIN_METADATA_INTERNAL_H
#define NBDM_THIN_METADATA_INTERNAL_H

#include "common/bytes.h"
#include "common/list.h"
#include "common/lock.h"
#include "pdata/btree.h"
#include "targets/thin/thin-metadata.h"

#define THIN_MAGIC 27022010
#define THIN_VERSION 2

/* The superblock as it is on disk (Linux 6.1); the rest of the block is 0. */
struct thin_superblock {
  le32 csum;
  le32 flags;
  le64 blocknr;
  uint8_t uuid[16];
  le64 magic;
  le32 version;
  le32 time;
  le64 trans_id;
  le64 held_root;
  uint8_t data_sm_root[128];
  uint8_t metadata_sm_root[128];
  le64 mapping_root;
  le64 details_root;
  le32 data_block_sectors;
  le32 metadata_block_sectors;
  le64 metadata_nr_blocks; /* when it was made; the map knows better */
  le32 compat_flags;
  le32 compat_ro_flags;
  le32 incompat_flags;
};

_Static_assert (offsetof (struct thin_superblock, incompat_flags) == 360,
                "the superblock is not laid out as on disk");

/* A value of the tree of details. */
struct thin_disk_details {
  le64 mapped_blocks;
  le64 transaction_id;
  le32 creation_time;
  le32 snapshotted_time;
};

_Static_assert (sizeof (struct thin_disk_details) == 24,
                "details are not laid out as on disk");

/* A device that is open, or was changed in this transaction. */
struct thin_device {
  struct thin_metadata *md;
  uint32_t id;
  struct list link;    /* in md->devices_in_core; guarded by md->change */
  unsigned open_count; /* guarded by md->change */

  /* Guarded by md->root. */
  uint64_t transaction_id;
  uint32_t creation_time, snapshotted_time;
  bool gone; /* it was made in a transaction that was dropped */

  /* Written under md->change. */
  _Atomic uint64_t mapped_blocks;
  _Atomic bool changed, aborted_with_changes;
};

struct thin_metadata {
  struct block_manager *bm;
  struct thin_meta_params params; /* block size known once open; constant */

  /* A field that is read by lookups is written under both gates, and read
   * under either.  Atomic ones are written under change and read by anyone.
   */
  struct gate change;
  struct shared_gate root;

  /* Guarded by both. */
  struct transaction_manager *tm; /* NULL: not open */
  block_t mapping_root;
  struct btree_info mappings; /* device and block to value: levels 2 */
  struct btree_info devices;  /* the upper level alone: device to root */
  struct btree_info blocks;   /* the lower level alone: block to value */

  /* Guarded by change. */
  struct space_map *data_sm;
  struct btree_info details;
  block_t details_root;
  struct thin_superblock super; /* as on disk, but for the roots above */
  struct list devices_in_core;
  bool touched; /* the operation under way has changed something */
  bool no_map;  /* of the metadata: it is damaged, and nothing is changed */
  block_t threshold;
  void (*threshold_fn) (void *context);
  void *threshold_context;

  _Atomic bool changed, broken, failed;
  _Atomic bool aborted; /* read-only since then */
  _Atomic uint32_t flags, time;
  _Atomic uint64_t trans_id;
  _Atomic block_t held_root;
  _Atomic block_t metadata_blocks, metadata_free; /* reserve counted */
  _Atomic block_t data_blocks, data_free;         /* of the last commit */
  _Atomic block_t data_end; /* data_blocks, and growth not yet committed */
};

extern const struct bm_validator thin_superblock_validator;

/* thin-metadata.c */

/* 0, or what everything has to say: -EINVAL, -EIO; and -EPERM to changes. */
int thin_meta_may_read (struct thin_metadata *md);
int thin_meta_may_change (struct thin_metadata *md);

/* From here on the operation changes something, so an error will break the
 * transaction: thin_meta_settle sees to it, which ends each operation that
 * holds the change gate.
 */
void thin_meta_touch (struct thin_metadata *md);
int thin_meta_settle (struct thin_metadata *md, int r);

/* thin_meta_commit; the change gate is held. */
int thin_meta_commit_locked (struct thin_metadata *md);

/* thin-metadata-super.c */

/* Read the superblock, or that of the metadata snapshot, and open maps and
 * trees.  On failure, too, thin_meta_unload cleans up.
 */
int thin_super_load (struct thin_metadata *md, struct message *msg);
void thin_super_unload (struct thin_metadata *md);

/* Make it all new, and commit. */
int thin_super_format (struct thin_metadata *md, struct message *msg);

/* Everything of a commit from the space maps on. */
int thin_super_commit (struct thin_metadata *md);

/* Set a flag on disk, at once. */
int thin_super_set_flag (struct thin_metadata *md, uint32_t flag);

/* Tell the usage to whoever asks without a gate. */
void thin_super_publish (struct thin_metadata *md);

/* thin-metadata-device.c */

/* Write the details of changed devices; and, after the commit, or after an
 * abort, bring the devices in memory up to date.
 */
int thin_devices_write (struct thin_metadata *md);
void thin_devices_committed (struct thin_metadata *md);
int thin_devices_reload (struct thin_metadata *md);

/* Forget them all; none is open. */
void thin_devices_free (struct thin_metadata *md);

#endif /* NBDM_THIN_METADATA_INTERNAL_H */
