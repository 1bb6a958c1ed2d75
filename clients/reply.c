/* SPDX-License-Identifier: BSD-3-Clause */
/* The records in the replies of the kernel's commands. */

#include "clients/reply.h"

#include <errno.h>
#include <string.h>

struct reply_walk
reply_walk (const struct call *call)
{
  struct reply_walk walk = { .base = "", .left = UINT32_MAX };
  uint32_t start = call->reply->data_start;

  if (start >= offsetof (struct dm_ioctl, data) && start < call->reply_bytes) {
    walk.base = (const char *) call->reply + start;
    walk.bytes = call->reply_bytes - start;
  }
  return walk;
}

struct reply_walk
reply_walk_targets (const struct call *call)
{
  struct reply_walk walk = reply_walk (call);

  walk.left = call->reply->target_count;
  return walk;
}

/* Copy the fixed part of the record: the offsets need not be aligned. */
static int
walk_read (const struct reply_walk *walk, void *record, size_t bytes)
{
  if (walk->at > walk->bytes || bytes > walk->bytes - walk->at)
    return -EPROTO;
  memcpy (record, walk->base + walk->at, bytes);
  return 0;
}

/* The string at offset bytes behind the start of the record, or NULL. */
static const char *
walk_string (const struct reply_walk *walk, size_t offset)
{
  size_t room = walk->bytes - walk->at;

  if (offset >= room || !memchr (walk->base + walk->at + offset, '\0',
                                 room - offset))
    return NULL;
  return walk->base + walk->at + offset;
}

/* Records only lie further on, so that a walk comes to an end. */
static int
walk_on (struct reply_walk *walk, uint64_t next)
{
  if (next <= walk->at || next > walk->bytes)
    return -EPROTO;
  walk->at = next;
  return 0;
}

/* The same with next counted from the record itself, 0 for the last one. */
static int
walk_on_relative (struct reply_walk *walk, uint32_t next)
{
  if (next == 0) {
    walk->left = 0;
    return 0;
  }
  return walk_on (walk, (uint64_t) walk->at + next);
}

int
reply_next_name (struct reply_walk *walk, struct reply_name *name)
{
  struct dm_name_list record;
  const size_t fixed = offsetof (struct dm_name_list, name);
  int r;

  if (walk->left == 0 || walk->bytes == 0)
    return 0;
  r = walk_read (walk, &record, fixed);
  if (r < 0)
    return r;
  if (record.dev == 0)
    return 0;
  name->dev = record.dev;
  name->name = walk_string (walk, fixed);
  if (name->name == NULL)
    return -EPROTO;
  r = walk_on_relative (walk, record.next);
  return r < 0 ? r : 1;
}

int
reply_next_target (struct reply_walk *walk, struct reply_target *target)
{
  struct dm_target_spec spec;
  int r;

  if (walk->left == 0)
    return 0;
  r = walk_read (walk, &spec, sizeof spec);
  if (r < 0)
    return r;
  target->start = spec.sector_start;
  target->length = spec.length;
  memcpy (target->type, spec.target_type, sizeof spec.target_type);
  target->type[sizeof spec.target_type] = '\0';
  target->text = walk_string (walk, sizeof spec);
  if (target->text == NULL)
    return -EPROTO;
  if (--walk->left > 0)
    r = walk_on (walk, spec.next);
  return r < 0 ? r : 1;
}

int
reply_has_target (const struct call *call, const char *type)
{
  struct reply_walk walk = reply_walk_targets (call);
  struct reply_target target;
  int r;

  while ((r = reply_next_target (&walk, &target)) > 0)
    if (type == NULL || strcmp (target.type, type) == 0)
      return 1;
  return r == 0 && type == NULL ? 1 : r;
}

int
reply_next_version (struct reply_walk *walk, struct reply_version *version)
{
  struct dm_target_versions record;
  int r;

  if (walk->left == 0 || walk->bytes == 0)
    return 0;
  r = walk_read (walk, &record, sizeof record);
  if (r < 0)
    return r;
  memcpy (version->version, record.version, sizeof record.version);
  version->name = walk_string (walk, sizeof record);
  if (version->name == NULL)
    return -EPROTO;
  r = walk_on_relative (walk, record.next);
  return r < 0 ? r : 1;
}

int
reply_deps_count (struct reply_walk *walk, uint32_t *count)
{
  struct dm_target_deps deps;
  int r;

  *count = walk->left = 0;
  if (walk->bytes == 0)
    return 0;
  r = walk_read (walk, &deps, sizeof deps);
  if (r < 0)
    return r;
  *count = walk->left = deps.count;
  return walk_on (walk, sizeof deps);
}

int
reply_next_dep (struct reply_walk *walk, uint64_t *dev)
{
  int r;

  if (walk->left == 0)
    return 0;
  r = walk_read (walk, dev, sizeof *dev);
  if (r < 0)
    return r;
  walk->left--;
  walk->at += sizeof *dev;
  return 1;
}

const char *
reply_text (const struct call *call)
{
  struct reply_walk walk = reply_walk (call);
  const char *text = NULL;

  if (call->reply->flags & DM_DATA_OUT_FLAG)
    text = walk_string (&walk, 0);
  return text ? text : "";
}
