/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames on the control socket. */

#ifndef NBDM_PROTOCOL_H
#define NBDM_PROTOCOL_H

#include <stdint.h>

#include <linux/dm-ioctl.h>

/* Mapped devices are DM_BLOCK_MAJOR:minor.  No driver of Linux has this major,
 * so that no program takes another's device for one of ours (numbers up to 511
 * are given out).
 */
#define DM_BLOCK_MAJOR 600

/* A stream socket (Unix domain).  The client sends request frames and reads
 * one reply for each, in order; integers are in host order, since both ends are
 * on one machine.
 *
 * request: struct nbdm_request, then length bytes: for the kernel's commands
 *   (0 … 17, DM_VERSION_CMD …) a struct dm_ioctl and its payload, just what
 *   would be passed to ioctl(2) on /dev/mapper/control, data_size equal to
 *   length; for our own commands what their comment says.
 * reply: struct nbdm_reply, then length bytes, then message_length bytes of
 *   text without NUL: the reason of an error for a human, or "".
 *
 * A reply to one of the kernel's commands is never longer than its request and
 * goes over the start of the client's buffer: then that is what ioctl(2) would
 * have left there.  With an error, and where the kernel writes nothing else
 * (DM_REMOVE_ALL_CMD, DM_DEV_SET_GEOMETRY_CMD, DM_VERSION_CMD), it is the
 * request's header with only the version changed, data_size included.
 * A data_size beyond length is EINVAL, where ioctl(2) would say EFAULT; one
 * below length is the room that counts.  A command nobody knows is ENOTTY.
 *
 * One request of a connection runs at a time; the server reads the next one
 * when the reply has been sent.  A client that hangs up, or shuts down its
 * sending side, breaks off what it waits for (suspend, wait).
 *
 * A frame with a wrong magic, a length over NBDM_MAX_FRAME or reserved not 0
 * ends the connection after a reply with error EPROTO; so does a peer that is
 * neither the server's user nor root, with EACCES, before it is read from.
 */
#define NBDM_MAGIC 0x6d64626eu /* "nbdm" */
#define NBDM_MAX_FRAME (16u << 20)

struct nbdm_request {
  uint32_t magic;
  uint32_t command;
  uint32_t length;
  uint32_t reserved; /* 0 */
};

struct nbdm_reply {
  uint32_t magic;
  uint32_t error; /* an errno, 0 for success */
  uint32_t length;
  uint32_t message_length;
};

/* Commands the kernel does not have.  Payload in both directions is text. */
enum nbdm_command {
  /* Read the table files again, as SIGHUP does; waits for the result.  Reply
   * text: one line per step and a summary.  EINVAL etc.: nothing changed.
   */
  NBDM_RELOAD = 0x100,
  /* Result and reply text of the last reload, whoever asked for it.  ENODATA
   * if there was none.
   */
  NBDM_RELOAD_STATUS = 0x101,
  /* The live state as a table file. */
  NBDM_DUMP = 0x102,
};

#endif /* NBDM_PROTOCOL_H */
