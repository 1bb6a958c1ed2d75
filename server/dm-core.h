/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to server/dm-*.c: mapped devices, tables, the registry. */

#ifndef NBDM_DM_CORE_H
#define NBDM_DM_CORE_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/dm-ioctl.h>

#include "common/block-device.h"
#include "common/list.h"
#include "common/lock.h"
#include "common/message.h"
#include "server/device-mapper.h"
#include "server/dm-interface.h"

/* ------------------------------------------------------------------
 * Birth and death.
 *
 * registry_create: number -> md_new -> name, uuid into the registry.
 * registry_remove: name, uuid out of the registry -> waiters of events woken
 *   -> inactive table destroyed -> md_destroy: presuspend, postsuspend (unless
 *   suspended) -> parked bios fail with -EIO -> holders == 0 -> live table
 *   destroyed -> number free -> memory freed.
 *
 * The registry owns the md; the md owns 0 to 2 tables; a table owns its targets
 * and its holds on devices (struct dm_dev).  An owner's reference is not
 * counted; holders are: a verb in progress, an opener, a queued event waiter.
 * Tables are destroyed in the places that table_destroy's comment lists and
 * nowhere else, never with a gate or latch held.
 *
 * Locks (common/lock.h): load_gate and suspend_gate of one md are never taken
 * together with those of another one; registry.latch and md.lock are latches,
 * so neither is taken under the other.
 */

#define MD_SHARDS 16

/* How deep mapped devices may be stacked; the kernel knows no limit, but a bio
 * goes down the stairs on one thread's stack.
 */
#define MD_MAX_DEPTH 64

/*         md_resume
 *       +------------------------------+
 *       |                              v      md_suspend
 *    [ NEW ] --md_suspend--+       [ ACTIVE ] ---------> [ SUSPENDING ]
 *                          |           ^  ^                 |       |
 *                          |           |  +---(cancelled)---+       |
 *                          |           | md_resume                  |
 *                          +-----> [ SUSPENDED ] <-----(drained)----+
 *
 *    every state --md_destroy, md_shutdown--> [ DYING ]
 *
 * What is true in each state, checked by assert_md_state:
 *
 *  NEW         no live table was ever bound; block_io clear; all I/O is -EIO
 *  ACTIVE      block_io clear; a live table exists
 *  SUSPENDING  block_io set; suspender set; new bios park, old ones drain
 *  SUSPENDED   block_io set; in flight is 0; bios park (no live table: -EIO)
 *  DYING       block_io set; new bios fail at once; parked ones were woken
 */
enum md_state { MD_NEW, MD_ACTIVE, MD_SUSPENDING, MD_SUSPENDED, MD_DYING };

/* A bio parked at the gate; on its thread's stack. */
struct parked_bio {
  struct list link;        /* md.parked, oldest first */
  const struct bio *bio;   /* what it covers, to keep overlapping ones apart */
  sem_t wake;
  bool running;            /* released; stays listed until it is done */
  int error;               /* why it was woken, if not to run */
};

struct mapped_device {
  struct block_device bdev; /* first; bdev.size is the live table's */
  struct registry *registry;
  uint32_t minor;

  /* --- guarded by registry.latch --- */
  struct list link;            /* registry.devices, ascending by name */
  char name[DM_NAME_LEN];
  char uuid[DM_UUID_LEN];      /* "" for none */
  bool listed;                 /* its name is in the registry */
  unsigned holders;
  int open_count;              /* openers: connections and upper tables */
  bool deleting, deferred_remove;
  struct list lower_edges;     /* struct md_edge: what its tables opened */

  /* --- the gate --- */
  struct {
    _Alignas (64) atomic_long in_flight;
  } shards[MD_SHARDS];
  atomic_bool block_io;        /* written under lock */
  atomic_bool noflush_suspending;
  atomic_bool readonly;        /* the live table's mode */

  /* --- guarded by lock --- */
  struct latch lock;
  enum md_state state;
  struct list parked;
  struct dm_wait *suspender;   /* who waits for in flight to become 0 */
  struct dm_table *live, *inactive;
  struct queue_limits queue_limits; /* of the live table */
  uint32_t event_nr;
  struct list event_waiters;   /* struct dm_event_waiter */
  struct hd_geometry_text {
    unsigned long cylinders, heads, sectors, start;
  } geometry;
  const struct target_type *immutable_type; /* the live table's, or NULL */

