/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the log of a log-writes target, the kernel's or ours. */

#include "clients/wlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Logical blocks of more than a page exist nowhere yet; of 64 KiB some day. */
#define WLOG_MAX_BLOCK_BYTES 65536

#define WLOG_ALL_FLAGS \
  (WLOG_FLUSH | WLOG_FUA | WLOG_DISCARD | WLOG_MARK | WLOG_METADATA)

int
wlog_read (const struct wlog *log, uint64_t at_bytes, void *data, size_t len,
           struct message *msg)
{
  char *to = data;

  while (len > 0) {
    ssize_t n = pread (log->fd, to, len, at_bytes);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return message_set (msg, errno, "cannot read the log: %s",
                          strerror (errno));
    if (n == 0)
      return message_set (msg, EINVAL, "the log ends at byte %" PRIu64,
                          at_bytes);
    to += n;
    len -= n;
    at_bytes += n;
  }
  return 0;
}

static int
wlog_read_super (struct wlog *log, struct message *msg)
{
  struct wlog_super super;
  int r = wlog_read (log, 0, &super, sizeof super, msg);

  if (r < 0)
    return r;
  if (from_le64 (super.magic) != WLOG_MAGIC)
    return message_set (msg, EINVAL, "this is not the log of a log-writes "
                        "target (wrong magic)");
  if (from_le64 (super.version) != WLOG_VERSION)
    return message_set (msg, EINVAL, "version %" PRIu64 " of the log is not "
                        "known", from_le64 (super.version));
  log->block_bytes = from_le32 (super.block_bytes);
  log->nr_entries = from_le64 (super.nr_entries);
  if (log->block_bytes < 512 || log->block_bytes > WLOG_MAX_BLOCK_BYTES ||
      log->block_bytes & (log->block_bytes - 1))
    return message_set (msg, EINVAL, "impossible block size %u",
                        log->block_bytes);
  wlog_rewind (log);
  return 0;
}

int
wlog_open (struct wlog *log, const char *path, struct message *msg)
{
  off_t size;
  int r;

  memset (log, 0, sizeof *log);
  log->fd = open (path, O_RDONLY | O_CLOEXEC);
  if (log->fd < 0)
    return message_set (msg, errno, "%s", strerror (errno));
  size = lseek (log->fd, 0, SEEK_END);
  if (size < 0)
    r = message_set (msg, errno, "cannot find its size: %s",
                     strerror (errno));
  else {
    log->size_bytes = size;
    r = wlog_read_super (log, msg);
  }
  if (r < 0)
    wlog_close (log);
  return r;
}

void
wlog_close (struct wlog *log)
{
  close (log->fd);
  log->fd = -1;
}

void
wlog_rewind (struct wlog *log)
{
  log->nr = 0;
  log->next_bytes = log->block_bytes;
}

/* From blocks to bytes; false if that or the end does not fit an off_t. */
static bool
wlog_range (const struct wlog *log, const struct wlog_header *header,
            struct wlog_entry *entry)
{
  uint64_t end;

  return !__builtin_mul_overflow (from_le64 (header->block),
                                  (uint64_t) log->block_bytes,
                                  &entry->start_bytes) &&
    !__builtin_mul_overflow (from_le64 (header->nr_blocks),
                             (uint64_t) log->block_bytes,
                             &entry->len_bytes) &&
    !__builtin_add_overflow (entry->start_bytes, entry->len_bytes, &end) &&
    end <= INT64_MAX;
}

static int
wlog_read_mark (const struct wlog *log, uint64_t at_bytes,
                const struct wlog_header *header, struct wlog_entry *entry,
                struct message *msg)
{
  uint64_t len = from_le64 (header->text_bytes);

  if (len > log->block_bytes - sizeof *header)
    return message_set (msg, EINVAL, "entry %" PRIu64 ": a mark of %" PRIu64
                        " bytes does not fit its block", entry->nr, len);
  entry->mark = calloc (1, len + 1);
  if (entry->mark == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  return wlog_read (log, at_bytes + sizeof *header, entry->mark, len, msg);
}

static int
wlog_bad_entry (const struct wlog_entry *entry, const char *why,
                struct message *msg)
{
  return message_set (msg, EINVAL, "entry %" PRIu64 ": %s", entry->nr, why);
}

int
wlog_next (struct wlog *log, struct wlog_entry *entry, struct message *msg)
{
  uint64_t at_bytes = log->next_bytes, data_len;
  struct wlog_header header;
  int r;

  *entry = (struct wlog_entry) { .nr = log->nr + 1 };
  if (log->nr == log->nr_entries)
    return 0;
  if (at_bytes > log->size_bytes ||
      log->size_bytes - at_bytes < log->block_bytes)
    return wlog_bad_entry (entry, "is beyond the end of the log", msg);
  r = wlog_read (log, at_bytes, &header, sizeof header, msg);
  if (r < 0)
    return r;
  if (from_le64 (header.flags) & ~(uint64_t) WLOG_ALL_FLAGS)
    return wlog_bad_entry (entry, "unknown flags", msg);
  entry->flags = from_le64 (header.flags);
  if (!wlog_range (log, &header, entry))
    return wlog_bad_entry (entry, "its range is impossible", msg);
  entry->data_bytes = at_bytes + log->block_bytes;
  data_len = entry->flags & WLOG_DISCARD ? 0 : entry->len_bytes;
  if (data_len > log->size_bytes - entry->data_bytes)
    return wlog_bad_entry (entry, "its data is beyond the end of the log",
                           msg);
  if (entry->flags & WLOG_MARK) {
    r = wlog_read_mark (log, at_bytes, &header, entry, msg);
    if (r < 0)
      return r;
  }
  log->next_bytes = entry->data_bytes + data_len;
  log->nr++;
  return 1;
}

void
wlog_entry_reset (struct wlog_entry *entry)
{
  free (entry->mark);
  entry->mark = NULL;
}
