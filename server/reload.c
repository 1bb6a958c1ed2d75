/* SPDX-License-Identifier: BSD-3-Clause */
/* Table files to registry and back: what was read last, and what came of it. */

#include "server/edge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/lock.h"
#include "common/log.h"
#include "config/config.h"
#include "config/names.h"
#include "config/plan.h"
#include "server/reload-dump.h"
#include "server/reload-steps.h"

struct reload {
  struct registry *registry;
  char *path;
  bool check;              /* see struct reload_job */
  struct reload_stop stop;

  struct gate gate;        /* one reload at a time; guards texts, and writing
                              config */
  char **texts;            /* TABLE text of each of config's devices as the
                              reload left it; NULL: not known */

  struct latch latch;
  struct config *config;   /* what was carried out last; NULL before */
  struct names by_name;    /* config's devices */
  bool has_run;            /* the next three are of the last reload */
  int result;
  char *report;
  struct message message;
};

struct reload *
reload_new (struct registry *reg, const char *path)
{
  struct reload *r = calloc (1, sizeof *r);

  if (r == NULL)
    return NULL;
  r->registry = reg;
  if (path && (r->path = strdup (path)) == NULL) {
    free (r);
    return NULL;
  }
  reload_stop_init (&r->stop);
  gate_init (&r->gate, GATE_RELOAD);
  latch_init (&r->latch);
  return r;
}

static void
reload_free_texts (char **texts, size_t n)
{
  size_t i;

  for (i = 0; texts && i < n; i++)
    free (texts[i]);
  free (texts);
}

void
reload_free (struct reload *r)
{
  reload_free_texts (r->texts, r->config ? r->config->nr_devices : 0);
  names_reset (&r->by_name);
  config_free (r->config);
  latch_destroy (&r->latch);
  gate_destroy (&r->gate);
  reload_stop_destroy (&r->stop);
  free (r->report);
  free (r->path);
  free (r);
}

void
reload_cancel (struct reload *r)
{
  reload_stop_now (&r->stop);
}

/* ------------------------------------------------------------------
 * What there is.
 */

/* The text is that of the end of the last reload: gate held. */
static bool
reload_is_untouched (struct reload *r, const struct config_device *device)
{
  const char *then = r->texts[device - r->config->devices];
  char *CLEANUP_FREE now = NULL;

  return then &&
    dm_table_text (r->registry, DM_REF_NAME (device->name), 0, &now,
                   NULL) == 0 &&
    strcmp (then, now) == 0;
}

static struct plan_live
reload_look_at (struct reload *r, const struct dm_info *info)
{
  const struct config_device *device = names_find (&r->by_name, info->name);

  return (struct plan_live) {
    .name = info->name,
    .uuid = info->uuid,
    .readonly = info->flags & DM_READONLY_FLAG,
    .suspended = info->flags & DM_SUSPEND_FLAG,
    .has_live_table = info->flags & DM_ACTIVE_PRESENT_FLAG,
    .managed = device != NULL,
    .in_use = info->open_count > 0,
    .untouched = device && reload_is_untouched (r, device),
  };
}

/* plan_live of every device; their strings point into infos. */
static struct plan_live *
reload_look (struct reload *r, const struct dm_info *infos, size_t n)
{
  struct plan_live *live = calloc (n + 1, sizeof live[0]);
  size_t i;

  for (i = 0; live && i < n; i++)
    live[i] = reload_look_at (r, &infos[i]);
  return live;
}

/* ------------------------------------------------------------------
 * Backings.
 */

static int
reload_copy_backing (const struct config_backing *from, struct dm_backing *to)
{
  to->options = (struct bdev_options) {
    .readonly = from->readonly,
    .direct = from->direct,
    .offset_bytes = from->offset_bytes,
    .size_bytes = from->size_bytes,
    .connections = from->connections,
    .reconnect = from->reconnect,
    .timeout = from->timeout,
  };
  to->name = strdup (from->name);
  to->target = strdup (from->target);
  return to->name && to->target ? 0 : -ENOMEM;
}

