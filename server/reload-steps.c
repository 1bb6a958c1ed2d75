/* SPDX-License-Identifier: BSD-3-Clause */
/* Carrying out a plan on a registry, or undoing what was done of it. */

#include "server/reload-steps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

/* How far a wanted device has come: what there is to undo. */
struct reload_item {
  bool created, loaded, suspended, swapped, resumed;
  bool left; /* its new table is the live one: no further steps */
};

struct reload_walk {
  const struct reload_job *job;
  struct reload_item *items; /* parallel to job->desired->devices */
};

typedef int (*reload_step_fn) (struct reload_walk *w,
                               const struct plan_step *step,
                               struct reload_item *item,
                               struct message *msg);

/* ------------------------------------------------------------------ */

void
reload_stop_init (struct reload_stop *stop)
{
  latch_init (&stop->latch);
  stop->wait = NULL;
  stop->stopping = false;
}

void
reload_stop_destroy (struct reload_stop *stop)
{
  latch_destroy (&stop->latch);
}

void
reload_stop_now (struct reload_stop *stop)
{
  ACQUIRE_LATCH_FOR_SCOPE (&stop->latch);

  stop->stopping = true;
  if (stop->wait)
    dm_wait_cancel (stop->wait);
}

static void
reload_stop_watch (struct reload_stop *stop, struct dm_wait *wait)
{
  ACQUIRE_LATCH_FOR_SCOPE (&stop->latch);

  stop->wait = wait;
  if (wait && stop->stopping)
    dm_wait_cancel (wait);
}

/* ------------------------------------------------------------------ */

void
reload_tell (FILE *report, const char *fmt, ...)
{
  char text[sizeof ((struct message *) NULL)->text];
  va_list ap;

  if (report == NULL)
    return;
  va_start (ap, fmt);
  vsnprintf (text, sizeof text, fmt, ap);
  va_end (ap);
  fprintf (report, "%s\n", text);
  log_info ("reload: %s", text);
}

static const char *
reload_reason (int r, const struct message *msg)
{
  return message_is_set (msg) ? msg->text : strerror (-r);
}

/* ------------------------------------------------------------------
 * Phase 1: beside what is live.
 */

static int
reload_create (struct reload_walk *w, const struct plan_step *step,
               struct reload_item *item, struct message *msg)
{
  int r = dm_device_create (w->job->registry, step->name, step->device->uuid,
                            0, 0, NULL, msg);

  item->created = r == 0;
  return r;
}

static void
reload_free_lines (struct dm_target_line *lines, size_t n)
{
  size_t i;

  for (i = 0; i < n; i++)
    free (lines[i].params);
  free (lines);
}

/* Parameters are copied: the load splits them. */
static struct dm_target_line *
reload_make_lines (const struct config_device *device)
{
  struct dm_target_line *lines;
  size_t i;

  lines = calloc (device->nr_lines + 1, sizeof lines[0]);
  for (i = 0; lines && i < device->nr_lines; i++) {
    lines[i].start = device->lines[i].start;
    lines[i].len = device->lines[i].len;
    lines[i].type = device->lines[i].type;
    lines[i].params = strdup (device->lines[i].params);
    if (lines[i].params == NULL) {
      reload_free_lines (lines, i);
      lines = NULL;
    }
  }
  return lines;
}

static int
reload_build (struct reload_walk *w, const struct config_device *device,
              struct message *msg)
{
  struct dm_lookup lookup = { .backings = w->job->backings,
                              .base_dir = device->base_dir,
                              .check = w->job->check };
  uint32_t flags = DM_LOAD_LATE_LIMITS;
  struct dm_target_line *lines = reload_make_lines (device);
  int r;

  if (lines == NULL)
    return -ENOMEM;
  if (device->readonly)
    flags |= DM_READONLY_FLAG;
  r = dm_table_load (w->job->registry, DM_REF_NAME (device->name), flags,
                     lines, device->nr_lines, &lookup, NULL, msg);
  reload_free_lines (lines, device->nr_lines);
  return r;
}

