/* SPDX-License-Identifier: BSD-3-Clause */
/* The records in the replies of the kernel's commands. */

#ifndef NBDM_REPLY_H
#define NBDM_REPLY_H

#include <stdint.h>

#include "clients/client.h"

/* Walks the records behind a reply's header.  They come from outside: every
 * offset and length is checked, strings end inside the reply, and a walk ends
 * whatever the next offsets say.
 *
 *   struct reply_walk walk = reply_walk (&call);
 *   while ((r = reply_next_name (&walk, &name)) > 0) …
 *
 * Each reply_next_… returns 1 and a record, 0 at the end, or -EPROTO.  Strings
 * point into the reply and live as long as it does.
 */
struct reply_walk {
  const char *base;    /* the first record */
  uint32_t bytes;      /* from there to the end of the reply */
  uint32_t at;         /* the record that comes next */
  uint32_t left;       /* records still to come; UINT32_MAX: unknown */
};

struct reply_walk reply_walk (const struct call *call);

/* DM_LIST_DEVICES.  An empty list is one record with device number 0, or none
 * at all.
 */
struct reply_name {
  uint64_t dev;
  const char *name;
};
int reply_next_name (struct reply_walk *walk, struct reply_name *name);

/* DM_TABLE_STATUS and DM_DEV_WAIT: next counts from the first record, and the
 * header says how many there are; begin with this walk instead.
 */
struct reply_walk reply_walk_targets (const struct call *call);
struct reply_target {
  uint64_t start, length;
  char type[DM_MAX_TYPE_NAME + 1];
  const char *text;
};
int reply_next_target (struct reply_walk *walk, struct reply_target *target);

/* 1 if some target is of this type (NULL: of any, or there are none), 0 if
 * not, -EPROTO.
 */
int reply_has_target (const struct call *call, const char *type);

/* DM_LIST_VERSIONS and DM_GET_TARGET_VERSION. */
struct reply_version {
  uint32_t version[3];
  const char *name;
};
int reply_next_version (struct reply_walk *walk, struct reply_version *version);

/* DM_TABLE_DEPS: how many devices (none where there is no table and so no
 * record either) and, by next, each of them.
 */
int reply_deps_count (struct reply_walk *walk, uint32_t *count);
int reply_next_dep (struct reply_walk *walk, uint64_t *dev);

/* DM_TARGET_MSG: the text, or "" if the message has produced none. */
const char *reply_text (const struct call *call);

#endif /* NBDM_REPLY_H */
