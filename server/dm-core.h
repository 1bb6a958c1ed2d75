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
#include "common/numbers.h"
#include "common/tree.h"
#include "server/device-mapper.h"
#include "server/dm-interface.h"
#include "server/dm-stats.h"

/* ------------------------------------------------------------------
 * Birth and death.
 *
 * registry_create: md_new -> number, name, uuid into the registry.
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

/* Kinds of bios that are counted apart. */
enum md_kind { MD_READS, MD_WRITES, MD_DISCARDS, MD_FLUSHES, MD_NR_KINDS };

/* How deep mapped devices may be stacked; the kernel knows no limit, but a bio
 * goes down the stairs on one thread's stack.
 */
#define MD_MAX_DEPTH 64

/*                md_suspend, md_swap_table
 *    [ NEW ] -----------------------------> [ SUSPENDING ]
 *       ^                                    |  ^  |    |
 *       +------------(cancelled)-------------+  |  |    |
 *                           md_suspend          |  |    |
 *    [ ACTIVE ] --------------------------------+  |    |
 *       ^  ^                                       |    |
 *       |  +----------------(cancelled)------------+    |
 *       | md_resume                                     |
 *       +------------- [ SUSPENDED ] <----(drained)-----+
 *
 *    every state --md_destroy, md_shutdown--> [ DYING ]
 *
 * What is true in each state, checked by assert_md_state:
 *
 *  NEW         no live table was ever bound; block_io clear; all I/O is -EIO
 *  ACTIVE      block_io clear; a live table exists
 *  SUSPENDING  block_io set; suspender set; new bios park, old ones drain
 *  SUSPENDED   block_io set; nothing is in flight (but for bios on their way
 *              out of the gate again); bios park (no live table: -EIO)
 *  DYING       block_io set; new bios fail at once; parked ones were woken
 */
enum md_state { MD_NEW, MD_ACTIVE, MD_SUSPENDING, MD_SUSPENDED, MD_DYING };

/* A bio parked at the gate; on its thread's stack. */
struct parked_bio {
  struct list link;        /* md.parked, oldest first */
  /* What it covers, to keep overlapping ones apart.  A copy: the bio itself
   * changes while it runs.
   */
  sector_t sector, end;
  bool write;
  bool running;            /* released; stays listed until it is done */
  int error;               /* why it was woken, if not to run */
  sem_t *wake;
};

/* Which of its hooks the live table has seen last. */
enum md_hooks { MD_HOOKS_STOPPED, MD_HOOKS_RUNNING, MD_HOOKS_PRESUSPENDED };

/* What one thread, or a few, count at the gate: 128 bytes, so that none has to
 * wait for a cache line of another's.
 */
struct md_shard {
  atomic_long in_flight;
  atomic_ulong ios[MD_NR_KINDS], sectors[MD_NR_KINDS], errors;
  char pad[128 - (2 + 2 * MD_NR_KINDS) * sizeof (long)];
};

struct mapped_device {
  struct block_device bdev; /* first; bdev.size is the live table's */
  struct registry *registry;
  uint32_t minor;

  /* --- guarded by registry.latch --- */
  struct tree_node by_name, by_uuid, by_minor; /* in the registry's trees */
  struct list idle_link;       /* registry.idle, if not open */
  char name[DM_NAME_LEN];
  char uuid[DM_UUID_LEN];      /* "" for none */
  bool listed;                 /* its name is in the registry */
  unsigned holders;
  int open_count;              /* openers: connections and upper devices */
  bool deleting, deferred_remove;
  struct tree lower_edges;     /* struct md_edge: what its tables opened */
  struct list upper_edges;     /* and by which devices' tables it is open */
  unsigned depth;              /* of the stack from here down, 1 … */
  unsigned nr_below[MD_MAX_DEPTH + 2]; /* lower edges, by that depth */
  uint64_t walk;               /* the last one up that came by */

