/* SPDX-License-Identifier: BSD-3-Clause */
/* From what is and what is wanted to ordered steps. */

#include "config/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/vector.h"
#include "config/names.h"

/* What becomes of a device.  Bits, so that a phase can select several. */
enum plan_verdict {
  PLAN_UNCHANGED = 1 << 0,
  PLAN_RETOLD = 1 << 1,   /* nothing but the messages differs */
  PLAN_CHANGED = 1 << 2,
  PLAN_NEW = 1 << 3,
  PLAN_VANISHED = 1 << 4,
};

/* The name stays first: names_make looks for it there, as it is in
 * config_device, config_backing and plan_live.
 */
struct plan_node {
  const char *name;
  const struct config_device *device, *old; /* each may be NULL */
  enum plan_verdict verdict;
  bool rebuild;           /* see plan_step.needed */
  bool retell;
  bool awaited;           /* by a device that is to be loaded */
  bool early;             /* goes live before the others are loaded */
  VECTOR (size_t) lower;  /* nodes that its tables name */
  size_t next_lower;      /* while ordering */
  bool seen;
};

/* ------------------------------------------------------------------
 * What differs.
 */
struct plan_backings {
  struct names now, old;
};

static bool
plan_backing_equal (const struct config_backing *a,
                    const struct config_backing *b)
{
  return strcmp (a->target, b->target) == 0 && a->is_nbd == b->is_nbd &&
    a->direct == b->direct && a->readonly == b->readonly &&
    a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes &&
    a->connections == b->connections && a->reconnect == b->reconnect &&
    a->timeout == b->timeout;
}

/* 1 if word means something else than before. */
static int
plan_word_differs (void *opaque, const char *word)
{
  const struct plan_backings *backings = opaque;
  const struct config_backing *now = names_find (&backings->now, word);
  const struct config_backing *old = names_find (&backings->old, word);

  if (now == NULL || old == NULL)
    return now != old;
  return !plan_backing_equal (now, old);
}

static bool
plan_lines_equal (const struct config_device *a,
                  const struct config_device *b)
{
  size_t i;

  if (a->nr_lines != b->nr_lines)
    return false;
  for (i = 0; i < a->nr_lines; i++)
    if (a->lines[i].start != b->lines[i].start ||
        a->lines[i].len != b->lines[i].len ||
        strcmp (a->lines[i].type, b->lines[i].type) != 0 ||
        strcmp (a->lines[i].params, b->lines[i].params) != 0)
      return false;
  return true;
}

static bool
plan_messages_equal (const struct config_device *a,
                     const struct config_device *b)
{
  size_t i;

  if (a->nr_messages != b->nr_messages)
    return false;
  for (i = 0; i < a->nr_messages; i++)
    if (strcmp (a->messages[i], b->messages[i]) != 0)
      return false;
  return true;
}

/* Description and export need no step: they are not the device's. */
static bool
plan_entry_equal (const struct config_device *a,
                  const struct config_device *b)
{
  return a->readonly == b->readonly &&
    strcmp (a->base_dir, b->base_dir) == 0 && plan_lines_equal (a, b);
}

/* ------------------------------------------------------------------
 * The whole picture.
 */
struct plan_world {
  struct plan_node *nodes;   /* wanted devices, then those that vanished */
  size_t nr_nodes;
  size_t *order;             /* nodes, lower ones first */
  struct names node_index, live, old_devices;
  struct plan_backings backings;
};

static int
plan_index (struct plan_world *w, const struct config *desired,
            const struct config *old, const struct plan_live *live,
            size_t nr_live)
{
  static const struct config nothing;

  old = old ? old : &nothing;
  if (names_make (&w->live, live, nr_live, sizeof live[0]) < 0 ||
      names_make (&w->old_devices, old->devices, old->nr_devices,
                  sizeof old->devices[0]) < 0 ||
      names_make (&w->backings.now, desired->backings, desired->nr_backings,
                  sizeof desired->backings[0]) < 0 ||
      names_make (&w->backings.old, old->backings, old->nr_backings,
                  sizeof old->backings[0]) < 0)
    return -ENOMEM;
  return 0;
}

static int
plan_check_live (const struct config_device *device,
                 const struct plan_live *live, struct message *msg)
{
  if (!live->managed)
    return config_error (&device->mark, msg,
                         "%s: the name is taken by a device that is not from "
                         "the table files", device->name);
  if (device->uuid[0] && strcmp (device->uuid, live->uuid) != 0)
    return config_error (&device->mark, msg,
                         "%s: a uuid cannot be changed from '%s' to '%s'",
                         device->name, live->uuid, device->uuid);
  return 0;
}

