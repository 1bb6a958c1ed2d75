/* SPDX-License-Identifier: BSD-3-Clause */
/* suspend and resume --group: several devices, all of them or none. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The request as it grows; one at a time. */
static struct {
  FILE *out;
  char *payload;
  size_t bytes;
  uint32_t count;
} group;

static int
group_add (struct session *s, const struct device *device, bool several)
{
  char name[DM_NAME_LEN];
  uint64_t length;
  int r = device_measure (s, device, name, &length);

  if (r == 0 && group.count == NBDM_MAX_GROUP) {
    fprintf (stderr, "A group has at most %u devices.\n", NBDM_MAX_GROUP);
    r = -EINVAL;
  }
  if (r == 0) {
    fwrite (name, strlen (name) + 1, 1, group.out);
    group.count++;
  }
  return r;
}

void
print_lines (FILE *out, const struct own_call *call)
{
  if (call->reply_bytes > 0)
    fprintf (out, "%s%s", call->reply,
             call->reply[call->reply_bytes - 1] == '\n' ? "" : "\n");
}

static int
group_send (struct session *s, enum nbdm_command command)
{
  const char *what = command == NBDM_SUSPEND_GROUP ? "suspend" : "resume";
  struct own_call call = {
    .payload = group.payload, .payload_bytes = group.bytes
  };
  struct nbdm_group head = {
    .flags = s->options.flags & (DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG),
    .count = group.count,
  };
  int r;

  memcpy (group.payload, &head, sizeof head);
  progress_step (0, 1);
  progress_about (what, "group");
  r = client_own_call (&s->client, command, &call);
  if (r == 0 && s->options.verbose)
    print_lines (stdout, &call);
  if (r < 0) {
    print_lines (stderr, &call);
    if (call.message)
      print_message (call.message);
    fprintf (stderr, "device-mapper: %s of %u devices as a group failed: "
             "%s\n", what, head.count, strerror (-r));
  }
  own_call_reset (&call);
  return r;
}

int
group_run (struct session *s, enum nbdm_command command)
{
  const struct nbdm_group head = { .count = 0 };
  int r;

  group.out = open_memstream (&group.payload, &group.bytes);
  if (group.out == NULL)
    return -errno;
  fwrite (&head, sizeof head, 1, group.out);
  r = device_each (s, false, group_add);
  if (fclose (group.out) != 0 && r >= 0)
    r = -ENOMEM;
  if (r >= 0 && group.count > 0)
    r = group_send (s, command);
  free (group.payload);
  return r;
}
