/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device over another that fails the n-th bio, and records writes. */

#ifndef NBDM_FAULTDEV_H
#define NBDM_FAULTDEV_H

#include "common/block-device.h"
#include "common/vector.h"

/* One write, or (data NULL) a flush. */
struct recorded {
  sector_t sector, len;
  char *data;
};

/* Fields may be changed between bios. */
struct faultdev {
  struct block_device bdev;
  struct block_device *lower; /* not owned */

  /* Of the bios whose op is in the mask (1 << op), the fail_at-th from now on
   * fails with -EIO, and all later ones if fail_on.  0: none.
   */
  unsigned ops, fail_at;
  bool fail_on;
  unsigned seen; /* of the mask */

  bool record;
  VECTOR (struct recorded) log;
};

void faultdev_init (struct faultdev *f, struct block_device *lower);

/* Arm it, or (at = 0) disarm it. */
void faultdev_arm (struct faultdev *f, unsigned ops, unsigned at, bool on);

/* Write the first n records to image. */
void faultdev_replay (const struct faultdev *f, size_t n, char *image);

/* Forget the records. */
void faultdev_reset (struct faultdev *f);

#endif /* NBDM_FAULTDEV_H */