/* What became of a wanted device that exists. */
static int
plan_compare (const struct plan_world *w, struct plan_node *node,
              const struct plan_live *live)
{
  int r = names_for_each_word (node->device, plan_word_differs,
                               (void *) &w->backings);

  if (r < 0)
    return r;
  node->rebuild = r > 0 || node->device->readonly != live->readonly;
  node->retell = !node->old ||
    !plan_messages_equal (node->device, node->old);
  if (node->rebuild || !node->old || !live->has_live_table ||
      !live->untouched || !plan_entry_equal (node->device, node->old))
    node->verdict = PLAN_CHANGED;
  else
    node->verdict = node->retell ? PLAN_RETOLD : PLAN_UNCHANGED;
  return 0;
}

static int
plan_judge (const struct plan_world *w, struct plan_node *node,
            struct message *msg)
{
  const struct plan_live *live = names_find (&w->live, node->name);
  int r;

  if (live == NULL) {
    node->verdict = PLAN_NEW;
    return 0;
  }
  r = plan_check_live (node->device, live, msg);
  if (r == 0)
    r = plan_compare (w, node, live);
  if (r == 0 && node->verdict == PLAN_CHANGED && live->suspended)
    r = config_error (&node->device->mark, msg,
                      "%s: has changed, but is suspended", node->name);
  return r;
}

/* First the wanted devices, in the order of the files … */
static int
plan_add_desired (struct plan_world *w, const struct config *desired,
                  struct message *msg)
{
  struct plan_node *node;
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < desired->nr_devices; i++) {
    node = &w->nodes[w->nr_nodes++];
    node->device = &desired->devices[i];
    node->name = node->device->name;
    node->old = names_find (&w->old_devices, node->name);
    r = plan_judge (w, node, msg);
  }
  return r;
}

/* Who has a snapshot open would see what is written to its origin. */
static int
plan_check_vanished (const struct plan_node *node, const struct names *wanted,
                     bool in_use, struct message *msg)
{
  const char *name = node->old ? node->old->snapshot_of : NULL;
  const struct plan_node *origin = name ? names_find (wanted, name) : NULL;

  if (!in_use || !origin || origin->verdict != PLAN_CHANGED)
    return 0;
  return config_error (&origin->device->mark, msg,
                       "%s: its snapshot '%s' cannot go, it is in use",
                       origin->name, node->name);
}

/* … then those to remove. */
static int
plan_add_vanished (struct plan_world *w, const struct plan_live *live,
                   size_t nr_live, struct message *msg)
{
  struct plan_node *node;
  struct names wanted;
  size_t i;
  int r = 0;

  if (names_make (&wanted, w->nodes, w->nr_nodes, sizeof w->nodes[0]) < 0)
    return -ENOMEM;
  for (i = 0; r == 0 && i < nr_live; i++) {
    if (!live[i].managed || names_find (&wanted, live[i].name))
      continue;
    node = &w->nodes[w->nr_nodes++];
    *node = (struct plan_node) {
      .name = live[i].name,
      .old = names_find (&w->old_devices, live[i].name),
      .verdict = PLAN_VANISHED,
    };
    r = plan_check_vanished (node, &wanted, live[i].in_use, msg);
  }
  names_reset (&wanted);
  return r < 0 ? r : names_make (&w->node_index, w->nodes, w->nr_nodes,
                     sizeof w->nodes[0]);
}

/* ------------------------------------------------------------------
 * Which stands on which.
 */
#define PLAN_LOADED (PLAN_NEW | PLAN_CHANGED)

struct plan_link {
  const struct plan_world *world;
  struct plan_node *upper;
};

static int
plan_link_word (void *opaque, const char *word)
{
  static const char folder[] = "/dev/mapper/";
  struct plan_link *link = opaque;
  struct plan_node *nodes = link->world->nodes;
  const struct plan_node *lower;

  if (strncmp (word, folder, sizeof folder - 1) == 0)
    word += sizeof folder - 1;
  lower = names_find (&link->world->node_index, word);
  if (lower == NULL)
    return 0;
  if (link->upper->verdict & PLAN_LOADED)
    nodes[lower - nodes].awaited = true;
  return vector_append (&link->upper->lower, lower - nodes);
}

/* The device whose `snapshots` has it; NULL if there is none. */
static struct plan_node *
plan_origin (const struct plan_world *w, const struct plan_node *node)
{
  const char *name = node->device ? node->device->snapshot_of : NULL;
  const struct plan_node *origin = names_find (&w->node_index,
                                               name ? name : "");

  return origin ? &w->nodes[origin - w->nodes] : NULL;
}

