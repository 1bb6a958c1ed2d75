/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to the control socket, and calls over it. */

#ifndef NBDM_CLIENT_H
#define NBDM_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/protocol.h"

/* Blocking throughout, no threads, no signals (SIGPIPE is not raised).  The
 * process that ends, or closes the connection, breaks off what it waits for:
 * the server then rolls a suspend back and forgets a wait.
 */
struct client {
  int fd; /* -1: not connected */

  /* If not NULL called after each second that a reply has been waited for,
   * with how many they are; with 0 when it comes, if it was called before.
   */
  void (*waiting) (unsigned seconds);
};

#define CLIENT_INIT { .fd = -1 }

/* The control socket to use: option (the user's own words) if not NULL, else
 * $NBDM_CONTROL, else /run/nbdm/control for root and
 * $XDG_RUNTIME_DIR/nbdm/control for everybody else.  *path is malloc'ed.
 * -ENOENT if there is no default, -ENOMEM.
 */
int client_socket_path (const char *option, char **path);

/* 0 or the -errno of socket(2) and connect(2); -ENAMETOOLONG for a path that
 * a socket address cannot hold (107 bytes).
 */
int client_connect (struct client *client, const char *path);
void client_close (struct client *client);

/* A call of one of the kernel's commands.  Zero-initialise, set what the
 * command needs of request, call, look at reply, then call_reset.
 */
struct call {
  /* name, uuid, dev, flags, event_nr, target_count; the rest is filled in. */
  struct dm_ioctl request;
  const void *payload;   /* what follows the header; not owned */
  size_t payload_bytes;

  /* After success: the header and reply_bytes in all behind it, zeroes where
   * the server sent less than data_size.  Ends in at least one NUL that does
   * not count.  NULL after a failure.
   */
  struct dm_ioctl *reply;
  size_t reply_bytes;

  /* The reason of a failure for a human: the server's, or our own if the
   * connection broke.  Malloc'ed; NULL if there is none.
   */
  char *message;
};

/* command is DM_VERSION_CMD … DM_GET_TARGET_VERSION_CMD.  Returns 0 or -errno:
 * the server's, or that of the connection; -EPROTO if the reply is not what
 * protocol.h says, -EMSGSIZE if request or reply exceed NBDM_MAX_FRAME.  A
 * reply that does not fit is asked for again with a buffer of twice the size,
 * from 16 KiB on, as libdevmapper does.
 */
int client_call (struct client *client, uint32_t command, struct call *call);
void call_reset (struct call *call);

/* A call of one of our own commands.  Zero-initialise, set what the command
 * takes, then own_call_reset.
 */
struct own_call {
  const void *payload;   /* not owned */
  size_t payload_bytes;
  char *reply;           /* malloc'ed, with a NUL behind it, never NULL then; */
  size_t reply_bytes;    /* after an error, too: a failed reload has a report */
  char *message;         /* as above */
};

int client_own_call (struct client *client, enum nbdm_command command,
                     struct own_call *call);
void own_call_reset (struct own_call *call);

/* Device numbers as struct dm_ioctl.dev has them. */
uint64_t dev_encode (unsigned major, unsigned minor);
unsigned dev_major (uint64_t dev);
unsigned dev_minor (uint64_t dev);

#endif /* NBDM_CLIENT_H */