  /* --- the gate.  live, queue_limits and readonly change only while nothing
   * is in flight, so a bio that is counted reads them without a lock --- */
  struct md_shard shards[MD_SHARDS];
  atomic_bool block_io;        /* written under lock */
  atomic_bool noflush_suspending; /* cleared under lock */
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
  unsigned firing;             /* threads that call waiters just now */
  pthread_cond_t fired;        /* firing went down */
  bool gone;                   /* removed: nothing is staged or queued now */
  struct hd_geometry_text {
    unsigned long cylinders, heads, sectors, start;
  } geometry;
  const struct target_type *immutable_type; /* the live table's, or NULL */
  unsigned nr_parked;          /* bios that wait in parked */
  uint64_t nr_deferred, nr_suspends, nr_swaps; /* so far */

  struct md_stats stats;       /* has a latch of its own */

  struct gate load_gate;       /* one load at a time (kernel: type lock) */
  bool loaded;                 /* a load succeeded; guarded by load_gate */
  struct gate message_gate;    /* one message at a time (dm_target.message) */
  struct gate suspend_gate;    /* one suspend, resume, swap at a time */
  enum md_hooks hooks;         /* guarded by suspend_gate */
};

/* Tables of upper have lower open (guarded by registry.latch).  As in Linux 6.1
 * the live and the inactive one are one opener, if they want the same mode.
 */
struct md_edge {
  struct tree_node by_lower;   /* upper->lower_edges */
  struct list upper_link;      /* lower->upper_edges */
  struct mapped_device *lower, *upper;
  bool writable;
  unsigned tables;             /* how many */
};

