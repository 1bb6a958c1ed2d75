/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames on the control socket. */

#ifndef NBDM_PROTOCOL_H
#define NBDM_PROTOCOL_H

#include <stdint.h>

#include <linux/dm-ioctl.h>

/* The version of the kernel's interface that the server speaks, whatever the
 * header it is built with says: Linux 6.1's.
 */
#define DM_INTERFACE_VERSION { 4, 47, 0 }

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
 * sending side, breaks off what it waits for (suspend, wait, extents).
 *
 * After DM_DEV_ARM_POLL_CMD the server sends one struct nbdm_reply more, with
 * NBDM_EVENT_MAGIC and nothing else but zeroes, as soon as the global event
 * counter is past what it was when the request was carried out: the connection
 * becomes readable, as the kernel's control node does.  It is sent once, and
 * only while no request is being read or carried out; but a client that sends
 * one at that moment finds it before the reply.  Arming again, before or after
 * it came, is how to go on.
 *
 * A frame with a wrong magic, a length over NBDM_MAX_FRAME or reserved not 0
 * ends the connection after a reply with error EPROTO; so does a peer that may
 * not even read, with EACCES, before it is read from.
 */
#define NBDM_MAGIC 0x6d64626eu /* "nbdm" */
#define NBDM_EVENT_MAGIC 0x6564626eu /* "nbde" */
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

/* Commands the kernel does not have.  Unless told otherwise a request has no
 * payload and the reply's is text without NUL.
 */
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
  /* All counters in the text format of OpenMetrics 1.0. */
  NBDM_METRICS = 0x103,
  /* Reply: a struct nbdm_counters per device, ascending by name. */
  NBDM_COUNTERS = 0x104,
  /* What a device holds, as NBD's block status tells it.  Request: struct
   * nbdm_extents.  Reply: struct nbdm_extent, ascending without gaps from
   * begin, neighbours with equal flags merged.  If the last one ends before
   * what was asked for, ask again from there.  Errors: those of a look-up,
   * ENODEV without a live table, EINVAL beyond the end.
   */
  NBDM_EXTENTS = 0x105,
  /* Suspend or resume several devices, all of them or none.  Request: struct
   * nbdm_group.  Reply text: a line per step.  Suspended are upper devices
   * before those they stand on, resumed in the reverse order; devices that are
   * so already stay so whatever comes.  A resume takes inactive tables live as
   * DM_DEV_SUSPEND_CMD does, but on an error the old ones are put back (a
   * device that never had one keeps the new one, suspended).
   */
  NBDM_SUSPEND_GROUP = 0x106,
  NBDM_RESUME_GROUP = 0x107,
};

/* A device is named by one of the three, as in struct dm_ioctl. */
struct nbdm_extents {
  uint64_t dev;              /* encoded as struct dm_ioctl.dev, or 0 */
  char name[DM_NAME_LEN];    /* with a NUL; "" for none */
  char uuid[DM_UUID_LEN];
  char padding[7];
  uint64_t begin, len;       /* sectors; len 0: to the end */
};

struct nbdm_extent {
  uint64_t begin, len;       /* sectors */
  uint32_t flags;            /* 0: data */
#define NBDM_EXTENT_HOLE 1u  /* no space is allocated */
#define NBDM_EXTENT_ZERO 2u  /* reads as zeroes */
  uint32_t reserved;
};

struct nbdm_group {
  uint32_t flags;            /* DM_NOFLUSH_FLAG, DM_SKIP_LOCKFS_FLAG */
  uint32_t count;            /* of names that follow, each with its NUL; 1 … */
#define NBDM_MAX_GROUP 1024u
};

/* Since the device was created.  Bios are counted at its gate when they are
 * done, before they are split; failed ones are in both their own count and
 * errors.
 */
struct nbdm_counters {
  char name[DM_NAME_LEN];
  uint64_t dev;              /* encoded as struct dm_ioctl.dev */
  uint64_t size;             /* sectors, of the live table */
  uint64_t reads, read_sectors;
  uint64_t writes, write_sectors;
  uint64_t discards, discard_sectors; /* and write-zeroes */
  uint64_t flushes;
  uint64_t errors;
  uint64_t deferred;         /* bios that had to wait at the closed gate */
  uint64_t in_flight;        /* now */
  uint64_t deferred_now;
  uint64_t suspends;
  uint64_t swaps;            /* of tables */
};

#endif /* NBDM_PROTOCOL_H */
