/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs on several devices at once: all of them or none. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/dm-core.h"

/* A device of a group, and how far it has come. */
struct member {
  struct mapped_device *md;    /* held */
  unsigned depth;
  bool suspended, resumed;     /* by us */
  bool swapped;
  struct dm_table *table;      /* out of the inactive slot; swapped: the old
                                  live one, or NULL */
};

struct group {
  struct member *members;      /* upper devices first */
  size_t n;
  uint32_t flags;
  struct dm_wait *wait;
  FILE *report;
};

static void
group_tell (struct group *g, const char *step, struct mapped_device *md)
{
  char name[DM_NAME_LEN];

  fprintf (g->report, "%s %s\n", step, md_copy_name (md, name));
}

/* ------------------------------------------------------------------
 * Who belongs to it.
 */

static int
member_compare (const void *a, const void *b)
{
  const struct member *m = a, *n = b;

  return (m->depth < n->depth) - (m->depth > n->depth);
}

static void
group_sort (struct registry *reg, struct group *g)
{
  size_t i;

  latch_acquire (&reg->latch);
  for (i = 0; i < g->n; i++)
    g->members[i].depth = g->members[i].md->depth;
  latch_release (&reg->latch);
  qsort (g->members, g->n, sizeof g->members[0], member_compare);
}

/* From below: a table that goes can take a lower device along, which then waits
 * until we do not hold it.
 */
static void
group_free (struct group *g)
{
  size_t i;

  for (i = g->n; i > 0; i--) {
    struct member *m = &g->members[i - 1];

    if (m->table)
      table_destroy (m->table);
    md_put (m->md);
  }
  free (g->members);
}

