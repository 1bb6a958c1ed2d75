/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs that change devices and their tables. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * Finding the device, telling of it.
 */

uint64_t
dm_encode_dev (uint32_t number)
{
  uint64_t major = number >> 20, minor = number & 0xfffff;

  return (minor & 0xff) | major << 8 | (minor & ~UINT64_C (0xff)) << 12;
}

static uint32_t
decode_minor (uint64_t dev)
{
  return (dev & 0xff) | (dev >> 12 & 0xfff00);
}

static struct mapped_device *
find_by_dev (struct registry *reg, uint64_t dev)
{
  if ((dev >> 8 & 0xfff) != DM_BLOCK_MAJOR)
    return NULL;
  return registry_find_minor (reg, decode_minor (dev));
}

int
verb_begin (struct registry *reg, const struct dm_ref *ref,
             struct mapped_device **md, struct message *msg)
{
  const char *name = ref->name ? ref->name : "";
  const char *uuid = ref->uuid ? ref->uuid : "";

  if (reg->dying)
    return message_set (msg, ESHUTDOWN, "the server is shutting down");
  if ((*uuid && (*name || ref->dev)) || (*name && ref->dev))
    return message_set (msg, ENXIO, "Invalid ioctl structure: name %s, "
                        "dev %" PRIx64, *name ? name : uuid, ref->dev);
  if (*uuid)
    *md = registry_find_uuid (reg, uuid);
  else if (*name)
    *md = registry_find_name (reg, name);
  else
    *md = find_by_dev (reg, ref->dev);
  if (*md)
    return 0;
  if (*uuid || *name)
    return message_set (msg, ENXIO, "no device %s%s", *uuid ? "with uuid " : "",
                        *uuid ? uuid : name);
  return message_set (msg, ENXIO, "no device with number %" PRIx64, ref->dev);
}

static void
fill_tables (struct mapped_device *md, uint32_t flags, struct dm_info *info)
{
  const struct dm_table *t;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  t = flags & DM_QUERY_INACTIVE_TABLE_FLAG ? md->inactive : md->live;
  if (t) {
    info->target_count = t->nr_targets;
    if (t->readonly)
      info->flags |= DM_READONLY_FLAG;
  }
  if (md->live)
    info->flags |= DM_ACTIVE_PRESENT_FLAG;
  if (md->inactive)
    info->flags |= DM_INACTIVE_PRESENT_FLAG;
  if (md->state == MD_SUSPENDED)
    info->flags |= DM_SUSPEND_FLAG;
  info->event_nr = md->event_nr;
}

static void
fill_info (struct mapped_device *md, uint32_t flags, struct dm_info *info)
{
  if (info == NULL)
    return;
  memset (info, 0, sizeof *info);
  fill_tables (md, flags, info);
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);
  memcpy (info->name, md->name, sizeof info->name);
  memcpy (info->uuid, md->uuid, sizeof info->uuid);
  info->dev = dm_encode_dev (md->bdev.number);
  info->open_count = md->open_count;
  if (md->deferred_remove)
    info->flags |= DM_DEFERRED_REMOVE;
}

int
verb_end (struct mapped_device *md, int r, uint32_t flags, struct dm_info *info)
{
  if (r == 0)
    fill_info (md, flags, info);
  md_put (md);
  return r;
}

void
verb_prefix (struct mapped_device *md, struct message *msg)
{
  char name[DM_NAME_LEN];

  message_prefix (msg, "%s: ", md_copy_name (md, name));
}

int
verb_explain (struct mapped_device *md, const char *verb, int r,
         struct message *msg)
{
  char name[DM_NAME_LEN];

  if (r < 0)
    message_set (msg, -r, "%s: %s: %s", md_copy_name (md, name), verb,
                 r == -EINTR ? "broken off, the device is active"
                 : r == -ESHUTDOWN ? "the server is shutting down"
                 : r == -ENXIO ? "the device was removed" : strerror (-r));
  return r;
}

/* ------------------------------------------------------------------
 * Create, remove, rename.
 */

int
dm_device_create (struct registry *reg, const char *name, const char *uuid,
                  uint32_t flags, uint64_t dev, struct dm_info *info,
                  struct message *msg)
{
  struct mapped_device *md;
  uint32_t minor = UINT32_MAX;
  int r;

  if (flags & DM_PERSISTENT_DEV_FLAG)
    minor = decode_minor (dev);
  r = registry_create (reg, name, uuid ? uuid : "", minor, &md, msg);
  if (r < 0)
    return r;
  registry_event (reg);
  return verb_end (md, 0, flags, info);
}

