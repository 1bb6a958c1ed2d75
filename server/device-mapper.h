/* SPDX-License-Identifier: BSD-3-Clause */
/* What a target sees of the core; with dm-io.h all that it may see. */

#ifndef NBDM_DEVICE_MAPPER_H
#define NBDM_DEVICE_MAPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/args.h"
#include "common/bio.h"
#include "common/block-device.h"
#include "common/message.h"
#include "common/units.h"

struct dm_table;
struct dm_target;

/* A table's hold on a lower device.  All targets of a table that name the same
 * device share one.  The table puts it after the last destructor.
 */
struct dm_dev {
  struct block_device *bdev;
};

/* One range of a table, an instance of a target type. */
struct dm_target {
  struct dm_table *table;
  const struct target_type *type;
  sector_t begin, len; /* the range of the mapped device */

  /* The rest is the constructor's to set; all zero before it. */

  /* Reads, writes and prefetches never cross a multiple of this many sectors
   * counted from begin (any number, not just powers of two); 0: no such limit.
   * Discards and zeroes are cut at the ends of the target only.
   */
  sector_t max_io_len;

  /* How many copies of each such bio map gets, numbered by target_bio_nr.  0:
   * no flush is sent here (and succeeds); discards and zeroes fail with
   * -EOPNOTSUPP.
   */
  unsigned num_flush_bios;
  unsigned num_discard_bios;
  unsigned num_write_zeroes_bios;

  bool flush_supported;    /* wants flushes even if no lower device does */
  bool discards_supported; /* takes discards even if no lower device does */
  bool write_zeroes_supported; /* the same for zeroes */

  void *private; /* type->private_size zeroed bytes */

  struct message *message; /* during ctr and message; see dm_target_error */
};

/* What map can return beside -errno, which fails this piece. */
enum dm_mapio {
  DM_MAPIO_DONE,     /* the target has carried the bio out */
  DM_MAPIO_REMAPPED, /* submit the bio to bio->bdev, at bio->sector */
  DM_MAPIO_REQUEUE,  /* push it back: during a noflush suspend it waits for
                        the resume, otherwise it fails with -EIO */
};

/* end_io's way to say the same as DM_MAPIO_REQUEUE. */
#define DM_ENDIO_REQUEUE 1

enum dm_status_type {
  DM_STATUS_INFO,  /* `dmsetup status` */
  DM_STATUS_TABLE, /* `dmsetup table` */
};

enum dm_status_flags {
  DM_STATUS_NOFLUSH = 1 << 0, /* do not commit just to have exact figures */
};

/* The feature bits of the kernel (Linux 6.1). */
enum dm_target_features {
  DM_TARGET_SINGLETON = 1 << 0,        /* alone in its table */
  DM_TARGET_ALWAYS_WRITEABLE = 1 << 1, /* refused in a read-only table */
  DM_TARGET_IMMUTABLE = 1 << 2,        /* replaced by its own type only */
  DM_TARGET_WILDCARD = 1 << 3,         /* may replace an immutable type */
};

/* Called for each lower area a target uses; non-zero stops the iteration,
 * whose result it becomes.  Sectors.
 */
typedef int (*dm_iterate_fn) (struct dm_target *ti, struct dm_dev *dev,
                              sector_t start, sector_t len, void *data);

/* A kind of target: one constant of this type per file of targets/, listed in
 * targets/registry.c.  Only name, version, ctr, map, status are required.
 *
 * The order of calls in the life of an instance (Linux 6.1):
 *   ctr, then per table swap: preresume, resume, [presuspend, postsuspend,
 *   preresume, resume]…, presuspend, postsuspend, dtr.
 * A suspend that is broken off calls presuspend_undo in place of postsuspend.
 * The constructor of a new table runs while the old one serves; the old one's
 * destructor after the new one's resume.
 */
struct target_type {
  const char *name;
  unsigned version[3]; /* what Linux 6.1 reports for the type */
  unsigned features;   /* enum dm_target_features */

  /* One line of help; one valid parameter line, %1 %2 … standing for lower
   * devices of at least 64 MiB.  The conformance suite constructs it with a
   * length of example_len sectors (0: 1 MiB).
   */
  const char *summary;
  const char *example;
  sector_t example_len;

  size_t private_size;

  /* Parse the words after the type, acquire devices (dm_get_device) and
   * memory.  May block; no data I/O, no threads.  0, or what dm_target_error
   * returned.
   */
  int (*ctr) (struct dm_target *ti, struct args *args);

  /* Also called after a failed ctr, with whatever that left (zeroes where it
   * did not get).  Does not put devices and does not free ti->private.
   */
  void (*dtr) (struct dm_target *ti);

  /* Aim the bio at a lower device or carry it out.  bio->sector is a sector
   * of the mapped device (dm_target_offset), inside the target.  May block,
   * do I/O, take cells.  May make bio->len of a read, write or prefetch
   * shorter: the rest is mapped next.  Numbered copies may be aimed at any
   * range: they stand for the whole.  Returns enum dm_mapio or -errno.  Holds
   * no lock of the core.
   */
  int (*map) (struct dm_target *ti, struct bio *bio);

  /* After the I/O of a remapped piece, on the same thread, with the bio as
   * map left it; returns the final result: error, another -errno, 0 or
   * DM_ENDIO_REQUEUE.  Types without it are pure mappers: the pieces of a
   * large bio are all mapped first and run together.  A type with it may hold
   * a lock from map to end_io, so its pieces run one by one …
   */
  int (*end_io) (struct dm_target *ti, struct bio *bio, int error);

