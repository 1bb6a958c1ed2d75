/* SPDX-License-Identifier: BSD-3-Clause */
/* The exits: opening files and upstream exports as block devices. */

#ifndef NBDM_BDEV_H
#define NBDM_BDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"
#include "common/message.h"

/* What the backings section of a table file can say of a device.  All zeroes
 * is what a bare path or URI gets.
 */
struct bdev_options {
  bool readonly;         /* never write, whatever the table's mode */
  bool direct;           /* file: O_DIRECT */
  uint64_t offset_bytes; /* file and upstream: a window of the device … */
  uint64_t size_bytes;   /* … 0: up to its end.  Multiples of 512 */
  unsigned connections;  /* upstream: how many for data, if the server likes
                            several (multi-conn); 0: 2 */
  unsigned reconnect;    /* upstream: how many seconds I/O waits for a broken
                            connection to come back; 0: fail with -EIO */
  unsigned timeout;      /* upstream: seconds to connect, 0: 10; if set, also
                            how long it may be silent while requests are under
                            way before it counts as lost */

  /* Not from a table file: open only to see whether that works, beside
   * whoever has the file locked.  Nothing will be written.
   */
  bool check;
};

/* Where the window of options lies in a device of device_bytes: its size, a
 * multiple of align_bytes, goes to *size_bytes.  0, or -EINVAL with the message
 * naming the option that does not fit.
 */
int bdev_window (const struct bdev_options *options, uint64_t device_bytes,
                 unsigned align_bytes, uint64_t *size_bytes,
                 struct message *msg);

/* Open a regular file or block device by absolute path.
 *
 * All devices of this process on one inode share one advisory lock: exclusive
 * as soon as one of them may write, shared otherwise, held until the last one
 * closes (F_OFD_SETLK, so it survives the fork of the server).  A file that
 * another process has locked is -EBUSY, and the message says by whom if that
 * can be known.
 *
 * name is copied; it becomes bdev->name.  bdev->number is the block device's
 * own, 0 for a regular file: the opener gives it one.  The size is rounded down
 * to logical blocks; one that follows the device (no size option) is looked up
 * again whenever the limits are asked for, so that a table loaded after the
 * file was extended sees its new end.
 *
 * 0, or -errno with the message set: -ENODEV for what does not exist or is
 * neither file nor block device (as Linux 6.1 for a table's device), -EBUSY as
 * above, -EINVAL for a window that does not fit or direct I/O where there is
 * none, otherwise open's (-EACCES, -EROFS, ...).
 */
int bdev_file_open (const char *path, const char *name, bool writable,
                    const struct bdev_options *options,
                    struct block_device **bdev, struct message *msg);

/* Connect to an NBD export by URI (nbd:, nbds:, nbd+unix:, nbds+unix: and the
 * rest of libnbd's).  Blocks up to the timeout for each connection.  Size,
 * block sizes and read-only are taken over from the server; -EROFS is not an
 * error here: the device is then readonly.  No thread is created, so that it
 * may happen before the server forks; the parent may exit without closing.
 * name is copied; bdev->number is left 0.
 *
 * 0, or -errno with the message set: -ENODEV if there is no such socket or
 * export, -ETIMEDOUT, -EINVAL for a bad URI or a window that does not fit,
 * otherwise connect's (-ECONNREFUSED, ...).
 *
 * When a connection is lost later, the device connects again by itself, as
 * options.reconnect says; its size may then be another, I/O beyond which is
 * -EIO.  A server that then offers less than it did counts as not reachable.
 * What this promises for data that was not flushed is in server/bdev-nbd.h.
 */
int bdev_nbd_open (const char *uri, const char *name, bool writable,
                   const struct bdev_options *options,
                   struct block_device **bdev, struct message *msg);

/* One line for --dump-plugin: the version of the library underneath. */
const char *bdev_nbd_library_version (void);

#endif /* NBDM_BDEV_H */
