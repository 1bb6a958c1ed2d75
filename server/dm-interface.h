/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs: all that the edge (plugin, control, reload) does to the core. */

#ifndef NBDM_DM_INTERFACE_H
#define NBDM_DM_INTERFACE_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/dm-ioctl.h>

#include "common/block-device.h"
#include "common/list.h"
#include "common/message.h"
#include "common/protocol.h"
#include "server/bdev.h"

/* Every verb is what one ioctl of the kernel's interface 4.47 does:
 * same checks in the same order, same errno.  All may block
 * (constructors connect, suspend drains) unless said otherwise, so none runs
 * on the control loop.  Verbs on different devices run side by side.  A verb
 * that fails has changed nothing, save for what its comment says.  msg, never
 * required, receives the human reason.
 */

struct registry;
struct mapped_device;

/* Files and upstreams get a number as mapped devices do (DM_BLOCK_MAJOR), since
 * `deps` speaks in numbers.
 */
#define BACKING_BLOCK_MAJOR 601
#define DM_NUMBER(major, minor) ((uint32_t) (major) << 20 | (minor))

/* ------------------------------------------------------------------
 * The registry.
 */
struct registry *registry_new (void); /* NULL without memory */

/* Ends every device as md_shutdown does, top-down, waiting at most until
 * deadline_ns (CLOCK_MONOTONIC) for what is in flight, then makes everything
 * that completed durable.  From then on every bio and verb fails with
 * -ESHUTDOWN.  Safe to call twice.  True if all I/O had ended and is durable;
 * what is not is logged.
 */
bool registry_shutdown (struct registry *reg, uint64_t deadline_ns);

/* Destroys all devices, top-down; nobody else uses the registry any more. */
void registry_free (struct registry *reg);

/* fn is called, from any thread and without locks, whenever the global event
 * counter has moved; it must not block.  Once this returns, what was set before
 * (NULL: nothing) is not called any more.
 */
void registry_on_event (struct registry *reg, void (*fn) (void *opaque),
                        void *opaque);
uint32_t registry_event_nr (struct registry *reg);

/* ------------------------------------------------------------------
 * Breaking off: whoever may have to interrupt a verb passes one.  Zero
 * threads: a semaphore that the verb sleeps on.
 */
struct dm_wait {
  sem_t sem;
  atomic_bool cancelled;
};

void dm_wait_init (struct dm_wait *wait);
void dm_wait_destroy (struct dm_wait *wait);
/* From any thread; does not block. */
void dm_wait_cancel (struct dm_wait *wait);

/* ------------------------------------------------------------------
 * Backings: names for things outside, from the table files.
 */
struct dm_backing {
  char *name;                  /* the word used in tables */
  char *target;                /* absolute path or URI */
  struct bdev_options options;
};

/* Immutable once made, counted, shared by everything that looks names up. */
struct dm_backings {
  atomic_uint refs;
  size_t nr;
  struct dm_backing *list;     /* owned, with its strings */
};

struct dm_backings *dm_backings_get (struct dm_backings *b);
void dm_backings_put (struct dm_backings *b); /* NULL is harmless */

/* What later loads by control clients use; takes over the caller's count.  A
 * table keeps what it opened.
 */
void registry_set_backings (struct registry *reg, struct dm_backings *b);

/* How the words of a table become devices. */
struct dm_lookup {
  const struct dm_backings *backings; /* NULL: the registry's */
  const char *base_dir;  /* absolute; for relative paths.  NULL: refuse them */
  bool check;            /* bdev_options.check for all that is opened */
};

/* ------------------------------------------------------------------
 * Naming a device, and what a verb tells of it.
 */

/* By uuid if not empty, else name, else number (dev != 0); combinations and
 * unknown devices are -ENXIO.  The number is in the ioctl's encoding.
 */
struct dm_ref {
  const char *name; /* NULL or "" for none */
  const char *uuid;
  uint64_t dev;
};

#define DM_REF_NAME(n) (&(struct dm_ref) { .name = (n) })

/* The "status refresh" of the kernel. */
struct dm_info {
  char name[DM_NAME_LEN];
  char uuid[DM_UUID_LEN];
  uint64_t dev;          /* ioctl encoding */
  uint32_t flags;        /* DM_*_FLAG: suspended, readonly, present … */
  int32_t open_count;
  uint32_t event_nr;
  uint32_t target_count;
};

/* Number in the encoding of the ioctl's dev field. */
uint64_t dm_encode_dev (uint32_t number);

/* ------------------------------------------------------------------
 * The verbs.  flags are those of struct dm_ioctl; info may be NULL and is
 * written on success only.
 */

/* dev != 0 with DM_PERSISTENT_DEV_FLAG asks for its minor. */
int dm_device_create (struct registry *reg, const char *name, const char *uuid,
                      uint32_t flags, uint64_t dev, struct dm_info *info,
                      struct message *msg);