  struct gate load_gate;       /* one load at a time (kernel: type lock) */
  struct gate suspend_gate;    /* one suspend, resume, swap at a time */
};

/* A table of upper has md open (guarded by registry.latch). */
struct md_edge {
  struct list link;            /* upper->lower_edges */
  struct mapped_device *lower;
};

struct registry {
  struct latch latch;
  pthread_cond_t put;          /* some md.holders went down */
  struct list devices;         /* struct mapped_device, ascending by name */
  atomic_uint event_nr;        /* the global one, for poll */
  atomic_bool dying;
  void (*poll_event) (void *opaque); /* called after event_nr moved */
  void *poll_opaque;

  struct latch backings_latch;
  struct dm_backings *backings; /* counted; see dm-interface.h */
};

struct dm_table {
  struct mapped_device *md;
  bool readonly;
  struct dm_target **targets;
  sector_t *begins;            /* of each target, for the binary search */
  unsigned nr_targets;
  sector_t size;
  struct list devs;            /* struct table_dev of dm-dev.c, newest first */
  bool singleton;
  const struct target_type *immutable_type;
  const struct dm_lookup *lookup; /* while a constructor runs */
  bool is_live;                /* guarded by md->lock: events go through */
  unsigned holders;            /* guarded by md->lock */
};

/* ------------------------------------------------------------------
 * dm-md.c: the gate and the states.
 */

/* A new device in state NEW with no table, not yet in the registry.  NULL
 * without memory.
 */
struct mapped_device *md_new (struct registry *registry, const char *name,
                              const char *uuid, uint32_t minor);

/* The rest of the death of a device that has left the registry (see the top).
 * Blocks until nobody holds it.
 */
void md_destroy (struct mapped_device *md);

/* Linux 6.1 dm_suspend, without freezing filesystems: presuspend hooks, gate
 * closed, in flight -> 0, postsuspend hooks.  Suspending a suspended device
 * succeeds and changes nothing.  flags: DM_NOFLUSH_FLAG.  Blocks for as long
 * as the I/O takes; when wait is cancelled meanwhile everything is put back
 * and -EINTR returned.  Takes suspend_gate.  -ESHUTDOWN if DYING.
 */
int md_suspend (struct mapped_device *md, unsigned flags,
                struct dm_wait *wait);

/* Exchange the live table of a suspended device with table (never NULL): size,
 * limits and mode follow, the geometry is wiped if the size changes, the global
 * event counter moves.  The old table is returned in *old (NULL if there was
 * none) and belongs to the caller.  If the limits do not fit, -EINVAL and
 * nothing has changed.  Caller holds no gate; -EINVAL if not suspended.
 */
int md_swap_table (struct mapped_device *md, struct dm_table *table,
                   struct dm_table **old, struct message *msg);

/* Linux 6.1 dm_resume: preresume, resume hooks, gate opened, parked bios
 * released.  Released bios that overlap (one of them writing) run in the order
 * in which they came; others run together.  -EINVAL without a live table or
 * with one of size 0; a preresume error leaves the device suspended.  No-op on
 * an active device.
 */
int md_resume (struct mapped_device *md, struct message *msg);

/* The server is ending: state DYING, parked bios fail with -ESHUTDOWN, targets
 * let go of what they hold.  Then wait, at most until deadline_ns, for in
 * flight to become 0 and run postsuspend; true if it did.
 */
bool md_shutdown (struct mapped_device *md, uint64_t deadline_ns);

/* The live (or inactive) table with a hold on it, NULL if there is none. */
struct dm_table *md_hold_table (struct mapped_device *md, bool inactive);
void table_put (struct dm_table *table);

/* Put table (may be NULL) into the inactive slot; returns the old one, which
 * the caller destroys.
 */
struct dm_table *md_stage_table (struct mapped_device *md,
                                 struct dm_table *table);

bool md_is_suspended (struct mapped_device *md);

