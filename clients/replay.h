/* SPDX-License-Identifier: BSD-3-Clause */
/* Doing once more what an entry of a log-writes log says. */

#ifndef NBDM_REPLAY_H
#define NBDM_REPLAY_H

#include <stdint.h>

#include "clients/wlog.h"

/* A file or block device that takes the writes. */
struct replay {
  int fd;
  uint64_t size_bytes; /* fixed: a log cannot make it larger */
};

/* Blocks; 0, or -errno with msg set. */
int replay_open (struct replay *replay, const char *path,
                 struct message *msg);

/* Closing can be what tells of a failed write. */
int replay_close (struct replay *replay, struct message *msg);

/* Write or discard; marks and flushes change nothing.  What was discarded
 * reads as zeroes, so that two replays make the same bytes.  -ENOSPC if the
 * entry reaches beyond the end.
 */
int replay_entry (struct replay *replay, const struct wlog *log,
                  const struct wlog_entry *entry, struct message *msg);

/* Make it durable, or visible to who opens the device anew. */
int replay_sync (struct replay *replay, struct message *msg);

#endif /* NBDM_REPLAY_H */
