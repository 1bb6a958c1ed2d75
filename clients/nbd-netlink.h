/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's NBD client, by its generic netlink commands. */

#ifndef NBDM_NBD_NETLINK_H
#define NBDM_NBD_NETLINK_H

#include <stddef.h>
#include <stdint.h>

/* Attributes of <linux/nbd-netlink.h>, Linux 4.12 and later; needs root.  All
 * functions block until the kernel has answered, and return 0 or -errno.
 */
struct nbd_netlink {
  int fd;
  uint16_t family;
  uint32_t sequence;
};

/* -ENOENT: the kernel has no NBD client (the module is not loaded). */
int nbd_netlink_open (struct nbd_netlink *link);
void nbd_netlink_close (struct nbd_netlink *link);

/* What /dev/nbdN is to be. */
struct nbd_device {
  uint32_t index;          /* NBD_ANY: the kernel chooses, and tells */
  uint64_t size_bytes;
  uint64_t block_bytes;    /* 512 … 4096, a power of two */
  uint64_t server_flags;   /* NBD_FLAG_… of <linux/nbd.h> */
};
#define NBD_ANY UINT32_MAX

/* Make a device of a socket behind its handshake.  The kernel takes its own
 * reference.  Requests have no timeout: those that are under way when the
 * connection is lost go out again up to 30 seconds after the next one is
 * there; new ones wait for it dead_seconds before they fail.
 */
int nbd_netlink_connect (struct nbd_netlink *link, struct nbd_device *device,
                         int sock, unsigned dead_seconds);

/* Give a device whose connection is lost another one.  -ENOSPC: the kernel has
 * not noticed its loss.
 */
int nbd_netlink_reconnect (struct nbd_netlink *link, uint32_t index, int sock);

/* Tell the kernel the size and the block size.  It (Linux 6.12) first waits
 * until no request is under way, so there must be a connection that works.
 */
int nbd_netlink_resize (struct nbd_netlink *link,
                        const struct nbd_device *device);

int nbd_netlink_disconnect (struct nbd_netlink *link, uint32_t index);

#endif /* NBDM_NBD_NETLINK_H */