/* 1 if the inactive table has the text of the live one. */
static int
reload_compare (struct reload_walk *w, const char *name, struct message *msg)
{
  struct registry *reg = w->job->registry;
  char *CLEANUP_FREE live = NULL;
  char *CLEANUP_FREE inactive = NULL;
  int r = dm_table_text (reg, DM_REF_NAME (name), 0, &live, msg);

  if (r == 0)
    r = dm_table_text (reg, DM_REF_NAME (name), DM_QUERY_INACTIVE_TABLE_FLAG,
                       &inactive, msg);
  return r < 0 ? r : strcmp (live, inactive) == 0;
}

static int
reload_clear (struct reload_walk *w, const struct plan_step *step,
              struct message *msg)
{
  return dm_table_clear (w->job->registry, DM_REF_NAME (step->name), NULL,
                         msg);
}

static int
reload_leave (struct reload_walk *w, const struct plan_step *step,
              struct reload_item *item, struct message *msg)
{
  int r = reload_clear (w, step, msg);

  if (r < 0)
    return r;
  item->left = true;
  item->loaded = false;
  w->job->plan->nr_changed--;
  w->job->plan->nr_unchanged++;
  return 0;
}

static int
reload_load (struct reload_walk *w, const struct plan_step *step,
             struct reload_item *item, struct message *msg)
{
  int r = reload_build (w, step->device, msg);

  if (r < 0)
    return r;
  item->loaded = true;
  if (step->needed || item->created)
    return 0;
  r = reload_compare (w, step->name, msg);
  return r > 0 ? reload_leave (w, step, item, msg) : r;
}

/* ------------------------------------------------------------------
 * Phase 2: from the old tables to the new ones.
 */

static int
reload_suspend (struct reload_walk *w, const struct plan_step *step,
                struct reload_item *item, struct message *msg)
{
  struct dm_wait wait;
  int r;

  dm_wait_init (&wait);
  reload_stop_watch (w->job->stop, &wait);
  r = dm_device_suspend (w->job->registry, DM_REF_NAME (step->name), 0, &wait,
                         NULL, msg);
  reload_stop_watch (w->job->stop, NULL);
  dm_wait_destroy (&wait);
  if (r == 0)
    item->suspended = true;
  return r;
}

static int
reload_swap (struct reload_walk *w, const struct plan_step *step,
             struct reload_item *item, struct message *msg)
{
  int r = dm_device_swap (w->job->registry, DM_REF_NAME (step->name), msg);

  if (r == 0)
    item->swapped = !item->swapped;
  return r;
}

static int
reload_resume (struct reload_walk *w, const struct plan_step *step,
               struct reload_item *item, struct message *msg)
{
  int r = dm_device_resume (w->job->registry, DM_REF_NAME (step->name),
                            DM_RESUME_ONLY, NULL, NULL, msg);

  if (r == 0) {
    item->suspended = false;
    item->resumed = true;
  }
  return r;
}

/* ------------------------------------------------------------------
 * Phase 3: after the point of no return.
 */

static int
reload_drop_old (struct reload_walk *w, const struct plan_step *step,
                 struct reload_item *item, struct message *msg)
{
  return reload_clear (w, step, msg);
}

static int
reload_send (struct reload_walk *w, const char *name, const char *text)
{
  struct message msg = { "" };
  char *CLEANUP_FREE copy = strdup (text);
  char *CLEANUP_FREE reply = NULL;
  int r = -ENOMEM;

  if (copy)
    r = dm_device_message (w->job->registry, DM_REF_NAME (name), 0, copy,
                           &reply, NULL, &msg);
  if (r == -EEXIST)
    return 0;
  if (r < 0)
    reload_tell (w->job->report, "message %s \"%s\" failed: %s", name, text,
                 reload_reason (r, &msg));
  else
    reload_tell (w->job->report, "message %s \"%s\"", name, text);
  return 0;
}

