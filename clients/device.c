/* SPDX-License-Identifier: BSD-3-Clause */
/* Naming devices, calling the server about them, telling of failures. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/reply.h"

int
device_check_new_name (const char *name)
{
  if (strchr (name, '/')) {
    fprintf (stderr, "Name \"%s\" invalid. It contains \"/\".\n", name);
    return -EINVAL;
  }
  if (strlen (name) >= DM_NAME_LEN) {
    fprintf (stderr, "Name \"%s\" too long.\n", name);
    return -EINVAL;
  }
  return 0;
}

int
device_check_uuid (const char *uuid)
{
  if (strlen (uuid) < DM_UUID_LEN)
    return 0;
  fprintf (stderr, "Mangled form of the UUID too long for \"%s\".\n"
           "Failed to mangle device uuid \"%s\".\n", uuid, uuid);
  return -EINVAL;
}

int
device_select (struct session *s, const char *word, struct device *device)
{
  static const char dir[] = "/dev/mapper/";

  *device = (struct device) { .uuid = s->options.uuid };
  if (word) {
    *device = (struct device) { .name = word };
    if (strncmp (word, dir, strlen (dir)) == 0)
      device->name += strlen (dir);
    if (strchr (device->name, '/')) {
      fprintf (stderr, "Device %s not found\n", word);
      return -ENXIO;
    }
    return device_check_new_name (device->name);
  }
  if (device->uuid)
    return device_check_uuid (device->uuid);
  if (s->options.has_dev) {
    device->dev = device->shown_dev = s->options.dev;
    return 0;
  }
  fprintf (stderr, "No device specified.\n");
  return -EINVAL;
}

/* ------------------------------------------------------------------
 * Calls.
 */
static const char *
command_word (uint32_t command, uint32_t flags)
{
  static const char *const words[] = {
    [DM_VERSION_CMD] = "version",
    [DM_REMOVE_ALL_CMD] = "remove_all",
    [DM_LIST_DEVICES_CMD] = "names",
    [DM_DEV_CREATE_CMD] = "create",
    [DM_DEV_REMOVE_CMD] = "remove",
    [DM_DEV_RENAME_CMD] = "rename",
    [DM_DEV_SUSPEND_CMD] = "resume",
    [DM_DEV_STATUS_CMD] = "info",
    [DM_DEV_WAIT_CMD] = "waitevent",
    [DM_TABLE_LOAD_CMD] = "reload",
    [DM_TABLE_CLEAR_CMD] = "clear",
    [DM_TABLE_DEPS_CMD] = "deps",
    [DM_TABLE_STATUS_CMD] = "status",
    [DM_LIST_VERSIONS_CMD] = "versions",
    [DM_TARGET_MSG_CMD] = "message",
    [DM_DEV_SET_GEOMETRY_CMD] = "setgeometry",
    [DM_GET_TARGET_VERSION_CMD] = "target-version",
  };

  if (command == DM_DEV_SUSPEND_CMD && (flags & DM_SUSPEND_FLAG))
    return "suspend";
  if (command == DM_TABLE_STATUS_CMD && (flags & DM_STATUS_TABLE_FLAG))
    return "table";
  return words[command];
}

static void
print_call_failure (const struct device *device, uint32_t command,
                    const struct call *call, int err)
{
  char numbers[32] = "";

  if (device->shown_dev)
    snprintf (numbers, sizeof numbers, "(%u:%u)",
              dev_major (device->shown_dev), dev_minor (device->shown_dev));
  progress_clear ();
  if (call->message)
    print_message (call->message);
  fprintf (stderr, "device-mapper: %s ioctl on %s %s%s failed: %s\n",
           command_word (command, call->request.flags),
           device->name ? device->name : "",
           device->uuid ? device->uuid : "", numbers, strerror (err));
}

/* info and status ask whether a device is there; that it is not is an answer,
 * and looks like one.
 */
static bool
is_question (uint32_t command, uint32_t flags)
{
  return command == DM_DEV_STATUS_CMD ||
    (command == DM_TABLE_STATUS_CMD && !(flags & DM_STATUS_TABLE_FLAG));
}

int
device_call (struct session *s, const struct device *device,
             uint32_t command, struct call *call)
{
  struct dm_ioctl *request = &call->request;
  int r;

  if (device->name)
    strcpy (request->name, device->name);
  if (device->uuid)
    strcpy (request->uuid, device->uuid);
  if (device->dev)
    request->dev = device->dev;
  request->flags |= s->options.flags;
  session_connect (s);
  progress_about (command_word (command, request->flags), device->name);
  r = client_call (&s->client, command, call);
  if (r == -ENXIO && is_question (command, request->flags))
    fprintf (stderr, "Device does not exist.\n");
  else if (r < 0)
    print_call_failure (device, command, call, -r);
  return r;
}

