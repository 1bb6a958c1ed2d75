/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory that counts, fails, stalls on demand. */

#ifndef NBDM_MEMDEV_H
#define NBDM_MEMDEV_H

#include <stdatomic.h>

#include "common/block-device.h"

/* Fields may be changed by the test at any time between bios (the atomic ones
 * at any time).  bdev first, so that a struct memdev can be passed wherever a
 * block_device is wanted.
 */
struct memdev {
  struct block_device bdev;
  char *data;                 /* bdev.size sectors */
  struct queue_limits limits; /* all features on by default */

  atomic_uint counts[BIO_PREFETCH + 1]; /* bios seen, by op */
  atomic_uint fua;                      /* those with BIO_FUA */

  /* A bio that touches [bad_start, bad_end), or any flush if fail_flush, any
   * write if fail_write, gets -bad_errno.
   */
  sector_t bad_start, bad_end;
  int bad_errno;
  atomic_bool fail_flush, fail_write;

  /* While set, bios wait before doing anything; if stalled_len is not 0 then
   * only those of such a length.
   */
  atomic_bool stalled;
  sector_t stalled_len;
  atomic_uint waiting;        /* how many do */

  /* Reads may rightly be under way while the same sectors are written to, with
   * a result that nobody uses: no business of ThreadSanitizer's.
   */
  bool may_tear;
};

/* A zero-filled device; name is copied.  Aborts without memory. */
struct memdev *memdev_new (const char *name, sector_t size);
void memdev_free (struct memdev *m);

/* The same, and tables find the device by its name meanwhile. */
struct memdev *memdev_add (const char *name, sector_t size);
void memdev_remove (struct memdev *m);

#endif /* NBDM_MEMDEV_H */
