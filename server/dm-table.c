/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables: built line by line, destroyed, and the hooks of their targets. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "common/args.h"
#include "common/cleanup.h"
#include "server/device-mapper.h"
#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * Building and destroying.
 */

struct dm_table *
table_new (struct mapped_device *md, bool readonly)
{
  struct dm_table *t = calloc (1, sizeof *t);

  if (t == NULL)
    return NULL;
  t->md = md;
  t->readonly = readonly;
  list_init (&t->devs);
  tree_init (&t->by_device, table_compare_device);
  return t;
}

/* Room for one more target: both arrays double whenever their length has
 * reached a power of two.
 */
static int
table_grow (struct dm_table *t)
{
  unsigned n = t->nr_targets;
  void *targets, *begins;

  if (n & (n - 1))
    return 0;
  n = n ? 2 * n : 1;
  targets = reallocarray (t->targets, n, sizeof *t->targets);
  if (targets == NULL)
    return -ENOMEM;
  t->targets = targets;
  begins = reallocarray (t->begins, n, sizeof *t->begins);
  if (begins == NULL)
    return -ENOMEM;
  t->begins = begins;
  return 0;
}

static void
target_free (struct dm_target *ti)
{
  free (ti->private);
  free (ti);
}

static struct dm_target *
target_new (struct dm_table *t, const struct target_type *type,
            const struct dm_target_line *line, struct message *msg)
{
  struct dm_target *ti = calloc (1, sizeof *ti);

  if (ti == NULL)
    return NULL;
  ti->table = t;
  ti->type = type;
  ti->begin = line->start;
  ti->len = line->len;
  ti->message = msg;
  /* At least a byte, so that NULL always means no memory. */
  ti->private = calloc (1, type->private_size ? type->private_size : 1);
  if (ti->private == NULL) {
    free (ti);
    return NULL;
  }
  return ti;
}

/* What the features of a type ask of the table around it. */
static int
table_check_features (struct dm_table *t, const struct target_type *type,
                      struct message *msg)
{
  bool immutable = type->features & DM_TARGET_IMMUTABLE;

  if ((type->features & DM_TARGET_SINGLETON) && t->nr_targets > 0)
    return message_set (msg, EINVAL,
                        "singleton target type must appear alone in table");
  if ((type->features & DM_TARGET_ALWAYS_WRITEABLE) && t->readonly)
    return message_set (msg, EINVAL, "target type may not be included in a "
                        "read-only table");
  if (t->immutable_type ? t->immutable_type != type
      : immutable && t->nr_targets > 0)
    return message_set (msg, EINVAL, "immutable target type cannot be mixed "
                        "with other target types");
  return 0;
}

static int
table_check_line (struct dm_table *t, const struct dm_target_line *line,
                  const struct target_type **type, struct message *msg)
{
  int r;

  if (t->singleton)
    return message_set (msg, EINVAL,
                        "target type %s must appear alone in table",
                        t->targets[0]->type->name);
  if (line->len == 0)
    return message_set (msg, EINVAL, "zero-length target");
  if (!sectors_in_range (line->start, line->len, SECTOR_MAX))
    return message_set (msg, EINVAL, "too large device: a table ends at "
                        "sector %" PRIu64 " at the latest", SECTOR_MAX);
  *type = target_type_find (line->type);
  if (*type == NULL)
    return message_set (msg, EINVAL, "unknown target type");
  r = table_check_features (t, *type, msg);
  if (r < 0)
    return r;
  if (line->start != t->size)
    return message_set (msg, EINVAL, "Gap in table: the line before ends at "
                        "sector %" PRIu64, t->size);
  return 0;
}

static int
table_construct (struct dm_table *t, struct dm_target *ti, char *params,
                 struct message *msg)
{
  struct args args;
  char **CLEANUP_FREE argv = NULL;
  int r;

  if (args_split (params, &args) < 0)
    return message_set (msg, ENOMEM, "couldn't split parameters");
  argv = args.argv;
  r = ti->type->ctr (ti, &args);
  if (r < 0) {
    if (ti->type->dtr)
      ti->type->dtr (ti);
    return message_set (msg, -r, "constructor failed");
  }
  return 0;
}

