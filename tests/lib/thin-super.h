/* SPDX-License-Identifier: BSD-3-Clause */
/* The superblock of thin-pool metadata, for tests of what is below it. */

#ifndef NBDM_THIN_SUPER_H
#define NBDM_THIN_SUPER_H

#include "common/bytes.h"

#define THIN_SUPER_SALT 160774
#define THIN_SUPER_MAGIC 27022010

/* Linux 6.1. */
struct thin_super {
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
  le64 metadata_nr_blocks;
  le32 compat_flags;
  le32 compat_ro_flags;
  le32 incompat_flags;
};

struct thin_details {
  le64 mapped_blocks;
  le64 transaction_id;
  le32 creation_time;
  le32 snapshotted_time;
};

_Static_assert (sizeof (struct thin_details) == 24, "details");

#endif /* NBDM_THIN_SUPER_H */