/* It is below its origin: there, no write may come first.  When all links by
 * tables are known.
 */
static int
plan_link_snapshot (const struct plan_world *w, struct plan_node *node)
{
  struct plan_node *origin = plan_origin (w, node);

  if (origin == NULL)
    return 0;
  node->awaited |= origin->awaited;
  return vector_append (&origin->lower, node - w->nodes);
}

/* By its new table first: where the two tables contradict each other (two
 * devices change places) the order serves the new one.
 */
static int
plan_link (const struct plan_world *w, struct plan_node *node)
{
  struct plan_link link = { w, node };
  int r = 0;

  if (node->device)
    r = names_for_each_word (node->device, plan_link_word, &link);
  if (r == 0 && node->old)
    r = names_for_each_word (node->old, plan_link_word, &link);
  return r;
}

/* Depth first from one node; nodes go into the order when all below them is
 * there.  A way back to a node seen already is not followed, so a cycle
 * (refused later, by the core) ends.  The stack is ours: how deep tables are
 * stacked is up to the file.
 */
static void
plan_order_from (struct plan_world *w, size_t *stack, size_t start,
                 size_t *done)
{
  struct plan_node *node;
  size_t depth = 0, lower;

  if (w->nodes[start].seen)
    return;
  w->nodes[start].seen = true;
  stack[depth++] = start;
  while (depth > 0) {
    node = &w->nodes[stack[depth - 1]];
    if (node->next_lower == node->lower.len) {
      w->order[(*done)++] = stack[--depth];
      continue;
    }
    lower = node->lower.ptr[node->next_lower++];
    if (!w->nodes[lower].seen) {
      w->nodes[lower].seen = true;
      stack[depth++] = lower;
    }
  }
}

/* Call for lower ones first. */
static bool
plan_is_early (const struct plan_world *w, const struct plan_node *node)
{
  const struct plan_node *lower, *origin = plan_origin (w, node);
  size_t i;

  if (origin && origin->verdict == PLAN_CHANGED)
    return false;
  for (i = 0; i < node->lower.len; i++) {
    lower = &w->nodes[node->lower.ptr[i]];
    if (lower->verdict & PLAN_LOADED && !lower->early)
      return false;
  }
  return node->verdict == PLAN_NEW && node->awaited;
}

static int
plan_order (struct plan_world *w)
{
  size_t *CLEANUP_FREE stack = calloc (w->nr_nodes + 1, sizeof stack[0]);
  size_t i, done = 0;
  int r;

  w->order = calloc (w->nr_nodes + 1, sizeof w->order[0]);
  if (stack == NULL || w->order == NULL)
    return -ENOMEM;
  for (i = 0, r = 0; r == 0 && i < w->nr_nodes; i++)
    r = plan_link (w, &w->nodes[i]);
  for (i = 0; r == 0 && i < w->nr_nodes; i++)
    r = plan_link_snapshot (w, &w->nodes[i]);
  if (r < 0)
    return r;
  for (i = 0; i < w->nr_nodes; i++)
    plan_order_from (w, stack, i, &done);
  for (i = 0; i < done; i++)
    w->nodes[w->order[i]].early = plan_is_early (w, &w->nodes[w->order[i]]);
  return 0;
}

/* ------------------------------------------------------------------
 * The steps.
 */
struct plan_phase {
  enum plan_action action;
  unsigned verdicts;
  bool upper_first;
};

/* Of devices that are not early. */
static const struct plan_phase plan_undoable[] = {
  { PLAN_SUSPEND, PLAN_CHANGED, true },
  { PLAN_SWAP, PLAN_LOADED, false },
  { PLAN_RESUME, PLAN_LOADED, false },
  { 0 }
};

static const struct plan_phase plan_final[] = {
  { PLAN_MESSAGE, PLAN_LOADED | PLAN_RETOLD, false },
  { PLAN_REMOVE, PLAN_VANISHED, true },
  { 0 }
};

#define PLAN_MAX_STEPS 5 /* of one device */

static bool
plan_is_needed (const struct plan_node *node, enum plan_action action)
{
  if (node->verdict != PLAN_CHANGED)
    return true;
  return action == PLAN_MESSAGE ? node->retell : node->rebuild;
}

static void
plan_add (struct plan *plan, const struct plan_node *node,
          enum plan_action action)
{
  if (action == PLAN_MESSAGE && node->device->nr_messages == 0)
    return;
  plan->steps[plan->nr_steps++] = (struct plan_step) {
    .action = action, .name = node->name, .device = node->device,
    .needed = plan_is_needed (node, action),
  };
}

