/* SPDX-License-Identifier: BSD-3-Clause */
/* Doing once more what an entry of a log-writes log says. */

#include "clients/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define REPLAY_CHUNK_BYTES (UINT64_C (1) << 20)

int
replay_open (struct replay *replay, const char *path, struct message *msg)
{
  off_t size;

  replay->fd = open (path, O_RDWR | O_CLOEXEC);
  if (replay->fd < 0)
    return message_set (msg, errno, "%s", strerror (errno));
  size = lseek (replay->fd, 0, SEEK_END);
  if (size < 0) {
    message_set (msg, errno, "cannot find its size: %s", strerror (errno));
    close (replay->fd);
    return -EINVAL;
  }
  replay->size_bytes = size;
  return 0;
}

int
replay_close (struct replay *replay, struct message *msg)
{
  if (close (replay->fd) < 0)
    return message_set (msg, errno, "%s", strerror (errno));
  return 0;
}

static int
replay_write (struct replay *replay, uint64_t at_bytes, const char *data,
              size_t len, struct message *msg)
{
  while (len > 0) {
    ssize_t n = pwrite (replay->fd, data, len, at_bytes);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return message_set (msg, errno, "cannot write: %s", strerror (errno));
    data += n;
    len -= n;
    at_bytes += n;
  }
  return 0;
}

/* The entry's data, or zeroes if log is NULL. */
static int
replay_copy (struct replay *replay, const struct wlog *log,
             const struct wlog_entry *entry, struct message *msg)
{
  char *CLEANUP_FREE chunk = calloc (1, REPLAY_CHUNK_BYTES);
  uint64_t done = 0;
  int r = 0;

  if (chunk == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  while (r == 0 && done < entry->len_bytes) {
    uint64_t left = entry->len_bytes - done;
    size_t n = left < REPLAY_CHUNK_BYTES ? left : REPLAY_CHUNK_BYTES;

    if (log)
      r = wlog_read (log, entry->data_bytes + done, chunk, n, msg);
    if (r == 0)
      r = replay_write (replay, entry->start_bytes + done, chunk, n, msg);
    done += n;
  }
  return r;
}

static int
replay_discard (struct replay *replay, const struct wlog_entry *entry,
                struct message *msg)
{
  if (fallocate (replay->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                 entry->start_bytes, entry->len_bytes) == 0)
    return 0;
  return replay_copy (replay, NULL, entry, msg);
}

int
replay_entry (struct replay *replay, const struct wlog *log,
              const struct wlog_entry *entry, struct message *msg)
{
  if (entry->len_bytes == 0)
    return 0;
  if (entry->start_bytes + entry->len_bytes > replay->size_bytes)
    return message_set (msg, ENOSPC, "entry %" PRIu64 " goes to byte %" PRIu64
                        " of %" PRIu64, entry->nr,
                        entry->start_bytes + entry->len_bytes,
                        replay->size_bytes);
  if (entry->flags & WLOG_DISCARD)
    return replay_discard (replay, entry, msg);
  return replay_copy (replay, log, entry, msg);
}

int
replay_sync (struct replay *replay, struct message *msg)
{
  if (fsync (replay->fd) < 0)
    return message_set (msg, errno, "cannot sync: %s", strerror (errno));
  return 0;
}
