/* SPDX-License-Identifier: BSD-3-Clause */
/* What thin*.c share: one instance of the thin target. */

#ifndef NBDM_THIN_H
#define NBDM_THIN_H

#include "targets/thin/pool.h"

struct thin {
  struct dm_dev *pool_dev, *origin_dev; /* the latter or NULL */
  uint32_t id;
  struct pool *pool;
  struct pool_thin *shared; /* NULL if the constructor failed */
  sector_t origin_size;     /* of origin_dev, as it was at the resume */

  /* What waits for the pool is to be pushed back. */
  atomic_bool leaving;
};

/* thin.c: what types with a struct thin at the head of their private data
 * share.  Functions that take ti are, or are part of, those of target_type.
 */
int thin_get_pool_device (struct dm_target *ti, const char *word);
int thin_parse_id (struct dm_target *ti, const char *word, uint32_t *id);
int thin_find_pool (struct dm_target *ti);

/* In a check *thin stays NULL. */
int thin_open (struct dm_target *ti, uint32_t id, struct pool_thin **thin);

void thin_dtr (struct dm_target *ti);
int thin_map (struct dm_target *ti, struct bio *bio);
void thin_presuspend (struct dm_target *ti);
void thin_resume (struct dm_target *ti);
int thin_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data);

/* In all that follows the caller is inside the door of tc->shared.  Offsets
 * are sectors of the target.  0, -errno, or POOL_WAIT: there is no room, what
 * is left of the request has not been begun.
 */

/* thin-io.c.  Reads, writes and prefetches may be cut short. */
int thin_io (struct thin *tc, struct bio *bio, sector_t offset);

/* What was done to the thin before is durable after. */
int thin_flush (struct thin *tc);

/* Where the block is, as cached, or thin_dev_find.  Needs a cell. */
int thin_find (struct thin *tc, block_t block, struct thin_mapping *mapping);

/* The bio, which is in the block that mapping tells of, goes there. */
int thin_submit_mapped (struct thin *tc, const struct bio *bio,
                        sector_t offset, const struct thin_mapping *mapping);

/* thin-provision.c: write a part of a block that is not mapped (mapping NULL)
 * or may be shared to a new block, which becomes its own.  The rest of it comes
 * from where it was, from the external origin, or is zero.  Needs the block's
 * cell, exclusive.
 */
struct thin_part {
  sector_t offset, len;
  const char *data; /* NULL: zeroes */
  unsigned flags;   /* BIO_NOUNMAP */
};
int thin_provision (struct thin *tc, const struct thin_part *part,
                    const struct thin_mapping *mapping);

/* A change of the metadata returned r: what the request gets.  If it broke the
 * transaction that has been rolled back.  If not it is committed in time.
 */
int thin_changed (struct thin *tc, const char *what, int r);

/* thin-discard.c: discards and zeroes, as a whole. */
int thin_discard (struct thin *tc, sector_t offset, sector_t len);
int thin_zero (struct thin *tc, struct bio *bio, sector_t offset);

/* thin-extents.c: target_type.extents. */
int thin_extents (struct dm_target *ti, sector_t sector, sector_t len,
                  struct extent_sink *sink);

#endif /* NBDM_THIN_H */