int
device_simple (struct session *s, const struct device *device,
               uint32_t command, uint32_t flags)
{
  struct call call = { .request.flags = flags };
  int r = device_call (s, device, command, &call);

  call_reset (&call);
  return r;
}

int
reply_check (int r)
{
  if (r < 0)
    print_message ("the server's reply makes no sense");
  return r;
}

int
device_measure (struct session *s, const struct device *device,
                char name[DM_NAME_LEN], uint64_t *length)
{
  struct call call = { .request.flags = DM_STATUS_TABLE_FLAG };
  struct reply_target target;
  struct reply_walk walk;
  int r = device_call (s, device, DM_TABLE_STATUS_CMD, &call);

  *length = 0;
  if (r == 0) {
    strcpy (name, call.reply->name);
    walk = reply_walk_targets (&call);
    while ((r = reply_check (reply_next_target (&walk, &target))) > 0)
      *length = target.start + target.length;
  }
  call_reset (&call);
  return r;
}

/* ------------------------------------------------------------------
 * Several devices.
 */
static int
device_if_selected (struct session *s, const struct device *device,
                    bool several, device_fn fn)
{
  struct call call = { .reply = NULL };
  int r = 1;

  if (s->options.select) {
    r = device_call (s, device, DM_DEV_STATUS_CMD, &call);
    if (r == 0)
      r = session_selects (s, call.reply);
    call_reset (&call);
  }
  return r > 0 ? fn (s, device, several) : r;
}

int
device_each_listed (struct session *s, device_fn fn, const char *if_none)
{
  struct call call = { .reply = NULL };
  struct reply_walk walk;
  struct reply_name name;
  bool any = false;
  int r = device_call (s, &(struct device) { .name = NULL },
                       DM_LIST_DEVICES_CMD, &call);

  if (r == 0) {
    walk = reply_walk (&call);
    while ((r = reply_check (reply_next_name (&walk, &name))) > 0) {
      struct device device = { .name = name.name, .listed_dev = name.dev };

      any = true;
      r = device_check_new_name (name.name);
      if (r == 0)
        r = device_if_selected (s, &device, true, fn);
      if (r < 0)
        break;
    }
    if (r == 0 && !any && if_none)
      printf ("%s\n", if_none);
  }
  call_reset (&call);
  return r;
}

int
device_each (struct session *s, bool all, device_fn fn)
{
  struct device device;
  int i, r = 0;

  if (s->argc == 0) {
    if ((all || s->options.select) && !s->options.uuid && !s->options.has_dev)
      return device_each_listed (s, fn, s->options.json ? NULL :
                                 "No devices found");
    r = device_select (s, NULL, &device);
    return r < 0 ? r : device_if_selected (s, &device, false, fn);
  }
  for (i = 0; i < s->argc && r >= 0; i++) {
    if (!all)
      progress_step (i, s->argc);
    r = device_select (s, s->argv[i], &device);
    if (r == 0)
      r = device_if_selected (s, &device, s->argc > 1, fn);
  }
  return r;
}

/* ------------------------------------------------------------------
 * What a reply tells of its device.
 */
static const char *
tables_present (uint32_t flags)
{
  static const char *const words[] = {
    "None", "LIVE", "INACTIVE", "LIVE & INACTIVE"
  };

  return words[!!(flags & DM_ACTIVE_PRESENT_FLAG) +
               2 * !!(flags & DM_INACTIVE_PRESENT_FLAG)];
}

/* dmsetup's "Read Ahead:" line is asked of the device node; like it we leave
 * the line out when there is none.
 */
void
device_print_info (const struct dm_ioctl *reply)
{
  printf ("Name:              %s\n", reply->name);
  printf ("State:             %s%s%s\n",
          reply->flags & DM_SUSPEND_FLAG ? "SUSPENDED" : "ACTIVE",
          reply->flags & DM_READONLY_FLAG ? " (READ-ONLY)" : "",
          reply->flags & DM_DEFERRED_REMOVE ? " (DEFERRED REMOVE)" : "");
  printf ("Tables present:    %s\n", tables_present (reply->flags));
  printf ("Open count:        %d\n", reply->open_count);
  printf ("Event number:      %u\n", reply->event_nr);
  printf ("Major, minor:      %u, %u\n",
          dev_major (reply->dev), dev_minor (reply->dev));
  printf ("Number of targets: %u\n", reply->target_count);
  if (reply->uuid[0])
    printf ("UUID: %s\n", reply->uuid);
  printf ("\n");
}

void
device_print_verbose (struct session *s, const struct call *call)
{
  progress_clear ();
  if (s->options.verbose && s->options.json)
    json_put (s, json_info (call->reply));
  else if (s->options.verbose)
    device_print_info (call->reply);
}