/* DM_DEFERRED_REMOVE: an open device is marked and 0 returned.  *removed, if
 * not NULL, tells which it was.
 */
int dm_device_remove (struct registry *reg, const struct dm_ref *ref,
                      uint32_t flags, bool *removed, struct message *msg);

/* All that are not open, until no more go; with DM_DEFERRED_REMOVE the open
 * ones are marked.  Never fails; returns how many are left.
 */
unsigned dm_remove_all (struct registry *reg, uint32_t flags);

/* DM_UUID_FLAG: set the uuid instead of the name.  By name only. */
int dm_device_rename (struct registry *reg, const char *name,
                      const char *new_value, uint32_t flags,
                      struct dm_info *info, struct message *msg);

int dm_device_suspend (struct registry *reg, const struct dm_ref *ref,
                       uint32_t flags, struct dm_wait *wait,
                       struct dm_info *info, struct message *msg);

/* Takes the inactive table live if there is one, suspending first if needed
 * (with these flags).  As in the kernel, limits that do not fit destroy the new
 * table and leave the device suspended with the old one; a failing preresume
 * leaves it suspended with the new one.  With DM_RESUME_ONLY (ours) the
 * inactive table stays where it is.
 */
#define DM_RESUME_ONLY (1u << 31)
int dm_device_resume (struct registry *reg, const struct dm_ref *ref,
                      uint32_t flags, struct dm_wait *wait,
                      struct dm_info *info, struct message *msg);

/* Ours: exchange the live and the inactive table of a suspended device, so that
 * a second call undoes the first.  A device that never had a live table has an
 * empty inactive slot afterwards, and cannot go back.  -EINVAL if not suspended
 * (or new), without an inactive table, or if limits do not fit.
 */
int dm_device_swap (struct registry *reg, const struct dm_ref *ref,
                    struct message *msg);

int dm_device_info (struct registry *reg, const struct dm_ref *ref,
                    uint32_t flags, struct dm_info *info, struct message *msg);

/* One line of a table. */
struct dm_target_line {
  sector_t start, len;
  const char *type;
  char *params; /* split in place by the load */
};

/* Build a table and put it into the inactive slot; flags: DM_READONLY_FLAG.
 * lookup NULL: the registry's backings, no relative paths.  On failure the
 * inactive slot is as before; the message names device, line (from 1), type.
 * DM_LOAD_LATE_LIMITS (ours): leave the check of limits to the swap even on
 * the device's first load.
 */
#define DM_LOAD_LATE_LIMITS (1u << 31)
int dm_table_load (struct registry *reg, const struct dm_ref *ref,
                   uint32_t flags, struct dm_target_line *lines, size_t n,
                   const struct dm_lookup *lookup, struct dm_info *info,
                   struct message *msg);

int dm_table_clear (struct registry *reg, const struct dm_ref *ref,
                    struct dm_info *info, struct message *msg);

/* One call per target of the table that the flags select
 * (DM_QUERY_INACTIVE_TABLE_FLAG, DM_STATUS_TABLE_FLAG, DM_NOFLUSH_FLAG), in
 * order; text ends with NUL and is the callee's.  add returns 0 to go on.  No
 * table: no call, success.
 */
typedef int (*dm_status_fn) (void *opaque, sector_t start, sector_t len,
                             const char *type, const char *text);
int dm_table_status (struct registry *reg, const struct dm_ref *ref,
                     uint32_t flags, dm_status_fn add, void *opaque,
                     struct dm_info *info, struct message *msg);

/* The same as `dmsetup table` prints it, one line per target, each ending in a
 * newline; malloc'ed, NULL on failure.
 */
int dm_table_text (struct registry *reg, const struct dm_ref *ref,
                   uint32_t flags, char **text, struct message *msg);

/* Lower devices, numbers in the ioctl's encoding, in reverse order of first
 * reference, each once; *devs is malloc'ed.
 */
int dm_table_deps (struct registry *reg, const struct dm_ref *ref,
                   uint32_t flags, uint64_t **devs, size_t *n,
                   struct dm_info *info, struct message *msg);

/* text is split in place.  *reply is malloc'ed text, NULL if there is none.
 * Words that begin with '@' are for the core: @cancel_deferred_remove, and
 * @stats_… (server/dm-stats.h).  room: bytes that the asker has for the reply
 * and its NUL; @stats_print_clear clears nothing if it does not fit, since the
 * asker will try again.
 */
int dm_device_message_room (struct registry *reg, const struct dm_ref *ref,
                            sector_t sector, char *text, size_t room,
                            char **reply, struct dm_info *info,
                            struct message *msg);