static int
reload_messages (struct reload_walk *w, const struct plan_step *step,
                 struct reload_item *item, struct message *msg)
{
  const struct config_device *device = step->device;
  size_t i;

  for (i = 0; i < device->nr_messages; i++)
    reload_send (w, step->name, device->messages[i]);
  return 0;
}

static int
reload_remove (struct reload_walk *w, const struct plan_step *step,
               struct reload_item *item, struct message *msg)
{
  bool removed;
  int r = dm_device_remove (w->job->registry, DM_REF_NAME (step->name),
                            DM_DEFERRED_REMOVE, &removed, msg);

  if (r == 0)
    reload_tell (w->job->report, "remove %s%s", step->name,
                 removed ? "" : " as soon as nobody has it open");
  return r;
}

/* ------------------------------------------------------------------
 * Undoing.  Each looks whether there is something to undo.
 */

static int
reload_undo_resume (struct reload_walk *w, const struct plan_step *step,
                    struct reload_item *item, struct message *msg)
{
  if (!item->resumed || item->created)
    return 0;
  item->resumed = false;
  return reload_suspend (w, step, item, msg);
}

static int
reload_undo_swap (struct reload_walk *w, const struct plan_step *step,
                  struct reload_item *item, struct message *msg)
{
  if (!item->swapped || item->created)
    return 0;
  return reload_swap (w, step, item, msg);
}

static int
reload_undo_suspend (struct reload_walk *w, const struct plan_step *step,
                     struct reload_item *item, struct message *msg)
{
  if (!item->suspended || item->created)
    return 0;
  return reload_resume (w, step, item, msg);
}

static int
reload_undo_load (struct reload_walk *w, const struct plan_step *step,
                  struct reload_item *item, struct message *msg)
{
  if (!item->loaded || item->created)
    return 0;
  return reload_clear (w, step, msg);
}

/* Deferred: a client may have found and opened it already. */
static int
reload_undo_create (struct reload_walk *w, const struct plan_step *step,
                    struct reload_item *item, struct message *msg)
{
  if (!item->created)
    return 0;
  return dm_device_remove (w->job->registry, DM_REF_NAME (step->name),
                           DM_DEFERRED_REMOVE, NULL, msg);
}

/* ------------------------------------------------------------------ */

/* Item of the step, NULL for a device that is to go. */
static struct reload_item *
reload_item_of (const struct reload_walk *w, const struct plan_step *step)
{
  if (step->device == NULL)
    return NULL;
  return &w->items[step->device - w->job->desired->devices];
}

static bool
reload_is_due (const struct plan_step *step, const struct reload_item *item)
{
  return !item || !item->left ||
    (step->action == PLAN_MESSAGE && step->needed);
}

static const char *
reload_outcome (const struct reload_item *item)
{
  return item && item->left ? ": the same table, left as it is" : "";
}

/* "table line 2 (0 8 linear)", counted from 1, is a constructor's; the check
 * of limits speaks of "(start sect", counted from 0.
 */
static void
reload_point_at_line (const struct config_device *device, struct message *msg)
{
  const struct config_mark *mark = &device->mark;
  const char *where = strstr (msg->text, "table line ");
  uint64_t start;
  size_t n;

  if (where &&
      sscanf (where, "table line %zu (%" SCNu64, &n, &start) == 2 &&
      n >= 1 && n <= device->nr_lines)
    mark = &device->lines[n - 1].mark;
  message_prefix (msg, "%s:%u:%u: ", mark->file, mark->line, mark->column);
}

static int
reload_failed (const struct plan_step *step, int r, struct message *msg)
{
  message_set (msg, -r, "%s: %s: %s", step->name,
               plan_action_name (step->action), strerror (-r));
  /* What hinders a suspend does not stand in the file. */
  if (step->action != PLAN_SUSPEND)
    reload_point_at_line (step->device, msg);
  return r;
}