struct registry {
  struct latch latch;
  pthread_cond_t put;          /* some md.holders went down */
  struct tree by_name, by_uuid, by_minor; /* every device that is listed */
  size_t nr_devices;           /* how many these are */
  struct list idle;            /* those of them that nobody has open */
  struct numbers numbers;      /* of every device that exists */
  uint64_t walk;               /* counts walks over the edges */
  unsigned nr_too_deep;        /* devices with a depth over the maximum */
  atomic_uint event_nr;        /* the global one, for poll */
  atomic_bool dying;
  void (*poll_event) (void *opaque); /* called after event_nr moved */
  void *poll_opaque;
  unsigned polling;            /* threads that call it just now */

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
  struct tree by_device;       /* the same by what they are */
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
 * and -EINTR returned.  Takes suspend_gate.  DYING: -ESHUTDOWN at the end
 * of the server, -ENXIO if the device was removed (so do the other verbs).
 */
int md_suspend (struct mapped_device *md, unsigned flags,
                struct dm_wait *wait);

/* Exchange the live table of a suspended device with table (never NULL): size,
 * limits and mode follow, the geometry is wiped if the size changes, the global
 * event counter moves.  The old table is returned in *old (NULL if there was
 * none) and belongs to the caller.  If the limits do not fit, -EINVAL and
 * nothing has changed.  A new device is suspended by it.  Takes suspend_gate;
 * -EINVAL if the device is active.
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

/* The server is ending (registry.dying is set), first pass over all devices,
 * in any order: what is suspended dies now, so that nothing above it hangs on
 * bios parked there; a suspend under way is broken off; an active device works
 * on until its turn in md_shutdown comes.  Does not block.
 */
void md_shutdown_begin (struct mapped_device *md);

/* The server is ending: state DYING, parked bios fail with -ESHUTDOWN, targets
 * let go of what they hold.  Then wait, at most until deadline_ns, for in
 * flight to become 0 and run postsuspend; true if it did.  May be repeated.
 */
bool md_shutdown (struct mapped_device *md, uint64_t deadline_ns);

/* The live (or inactive) table with a hold on it, NULL if there is none. */
struct dm_table *md_hold_table (struct mapped_device *md, bool inactive);
void table_put (struct dm_table *table);

/* Put table (may be NULL) into the inactive slot; returns the old one, which
 * the caller destroys.  Once the device has been removed the slot stays empty
 * and table itself comes back.
 */
struct dm_table *md_stage_table (struct mapped_device *md,
                                 struct dm_table *table);

/* Put back what was taken out of the slot.  0, or -EBUSY if another one was
 * staged meanwhile, -ENXIO if the device was removed: table stays the caller's.
 */
int md_restage_table (struct mapped_device *md, struct dm_table *table);

bool md_is_suspended (struct mapped_device *md);

/* Debug builds: abort unless what the state promises holds.  md->lock held. */
void assert_md_state (struct mapped_device *md);

/* ------------------------------------------------------------------
 * bdev-md.c: the way of a bio through the gate.
 */
extern const struct block_device_ops md_ops;

/* How many bios are inside; exact once block_io is set (docs/locks.md). */
long md_in_flight (struct mapped_device *md);

/* From now on wait breaks off what this thread asks of extents and has to wait
 * for at gates: -EINTR.  NULL: nothing does.
 */
void md_ask_with (struct dm_wait *wait);

/* Let run, or wake with -errno, what is parked.  md->lock held. */
void md_release_parked (struct mapped_device *md);
void md_fail_parked (struct mapped_device *md, int error);

/* ------------------------------------------------------------------
 * dm-event.c
 */

/* event_nr + 1, waiters with another number fire, the global counter moves.
 * Takes md->lock; calls waiters.
 */
void md_event (struct mapped_device *md);

/* The same if there is a live table: what rename does. */
void md_event_if_live (struct mapped_device *md);

/* The device was removed: the same once more, then every waiter fires and no
 * more can be queued.  Returns the inactive table, whose slot stays empty.
 */
struct dm_table *md_last_event (struct mapped_device *md);

/* Queue the waiter of a held device; false if it need not wait, and then fire
 * is the caller's to call.
 */
bool md_wait_event (struct mapped_device *md, struct dm_event_waiter *waiter);

/* After it fire is not called any more; true if it had not been. */
bool md_cancel_wait (struct mapped_device *md,
                     struct dm_event_waiter *waiter);

/* ------------------------------------------------------------------
 * dm-table.c, dm-map.c, dm-limits.c: tables.
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

/* How long the first of the pieces is that the table splits a bio into, as far
 * as that can be known before its targets have seen it.  All of it if it
 * begins beyond the end.
 */
sector_t table_room (const struct dm_table *t, const struct bio *bio);

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

/* What orders dm_table.by_device. */
int table_compare_device (const void *key, const struct tree_node *node);

/* Devices of the table in reverse order of first reference; fn gets each
 * once.
 */
void table_for_each_device (struct dm_table *t,
                            void (*fn) (struct dm_dev *dev, void *opaque),
                            void *opaque);

/* ------------------------------------------------------------------
 * dm-outside.c: every file and upstream that tables have open.  One per name,
 * target, options and mode in the whole process, counted, with a number of
 * BACKING_BLOCK_MAJOR unless it has one of its own.  Nothing is locked while
 * one opens: others that want the same one wait for the result.
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

/* The open device after prev (NULL: the first), held; prev is put. */
struct outside *outside_next (struct outside *prev);
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
 * dm-interface.c: what all verbs share, there and in dm-query.c.
 */

/* Find the device and hold it, in the kernel's order and with its errno;
 * -ESHUTDOWN at the end of the server.
 */
int verb_begin (struct registry *reg, const struct dm_ref *ref,
                struct mapped_device **md, struct message *msg);

/* Tell of the device if info is not NULL and r is 0, then let it go.  Returns
 * r.
 */
int verb_end (struct mapped_device *md, int r, uint32_t flags,
              struct dm_info *info);

/* If r < 0 and nobody said why, say so for him.  Returns r. */
int verb_explain (struct mapped_device *md, const char *verb, int r,
                  struct message *msg);

/* "NAME: " before what was said. */
void verb_prefix (struct mapped_device *md, struct message *msg);

/* ------------------------------------------------------------------
 * dm-registry.c, dm-stack.c: names and numbers; openers.
 */

/* All return a held md (md_put), or NULL. */
struct mapped_device *registry_find_name (struct registry *, const char *);
struct mapped_device *registry_find_uuid (struct registry *, const char *);
struct mapped_device *registry_find_minor (struct registry *, uint32_t);

void md_hold (struct mapped_device *md);
void md_put (struct mapped_device *md);

/* The same under registry.latch; the first takes NULL and returns md. */
struct mapped_device *registry_held (struct mapped_device *md);
void registry_unhold (struct registry *reg, struct mapped_device *md);

/* Enter a new device: *out is held.  minor UINT32_MAX: the lowest free one.
 * -EBUSY name or uuid in use, -ENXIO minor in use, -EINVAL bad name.
 */
int registry_create (struct registry *reg, const char *name, const char *uuid,
                     uint32_t minor, struct mapped_device **out,
                     struct message *msg);

/* Take a held device out and destroy it; the hold is used up on success.
 * deferred: an open device is only marked and 0 returned, the hold put;
 * *removed tells which it was.  -EBUSY if it is open, -ENXIO if another
 * thread removes it.
 */
int registry_remove (struct registry *reg, struct mapped_device *md,
                     bool deferred, bool *removed, struct message *msg);

/* The two halves of it: take the device out of the registry (registry.latch
 * held; nobody has it open), then destroy what was claimed, without any lock.
 */
struct mapped_device *registry_claim (struct mapped_device *md);
void registry_destroy_claimed (struct mapped_device *md);

/* The device that has left the registry is about to be freed: its number can
 * be another's from now on.
 */
void registry_forget (struct mapped_device *md);

/* Remove what is not open until nothing more goes; deferred: mark the rest.
 * Returns how many are left.
 */
unsigned registry_remove_all (struct registry *reg, bool deferred);

/* Take back a deferred remove; -EBUSY if it has begun. */
int registry_cancel_deferred (struct registry *reg, struct mapped_device *md,
                              struct message *msg);

/* -EINVAL unless a device may have this name. */
int registry_check_name (const char *name, struct message *msg);

/* The kernel's checks in the kernel's order; *out is held.  The event (and that
 * of the registry) is the caller's to raise.
 */
int registry_rename (struct registry *reg, const char *name,
                     const char *new_name, struct mapped_device **out,
                     struct message *msg);
int registry_set_uuid (struct registry *reg, const char *name,
                       const char *uuid, struct mapped_device **out,
                       struct message *msg);

/* For mapped_device.lower_edges; the key is a struct md_edge. */
int edge_compare (const void *key, const struct tree_node *node);

/* Open for a connection (upper NULL) or for a table of upper: -ENXIO while it
 * is being deleted, -ELOOP if upper would come to stand on itself or the stack
 * would be deeper than MD_MAX_DEPTH.  Every open is closed once, with the edge
 * that it put into *edge (NULL for a connection).  Closing may remove the
 * device (deferred remove): no gate or latch may be held.
 *
 * O(log n), n: what upper has open, but for what has to be told that its depth
 * has changed.
 */
int registry_open (struct registry *reg, struct mapped_device *md,
                   struct mapped_device *upper, bool writable,
                   struct md_edge **edge, struct message *msg);
void registry_close (struct registry *reg, struct mapped_device *md,
                     struct md_edge *edge);

/* A snapshot of all devices, each held, ascending by name; the caller puts each
 * and frees the array.  0 or -ENOMEM.
 */
int registry_list (struct registry *reg, struct mapped_device ***mds,
                   size_t *n);

/* The global event counter moved. */
void registry_event (struct registry *reg);

#endif /* NBDM_DM_CORE_H */
