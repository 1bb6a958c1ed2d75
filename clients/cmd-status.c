/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that show a device's targets: status, table, measure. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "clients/reply.h"
#include "common/cleanup.h"

static bool
is_wanted (const struct session *s, const struct reply_target *target)
{
  return s->options.target == NULL ||
    strcmp (s->options.target, target->type) == 0;
}

void
print_head (struct session *s, const struct device *device, bool several,
            const struct call *call, bool first)
{
  if (s->options.verbose) {
    if (first)
      device_print_info (call->reply);
  }
  else if (several)
    printf ("%s: ", device->name);
}

/* A key of crypt is not for everybody's eyes: noughts in its place, unless it
 * is one of a keyring, which is a name.  NULL if memory has run out.
 */
static char *
shown_text (const struct session *s, const struct reply_target *target)
{
  char *text = strdup (target->text), *key;

  if (text == NULL || s->options.showkeys ||
      strcmp (target->type, "crypt") != 0)
    return text;
  key = text + strcspn (text, " ");
  key += *key == ' ';
  if (*key != ':')
    memset (key, '0', strcspn (key, " "));
  return text;
}

static int
print_targets (struct session *s, const struct device *device, bool several,
               const struct call *call)
{
  struct reply_walk walk = reply_walk_targets (call);
  struct reply_target target;
  bool first = true;
  int r;

  while ((r = reply_check (reply_next_target (&walk, &target))) > 0) {
    char *CLEANUP_FREE text = NULL;

    if (!is_wanted (s, &target))
      continue;
    text = shown_text (s, &target);
    if (text == NULL)
      return -ENOMEM;
    print_head (s, device, several, call, first);
    printf ("%llu %llu %s %s\n", (unsigned long long) target.start,
            (unsigned long long) target.length, target.type, text);
    first = false;
  }
  if (r == 0 && call->reply->target_count == 0 && !s->options.target) {
    print_head (s, device, several, call, true);
    printf ("\n");
    first = false;
  }
  if (!first && several && s->options.verbose)
    printf ("\n");
  return r;
}

static int
print_concise (struct session *s, const struct call *call)
{
  static bool any;
  struct reply_walk walk = reply_walk_targets (call);
  struct reply_target target;
  int r = reply_check (reply_has_target (call, s->options.target));

  if (r <= 0)
    return r;
  if (any)
    putchar (';');
  any = true;
  concise_print_device (call->reply);
  while ((r = reply_check (reply_next_target (&walk, &target))) > 0) {
    char *CLEANUP_FREE text = shown_text (s, &target);

    if (text == NULL)
      return -ENOMEM;
    if (is_wanted (s, &target))
      concise_print_line (target.start, target.length, target.type, text);
  }
  return r;
}

static int
json_targets (struct session *s, const struct call *call, const char *key)
{
  struct reply_walk walk = reply_walk_targets (call);
  json_t *device = json_device (call->reply), *list = json_array ();
  struct reply_target target;
  int r;

  while ((r = reply_check (reply_next_target (&walk, &target))) > 0) {
    char *CLEANUP_FREE text = shown_text (s, &target);

    if (text && is_wanted (s, &target))
      json_array_append_new (list, json_pack (
          "{s:I, s:I, s:s, s:o}", "start", (json_int_t) target.start,
          "length", (json_int_t) target.length, "type", target.type, key,
          json_text (text)));
  }
  if (r == 0 && (json_array_size (list) > 0 || !s->options.target)) {
    json_object_set (device, "targets", list);
    r = json_put (s, json_incref (device));
  }
  json_decref (list);
  json_decref (device);
  return r;
}

static int
status_call (struct session *s, const struct device *device, bool several,
             uint32_t flags)
{
  bool table = flags & DM_STATUS_TABLE_FLAG;
  struct call call = { .request.flags = flags };
  int r = device_call (s, device, DM_TABLE_STATUS_CMD, &call);

  if (r == 0 && s->options.exec) {
    r = reply_has_target (&call, s->options.target);
    if (reply_check (r) > 0)
      r = run_command (s->options.exec, call.reply->name);
  }
  else if (r == 0 && s->options.json)
    r = json_targets (s, &call, table ? "params" : "status");
  else if (r == 0 && s->options.concise && table)
    r = print_concise (s, &call);
  else if (r == 0)
    r = print_targets (s, device, several, &call);
  call_reset (&call);
  return r;
}

/* With --target and no device named dmsetup still names what it finds. */
static int
status_one (struct session *s, const struct device *device, bool several)
{
  return status_call (s, device, several, 0);
}

int
cmd_status (struct session *s)
{
  int r = json_begin_list (s);

  return r < 0 ? r : device_each (s, true, status_one);
}

static int
table_one (struct session *s, const struct device *device, bool several)
{
  return status_call (s, device, several, DM_STATUS_TABLE_FLAG);
}

int
cmd_table (struct session *s)
{
  int r = json_begin_list (s);

  if (r == 0)
    r = device_each (s, true, table_one);
  if (s->options.concise && r >= 0)
    printf ("\n");
  return r;
}

static int
measure_one (struct session *s, const struct device *device, bool several)
{
  return status_call (s, device, several, DM_IMA_MEASUREMENT_FLAG);
}

/* What a target says when it is to be measured. */
int
cmd_measure (struct session *s)
{
  int r = json_begin_list (s);

  return r < 0 ? r : device_each (s, true, measure_one);
}
