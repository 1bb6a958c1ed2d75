/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs that leave tables and states as they are. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/cleanup.h"
#include "common/vector.h"
#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * What tables tell.
 */

int
dm_device_info (struct registry *reg, const struct dm_ref *ref,
                uint32_t flags, struct dm_info *info, struct message *msg)
{
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  return r < 0 ? r : verb_end (md, 0, flags, info);
}

static void
target_measure (struct dm_target *ti, FILE *fp)
{
  const struct target_type *type = ti->type;

  if (type->measure == NULL)
    return;
  fprintf (fp, "target_name=%s,target_version=%u.%u.%u", type->name,
           type->version[0], type->version[1], type->version[2]);
  type->measure (ti, fp);
  putc (';', fp);
}

/* The type's text, malloc'ed. */
static int
target_status (struct dm_target *ti, uint32_t flags, char **text)
{
  bool table = flags & DM_STATUS_TABLE_FLAG;
  size_t len;
  FILE *fp = open_memstream (text, &len);

  if (fp == NULL)
    return -ENOMEM;
  if (!table && (flags & DM_IMA_MEASUREMENT_FLAG))
    target_measure (ti, fp);
  else
    ti->type->status (ti, table ? DM_STATUS_TABLE : DM_STATUS_INFO,
                      flags & DM_NOFLUSH_FLAG ? DM_STATUS_NOFLUSH : 0, fp);
  if (fclose (fp) != 0) {
    free (*text);
    return -ENOMEM;
  }
  return 0;
}

static int
table_status (struct dm_table *t, uint32_t flags, dm_status_fn add,
              void *opaque)
{
  unsigned i;
  int r = 0;

  for (i = 0; i < t->nr_targets && r == 0; i++) {
    struct dm_target *ti = t->targets[i];
    char *CLEANUP_FREE text = NULL;

    r = target_status (ti, flags, &text);
    if (r == 0)
      r = add (opaque, ti->begin, ti->len, ti->type->name, text);
  }
  return r < 0 ? r : 0;
}

static int
md_status (struct mapped_device *md, uint32_t flags, dm_status_fn add,
           void *opaque)
{
  struct dm_table *t;
  int r;

  t = md_hold_table (md, flags & DM_QUERY_INACTIVE_TABLE_FLAG);
  if (t == NULL)
    return 0;
  r = table_status (t, flags, add, opaque);
  table_put (t);
  return r;
}

int
dm_table_status (struct registry *reg, const struct dm_ref *ref,
                 uint32_t flags, dm_status_fn add, void *opaque,
                 struct dm_info *info, struct message *msg)
{
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  r = verb_explain (md, "status", md_status (md, flags, add, opaque), msg);
  return verb_end (md, r, flags, info);
}

static int
print_line (void *opaque, sector_t start, sector_t len, const char *type,
            const char *text)
{
  fprintf (opaque, "%" PRIu64 " %" PRIu64 " %s %s\n", start, len, type, text);
  return 0;
}

int
dm_table_text (struct registry *reg, const struct dm_ref *ref, uint32_t flags,
               char **text, struct message *msg)
{
  size_t len;
  FILE *fp;
  int r;

  *text = NULL;
  fp = open_memstream (text, &len);
  if (fp == NULL)
    return -ENOMEM;
  r = dm_table_status (reg, ref, flags | DM_STATUS_TABLE_FLAG, print_line, fp,
                       NULL, msg);
  if (fclose (fp) != 0 && r == 0)
    r = -ENOMEM;
  if (r < 0) {
    free (*text);
    *text = NULL;
  }
  return r;
}

struct deps {
  VECTOR (uint64_t) devs;
  int error;
};

static void
add_dep (struct dm_dev *dev, void *opaque)
{
  struct deps *deps = opaque;

  if (vector_append (&deps->devs, dm_encode_dev (dev->bdev->number)) < 0)
    deps->error = -ENOMEM;
}

