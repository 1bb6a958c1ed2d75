/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin metadata on a device in memory that can fail. */

#ifndef NBDM_THIN_RIG_H
#define NBDM_THIN_RIG_H

#include "targets/thin/thin-metadata.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/memdev.h"

/* Metadata of data blocks of 128 sectors, with a cache of 64 blocks unless
 * params are changed before an open.
 */
struct thin_rig {
  struct memdev *dev;
  struct faultdev fault;     /* over dev; the metadata stand on it */
  struct thin_metadata *md;  /* NULL: not open */
  struct thin_meta_params params;
  unsigned nr_data_flushes;  /* calls of flush_data */
  int data_flush_result;     /* what it returns */
};

/* On a blank device of so many metadata blocks; or on one that exists, which
 * is the rig's from then on.  Not opened yet.
 */
void rig_start (struct thin_rig *rig, block_t nr_metadata_blocks);
void rig_start_on (struct thin_rig *rig, struct memdev *dev);
void rig_stop (struct thin_rig *rig); /* without a commit, whatever is open */

/* rig_crash: what was not committed is lost. */
int rig_open (struct thin_rig *rig);
int rig_close (struct thin_rig *rig);
void rig_crash (struct thin_rig *rig);

/* Format, with a data space of so many blocks; aborts if that fails. */
void rig_format (struct thin_rig *rig, block_t nr_data_blocks);

/* Abort, and go on. */
int rig_abort (struct thin_rig *rig);

/* Open a device by its id, do it, close it again. */
int rig_provision (struct thin_rig *rig, uint32_t id, block_t block);
int rig_remove (struct thin_rig *rig, uint32_t id, block_t begin, block_t end);
int rig_find (struct thin_rig *rig, uint32_t id, block_t block,
              struct thin_mapping *mapping);

size_t rig_bytes (const struct thin_rig *rig);

#endif /* NBDM_THIN_RIG_H */