/* A check takes no device live: then targets would begin to work. */
static bool
reload_is_skipped (const struct reload_walk *w, enum plan_action action)
{
  return w->job->check && (action == PLAN_RESUME || action == PLAN_MESSAGE);
}

/* All steps that can be undone, up to the first that fails. */
static int
reload_do (struct reload_walk *w, struct message *msg)
{
  static const reload_step_fn fns[] = {
    [PLAN_CREATE] = reload_create, [PLAN_LOAD] = reload_load,
    [PLAN_SUSPEND] = reload_suspend, [PLAN_SWAP] = reload_swap,
    [PLAN_RESUME] = reload_resume, [PLAN_MESSAGE] = reload_messages,
  };
  const struct plan *plan = w->job->plan;
  const struct plan_step *step;
  struct reload_item *item;
  int r;

  for (step = plan->steps; step < plan->steps + plan->nr_undoable; step++) {
    item = reload_item_of (w, step);
    if (!reload_is_due (step, item) ||
        reload_is_skipped (w, step->action))
      continue;
    r = fns[step->action] (w, step, item, msg);
    if (r < 0)
      return reload_failed (step, r, msg);
    if (step->action != PLAN_MESSAGE) /* tells of each by itself */
      reload_tell (w->job->report, "%s %s%s", plan_action_name (step->action),
                   step->name, reload_outcome (item));
  }
  return 0;
}

/* One step, if it is due; that it fails is told only. */
static void
reload_try (struct reload_walk *w, const struct plan_step *step,
            reload_step_fn fn, const char *what)
{
  struct reload_item *item = reload_item_of (w, step);
  struct message msg = { "" };
  int r;

  if (!reload_is_due (step, item))
    return;
  r = fn (w, step, item, &msg);
  if (r < 0)
    reload_tell (w->job->report, "%s %s failed: %s", what, step->name,
                 reload_reason (r, &msg));
}

/* All steps of one kind, whatever fails. */
static void
reload_do_all (struct reload_walk *w, enum plan_action action,
               reload_step_fn fn, bool backwards, const char *what)
{
  const struct plan *plan = w->job->plan;
  const struct plan_step *step;
  size_t i;

  for (i = 0; i < plan->nr_steps; i++) {
    step = &plan->steps[backwards ? plan->nr_steps - 1 - i : i];
    if (step->action == action)
      reload_try (w, step, fn, what);
  }
}

static void
reload_undo (struct reload_walk *w)
{
  reload_do_all (w, PLAN_SUSPEND, reload_undo_resume, false,
                 "undoing: suspend");
  reload_do_all (w, PLAN_SWAP, reload_undo_swap, false, "undoing: swap");
  reload_do_all (w, PLAN_RESUME, reload_undo_suspend, false,
                 "undoing: resume");
  reload_do_all (w, PLAN_LOAD, reload_undo_load, false, "undoing: clear");
  reload_do_all (w, PLAN_CREATE, reload_undo_create, true,
                 "undoing: remove");
}

/* From where there is no way back. */
static void
reload_finish (struct reload_walk *w)
{
  const struct plan *plan = w->job->plan;
  const struct plan_step *step;

  reload_do_all (w, PLAN_SUSPEND, reload_drop_old, false, "clear");
  for (step = plan->steps + plan->nr_undoable;
       step < plan->steps + plan->nr_steps; step++)
    if (step->action == PLAN_MESSAGE)
      reload_try (w, step, reload_messages, "message");
    else
      reload_try (w, step, reload_remove, "remove");
}

int
reload_carry_out (const struct reload_job *job, struct message *msg)
{
  struct reload_item *CLEANUP_FREE items =
    calloc (job->desired->nr_devices + 1, sizeof items[0]);
  struct reload_walk walk = { job, items };
  int r;

  if (items == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  r = reload_do (&walk, msg);
  if (r < 0) {
    reload_undo (&walk);
    return r;
  }
  if (!job->check)
    reload_finish (&walk);
  return 0;
}
