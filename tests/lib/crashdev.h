/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that records what is done to it, for a crash at any point. */

#ifndef NBDM_CRASHDEV_H
#define NBDM_CRASHDEV_H

#include "common/block-device.h"
#include "common/lock.h"
#include "common/vector.h"

/* A write (data), or a flush (data NULL). */
struct crash_record {
  sector_t sector, len;
  char *data;
  bool fua;
};

/* Any number of threads may use it; one bio after the other takes effect. */
struct crashdev {
  struct block_device bdev;
  struct queue_limits limits;
  char *base; /* contents at the start of the record */
  struct latch latch;
  /* Guarded by latch. */
  char *data;
  VECTOR (struct crash_record) log;
};

/* Zeroes.  Aborts without memory. */
void crashdev_init (struct crashdev *c, sector_t size);
void crashdev_destroy (struct crashdev *c);

/* Forget the record: what is on the device now is its base. */
void crashdev_restart (struct crashdev *c);

/* How many records there are: bios that begin from now on come after them. */
size_t crashdev_position (struct crashdev *c);

/* What may be on disk if the power fails after the first n records: all that
 * the last flush covers and all FUA writes; of the other writes each sector or
 * not, as rand_r says.  With seed 0 all of them.
 */
void crashdev_image (struct crashdev *c, size_t n, unsigned seed,
                     char *image);

#endif /* NBDM_CRASHDEV_H */
