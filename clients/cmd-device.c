/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that change or wait for one device, or several in turn. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/reply.h"
#include "common/cleanup.h"

/* One call, and the device as it then is if -v was given. */
static int
simple_verbose (struct session *s, const struct device *device,
                uint32_t command, uint32_t flags)
{
  struct call call = { .request.flags = flags };
  int r = device_call (s, device, command, &call);

  if (r == 0)
    device_print_verbose (s, &call);
  call_reset (&call);
  return r;
}

static int
suspend_one (struct session *s, const struct device *device, bool several)
{
  return simple_verbose (s, device, DM_DEV_SUSPEND_CMD, DM_SUSPEND_FLAG);
}

int
cmd_suspend (struct session *s)
{
  if (s->options.group)
    return group_run (s, NBDM_SUSPEND_GROUP);
  return device_each (s, false, suspend_one);
}

static int
resume_one (struct session *s, const struct device *device, bool several)
{
  return simple_verbose (s, device, DM_DEV_SUSPEND_CMD, 0);
}

int
cmd_resume (struct session *s)
{
  if (s->options.group)
    return group_run (s, NBDM_RESUME_GROUP);
  return device_each (s, false, resume_one);
}

static int
clear_one (struct session *s, const struct device *device, bool several)
{
  return simple_verbose (s, device, DM_TABLE_CLEAR_CMD, 0);
}

int
cmd_clear (struct session *s)
{
  return device_each (s, false, clear_one);
}

/* ------------------------------------------------------------------
 * rename
 */
static int
check_new_value (bool setuuid, const char *value)
{
  size_t size = setuuid ? DM_UUID_LEN : DM_NAME_LEN;

  if (!setuuid && *value == '\0') {
    fprintf (stderr, "Non empty new name is required.\n");
    return -EINVAL;
  }
  if (!setuuid && strchr (value, '/'))
    return device_check_new_name (value);
  if (strlen (value) >= size) {
    fprintf (stderr, "%s \"%s\" too long\n", setuuid ? "Uuid" : "Name", value);
    return -EINVAL;
  }
  return 0;
}

/* The server finds the device by name only; -u gets its ENXIO. */
int
cmd_rename (struct session *s)
{
  const char *value = s->argv[s->argc - 1];
  struct call call = {
    .request.flags = s->options.setuuid ? DM_UUID_FLAG : 0,
    .payload = value,
    .payload_bytes = strlen (value) + 1,
  };
  struct device device;
  int r = device_select (s, s->argc > 1 ? s->argv[0] : NULL, &device);

  if (r == 0)
    r = check_new_value (s->options.setuuid, value);
  if (r == 0)
    r = device_call (s, &device, DM_DEV_RENAME_CMD, &call);
  call_reset (&call);
  return r;
}

/* ------------------------------------------------------------------
 * message, setgeometry
 */

/* The words with a blank between each two; malloc'ed. */
static char *
join (int argc, char **argv)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);

  if (out == NULL)
    return NULL;
  for (int i = 0; i < argc; i++)
    fprintf (out, "%s%s", i ? " " : "", argv[i]);
  if (fclose (out) != 0) {
    free (text);
    return NULL;
  }
  return text;
}

static void
print_text (const char *text)
{
  size_t len = strlen (text);

  if (len > 0)
    printf ("%s%s", text, text[len - 1] == '\n' ? "" : "\n");
}

static int
send_message (struct session *s, const struct device *device, uint64_t sector,
              const char *text)
{
  size_t bytes = sizeof (struct dm_target_msg) + strlen (text) + 1;
  struct dm_target_msg *CLEANUP_FREE msg = malloc (bytes);
  struct call call = { .payload = msg, .payload_bytes = bytes };
  int r;

  if (msg == NULL)
    return -ENOMEM;
  msg->sector = sector;
  strcpy (msg->message, text);
  r = device_call (s, device, DM_TARGET_MSG_CMD, &call);
  if (r == 0)
    print_text (reply_text (&call));
  call_reset (&call);
  return r;
}

int
cmd_message (struct session *s)
{
  int at = !s->options.uuid && !s->options.has_dev;
  char *CLEANUP_FREE text = NULL;
  struct device device;
  uint64_t sector;
  char *end;

  if (device_select (s, at ? s->argv[0] : NULL, &device) < 0)
    return -EINVAL;
  errno = 0;
  sector = strtoull (s->argv[at], &end, 10);
  if (errno || end == s->argv[at] || *end) {
    fprintf (stderr, "Invalid sector.\n");
    return -EINVAL;
  }
  if (s->argc == at + 1)
    fprintf (stderr, "No message supplied.\n");
  text = join (s->argc - at - 1, s->argv + at + 1);
  return text ? send_message (s, &device, sector, text) : -ENOMEM;
}

int
cmd_setgeometry (struct session *s)
{
  char *CLEANUP_FREE text = join (s->argc - 1, s->argv + 1);
  struct call call = { .payload = text };
  struct device device;
  int r = device_select (s, s->argv[0], &device);

  if (text == NULL)
    return -ENOMEM;
  call.payload_bytes = strlen (text) + 1;
  if (r == 0)
    r = device_call (s, &device, DM_DEV_SET_GEOMETRY_CMD, &call);
  call_reset (&call);
  return r;
}

/* ------------------------------------------------------------------
 * wait
 */
int
cmd_wait (struct session *s)
{
  int at = !s->options.uuid && !s->options.has_dev;
  struct call call = { .reply = NULL };
  struct device device;
  int r;

  if (s->argc == 0)
    at = 0;
  if (s->argc > at)
    call.request.event_nr = strtoul (s->argv[at], NULL, 10);
  r = device_select (s, at ? s->argv[0] : NULL, &device);
  if (r == 0)
    r = device_call (s, &device, DM_DEV_WAIT_CMD, &call);
  if (r == 0)
    device_print_verbose (s, &call);
  call_reset (&call);
  return r;
}