  /* … unless this is set: map leaves nothing held that another map could wait
   * for, and end_io never returns DM_ENDIO_REQUEUE.  Then several pieces may
   * be between map and end_io on one thread.
   */
  bool parallel_end_io;

  /* presuspend must let go of every bio the target holds back.  All of them
   * may block; only preresume may fail, and says why in msg (message_set).
   */
  void (*presuspend) (struct dm_target *ti);
  void (*presuspend_undo) (struct dm_target *ti);
  void (*postsuspend) (struct dm_target *ti);
  int (*preresume) (struct dm_target *ti, struct message *msg);
  void (*resume) (struct dm_target *ti);

  /* Write the text after "START LEN TYPE " without a newline.  TABLE text
   * given to ctr again must build the same target.
   */
  void (*status) (struct dm_target *ti, enum dm_status_type type,
                  unsigned flags, FILE *out);

  /* For `dmsetup measure`, what Linux 6.1 says of the type for its integrity
   * measurements behind name and version: ",NAME=VALUE" for each item.
   */
  void (*measure) (struct dm_target *ti, FILE *out);

  /* At least one word.  Text written to reply becomes the answer.  0 or
   * -errno with ti->message set (dm_target_error).  May block.
   */
  int (*message) (struct dm_target *ti, struct args *args, FILE *reply);

  /* Name each lower area.  A type without it (zero, error) takes part in no
   * size check and offers no discard.
   */
  int (*iterate_devices) (struct dm_target *ti, dm_iterate_fn fn, void *data);

  /* Adjust the limits stacked from the lower areas. */
  void (*io_hints) (struct dm_target *ti, struct queue_limits *limits);

  /* What [sector, sector+len) of the mapped device, inside the target, holds;
   * rules as block_device_ops.extents.  Without it: data.
   */
  int (*extents) (struct dm_target *ti, sector_t sector, sector_t len,
                  struct extent_sink *sink);
};

/* Every target type of the build, NULL at the end, in the order in which
 * `dmsetup targets` shows the kernel's last registered first.  Defined in
 * targets/registry.c: the one place that knows them all.
 */
extern const struct target_type *const target_types[];

/* For constructors and messages: note the text and return -err.  The core puts
 * device, table line and type before it.  Begin with the kernel's words where
 * it has some, then say what was wrong: "Invalid device sector: '0x10'".
 */
int dm_target_error (struct dm_target *ti, int err, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The next word as a number from min to max.  0, or -EINVAL with the message
 * set, beginning with error.
 */
int dm_read_arg (struct dm_target *ti, struct args *args, uint32_t min,
                 uint32_t max, const char *error, uint32_t *value);

/* In a constructor: open what the word names (server/dm-dev.c says what that
 * can be) for the mode of the table.  Blocks while an upstream connects.  The
 * device belongs to the table.  0, or -errno with the message set, beginning
 * with "Device lookup failed".
 */
int dm_get_device (struct dm_target *ti, const char *word,
                   struct dm_dev **dev);

/* The same for a mode other than the table's: what is only read can be a file
 * without permission to write, what a read-only target has to write cannot.
 * A device of the registry has the mode of its own table.
 */
int dm_get_device_for (struct dm_target *ti, const char *word, bool writable,
                       struct dm_dev **dev);

/* Print the device as a table would name it: absolute path, URI, name of a
 * backing or of a device of the registry, quoted by backslashes where needed.
 */
void dm_device_print (FILE *out, struct dm_dev *dev);

/* What [sector, sector+len) of the device holds, for a type's extents; the
 * sink gets nothing from beyond.  0: all of it was told; 1: it was not (the
 * device stopped early or the sink had enough), so stop; or -errno.
 */
int dm_device_extents (struct dm_dev *dev, sector_t sector, sector_t len,
                       struct extent_sink *sink);

/* "name" of the mapped device at the time of the call, for log lines; buf has
 * room for 128 bytes.  Returns buf.
 */
const char *dm_target_md_name (struct dm_target *ti, char buf[128]);

/* The mapped device that the target is, or will be, a part of: what another
 * target gets that names it.  It outlives the target.
 */
struct block_device *dm_target_bdev (struct dm_target *ti);

/* In a constructor: the table is built only to see whether it can be, and
 * nothing may be written then.
 */
bool dm_target_is_check (struct dm_target *ti);

/* The server is ending, or the device is being removed (nobody has it open, but
 * somebody may be asking for extents): what waits for something outside fails
 * now.
 */
bool dm_target_is_ending (struct dm_target *ti);

/* Raise a table event: wakes whoever waits for one (Linux 6.1
 * dm_table_event).  No-op unless the table is live.  Does not block.
 */
void dm_target_event (struct dm_target *ti);

bool dm_target_readonly (struct dm_target *ti);

/* The size of the mapped device; not yet known in a constructor. */
sector_t dm_target_table_size (const struct dm_target *ti);

/* True while a noflush suspend is under way: what a target holds back is then
 * pushed back with DM_MAPIO_REQUEUE rather than failed.
 */
bool dm_target_noflush_suspending (struct dm_target *ti);

static inline sector_t
dm_target_offset (const struct dm_target *ti, sector_t sector)
{
  return sector - ti->begin;
}

#endif /* NBDM_DEVICE_MAPPER_H */