/* Counted once, for the caller. */
static struct dm_backings *
reload_make_backings (const struct config *config)
{
  struct dm_backings *b = calloc (1, sizeof *b);
  size_t i;
  int r = 0;

  if (b == NULL)
    return NULL;
  b->refs = 1;
  b->list = calloc (config->nr_backings + 1, sizeof b->list[0]);
  for (i = 0; b->list && r == 0 && i < config->nr_backings; i++)
    r = reload_copy_backing (&config->backings[i], &b->list[b->nr++]);
  if (b->list == NULL || r < 0) {
    dm_backings_put (b);
    return NULL;
  }
  return b;
}

/* ------------------------------------------------------------------
 * One reload.
 */

/* From here on desired is the last config.  Gate held.  A text that cannot be
 * had means work for the next reload, nothing else.
 */
static void
reload_remember (struct reload *r, struct config *desired,
                 struct names *by_name, char **texts)
{
  struct config *old;
  size_t i;

  for (i = 0; i < desired->nr_devices; i++)
    dm_table_text (r->registry, DM_REF_NAME (desired->devices[i].name), 0,
                   &texts[i], NULL);
  reload_free_texts (r->texts, r->config ? r->config->nr_devices : 0);
  r->texts = texts;

  latch_acquire (&r->latch);
  old = r->config;
  r->config = desired;
  names_reset (&r->by_name);
  r->by_name = *by_name;
  latch_release (&r->latch);
  config_free (old);
}

static int
reload_plan (struct reload *r, const struct config *desired,
             const struct dm_info *infos, size_t n, struct reload_job *job,
             struct message *msg)
{
  struct plan_live *CLEANUP_FREE live = reload_look (r, infos, n);
  int result;

  if (live == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  result = plan_make (desired, r->config, live, n, job->plan, msg);
  return result < 0 ? result : reload_carry_out (job, msg);
}

static void
reload_summarise (FILE *report, const struct plan *plan)
{
  reload_tell (report, "%zu changed, %zu new, %zu removed, %zu unchanged",
               plan->nr_changed, plan->nr_new, plan->nr_removed,
               plan->nr_unchanged);
}

/* Plan and carry out; backings stay the caller's. */
static int
reload_apply (struct reload *r, const struct config *desired,
              struct dm_backings *backings, FILE *report,
              struct message *msg)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  struct plan plan = { 0 };
  struct reload_job job = { r->registry, desired, &plan, backings, &r->stop,
                            r->check, report };
  size_t n;
  int result = dm_list (r->registry, &infos, &n);

  if (result < 0)
    return message_set (msg, -result, "%s", strerror (-result));
  result = reload_plan (r, desired, infos, n, &job, msg);
  if (result == 0)
    reload_summarise (report, &plan);
  plan_reset (&plan);
  return result;
}

/* As reload_apply, with everything prepared that could fail after it; on
 * success desired belongs to r.
 */
static int
reload_to (struct reload *r, struct config *desired, FILE *report,
           struct message *msg)
{
  struct dm_backings *backings = reload_make_backings (desired);
  char **texts = calloc (desired->nr_devices + 1, sizeof texts[0]);
  struct names by_name = { 0 };
  int result = -ENOMEM;

  if (backings && texts &&
      names_make (&by_name, desired->devices, desired->nr_devices,
                  sizeof desired->devices[0]) == 0)
    result = reload_apply (r, desired, backings, report, msg);
  if (result == 0) {
    registry_set_backings (r->registry, backings);
    reload_remember (r, desired, &by_name, texts);
    return 0;
  }
  dm_backings_put (backings);
  names_reset (&by_name);
  free (texts);
  return message_set (msg, -result, "%s", strerror (-result));
}

static int
reload_read (struct reload *r, struct config **config, struct message *msg)
{
  if (r->path == NULL)
    return message_set (msg, ENOENT, "the server was started without table "
                        "files");
  return config_read (r->path, config, msg);
}

