/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the log of a log-writes target, the kernel's or ours. */

#ifndef NBDM_WLOG_H
#define NBDM_WLOG_H

#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/write-log.h"

/* An open log and the place in it.  Nothing in it is believed: every number is
 * checked against the size of the file before it is used.
 */
struct wlog {
  int fd;
  unsigned block_bytes;
  uint64_t nr_entries; /* as the superblock says */
  uint64_t size_bytes; /* of the file or device */

  uint64_t nr;         /* entries read so far */
  uint64_t next_bytes; /* where the next one begins */
};

struct wlog_entry {
  uint64_t nr;         /* counted from 1 */
  unsigned flags;      /* enum wlog_flags */
  uint64_t start_bytes, len_bytes; /* on the device; their sum fits */
  uint64_t data_bytes; /* where the log has the data, unless a discard */
  char *mark;          /* NUL-terminated; NULL for what is no mark */
};

/* Blocks; 0, or -errno with msg set: -EINVAL if it is no such log. */
int wlog_open (struct wlog *log, const char *path, struct message *msg);
void wlog_close (struct wlog *log);

/* The next entry: 1; or 0 when there are no more; or -errno with msg set,
 * -EINVAL for one that makes no sense.  wlog_entry_reset frees its mark,
 * whatever was returned.
 */
int wlog_next (struct wlog *log, struct wlog_entry *entry,
               struct message *msg);
void wlog_entry_reset (struct wlog_entry *entry);

/* Start again with the first entry. */
void wlog_rewind (struct wlog *log);

/* Read all of it or fail: len bytes at this place of the log. */
int wlog_read (const struct wlog *log, uint64_t at_bytes, void *data,
               size_t len, struct message *msg);

#endif /* NBDM_WLOG_H */
