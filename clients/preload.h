/* SPDX-License-Identifier: BSD-3-Clause */
/* What dmsetup-preload puts in place of a kernel's device-mapper. */

#ifndef NBDM_PRELOAD_H
#define NBDM_PRELOAD_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/dm-ioctl.h>

/* A program that uses libdevmapper 1.02 looks at these places and no others:
 * the control node, /proc/devices, the nodes of mapped devices, and below
 * /sys/dev/block how a device is named.  They are made up here, from what the
 * server says at that moment.
 *
 * Nothing is remembered between calls: every ioctl has a connection of its own
 * (only polling needs one that stays), and a descriptor is known to be ours by
 * the name of the file behind it.  So threads, fork, dup and close need no
 * care, a wait holds nobody up, and a server that was started anew goes
 * unnoticed.
 *
 * All functions that fail set errno and return -1, like those they stand in
 * for.
 */

/* The function that would have been called without us.  Needs no lock: all
 * threads find the same one.
 */
#define NEXT(function) \
  ({ \
    static __typeof__ (&function) next_; \
    __typeof__ (&function) found_ = __atomic_load_n (&next_, \
                                                     __ATOMIC_RELAXED); \
    if (found_ == NULL) { \
      found_ = (__typeof__ (&function)) dlsym (RTLD_NEXT, #function); \
      __atomic_store_n (&next_, found_, __ATOMIC_RELAXED); \
    } \
    found_; \
  })

enum place_kind {
  PLACE_ELSEWHERE = 0, /* not ours */
  PLACE_FOLDER,        /* DIR/mapper; DIR is $DM_DEV_DIR or /dev */
  PLACE_CONTROL,       /* DIR/mapper/control */
  PLACE_NODE,          /* DIR/mapper/NAME */
  PLACE_DRIVERS,       /* /proc/devices */
  PLACE_SYSFS,         /* /sys/dev/block/MAJOR:MINOR, MAJOR being ours */
  PLACE_SYSFS_NAME,    /* … with /dm/name behind it */
};

struct place {
  enum place_kind kind;
  const char *name; /* of a node: the end of the path */
  uint32_t minor;   /* in sysfs, and of a descriptor's node */
};

/* Asks nobody, and knows a path only as libdevmapper spells it; path may be
 * NULL.
 */
struct place place_of_path (const char *path);

/* CONTROL or NODE for a descriptor that place_open returned, or a duplicate of
 * one, or for a control node that can be polled.  Leaves errno alone.
 */
struct place place_of_fd (int fd);

/* A node without device is ENOENT. */
struct inode {
  mode_t mode;
  dev_t number;
};
int place_stat (const struct place *place, struct inode *inode);

/* CONTROL, DRIVERS, NODE or SYSFS_NAME; of flags only O_CLOEXEC counts.  A text
 * can be read; control and nodes are good for ioctl and nothing else, EBADF.
 * The control place opens if the server answers.
 */
int place_open (const struct place *place, int flags);

/* SYSFS; as readlink(2). */
ssize_t place_readlink (const struct place *place, char *target, size_t size);

/* Prints, as one line on standard error, what the server or the socket has to
 * say about a failure; not with NBDM_QUIET=1 in the environment.
 */
void preload_say (const char *text, const char *reason);

/* 0 if there is a server, or -1. */
int preload_probe (void);

/* The device of a node or of a place in sysfs: DM_DEV_STATUS_CMD's reply.  */
int preload_status (const struct place *place, struct dm_ioctl *status);

/* ioctl(2) on the control node.  A signal that would break the kernel's off
 * (wait, suspend) does so here: the server is told, and its answer is the
 * result.
 *
 * DM_DEV_ARM_POLL puts a connection to the server in the place of fd, which
 * poll(2) finds readable when there is an event; being armed again it is
 * emptied.  Its own address begins with the label, after a NUL.
 */
#define PRELOAD_POLL_LABEL "nbdm-control."
int preload_control_ioctl (int fd, unsigned long request,
                           struct dm_ioctl *dmi);

/* ioctl(2) on a node: what can be known of a device without doing I/O.  A
 * read-ahead can be set, and stays 0.
 */
int preload_node_ioctl (uint32_t minor, unsigned long request, void *arg);

#endif /* NBDM_PRELOAD_H */