/* Debug builds: abort unless what the state promises holds.  md->lock held. */
void assert_md_state (struct mapped_device *md);

/* ------------------------------------------------------------------
 * dm-event.c
 */

/* event_nr + 1, waiters with another number fire.  Takes md->lock. */
void md_event (struct mapped_device *md);

/* As dm-interface.h's dm_device_wait_event, on a device that is held. */
bool md_wait_event (struct mapped_device *md, struct dm_event_waiter *waiter);
bool md_cancel_wait (struct mapped_device *md,
                     struct dm_event_waiter *waiter);

/* ------------------------------------------------------------------
 * dm-table.c, dm-limits.c: tables.
 */

/* An empty table for md.  NULL without memory. */
struct dm_table *table_new (struct mapped_device *md, bool readonly);

/* Append a target; the checks and their order are Linux 6.1
 * dm_table_add_target's.  params is split in place.  Runs the constructor, may
 * block.  backings and base_dir as in dm_table_load.
 */
int table_add_target (struct dm_table *t, const struct dm_target_line *line,
                      const struct dm_lookup *lookup, struct message *msg);

/* After the last target: -EINVAL without any. */
int table_complete (struct dm_table *t, struct message *msg);

/* Run the destructors in table order, put the devices, free.  Waits for the
 * table's holders.  Called where a table is replaced or refused: load and
 * clear (the old inactive one), a failed load or resume, resume (the old live
 * one), remove.  No gate, no latch may be held: putting the last hold on a
 * lower device can remove that one (deferred remove).
 */
void table_destroy (struct dm_table *t);

/* The target that holds sector, or NULL beyond the end.  O(log n). */
struct dm_target *table_find (const struct dm_table *t, sector_t sector);

/* Carry out the bio, whose sectors are inside the table: split at targets and
 * max_io_len, map, submit, end_io (Linux 6.1 behaviour).  Every piece is tried
 * even after one has failed; the result is the error of the last that did.
 *
 * A piece that a target pushes back, while a noflush suspend is under way and
 * no piece before it has failed, ends the run with DM_ENDIO_REQUEUE; *bio is
 * then what remains to be done, from that piece on.  Otherwise the piece has
 * failed (-EIO, or the error there was before), the rest is tried, and the bio
 * fails: the client will repeat it anyway.  Blocks.
 */
int table_map_bio (struct dm_table *t, struct bio *bio);

/* Extents of a range inside the table, target by target. */
int table_extents (struct dm_table *t, sector_t sector, sector_t len,
                   struct extent_sink *sink);

/* Stack the limits of all lower areas and check sizes and alignment, as
 * Linux 6.1 dm_calculate_queue_limits.  current: what the device has now, kept
 * if the table is one that lists devices but has none; NULL if it never had a
 * table.
 * 0, or -EINVAL with the message set.
 */
int table_limits (struct dm_table *t, const struct queue_limits *current,
                  struct queue_limits *limits, struct message *msg);

/* The hooks of every target in table order. */
void table_presuspend (struct dm_table *t);
void table_presuspend_undo (struct dm_table *t);
void table_postsuspend (struct dm_table *t);
int table_preresume (struct dm_table *t, struct message *msg);
void table_resume (struct dm_table *t);

/* ------------------------------------------------------------------
 * dm-target.c: target types by name, and what targets call.
 */
const struct target_type *target_type_find (const char *name);

/* Passes on to out the first len sectors of what it is told; then, and when
 * out has had enough, it tells the producer to stop.
 */
struct extent_clip {
  struct extent_sink sink; /* for the producer */
  struct extent_sink *out;
  sector_t left;
  bool enough;
};

void extent_clip_init (struct extent_clip *clip, struct extent_sink *out,
                       sector_t len);

/* The producer returned r: 0 if out knows all and wants more, 1 to stop, or
 * -errno.
 */
int extent_clip_result (const struct extent_clip *clip, int r);

/* The name at the time of the call, since it can change.  Takes
 * registry.latch; returns buf.
 */
const char *md_copy_name (struct mapped_device *md, char buf[DM_NAME_LEN]);

/* "NAME: table line N (START LEN TYPE): " before the message; lines count from
 * 1, index from 0.
 */