/* Messages to a device that is there, and on which others wait. */
static bool
plan_tells_first (const struct plan_node *node)
{
  return node->awaited && node->retell &&
    node->verdict & (PLAN_CHANGED | PLAN_RETOLD);
}

/* Phase 1 for one device. */
static void
plan_add_load (struct plan *plan, const struct plan_node *node)
{
  if (plan_tells_first (node))
    plan_add (plan, node, PLAN_MESSAGE);
  if (node->verdict & PLAN_LOADED)
    plan_add (plan, node, PLAN_LOAD);
  if (!node->early)
    return;
  plan_add (plan, node, PLAN_SWAP);
  plan_add (plan, node, PLAN_RESUME);
  plan_add (plan, node, PLAN_MESSAGE);
}

static void
plan_add_phases (struct plan *plan, const struct plan_world *w,
                 const struct plan_phase *phase)
{
  const struct plan_node *node;
  size_t i, at;

  for (; phase->verdicts; phase++)
    for (i = 0; i < w->nr_nodes; i++) {
      at = phase->upper_first ? w->nr_nodes - 1 - i : i;
      node = &w->nodes[w->order[at]];
      if (node->verdict & phase->verdicts && !node->early &&
          !(phase->action == PLAN_MESSAGE && plan_tells_first (node)))
        plan_add (plan, node, phase->action);
    }
}

static void
plan_count (struct plan *plan, const struct plan_world *w)
{
  size_t i;

  for (i = 0; i < w->nr_nodes; i++) {
    switch (w->nodes[i].verdict) {
    case PLAN_UNCHANGED: plan->nr_unchanged++; break;
    case PLAN_RETOLD:
    case PLAN_CHANGED: plan->nr_changed++; break;
    case PLAN_NEW: plan->nr_new++; break;
    case PLAN_VANISHED: plan->nr_removed++; break;
    }
  }
}

static int
plan_write (struct plan *plan, const struct plan_world *w)
{
  size_t i;

  plan->steps = calloc (PLAN_MAX_STEPS * w->nr_nodes + 1,
                        sizeof plan->steps[0]);
  if (plan->steps == NULL)
    return -ENOMEM;
  for (i = 0; i < w->nr_nodes; i++)
    if (w->nodes[w->order[i]].verdict == PLAN_NEW)
      plan_add (plan, &w->nodes[w->order[i]], PLAN_CREATE);
  for (i = 0; i < w->nr_nodes; i++)
    plan_add_load (plan, &w->nodes[w->order[i]]);
  plan_add_phases (plan, w, plan_undoable);
  plan->nr_undoable = plan->nr_steps;
  plan_add_phases (plan, w, plan_final);
  plan_count (plan, w);
  return 0;
}

static void
plan_world_reset (struct plan_world *w)
{
  size_t i;

  for (i = 0; i < w->nr_nodes; i++)
    vector_reset (&w->nodes[i].lower);
  free (w->nodes);
  free (w->order);
  names_reset (&w->node_index);
  names_reset (&w->live);
  names_reset (&w->old_devices);
  names_reset (&w->backings.now);
  names_reset (&w->backings.old);
}

int
plan_make (const struct config *desired, const struct config *old,
           const struct plan_live *live, size_t nr_live, struct plan *plan,
           struct message *msg)
{
  struct plan_world w = { 0 };
  int r;

  memset (plan, 0, sizeof *plan);
  w.nodes = calloc (desired->nr_devices + nr_live + 1, sizeof w.nodes[0]);
  r = w.nodes ? plan_index (&w, desired, old, live, nr_live) : -ENOMEM;
  if (r == 0)
    r = plan_add_desired (&w, desired, msg);
  if (r == 0)
    r = plan_add_vanished (&w, live, nr_live, msg);
  if (r == 0)
    r = plan_order (&w);
  if (r == 0)
    r = plan_write (plan, &w);
  plan_world_reset (&w);
  if (r == -ENOMEM)
    message_set (msg, ENOMEM, "out of memory");
  return r;
}

void
plan_reset (struct plan *plan)
{
  free (plan->steps);
  memset (plan, 0, sizeof *plan);
}

const char *
plan_action_name (enum plan_action action)
{
  static const char *const names[] = {
    [PLAN_CREATE] = "create", [PLAN_LOAD] = "load",
    [PLAN_SUSPEND] = "suspend", [PLAN_SWAP] = "swap",
    [PLAN_RESUME] = "resume", [PLAN_MESSAGE] = "message",
    [PLAN_REMOVE] = "remove",
  };

  return names[action];
}
