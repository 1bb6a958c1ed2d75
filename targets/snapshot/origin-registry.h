/* SPDX-License-Identifier: BSD-3-Clause */
/* Which targets have to do with one another: those that name one origin. */

#ifndef NBDM_ORIGIN_REGISTRY_H
#define NBDM_ORIGIN_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"
#include "common/list.h"
#include "common/lock.h"
#include "common/message.h"

/* An origin is a device that any snapshot, snapshot-merge or snapshot-origin
 * target names.  Nothing else links those: two that name the same device, be
 * it by two names of a file, belong together.
 *
 * What writes to an origin is inside it meanwhile (origin_enter).  The list of
 * snapshots that have to be preserved changes only while nobody is inside
 * (origin_quiesce), so whoever is inside reads it without a lock, and a
 * snapshot that is taken, taken over or removed sees no write half-way.
 *
 * Locks: latches only.  enter and quiesce wait, for as long as I/O takes, so
 * they are called without any latch; nobody quiesces who is inside.
 */
struct origin {
  struct list link;          /* origins.list */
  struct list users;         /* struct origin_user; guarded by origins.latch */

  struct latch latch;
  /* Guarded by latch. */
  pthread_cond_t changed;
  unsigned inside;
  bool quiet;                /* somebody quiesces it or has done so */

  /* struct origin_user of the snapshots that every write to the origin
   * preserves: the largest chunks first, equal ones in the order in which they
   * came (Linux 6.1).  Changes only while quiet.
   */
  struct list preserved;
};

enum origin_role {
  ORIGIN_ITSELF,
  ORIGIN_SNAPSHOT,
  ORIGIN_MERGE,
  ORIGIN_OBSERVER, /* asks what a snapshot has; nobody minds it */
};

/* One target, embedded in its private data. */
struct origin_user {
  struct list link;          /* origin.users */
  struct list preserved_link;
  struct origin *origin;     /* NULL: not entered, or left */

  /* Set by the target before it joins. */
  enum origin_role role;
  struct block_device *bdev; /* the origin, as this target has it open */
  struct block_device *cow;  /* only of a snapshot or a merge */

  uint32_t chunk_sectors;    /* while it is preserved; changes while quiet */

  atomic_bool orphan;        /* what it was to take over is gone */

  /* Guarded by origins.latch. */
  bool active;               /* was resumed once */
  bool running;              /* resumed, and not suspended since */
  bool half_merged;          /* ORIGIN_MERGE, and something is left to merge */
};

/* ------------------------------------------------------------------
 * Membership.
 */

/* What Linux 6.1 makes of a table whose COW device another one has, too. */
enum origin_pair { ORIGIN_ALONE, ORIGIN_TAKES_OVER };

/* Enter a target; *pair tells whether it is to take a live store over.  0,
 * -ENOMEM, or -EINVAL with the kernel's message if there are too many on this
 * COW device, or if a second merge would run.
 */
int origin_join (struct origin_user *user, enum origin_pair *pair,
                 struct message *msg);

/* Leave; nothing if it has not joined.  Writes need not preserve it any more;
 * who waited to take its store over is an orphan now.  Blocks until nobody is
 * inside if user was active.
 */
void origin_leave (struct origin_user *user);

/* The active one that has the same COW device; NULL if there is none.  Stays
 * while the origin is quiet.
 */
struct origin_user *origin_find_source (struct origin_user *user);

/* The active snapshot, no merge, with this COW device; NULL if there is none.
 * The caller is inside: for so long it stays.
 */
struct origin_user *origin_find_snapshot (struct origin *origin,
                                          struct block_device *cow);

/* The checks before a resume, and user is running from then on.  -EINVAL with
 * a message: the kernel's two for a handover in the wrong order; or ours for
 * what Linux 6.1 lets happen and snapshots do not survive: that a merge and a
 * snapshot-origin run on one origin, or a snapshot is taken of a half-merged
 * one.
 */
int origin_may_run (struct origin_user *user, struct message *msg);

/* It has been suspended. */
void origin_stopped (struct origin_user *user);

void origin_set_half_merged (struct origin_user *user, bool half_merged);

/* ------------------------------------------------------------------
 * Writers and the others.
 */

/* Before a write to the origin device, and after it. */
void origin_enter (struct origin *origin);
void origin_exit (struct origin *origin);

/* Wait until nobody is inside, and keep everybody out. */
void origin_quiesce (struct origin *origin);
void origin_unquiesce (struct origin *origin);

/* While quiet: user is active from now on, and preserved unless it merges. */
void origin_activate (struct origin_user *user, uint32_t chunk_sectors);

/* While quiet: writes need not preserve it any more; nothing if they do not. */
void origin_forget (struct origin_user *user);

#endif /* NBDM_ORIGIN_REGISTRY_H */