static int
group_init (struct group *g, struct registry *reg, const char *const names[],
            size_t n, struct message *msg)
{
  int r = 0;

  g->n = 0;
  g->members = calloc (n, sizeof g->members[0]);
  if (g->members == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  while (r == 0 && g->n < n) {
    r = verb_begin (reg, DM_REF_NAME (names[g->n]), &g->members[g->n].md, msg);
    g->n += r == 0;
  }
  if (r < 0)
    group_free (g);
  else
    group_sort (reg, g);
  return r;
}

/* ------------------------------------------------------------------
 * Steps.
 */

static int
member_suspend (struct group *g, struct member *m, struct message *msg)
{
  int r;

  if (md_is_suspended (m->md))
    return 0;
  r = md_suspend (m->md, g->flags, g->wait);
  if (r < 0)
    return verb_explain (m->md, "suspend", r, msg);
  m->suspended = true;
  group_tell (g, "suspend", m->md);
  return 0;
}

/* What goes back must go, so there is nobody to break it off and nobody to
 * tell but the log.
 */
static void
member_unsuspend (struct group *g, struct member *m)
{
  struct message msg = { "" };
  int r;

  if (!m->suspended || m->swapped)
    return;
  r = md_resume (m->md, &msg);
  if (verb_explain (m->md, "resume again", r, &msg) < 0)
    log_error ("%s", msg.text);
  else
    group_tell (g, "resume again", m->md);
}

static int
member_swap (struct group *g, struct member *m, struct message *msg)
{
  struct dm_table *old;
  int r;

  if (m->table == NULL)
    return 0;
  r = md_swap_table (m->md, m->table, &old, msg);
  if (r < 0)
    return verb_explain (m->md, "swap", r, msg);
  m->swapped = true;
  m->table = old;
  group_tell (g, "swap", m->md);
  return 0;
}

/* The table that was to be the new one goes back to where it came from, unless
 * another one stands there by now.  A device that had none before keeps it.
 */
static void
member_unswap (struct group *g, struct member *m)
{
  struct dm_table *new = m->table;
  struct message msg = { "" };
  int r = 0;

  if (m->table == NULL)
    return;
  if (m->swapped)
    r = md_swap_table (m->md, m->table, &new, &msg);
  if (verb_explain (m->md, "swap back", r, &msg) < 0) {
    log_error ("%s", msg.text);
    return;
  }
  if (m->swapped)
    group_tell (g, "swap back", m->md);
  m->swapped = false;
  m->table = new && md_restage_table (m->md, new) < 0 ? new : NULL;
}

static int
member_resume (struct group *g, struct member *m, struct message *msg)
{
  bool was_suspended = md_is_suspended (m->md);
  int r = md_resume (m->md, msg);

  if (r < 0)
    return verb_explain (m->md, "resume", r, msg);
  m->resumed = was_suspended;
  if (was_suspended)
    group_tell (g, "resume", m->md);
  return 0;
}

static void
member_unresume (struct group *g, struct member *m)
{
  struct message msg = { "" };
  int r;

  if (!m->resumed)
    return;
  r = md_suspend (m->md, g->flags, NULL);
  if (verb_explain (m->md, "suspend again", r, &msg) < 0)
    log_error ("%s", msg.text);
  else
    group_tell (g, "suspend again", m->md);
}

/* ------------------------------------------------------------------
 * Walks.
 */

typedef int (*group_step) (struct group *, struct member *, struct message *);
typedef void (*group_undo) (struct group *, struct member *);

/* Down from the upper devices, or up to them; until one fails. */
static int
group_down (struct group *g, group_step step, struct message *msg)
{
  size_t i;
  int r = 0;

  for (i = 0; i < g->n && r == 0; i++)
    r = step (g, &g->members[i], msg);
  return r;
}

static int
group_up (struct group *g, group_step step, struct message *msg)
{
  size_t i;
  int r = 0;

  for (i = g->n; i > 0 && r == 0; i--)
    r = step (g, &g->members[i - 1], msg);
  return r;
}

static void
group_undo_down (struct group *g, group_undo undo)
{
  size_t i;

  for (i = 0; i < g->n; i++)
    undo (g, &g->members[i]);
}

static void
group_undo_up (struct group *g, group_undo undo)
{
  size_t i;

  for (i = g->n; i > 0; i--)
    undo (g, &g->members[i - 1]);
}

/* A device with a new table has to be suspended for it; as in the resume of a
 * single one, with its flags.
 */
static int
member_prepare (struct group *g, struct member *m, struct message *msg)
{
  m->table = md_stage_table (m->md, NULL);
  return m->table ? member_suspend (g, m, msg) : 0;
}

/* Limits and sizes of what is below count for what is above, so tables are
 * swapped from below.
 */
static int
group_resume (struct group *g, struct message *msg)
{
  int r = group_down (g, member_prepare, msg);

  if (r == 0)
    r = group_up (g, member_swap, msg);
  if (r == 0)
    r = group_up (g, member_resume, msg);
  if (r == 0)
    return 0;
  group_undo_down (g, member_unresume);
  group_undo_down (g, member_unswap);
  group_undo_up (g, member_unsuspend);
  return r;
}

int
dm_group_suspend (struct registry *reg, const char *const names[], size_t n,
                  uint32_t flags, struct dm_wait *wait, FILE *report,
                  struct message *msg)
{
  struct group g = { .flags = flags, .wait = wait, .report = report };
  int r = group_init (&g, reg, names, n, msg);

  if (r < 0)
    return r;
  r = group_down (&g, member_suspend, msg);
  if (r < 0)
    group_undo_up (&g, member_unsuspend);
  group_free (&g);
  return r;
}

int
dm_group_resume (struct registry *reg, const char *const names[], size_t n,
                 uint32_t flags, struct dm_wait *wait, FILE *report,
                 struct message *msg)
{
  struct group g = { .flags = flags, .wait = wait, .report = report };
  int r = group_init (&g, reg, names, n, msg);

  if (r < 0)
    return r;
  r = group_resume (&g, msg);
  group_free (&g);
  return r;
}