int
dm_device_remove (struct registry *reg, const struct dm_ref *ref,
                  uint32_t flags, bool *removed, struct message *msg)
{
  struct mapped_device *md;
  bool gone;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  r = registry_remove (reg, md, flags & DM_DEFERRED_REMOVE, &gone, msg);
  if (r < 0) {
    md_put (md);
    return r;
  }
  registry_event (reg);
  if (removed)
    *removed = gone;
  return 0;
}

unsigned
dm_remove_all (struct registry *reg, uint32_t flags)
{
  unsigned left;

  if (reg->dying)
    return 0;
  left = registry_remove_all (reg, flags & DM_DEFERRED_REMOVE);
  if (left > 0)
    log_info ("remove_all left %u open device(s)", left);
  registry_event (reg);
  return left;
}

int
dm_device_rename (struct registry *reg, const char *name,
                  const char *new_value, uint32_t flags, struct dm_info *info,
                  struct message *msg)
{
  struct mapped_device *md;
  int r;

  if (reg->dying)
    return message_set (msg, ESHUTDOWN, "the server is shutting down");
  if (flags & DM_UUID_FLAG)
    r = registry_set_uuid (reg, name, new_value, &md, msg);
  else
    r = registry_rename (reg, name, new_value, &md, msg);
  if (r < 0)
    return r;
  md_event_if_live (md);
  registry_event (reg);
  return verb_end (md, 0, flags, info);
}

/* ------------------------------------------------------------------
 * Suspend and resume.
 */

int
dm_device_suspend (struct registry *reg, const struct dm_ref *ref,
                   uint32_t flags, struct dm_wait *wait, struct dm_info *info,
                   struct message *msg)
{
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  r = verb_explain (md, "suspend", md_suspend (md, flags, wait), msg);
  return verb_end (md, r, flags, info);
}

/* Make table, taken out of the inactive slot, the live one.  *dead is what the
 * caller destroys: the old one, or table if it can neither live nor go back.
 */
static int
bring_live (struct mapped_device *md, struct dm_table *table, uint32_t flags,
            struct dm_wait *wait, struct dm_table **dead, struct message *msg)
{
  int r = md_suspend (md, flags, wait);

  if (r < 0) {
    /* Whatever was staged meanwhile is newer; a removed device has no slot. */
    if (md_restage_table (md, table) < 0)
      *dead = table;
    return r;
  }
  r = md_swap_table (md, table, dead, msg);
  if (r < 0)
    *dead = table;
  return r;
}

int
dm_device_resume (struct registry *reg, const struct dm_ref *ref,
                  uint32_t flags, struct dm_wait *wait, struct dm_info *info,
                  struct message *msg)
{
  struct dm_table *table = NULL, *dead = NULL;
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  if (!(flags & DM_RESUME_ONLY))
    table = md_stage_table (md, NULL);
  if (table)
    r = bring_live (md, table, flags, wait, &dead, msg);
  if (r == 0)
    r = md_resume (md, msg);
  verb_explain (md, "resume", r, msg);
  /* Only now: the new table's resume hooks have run (Linux 6.1). */
  if (dead)
    table_destroy (dead);
  return verb_end (md, r, flags, info);
}

/* load_gate held, so nobody stages another table meanwhile. */
static int
swap_slots (struct mapped_device *md, struct dm_table **dead,
            struct message *msg)
{
  struct dm_table *table = md_stage_table (md, NULL), *old;
  char name[DM_NAME_LEN];
  int r;

  *dead = NULL;
  if (table == NULL)
    return message_set (msg, EINVAL, "%s: no inactive table to swap in",
                        md_copy_name (md, name));
  r = md_swap_table (md, table, &old, msg);
  if (r < 0)
    old = table;
  if (old && md_restage_table (md, old) < 0)
    *dead = old;
  return r;
}

int
dm_device_swap (struct registry *reg, const struct dm_ref *ref,
                struct message *msg)
{
  struct mapped_device *md;
  struct dm_table *dead;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  gate_acquire (&md->load_gate);
  r = swap_slots (md, &dead, msg);
  gate_release (&md->load_gate);
  verb_explain (md, "swap", r, msg);
  if (dead)
    table_destroy (dead);
  return verb_end (md, r, 0, NULL);
}

/* ------------------------------------------------------------------
 * Load and clear.
 */

static bool
has_wildcard (const struct dm_table *t)
{
  unsigned i;

  for (i = 0; i < t->nr_targets; i++)
    if (t->targets[i]->type->features & DM_TARGET_WILDCARD)
      return true;
  return false;
}