void table_prefix_message (struct dm_table *t, unsigned index, sector_t start,
                           sector_t len, const char *type,
                           struct message *msg);

/* ------------------------------------------------------------------
 * dm-dev.c: what a word in a table means, and who has it open.
 */

/* Put every device of the table (table_destroy). */
void table_put_devices (struct dm_table *t);

/* Devices of the table in reverse order of first reference; fn gets each
 * once.
 */
void table_for_each_device (struct dm_table *t,
                            void (*fn) (struct dm_dev *dev, void *opaque),
                            void *opaque);

/* ------------------------------------------------------------------
 * dm-outside.c: every file and upstream that tables have open.  One per name,
 * target, options and mode in the whole process, counted, with a number of
 * BACKING_BLOCK_MAJOR.  Nothing is locked while one opens: others that want
 * the same one wait for the result.
 */
struct outside;

struct outside_key {
  const char *name;            /* bdev->name: what a table calls it */
  const char *target;          /* absolute path, else a URI */
  struct bdev_options options;
  bool writable;
};

/* Share or open; blocks while it opens.  0, or -errno with the message set.
 * Each get or find is put once; the last put closes.
 */
int outside_get (const struct outside_key *key, struct outside **out,
                 struct message *msg);

/* The open device with this number, opened anew if the mode is another one.
 * -ENXIO if there is none.
 */
int outside_get_number (uint32_t number, bool writable, struct outside **out,
                        struct message *msg);

struct outside *outside_find_handed_in (const char *name); /* or NULL */
struct block_device *outside_bdev (const struct outside *o);
void outside_put (struct outside *o);

/* Hand in a device of the embedding program (tests): tables find it by
 * bdev->name before anything else, whatever their mode.  Not owned; no table
 * may hold it when it is taken away.  It gets a number if it has none.
 */
void devices_add (struct block_device *bdev);
void devices_remove (struct block_device *bdev);

/* Tell every open outside device that the server ends
 * (block_device_ops.shutdown), or flush every one that is written to.
 */
void devices_shutdown (void);
int devices_flush (void);

/* ------------------------------------------------------------------
 * dm-registry.c: names, numbers, openers.
 */

/* All return a held md (md_put), or NULL. */
struct mapped_device *registry_find_name (struct registry *, const char *);
struct mapped_device *registry_find_uuid (struct registry *, const char *);
struct mapped_device *registry_find_minor (struct registry *, uint32_t);

void md_hold (struct mapped_device *md);
void md_put (struct mapped_device *md);

/* Enter a new device: *out is held.  minor UINT32_MAX: the lowest free one.
 * -EBUSY name or uuid in use, -ENXIO minor in use, -EINVAL bad name.
 */
int registry_create (struct registry *reg, const char *name, const char *uuid,
                     uint32_t minor, struct mapped_device **out,
                     struct message *msg);

/* Take a held device out and destroy it; the hold is used up on success.
 * deferred: an open device is only marked and 0 returned, the hold put.
 * -EBUSY if it is open.
 */
int registry_remove (struct registry *reg, struct mapped_device *md,
                     bool deferred, struct message *msg);

int registry_rename (struct registry *reg, const char *name,
                     const char *new_name, struct message *msg);
int registry_set_uuid (struct registry *reg, const char *name,
                       const char *uuid, struct message *msg);

/* Open for a connection (upper NULL) or for a table of upper: -ENXIO while it
 * is being deleted, -ELOOP if upper would come to stand on itself or the stack
 * would be deeper than MD_MAX_DEPTH.  Every open is closed once, with the same
 * upper.  Closing may remove the device (deferred remove): no gate or latch may
 * be held.
 */
int registry_open (struct registry *reg, struct mapped_device *md,
                   struct mapped_device *upper, struct message *msg);
void registry_close (struct registry *reg, struct mapped_device *md,
                     struct mapped_device *upper);

/* A snapshot of all devices, each held, ascending by name; the caller puts each
 * and frees the array.  0 or -ENOMEM.
 */
int registry_list (struct registry *reg, struct mapped_device ***mds,
                   size_t *n);

/* The global event counter moved. */
void registry_event (struct registry *reg);

#endif /* NBDM_DM_CORE_H */
