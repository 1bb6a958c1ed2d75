/* SPDX-License-Identifier: BSD-3-Clause */
/* log-writes: a device, and a log of what is written to it. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/lock.h"
#include "common/log.h"
#include "common/write-log.h"
#include "server/device-mapper.h"

/* A disk's cache is bounded, too: when this much data waits for a flush all
 * of it is logged, as a disk would write it back of its own accord.
 */
#define LOG_WRITES_MAX_UNFLUSHED (UINT64_C (64) << 20)

struct log_writes {
  struct dm_dev *dev, *log;
  unsigned block_bytes; /* of the log */
  bool was_live;

  /* One entry after the other goes to the log.  Who moves unflushed records
   * there takes them off the list under the gate, or after it came to the end
   * of a flush would overtake them.
   */
  struct gate gate;

  struct latch latch;
  /* Guarded by latch. */
  bool enabled;
  sector_t next; /* on log; beyond its end when that has stopped logging */
  uint64_t entries;
  struct list unflushed; /* struct record, in the order of completion */
  uint64_t unflushed_bytes;
};

/* An entry of the log, made when its bio came, before it is known where in
 * the log it will be.
 */
struct record {
  struct list link;
  struct list before; /* of a flush: what was unflushed when it came */
  uint64_t flags;
  size_t bytes;
  char blocks[];      /* what goes to the log */
};

/* ------------------------------------------------------------------
 * Records.
 */

/* data_bytes of data follow the header's block; text, if not NULL, is inside
 * it.  NULL without memory.
 */
static struct record *
record_new (const struct log_writes *lw, struct wlog_header header,
            const char *text, const void *data, size_t data_bytes)
{
  size_t bytes = lw->block_bytes + data_bytes;
  struct record *record = malloc (sizeof *record + bytes);

  if (record == NULL)
    return NULL;
  list_init (&record->link);
  list_init (&record->before);
  record->flags = from_le64 (header.flags);
  record->bytes = bytes;
  memset (record->blocks, 0, lw->block_bytes);
  memcpy (record->blocks, &header, sizeof header);
  if (text)
    memcpy (record->blocks + sizeof header, text,
            from_le64 (header.text_bytes));
  if (data_bytes)
    memcpy (record->blocks + lw->block_bytes, data, data_bytes);
  return record;
}

static struct record *
record_of_bio (const struct log_writes *lw, const struct bio *bio)
{
  sector_t block = bytes_to_sectors (lw->block_bytes);
  uint64_t flags = bio->flags & BIO_FUA ? WLOG_FUA : 0;

  if (bio->op == BIO_FLUSH)
    flags |= WLOG_FLUSH;
  if (bio->op == BIO_DISCARD)
    flags |= WLOG_DISCARD;
  return record_new (lw, (struct wlog_header) {
      .block = to_le64 (bio->sector / block),
      .nr_blocks = to_le64 (bio->len / block),
      .flags = to_le64 (flags) }, NULL, bio->data,
    bio->op == BIO_WRITE ? sectors_to_bytes (bio->len) : 0);
}

/* A text that does not fit is cut, and leaves one byte free (Linux 6.1). */
static struct record *
record_of_mark (const struct log_writes *lw, const char *text)
{
  size_t room = lw->block_bytes - sizeof (struct wlog_header) - 1;

  return record_new (lw, (struct wlog_header) {
      .flags = to_le64 (WLOG_MARK),
      .text_bytes = to_le64 (strnlen (text, room)) }, text, NULL, 0);
}

/* ------------------------------------------------------------------
 * The log on disk.  All of this under the gate.
 */

static void
wlog_stop (struct log_writes *lw, const char *why)
{
  latch_acquire (&lw->latch);
  lw->enabled = false;
  latch_release (&lw->latch);
  log_error ("log-writes: %s", why);
}

static bool
wlog_is_on (struct log_writes *lw)
{
  ACQUIRE_LATCH_FOR_SCOPE (&lw->latch);
  return lw->enabled;
}

static int
wlog_write (struct log_writes *lw, sector_t sector, void *data, size_t bytes,
           unsigned flags)
{
  struct bio bio = { .op = BIO_WRITE, .flags = flags, .bdev = lw->log->bdev,
                     .sector = sector, .len = bytes_to_sectors (bytes),
                     .data = data };

  return bdev_submit (bio.bdev, &bio);
}

static int
wlog_write_super (struct log_writes *lw, uint64_t entries, unsigned flags)
{
  struct wlog_super super = { .magic = to_le64 (WLOG_MAGIC),
                             .version = to_le64 (WLOG_VERSION),
                             .nr_entries = to_le64 (entries),
                             .block_bytes = to_le32 (lw->block_bytes) };
  char *block = calloc (1, lw->block_bytes);
  int r;

  if (block == NULL)
    return -ENOMEM;
  memcpy (block, &super, sizeof super);
  r = wlog_write (lw, 0, block, lw->block_bytes, flags);
  free (block);
  return r;
}