static inline int
dm_device_message (struct registry *reg, const struct dm_ref *ref,
                   sector_t sector, char *text, char **reply,
                   struct dm_info *info, struct message *msg)
{
  return dm_device_message_room (reg, ref, sector, text, SIZE_MAX, reply, info,
                                 msg);
}

/* Is this a message to the core that changes nothing?  One that is written in a
 * strange way, with blanks or backslashes before or in the first word, is not.
 */
bool dm_message_only_reads (const char *text);

/* geometry text: "cylinders heads sectors start" */
int dm_device_set_geometry (struct registry *reg, const struct dm_ref *ref,
                            const char *text, struct message *msg);

/* All devices, ascending by name; *infos is malloc'ed. */
int dm_list (struct registry *reg, struct dm_info **infos, size_t *n);

/* Counters of all devices, ascending by name; *list is malloc'ed.  Does not
 * wait for anything.
 */
int dm_counters (struct registry *reg, struct nbdm_counters **list, size_t *n);

/* Every file and upstream that tables have open, one call each. */
struct dm_outside_counters {
  const char *name;    /* as tables print it; of no use after the call */
  uint64_t reconnects;
};
void dm_outside_counters (void (*fn) (const struct dm_outside_counters *c,
                                      void *opaque), void *opaque);

/* What [begin, begin + len) of a device holds (len 0: up to its end), at most
 * DM_MAX_EXTENTS pieces; *list is malloc'ed.  -ENODEV without a live table,
 * -EINVAL beyond the end.  On a suspended device it waits for the resume, or
 * -EINTR if wait, which may be NULL, is cancelled before.
 */
#define DM_MAX_EXTENTS 65536
int dm_extents (struct registry *reg, const struct dm_ref *ref, sector_t begin,
                sector_t len, struct dm_wait *wait, struct nbdm_extent **list,
                size_t *n, struct message *msg);

/* Suspend or resume all of n devices or none (NBDM_SUSPEND_GROUP in
 * common/protocol.h); flags as for one.  A line for each step goes to report,
 * also for those that take a step back.
 */
int dm_group_suspend (struct registry *reg, const char *const names[],
                      size_t n, uint32_t flags, struct dm_wait *wait,
                      FILE *report, struct message *msg);
int dm_group_resume (struct registry *reg, const char *const names[],
                     size_t n, uint32_t flags, struct dm_wait *wait,
                     FILE *report, struct message *msg);

/* Registered types, most recent first (target_types). */
typedef int (*dm_version_fn) (void *opaque, const char *name,
                              const unsigned version[3]);
int dm_list_versions (dm_version_fn add, void *opaque);
int dm_target_version (const char *name, unsigned version[3],
                       struct message *msg);

/* What one target type is, for --help, --dump-plugin and the man-page check. */
typedef int (*dm_type_fn) (void *opaque, const char *name,
                           const unsigned version[3], const char *summary);
int dm_list_types (dm_type_fn add, void *opaque);

/* ------------------------------------------------------------------
 * Waiting for an event without a thread.
 */
struct dm_event_waiter {
  struct list link;
  uint32_t event_nr;           /* fire as soon as the device's differs */
  /* Called once, from any thread, without locks; must not block (so it does
   * not call dm_wait_event_end).
   */
  void (*fire) (struct dm_event_waiter *waiter);
  struct mapped_device *md;    /* held until dm_wait_event_end */
  bool queued;                 /* the core's */
};

/* 0: queued, fire will be called (perhaps already has).  Then the caller ends
 * the wait by dm_wait_event_end, before or after it fires: after that fire is
 * not called any more and *info tells of the device as it is, or was when it
 * was removed.  A removal blocks until its waiters have been ended.
 */
int dm_wait_event (struct registry *reg, const struct dm_ref *ref,
                   struct dm_event_waiter *waiter, struct message *msg);
void dm_wait_event_end (struct dm_event_waiter *waiter, uint32_t flags,
                        struct dm_info *info);

/* As dm_table_status, of the device a fired waiter still holds. */
int dm_wait_event_status (struct dm_event_waiter *waiter, uint32_t flags,
                          dm_status_fn add, void *opaque);

/* ------------------------------------------------------------------
 * The data path as the door sees it.
 */

/* Open by name: -ENXIO unknown or going, -ENODEV no live table yet.  Counts as
 * an opener until dm_close.  Cheap.
 */
int dm_open (struct registry *reg, const char *name,
             struct mapped_device **md, struct message *msg);
void dm_close (struct mapped_device *md);

/* The device of an opener; good for bdev_submit, bdev_size, bdev_limits,
 * bdev_extents until dm_close.  Writes to a read-only device are -EPERM,
 * anything beyond the current end -EIO, an unaligned request -EINVAL; I/O on a
 * suspended device waits.
 */
struct block_device *dm_block_device (struct mapped_device *md);

bool dm_is_readonly (struct mapped_device *md);

#endif /* NBDM_DM_INTERFACE_H */