static int
check_immutable (struct mapped_device *md, const struct dm_table *t,
                 struct message *msg)
{
  const struct target_type *type;

  latch_acquire (&md->lock);
  type = md->immutable_type;
  latch_release (&md->lock);
  if (type == NULL || type == t->immutable_type || has_wildcard (t))
    return 0;
  message_set (msg, EINVAL, "can't replace immutable target type %s",
               type->name);
  verb_prefix (md, msg);
  return -EINVAL;
}

/* A table that could not go live is refused at once if the device never had
 * one; later it is the resume that fails (Linux 6.1).  load_gate held.
 */
static int
check_first_limits (struct mapped_device *md, struct dm_table *t,
                    struct message *msg)
{
  struct queue_limits limits;

  return md->loaded ? 0 : table_limits (t, NULL, &limits, msg);
}

static int
build_table (struct dm_table *t, uint32_t flags, struct dm_target_line *lines,
             size_t n, const struct dm_lookup *lookup, struct message *msg)
{
  size_t i;
  int r;

  for (i = 0; i < n; i++) {
    r = table_add_target (t, &lines[i], lookup, msg);
    if (r < 0)
      return r;
  }
  r = table_complete (t, msg);
  if (r < 0) {
    verb_prefix (t->md, msg);
    return r;
  }
  r = check_immutable (t->md, t, msg);
  if (r == 0 && !(flags & DM_LOAD_LATE_LIMITS))
    r = check_first_limits (t->md, t, msg);
  return r;
}

/* *dead is what the caller destroys once it has let go of load_gate. */
static int
load_table (struct mapped_device *md, uint32_t flags,
            struct dm_target_line *lines, size_t n,
            const struct dm_lookup *lookup, struct dm_table **dead,
            struct message *msg)
{
  struct dm_table *t = table_new (md, flags & DM_READONLY_FLAG);
  int r;

  *dead = t;
  if (t == NULL)
    return -ENOMEM;
  r = build_table (t, flags, lines, n, lookup, msg);
  if (r < 0)
    return r;
  *dead = md_stage_table (md, t);
  if (*dead == t)
    return -ENXIO;
  md->loaded = true;
  return 0;
}

int
dm_table_load (struct registry *reg, const struct dm_ref *ref, uint32_t flags,
               struct dm_target_line *lines, size_t n,
               const struct dm_lookup *lookup, struct dm_info *info,
               struct message *msg)
{
  struct mapped_device *md;
  struct dm_table *dead;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  gate_acquire (&md->load_gate);
  r = load_table (md, flags, lines, n, lookup, &dead, msg);
  gate_release (&md->load_gate);
  verb_explain (md, "load", r, msg);
  if (dead)
    table_destroy (dead);
  return verb_end (md, r, flags, info);
}

int
dm_table_clear (struct registry *reg, const struct dm_ref *ref,
                struct dm_info *info, struct message *msg)
{
  struct mapped_device *md;
  struct dm_table *old;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  old = md_stage_table (md, NULL);
  if (old)
    table_destroy (old);
  return verb_end (md, 0, 0, info);
}

/* ------------------------------------------------------------------
 * Geometry.
 */

static int
parse_geometry (const char *text, struct hd_geometry_text *g,
                struct message *msg)
{
  char *CLEANUP_FREE copy = strdup (text);
  char **CLEANUP_FREE argv = NULL;
  struct args args;
  uint64_t n[4];
  unsigned i;

  if (copy == NULL || args_split (copy, &args) < 0)
    return -ENOMEM;
  argv = args.argv;
  for (i = 0; i < 4; i++)
    if (args.argc != 4 || args_parse_u64 (argv[i], &n[i]) < 0)
      return message_set (msg, EINVAL,
                          "Unable to interpret geometry settings.");
  if (n[0] > 65535 || n[1] > 255 || n[2] > 255)
    return message_set (msg, EINVAL, "Geometry exceeds range limits.");
  if (n[3] > n[0] * n[1] * n[2])
    return message_set (msg, EINVAL,
                        "Start sector is beyond the geometry limits.");
  *g = (struct hd_geometry_text) { n[0], n[1], n[2], n[3] };
  return 0;
}

int
dm_device_set_geometry (struct registry *reg, const struct dm_ref *ref,
                        const char *text, struct message *msg)
{
  struct hd_geometry_text g;
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  if (r < 0)
    return r;
  r = parse_geometry (text, &g, msg);
  if (r < 0)
    verb_prefix (md, msg);
  else {
    ACQUIRE_LATCH_FOR_SCOPE (&md->lock);
    md->geometry = g;
  }
  return verb_end (md, r, 0, NULL);
}