/* Where the record goes, and which one of all it is; false if it does not go
 * to the log at all.
 */
static bool
wlog_reserve (struct log_writes *lw, const struct record *record,
             sector_t *sector, uint64_t *nr)
{
  bool fits;

  {
    ACQUIRE_LATCH_FOR_SCOPE (&lw->latch);

    if (!lw->enabled)
      return false;
    *sector = lw->next;
    lw->next += bytes_to_sectors (record->bytes);
    fits = lw->next < bdev_size (lw->log->bdev);
    if (fits)
      *nr = ++lw->entries;
  }
  if (!fits)
    wlog_stop (lw, "Ran out of space on the logdev");
  return fits;
}

/* Only FUA writes and marks bring the superblock up to date (Linux 6.1). */
static void
wlog_append (struct log_writes *lw, struct record *record)
{
  unsigned flags = record->flags & WLOG_FUA ? BIO_FUA : 0;
  sector_t sector;
  uint64_t nr;
  int r = 0;

  if (wlog_reserve (lw, record, &sector, &nr)) {
    r = wlog_write (lw, sector, record->blocks, record->bytes, flags);
    if (r == 0 && record->flags & (WLOG_FUA | WLOG_MARK))
      r = wlog_write_super (lw, nr, flags);
  }
  if (r < 0)
    wlog_stop (lw, "Error writing the log");
  free (record);
}

static void
wlog_append_all (struct log_writes *lw, struct list *records)
{
  while (!list_empty (records)) {
    struct record *record = list_first (records, struct record, link);

    list_del (&record->link);
    wlog_append (lw, record);
  }
}

/* The kernel never flushes the log device.  Here who has flushed can rely on
 * the log, too.
 */
static void
wlog_append_flush (struct log_writes *lw, struct record *record)
{
  wlog_append_all (lw, &record->before);
  wlog_append (lw, record);
  if (wlog_is_on (lw) && bdev_flush (lw->log->bdev) < 0)
    wlog_stop (lw, "Error flushing the log");
}

/* ------------------------------------------------------------------
 * What waits for a flush.
 */

/* Move it all to the list, which is empty. */
static void
unflushed_take (struct log_writes *lw, struct list *to)
{
  ACQUIRE_LATCH_FOR_SCOPE (&lw->latch);

  if (list_empty (&lw->unflushed))
    return;
  *to = lw->unflushed;
  to->next->prev = to->prev->next = to;
  list_init (&lw->unflushed);
  lw->unflushed_bytes = 0;
}

/* Returns how much waits then. */
static uint64_t
unflushed_add (struct log_writes *lw, struct record *record)
{
  ACQUIRE_LATCH_FOR_SCOPE (&lw->latch);

  list_add_tail (&lw->unflushed, &record->link);
  return lw->unflushed_bytes += record->bytes;
}

static void
unflushed_log (struct log_writes *lw)
{
  struct list records;
  ACQUIRE_GATE_FOR_SCOPE (&lw->gate);

  list_init (&records);
  unflushed_take (lw, &records);
  wlog_append_all (lw, &records);
}

/* ------------------------------------------------------------------
 * Birth and death.
 */

static int
log_writes_ctr (struct dm_target *ti, struct args *args)
{
  struct log_writes *lw = ti->private;
  struct queue_limits limits;
  int r;

  gate_init (&lw->gate, GATE_COMMIT);
  latch_init (&lw->latch);
  list_init (&lw->unflushed);
  if (args->argc < 2)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<device> <log device>", args->argc);
  r = dm_get_device (ti, args->argv[0], &lw->dev);
  if (r < 0)
    return r;
  r = dm_get_device (ti, args->argv[1], &lw->log);
  if (r < 0) {
    message_prefix (ti->message, "Log device lookup failed: ");
    return r;
  }
  bdev_limits (lw->dev->bdev, &limits);
  lw->block_bytes = limits.logical_block_bytes;
  lw->next = bytes_to_sectors (lw->block_bytes);
  lw->enabled = true;
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  ti->flush_supported = true;
  ti->discards_supported = true;
  return 0;
}

static void
log_writes_resume (struct dm_target *ti)
{
  struct log_writes *lw = ti->private;

  lw->was_live = true;
}

static int
log_writes_mark (struct log_writes *lw, const char *text)
{
  struct record *record = record_of_mark (lw, text);
  ACQUIRE_GATE_FOR_SCOPE (&lw->gate);

  if (record == NULL)
    return -ENOMEM;
  wlog_append (lw, record);
  return 0;
}

/* An instance that was never live leaves the log alone: it may be that of
 * the live one.  Linux 6.1 marks its end all the same.
 */
static void
log_writes_dtr (struct dm_target *ti)
{
  struct log_writes *lw = ti->private;

  if (lw->was_live && !dm_target_readonly (ti)) {
    unflushed_log (lw);
    log_writes_mark (lw, WLOG_END_MARK);
  }
  latch_destroy (&lw->latch);
  gate_destroy (&lw->gate);
}