int
dm_table_deps (struct registry *reg, const struct dm_ref *ref, uint32_t flags,
               uint64_t **devs, size_t *n, struct dm_info *info,
               struct message *msg)
{
  struct deps deps = { VECTOR_INIT, 0 };
  struct mapped_device *md;
  struct dm_table *t;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  t = md_hold_table (md, flags & DM_QUERY_INACTIVE_TABLE_FLAG);
  if (t) {
    table_for_each_device (t, add_dep, &deps);
    table_put (t);
  }
  *devs = deps.devs.ptr;
  *n = deps.devs.len;
  if (deps.error < 0)
    vector_reset (&deps.devs);
  return verb_end (md, verb_explain (md, "deps", deps.error, msg), flags, info);
}

/* ------------------------------------------------------------------
 * Messages.
 */

static int
cancel_deferred_message (struct mapped_device *md, const struct args *args,
                         struct message *msg)
{
  char name[DM_NAME_LEN];

  if (args->argc != 1)
    return message_set (msg, EINVAL, "%s: Invalid arguments for "
                        "@cancel_deferred_remove", md_copy_name (md, name));
  return registry_cancel_deferred (md->registry, md, msg);
}

static int
core_message (struct mapped_device *md, struct args *args, size_t room,
              char **reply, struct message *msg)
{
  const char *word = args->argv[0];
  char name[DM_NAME_LEN];
  int r;

  if (args_word_is (word, "@cancel_deferred_remove"))
    return cancel_deferred_message (md, args, msg);
  r = stats_message (&md->stats, bdev_size (&md->bdev), args, room, reply);
  if (r == -EOPNOTSUPP)
    return message_set (msg, EINVAL, "%s: Unsupported message sent to DM "
                        "core: %s", md_copy_name (md, name), word);
  if (r == -EINVAL)
    message_set (msg, EINVAL, "%s: Invalid parameters for message %s",
                 md_copy_name (md, name), word);
  if (r == -ENOENT)
    message_set (msg, ENOENT, "%s: %s: there is no such region",
                 md_copy_name (md, name), word);
  return r;
}

bool
dm_message_only_reads (const char *text)
{
  static const char *const words[] = { "@stats_list", "@stats_print" };
  size_t len = strcspn (text, " "), i;

  for (i = 0; i < sizeof words / sizeof words[0]; i++)
    if (len == strlen (words[i]) && strncasecmp (text, words[i], len) == 0)
      return true;
  return false;
}

/* One at a time for a device: ti->message has room for one. */
static int
send_message (struct mapped_device *md, struct dm_target *ti,
              struct args *args, FILE *reply, struct message *msg)
{
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&md->message_gate);

  ti->message = msg;
  r = ti->type->message (ti, args, reply);
  ti->message = NULL;
  if (r < 0) {
    message_set (msg, -r, "message failed: %s", strerror (-r));
    message_prefix (msg, "%s: ", ti->type->name);
  }
  return r;
}

static int
target_message (struct mapped_device *md, sector_t sector, struct args *args,
                FILE *reply, struct message *msg)
{
  struct dm_table *t = md_hold_table (md, false);
  struct dm_target *ti;
  int r;

  if (t == NULL)
    r = message_set (msg, EINVAL, "The device has no table.");
  else if ((ti = table_find (t, sector)) == NULL)
    r = message_set (msg, EINVAL, "Target message sector outside device.");
  else if (ti->type->message == NULL)
    r = message_set (msg, EINVAL,
                     "Target type %s does not support messages",
                     ti->type->name);
  else
    r = send_message (md, ti, args, reply, msg);
  if (t)
    table_put (t);
  if (r < 0)
    verb_prefix (md, msg);
  return r;
}

/* NULL if nothing was said. */
static int
collect_reply (struct mapped_device *md, sector_t sector, struct args *args,
               char **reply, struct message *msg)
{
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);
  int r;

  if (fp == NULL)
    return -ENOMEM;
  r = target_message (md, sector, args, fp, msg);
  if (fclose (fp) != 0 && r == 0)
    r = -ENOMEM;
  if (r < 0 || len == 0)
    free (text);
  else
    *reply = text;
  return r;
}

