/* SPDX-License-Identifier: BSD-3-Clause */
/* A file or block device: what bdev-file.c and bdev-file-open.c share. */

#ifndef NBDM_BDEV_FILE_H
#define NBDM_BDEV_FILE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "common/block-device.h"
#include "common/list.h"
#include "common/lock.h"
#include "server/bdev.h"

struct inode_lock;

/* Everything happens on the caller's thread.  What does not change after the
 * open needs no lock, so a read or write takes none; what is found out by use
 * is a flag that only ever goes from true to false.
 *
 * The limits a kernel's block device would show: of a block device its own, of
 * a file those of a loop device over it.  With O_DIRECT the logical block size
 * is what the file system asks for (statx's STATX_DIOALIGN, Linux 6.1, else by
 * trying), and memory that is not aligned for it is copied.
 */
struct bdev_file {
  struct block_device bdev;
  struct bdev_options options;
  int fd;
  bool is_block;              /* else a regular file */
  bool writable;              /* fd is open for writing */
  unsigned align_bytes;       /* of offsets and lengths: what O_DIRECT wants,
                                 512 without */
  unsigned mem_align_bytes;   /* of memory; 1 without O_DIRECT */
  struct inode_lock *lock;
  struct queue_limits limits; /* but for what the next fields tell */

  /* Assumed until the device has refused it, then false for ever. */
  atomic_bool can_discard, can_punch, can_zero_range, can_dsync;

  /* A run of the file that was data when it was last looked at, in bytes of
   * the file; empty if start == end.  The generation moves when we punch holes,
   * so that a look that was under way meanwhile is not kept.  The latch guards
   * the three.
   */
  struct latch data_latch;
  off_t data_start, data_end;
  unsigned data_generation;
};

static inline struct bdev_file *
file_of (struct block_device *bdev)
{
  return container_of (bdev, struct bdev_file, bdev);
}

/* bdev-file.c: block_device_ops.submit and .extents.  Zeroes are never written:
 * a range that can be neither punched nor zeroed is -EOPNOTSUPP, untouched.
 * Extents come from SEEK_DATA and SEEK_HOLE; a block device is all data.
 */
int file_submit (struct block_device *bdev, struct bio *bio);
int file_extents (struct block_device *bdev, sector_t sector, sector_t len,
                  struct extent_sink *sink);

#endif /* NBDM_BDEV_FILE_H */
