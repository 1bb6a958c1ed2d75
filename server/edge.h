/* SPDX-License-Identifier: BSD-3-Clause */
/* The edge's own joints: plugin.c, loop.c, control.c, reload.c. */

#ifndef NBDM_EDGE_H
#define NBDM_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <linux/dm-ioctl.h>

#include "common/message.h"
#include "server/dm-interface.h"

/* ------------------------------------------------------------------
 * dm-ioctl.c: the kernel's interface 4.47 on a buffer; knows no sockets.
 */

/* One request of a client that may have to wait.  Zero-initialise. */
struct dm_ioctl_call {
  uint32_t command;   /* DM_VERSION_CMD … */
  char *buffer;       /* malloc'ed: struct dm_ioctl and payload, in and out */
  size_t length;      /* bytes in buffer; on return bytes to send back */
  struct dm_wait *wait;
  bool only_reads;    /* of messages only those that change nothing: -EACCES */
  struct message message;
  struct dm_event_waiter waiter; /* DM_DEV_WAIT_CMD; fire set by the caller */
  uint32_t arm_event_nr;         /* DM_DEV_ARM_POLL: per connection */
  int result;                    /* the caller's, to keep what was returned */
  bool secure;        /* out: DM_SECURE_DATA_FLAG, wipe buffer after use */

  /* dm-ioctl.c's own between call and wait_done: the header being made into
   * the reply's, and how much room request and reply have.
   */
  struct dm_ioctl header;
  size_t size;
};

/* The kernel's dispatcher (Linux 6.1 ctl_ioctl).  buffer, of exactly length
 * bytes, comes from the client and is hostile: whatever it says, the work is
 * linear in length and in the size of the reply.  Returns what ioctl(2) would:
 * 0 or -errno, with buffer and length as the kernel would copy them back (only
 * the version on failure).  Blocks like the verbs do.
 *
 * Unlike Linux 6.1, and like later ones, a load whose target specs overlap
 * the parameters of the one before is refused (-EINVAL): overlapping ones
 * could be read over and over.
 *
 * DM_DEV_WAIT_CMD returns -EINPROGRESS once the waiter is queued; when it has
 * fired (or to give up, with cancelled), dm_ioctl_wait_done ends it and makes
 * the reply; that one blocks no more than a status does.
 */
int dm_ioctl_call (struct registry *reg, struct dm_ioctl_call *call);
int dm_ioctl_wait_done (struct registry *reg, struct dm_ioctl_call *call,
                        bool cancelled);

/* ------------------------------------------------------------------
 * reload.c: table files -> registry.
 */
struct reload;

/* path: a table file or a folder of them, absolute; NULL: none, then reloading
 * fails with -ENOENT.
 */
struct reload *reload_new (struct registry *reg, const char *path);
void reload_free (struct reload *r);

/* Read the files and carry out the plan, all or nothing:
 *
 * 1. missing devices are created, the tables of new and changed ones are built
 *    beside the live ones.  On an error what was made is removed and cleared
 *    (an inactive table that stood there before is lost); no live device has
 *    noticed.  A device whose new table has the text of the live one is left.
 * 2. changed devices are suspended, upper ones first; tables swapped, devices
 *    resumed, lower ones first.  On an error all of it is undone.
 * 3. old tables are destroyed, messages sent, vanished devices removed
 *    (deferred if open).  Errors here are told and logged, but undo nothing.
 *
 * One reload at a time, others wait (GATE_RELOAD).  Any thread; blocks as the
 * verbs do.  Each step and the summary (or the failure, unless it is the first
 * load, whose caller reports it) are logged.  report, if not NULL, receives the
 * same as malloc'ed lines, also on failure; NULL without memory.  msg: what
 * was wrong, beginning "FILE:LINE:COLUMN: " where a line of a file is to blame.
 */
int reload_run (struct reload *r, char **report, struct message *msg);

/* The result of the last reload_run, with its report and message again;
 * -ENODATA before the first.  Does not wait for one under way.
 */
int reload_status (struct reload *r, char **report, struct message *msg);

/* The server ends: break off the suspend that a reload waits in, now and from
 * now on (-EINTR, everything undone).  Any thread; does not block.
 */
void reload_cancel (struct reload *r);

/* Parse everything and build it in a registry of its own, report the first
 * error, change nothing (check=true); the normalised files are written to out
 * if that is not NULL.
 */
int reload_check (struct reload *r, FILE *out, struct message *msg);

/* What the files say of a device's export; a device that is not from the files
 * is exported and has no description.  description: malloc'ed or NULL.  Any
 * thread, also during a reload; does not block.
 */
bool reload_export (struct reload *r, const char *name, char **description);

/* May this client use it, as far as the files say?  Without a peer (NULL): may
 * every client?  Any thread, also during a reload; does not block.
 */
struct access_peer;
bool reload_admits (struct reload *r, const char *name,
                    const struct access_peer *peer);

/* The live state as a table file, malloc'ed: every device with a live table,
 * as it is now (export, description, messages as in the files), and the
 * backings of the files.  Waits for a reload under way.  0, -ENOMEM, -EILSEQ as
 * config_write.
 */
int reload_dump (struct reload *r, char **text);

/* ------------------------------------------------------------------
 * loop.c: the libev thread; control.c: the socket on it.
 */
struct loop_config {
  struct registry *registry;
  struct reload *reload;
  const char *control_path; /* absolute; NULL: no control socket */
  const char *metrics_path; /* absolute: where counters go as text, or NULL */
  gid_t control_group;      /* who may read, or CONTROL_NO_GROUP; 0 is none */
};

#define CONTROL_NO_GROUP ((gid_t) 0)

/* Bind the control socket, mode 0600, before the fork, so that errors are
 * seen: an existing socket nobody listens on is replaced, one that answers is
 * -EADDRINUSE, anything else -EEXIST.  Folders of the path that are missing are
 * made, mode 0700.  path is absolute and at most 107 bytes long.
 */
int control_listen (const char *path, int *fd, struct message *msg);

/* Let members of the group connect to the socket just bound at path: it gets
 * mode 0660, folders that were made for it 0710.  -EPERM unless we are root or
 * a member.
 */
int control_share (const char *path, gid_t group, struct message *msg);

/* Start the loop thread (after the fork) on the listening fd (-1: none), which
 * it takes over also on failure.  It owns SIGHUP from now on, which every other
 * thread must have blocked.  What config points to must last until loop_stop.
 */
int loop_start (const struct loop_config *config, int listen_fd,
                struct message *msg);

/* Break off all verbs, waiters and reloads, stop and join the thread, close and
 * unlink the socket.  Blocks until the last verb has ended; what does not wait
 * for anything is completed.  Safe if never started or already stopped, but not
 * from two threads at once.
 */
void loop_stop (void);

#endif /* NBDM_EDGE_H */