static int
log_writes_message (struct dm_target *ti, struct args *args, FILE *reply)
{
  if (args->argc != 2)
    return dm_target_error (ti, EINVAL, "Invalid log-writes message "
                            "arguments, expect 2 arguments, got %u",
                            args->argc);
  if (!args_word_is (args->argv[0], "mark"))
    return dm_target_error (ti, EINVAL, "Unrecognised log writes target "
                            "message received: %s", args->argv[0]);
  if (log_writes_mark (ti->private, args->argv[1]) < 0)
    return dm_target_error (ti, ENOMEM, "Error allocating pending block");
  return 0;
}

static void
log_writes_status (struct dm_target *ti, enum dm_status_type type,
                   unsigned flags, FILE *out)
{
  struct log_writes *lw = ti->private;
  uint64_t entries;
  sector_t next;
  bool enabled;

  if (type == DM_STATUS_TABLE) {
    dm_device_print (out, lw->dev);
    putc (' ', out);
    dm_device_print (out, lw->log);
    return;
  }
  latch_acquire (&lw->latch);
  entries = lw->entries;
  next = lw->next;
  enabled = lw->enabled;
  latch_release (&lw->latch);
  fprintf (out, "%" PRIu64 " %" PRIu64 "%s", entries, next - 1,
           enabled ? "" : " logging_disabled");
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* The bio is done, whether it succeeded or not (Linux 6.1). */
static void
log_writes_complete (struct log_writes *lw, struct record *record)
{
  if (!(record->flags & (WLOG_FLUSH | WLOG_FUA))) {
    if (unflushed_add (lw, record) > LOG_WRITES_MAX_UNFLUSHED)
      unflushed_log (lw);
    return;
  }
  gate_acquire (&lw->gate);
  if (record->flags & WLOG_FLUSH)
    wlog_append_flush (lw, record);
  else
    wlog_append (lw, record);
  gate_release (&lw->gate);
}

static bool
log_writes_passes_discards (struct log_writes *lw)
{
  struct queue_limits limits;

  bdev_limits (lw->dev->bdev, &limits);
  return limits.discard;
}

/* The sector stays as it is, whatever the target's begin (Linux 6.1). */
static int
log_writes_map (struct dm_target *ti, struct bio *bio)
{
  struct log_writes *lw = ti->private;
  struct record *record = NULL;

  bio->bdev = lw->dev->bdev;
  bio->cookie = NULL;
  if (!(bio_is_write (bio) || bio->op == BIO_FLUSH) || !wlog_is_on (lw))
    return DM_MAPIO_REMAPPED;
  record = record_of_bio (lw, bio);
  if (record == NULL)
    return -ENOMEM;
  if (bio->op == BIO_DISCARD && !log_writes_passes_discards (lw)) {
    log_writes_complete (lw, record);
    return DM_MAPIO_DONE;
  }
  if (bio->op == BIO_FLUSH)
    unflushed_take (lw, &record->before);
  bio->cookie = record;
  return DM_MAPIO_REMAPPED;
}

static int
log_writes_end_io (struct dm_target *ti, struct bio *bio, int error)
{
  if (bio->cookie)
    log_writes_complete (ti->private, bio->cookie);
  return error;
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

static int
log_writes_iterate_devices (struct dm_target *ti, dm_iterate_fn fn,
                            void *data)
{
  const struct log_writes *lw = ti->private;

  return fn (ti, lw->dev, 0, ti->len, data);
}

static void
log_writes_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  struct log_writes *lw = ti->private;
  struct queue_limits below;

  bdev_limits (lw->dev->bdev, &below);
  limits->logical_block_bytes = below.logical_block_bytes;
  limits->physical_block_bytes = below.physical_block_bytes;
  limits->io_min_bytes = below.physical_block_bytes;
  if (!below.discard) {
    limits->discard_granularity_bytes = lw->block_bytes;
    limits->max_discard_sectors = bytes_to_sectors (UINT_MAX);
  }
}

static int
log_writes_extents (struct dm_target *ti, sector_t sector, sector_t len,
                    struct extent_sink *sink)
{
  const struct log_writes *lw = ti->private;
  int r = dm_device_extents (lw->dev, sector, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type log_writes_target = {
  .name = "log-writes",
  .version = { 1, 1, 0 },
  .summary = "a device, and a log of what is written to it",
  .example = "%1 %2",
  .private_size = sizeof (struct log_writes),
  .ctr = log_writes_ctr,
  .dtr = log_writes_dtr,
  .map = log_writes_map,
  .end_io = log_writes_end_io,
  .parallel_end_io = true,
  .resume = log_writes_resume,
  .status = log_writes_status,
  .message = log_writes_message,
  .iterate_devices = log_writes_iterate_devices,
  .io_hints = log_writes_io_hints,
  .extents = log_writes_extents,
};