static int
md_message (struct mapped_device *md, sector_t sector, char *text,
            size_t room, char **reply, struct message *msg)
{
  char **CLEANUP_FREE argv = NULL;
  char name[DM_NAME_LEN];
  struct args args;

  if (args_split (text, &args) < 0)
    return -ENOMEM;
  argv = args.argv;
  if (args.argc == 0)
    return message_set (msg, EINVAL, "%s: Empty message received.",
                        md_copy_name (md, name));
  if (argv[0][0] == '@')
    return core_message (md, &args, room, reply, msg);
  return collect_reply (md, sector, &args, reply, msg);
}

int
dm_device_message_room (struct registry *reg, const struct dm_ref *ref,
                        sector_t sector, char *text, size_t room,
                        char **reply, struct dm_info *info,
                        struct message *msg)
{
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  *reply = NULL;
  r = md_message (md, sector, text, room, reply, msg);
  verb_explain (md, "message", r, msg);
  return verb_end (md, r, 0, info);
}

/* ------------------------------------------------------------------
 * Lists.
 */

int
dm_list (struct registry *reg, struct dm_info **infos, size_t *n)
{
  struct mapped_device **CLEANUP_FREE mds = NULL;
  size_t i;
  int r = registry_list (reg, &mds, n);

  if (r < 0)
    return r;
  *infos = calloc (*n + 1, sizeof **infos);
  for (i = 0; i < *n; i++)
    verb_end (mds[i], 0, 0, *infos ? &(*infos)[i] : NULL);
  return *infos ? 0 : -ENOMEM;
}

int
dm_list_versions (dm_version_fn add, void *opaque)
{
  unsigned i;
  int r = 0;

  for (i = 0; target_types[i] && r == 0; i++)
    r = add (opaque, target_types[i]->name, target_types[i]->version);
  return r < 0 ? r : 0;
}

int
dm_list_types (dm_type_fn add, void *opaque)
{
  unsigned i;
  int r = 0;

  for (i = 0; target_types[i] && r == 0; i++)
    r = add (opaque, target_types[i]->name, target_types[i]->version,
             target_types[i]->summary);
  return r < 0 ? r : 0;
}

int
dm_target_version (const char *name, unsigned version[3], struct message *msg)
{
  const struct target_type *type = target_type_find (name);

  if (type == NULL)
    return message_set (msg, EINVAL, "unknown target type '%s'", name);
  memcpy (version, type->version, sizeof type->version);
  return 0;
}

/* ------------------------------------------------------------------
 * Waiting for events.
 */

int
dm_wait_event (struct registry *reg, const struct dm_ref *ref,
               struct dm_event_waiter *waiter, struct message *msg)
{
  int r = verb_begin (reg, ref, &waiter->md, msg);

  if (r == 0 && !md_wait_event (waiter->md, waiter))
    waiter->fire (waiter);
  return r;
}

void
dm_wait_event_end (struct dm_event_waiter *waiter, uint32_t flags,
                   struct dm_info *info)
{
  md_cancel_wait (waiter->md, waiter);
  verb_end (waiter->md, 0, flags, info);
}

int
dm_wait_event_status (struct dm_event_waiter *waiter, uint32_t flags,
                      dm_status_fn add, void *opaque)
{
  return md_status (waiter->md, flags, add, opaque);
}

/* ------------------------------------------------------------------
 * The data path.
 */

static bool
md_has_table (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  return md->live != NULL;
}

int
dm_open (struct registry *reg, const char *name, struct mapped_device **md,
         struct message *msg)
{
  int r = verb_begin (reg, DM_REF_NAME (name), md, msg);

  if (r < 0)
    return r;
  if (md_has_table (*md))
    r = registry_open (reg, *md, NULL, true, NULL, msg);
  else
    r = message_set (msg, ENODEV, "%s: no table has been resumed yet", name);
  md_put (*md);
  return r;
}

void
dm_close (struct mapped_device *md)
{
  registry_close (md->registry, md, NULL);
}

struct block_device *
dm_block_device (struct mapped_device *md)
{
  return &md->bdev;
}

bool
dm_is_readonly (struct mapped_device *md)
{
  return md->readonly;
}
