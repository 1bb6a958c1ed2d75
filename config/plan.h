/* SPDX-License-Identifier: BSD-3-Clause */
/* From what is and what is wanted to ordered steps: a pure function. */

#ifndef NBDM_PLAN_H
#define NBDM_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/message.h"
#include "config/config.h"

/* A device as it is, to plan from. */
struct plan_live {
  const char *name, *uuid;
  bool readonly;
  bool suspended;          /* by an operator */
  bool has_live_table;
  bool managed;            /* came from the table files */
  bool in_use;             /* somebody has it open */
  /* The TABLE text is still what the last reload left, so that a device whose
   * entry in the files has not changed either is left alone.
   */
  bool untouched;
};

enum plan_action {
  PLAN_CREATE,  /* new name */
  PLAN_LOAD,    /* build the inactive table */
  PLAN_SUSPEND,
  PLAN_SWAP,    /* live <-> inactive */
  PLAN_RESUME,
  PLAN_MESSAGE, /* the messages of the entry */
  PLAN_REMOVE,  /* vanished from the files; deferred if open */
};

struct plan_step {
  enum plan_action action;
  const char *name;                   /* of the old or new config or of live */
  const struct config_device *device; /* of the new config; NULL for REMOVE */
  /* False: if the table that LOAD made has the same text as the live one, the
   * device may be left as it is, without this and its later steps.  True for
   * LOAD … RESUME of a device whose mode or a backing differs, for MESSAGE if
   * the messages differ from those in old.
   */
  bool needed;
};

struct plan {
  struct plan_step *steps;
  size_t nr_steps;
  size_t nr_undoable; /* steps before the point of no return */
  size_t nr_unchanged, nr_changed, nr_new, nr_removed;
};

/* The steps that turn live into desired, in an order in which they can be
 * carried out:
 *   phase 1: CREATE all new names, then LOAD all new and changed devices,
 *     lower ones first; up to here undoing is removing and clearing;
 *   phase 2: SUSPEND changed devices, upper ones first; SWAP, then RESUME new
 *     and changed ones, lower ones first; then, from where there is no way
 *     back, MESSAGE; REMOVE what is managed and no longer wanted, upper ones
 *     first.
 * A constructor may read the devices below it or want what a message to them
 * makes (a thin its pool, and create_thin).  So a new device on which others
 * that are to be loaded stand is taken live already in phase 1, messages
 * included, unless it stands on something that is to change; and messages for
 * such a one that exists are sent there, before the LOAD of the others.
 * A device is changed if its entry differs from the one in old (NULL at start),
 * a backing it names does, or the live one is not `untouched`; one whose
 * messages alone differ gets a MESSAGE and nothing else.  Description and
 * export need no steps.  Which device stands on which is read off the words of
 * their tables, the new ones and those in old; in a cycle the order is any.
 * What is under `snapshots` of a device comes live before it, but never while
 * its old table is live, which preserves nothing.
 *
 * -EINVAL with a message that begins "FILE:LINE:COLUMN: NAME: ": a changed
 * device is suspended by an operator; a uuid would have to change (an entry
 * without one agrees with any); a name is taken by a device that is not
 * managed; a snapshot to be removed is in use and would not be preserved.
 * -ENOMEM.  The strings of the plan belong to the arguments.
 */
int plan_make (const struct config *desired, const struct config *old,
               const struct plan_live *live, size_t nr_live,
               struct plan *plan, struct message *msg);

void plan_reset (struct plan *plan);

const char *plan_action_name (enum plan_action action);

#endif /* NBDM_PLAN_H */