static void
table_append (struct dm_table *t, struct dm_target *ti)
{
  t->targets[t->nr_targets] = ti;
  t->begins[t->nr_targets++] = ti->begin;
  t->size = ti->begin + ti->len;
  if (ti->type->features & DM_TARGET_SINGLETON)
    t->singleton = true;
  if (ti->type->features & DM_TARGET_IMMUTABLE)
    t->immutable_type = ti->type;
}

static int
table_try_line (struct dm_table *t, const struct dm_target_line *line,
                const struct dm_lookup *lookup, struct message *msg)
{
  const struct target_type *type = NULL;
  struct dm_target *ti;
  int r = table_check_line (t, line, &type, msg);

  if (r < 0)
    return r;
  if (table_grow (t) < 0 || (ti = target_new (t, type, line, msg)) == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  t->lookup = lookup;
  r = table_construct (t, ti, line->params, msg);
  t->lookup = NULL;
  ti->message = NULL;
  if (r < 0) {
    target_free (ti);
    return r;
  }
  table_append (t, ti);
  return 0;
}

void
table_prefix_message (struct dm_table *t, unsigned index, sector_t start,
                      sector_t len, const char *type, struct message *msg)
{
  char name[DM_NAME_LEN];

  message_prefix (msg, "%s: table line %u (%" PRIu64 " %" PRIu64 " %.*s): ",
                  md_copy_name (t->md, name), index + 1, start, len,
                  DM_MAX_TYPE_NAME, type);
}

int
table_add_target (struct dm_table *t, const struct dm_target_line *line,
                  const struct dm_lookup *lookup, struct message *msg)
{
  int r = table_try_line (t, line, lookup, msg);

  if (r < 0)
    table_prefix_message (t, t->nr_targets, line->start, line->len,
                          line->type, msg);
  return r;
}

int
table_complete (struct dm_table *t, struct message *msg)
{
  if (t->nr_targets == 0)
    return message_set (msg, EINVAL, "no targets specified");
  return 0;
}

/* Holders read a status or send a message; they are few and soon gone. */
static void
table_wait_for_holders (struct dm_table *t)
{
  static const struct timespec tick = { .tv_nsec = 1000000 };

  for (;;) {
    unsigned holders;

    latch_acquire (&t->md->lock);
    holders = t->holders;
    latch_release (&t->md->lock);
    if (holders == 0)
      return;
    nanosleep (&tick, NULL);
  }
}

void
table_destroy (struct dm_table *t)
{
  unsigned i;

  assert_no_latch_held ();
  table_wait_for_holders (t);
  for (i = 0; i < t->nr_targets; i++)
    if (t->targets[i]->type->dtr)
      t->targets[i]->type->dtr (t->targets[i]);
  table_put_devices (t);
  for (i = 0; i < t->nr_targets; i++)
    target_free (t->targets[i]);
  free (t->targets);
  free (t->begins);
  free (t);
}

/* ------------------------------------------------------------------
 * Hooks.
 */

#define TABLE_CALL_HOOKS(t, hook)                       \
  do {                                                  \
    unsigned i;                                         \
                                                        \
    for (i = 0; i < (t)->nr_targets; i++)               \
      if ((t)->targets[i]->type->hook)                  \
        (t)->targets[i]->type->hook ((t)->targets[i]);  \
  } while (0)

void
table_presuspend (struct dm_table *t)
{
  TABLE_CALL_HOOKS (t, presuspend);
}

void
table_presuspend_undo (struct dm_table *t)
{
  TABLE_CALL_HOOKS (t, presuspend_undo);
}

void
table_postsuspend (struct dm_table *t)
{
  TABLE_CALL_HOOKS (t, postsuspend);
}

int
table_preresume (struct dm_table *t, struct message *msg)
{
  unsigned i;

  for (i = 0; i < t->nr_targets; i++) {
    struct dm_target *ti = t->targets[i];
    int r;

    if (ti->type->preresume == NULL)
      continue;
    r = ti->type->preresume (ti, msg);
    if (r < 0) {
      message_set (msg, -r, "preresume failed");
      table_prefix_message (t, i, ti->begin, ti->len, ti->type->name, msg);
      return r;
    }
  }
  return 0;
}

void
table_resume (struct dm_table *t)
{
  TABLE_CALL_HOOKS (t, resume);
}