static int
reload_files (struct reload *r, FILE *report, struct message *msg)
{
  struct config *desired = NULL;
  int result = reload_read (r, &desired, msg);

  if (result == 0)
    result = reload_to (r, desired, report, msg);
  if (result < 0 && desired)
    config_free (desired);
  return result;
}

/* ------------------------------------------------------------------
 * Reports.
 */

static void
reload_log_failure (struct reload *r, FILE *report, const struct message *msg)
{
  fprintf (report, "failed, nothing changed: %s\n", msg->text);
  if (r->config || r->path == NULL)
    log_error ("reload failed, nothing changed: %s", msg->text);
}

/* Keep the result for reload_status; report is taken over. */
static void
reload_keep_result (struct reload *r, int result, char *report,
                    const struct message *msg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&r->latch);

  free (r->report);
  r->has_run = true;
  r->result = result;
  r->report = report;
  r->message = *msg;
}

static char *
reload_copy_report (const char *report)
{
  return report ? strdup (report) : NULL;
}

int
reload_run (struct reload *r, char **report, struct message *msg)
{
  struct message own = { "" };
  char *text = NULL;
  FILE *fp;
  size_t len;
  int result;

  ACQUIRE_GATE_FOR_SCOPE (&r->gate);
  fp = open_memstream (&text, &len);
  if (fp == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  result = reload_files (r, fp, &own);
  if (result < 0)
    reload_log_failure (r, fp, &own);
  if (fclose (fp) != 0) {
    free (text);
    text = NULL;
  }
  if (report)
    *report = reload_copy_report (text);
  if (result < 0)
    message_set (msg, -result, "%s", own.text);
  reload_keep_result (r, result, text, &own);
  return result;
}

int
reload_status (struct reload *r, char **report, struct message *msg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&r->latch);

  if (!r->has_run)
    return message_set (msg, ENODATA, "there has been no reload");
  *report = reload_copy_report (r->report);
  if (r->result < 0)
    message_set (msg, -r->result, "%s", r->message.text);
  return r->result;
}

bool
reload_export (struct reload *r, const char *name, char **description)
{
  const struct config_device *device;

  ACQUIRE_LATCH_FOR_SCOPE (&r->latch);

  device = r->config ? names_find (&r->by_name, name) : NULL;
  *description = device && device->description[0]
    ? strdup (device->description) : NULL;
  return !device || device->export;
}

bool
reload_admits (struct reload *r, const char *name,
               const struct access_peer *peer)
{
  const struct config_device *device;

  ACQUIRE_LATCH_FOR_SCOPE (&r->latch);

  device = r->config ? names_find (&r->by_name, name) : NULL;
  if (!device || !device->restricted)
    return true;
  return peer && access_admits (device->rules, device->nr_rules, peer);
}

/* ------------------------------------------------------------------
 * check=true: a reload of a registry of its own.
 */

static int
reload_check_built (const struct config *desired, struct message *msg)
{
  struct registry *registry = registry_new ();
  struct reload *scratch = registry ? reload_new (registry, NULL) : NULL;
  struct dm_backings *backings = reload_make_backings (desired);
  int result = -ENOMEM;

  if (scratch)
    scratch->check = true;
  if (scratch && backings)
    result = reload_apply (scratch, desired, backings, NULL, msg);
  dm_backings_put (backings);
  if (scratch)
    reload_free (scratch);
  if (registry)
    registry_free (registry);
  return result;
}

int
reload_check (struct reload *r, FILE *out, struct message *msg)
{
  struct config *desired = NULL;
  struct message own = { "" };
  int result = reload_read (r, &desired, &own);

  if (result == 0)
    result = reload_check_built (desired, &own);
  if (result == 0 && out)
    result = config_write (desired, out);
  config_free (desired);
  if (result < 0)
    message_set (msg, -result, "%s",
                 own.text[0] ? own.text : strerror (-result));
  return result;
}

int
reload_dump (struct reload *r, char **text)
{
  ACQUIRE_GATE_FOR_SCOPE (&r->gate);

  return reload_dump_registry (r->registry, r->config, &r->by_name, text);
}
