/* SPDX-License-Identifier: BSD-3-Clause */
/* One advisory lock per open inode, shared by all devices of the process. */

#ifndef NBDM_BDEV_LOCK_H
#define NBDM_BDEV_LOCK_H

#include <stdbool.h>

#include "common/message.h"

/* The lock is an open-file-description lock on the whole file (Linux 3.15,
 * F_OFD_SETLK): it conflicts with the record locks of other processes, is
 * inherited by the server's fork, and does not go away when some unrelated
 * descriptor of the same file is closed.  Shared while nobody here writes,
 * exclusive while somebody may.  It is never given up in between: going from
 * readers to writers and back cannot let another process in.
 *
 * A block device that is written to is claimed as well (O_EXCL without
 * O_CREAT), which fails while it is mounted or part of another driver's device
 * and keeps it from becoming so, as a mapped device in the kernel does.
 */
struct inode_lock;

/* Take part in the lock of the inode behind fd, which was opened for writing
 * if writer is set.  path is for messages and the claim.  Blocks only where
 * fcntl does (network file systems).  0, or -errno with the message set: -EBUSY
 * if another process is in the way.
 */
int inode_lock_acquire (int fd, const char *path, bool writer,
                        struct inode_lock **lock, struct message *msg);

/* writer as it was acquired. */
void inode_lock_release (struct inode_lock *lock, bool writer);

#endif /* NBDM_BDEV_LOCK_H */
