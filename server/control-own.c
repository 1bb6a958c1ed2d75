/* SPDX-License-Identifier: BSD-3-Clause */
/* Our own commands whose payload is more than text. */

#include "server/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* The payload of the request is hostile. */
static int
own_malformed (struct dm_ioctl_call *call)
{
  return message_set (&call->message, EINVAL, "malformed request");
}

static bool
own_is_string (const char *field, size_t size)
{
  return memchr (field, '\0', size) != NULL;
}

static int
own_counters (struct connection *conn, char **reply, size_t *length)
{
  struct nbdm_counters *list = NULL;
  size_t n;
  int r = dm_counters (conn->config->registry, &list, &n);

  *reply = (char *) list;
  *length = r == 0 ? n * sizeof list[0] : 0;
  return r;
}

static int
own_extents (struct connection *conn, char **reply, size_t *length)
{
  struct dm_ioctl_call *call = &conn->call;
  struct nbdm_extent *list = NULL;
  struct nbdm_extents request;
  struct dm_ref ref;
  size_t n = 0;
  int r;

  if (call->length != sizeof request)
    return own_malformed (call);
  memcpy (&request, call->buffer, sizeof request);
  if (!own_is_string (request.name, sizeof request.name) ||
      !own_is_string (request.uuid, sizeof request.uuid))
    return own_malformed (call);
  ref = (struct dm_ref) { request.name, request.uuid, request.dev };
  r = dm_extents (conn->config->registry, &ref, request.begin, request.len,
                  call->wait, &list, &n, &call->message);
  *reply = (char *) list;
  *length = n * sizeof list[0];
  return r;
}

/* The names stay in the buffer; *names is malloc'ed. */
static int
own_group_names (struct dm_ioctl_call *call, struct nbdm_group *group,
                 const char ***names)
{
  const char *p = call->buffer + sizeof *group, *nul;
  const char *end = call->buffer + call->length;
  uint32_t i;

  if (call->length < sizeof *group)
    return own_malformed (call);
  memcpy (group, call->buffer, sizeof *group);
  if (group->count == 0 || group->count > NBDM_MAX_GROUP)
    return message_set (&call->message, EINVAL, "a group has 1 to %u devices",
                        NBDM_MAX_GROUP);
  *names = calloc (group->count, sizeof **names);
  if (*names == NULL)
    return -ENOMEM;
  for (i = 0; i < group->count; i++, p = nul + 1) {
    nul = memchr (p, '\0', end - p);
    if (nul == NULL)
      return own_malformed (call);
    (*names)[i] = p;
  }
  return p == end ? 0 : own_malformed (call);
}

static int
own_group_run (struct connection *conn, const struct nbdm_group *group,
               const char *const *names, FILE *report)
{
  struct dm_ioctl_call *call = &conn->call;
  uint32_t flags = group->flags & (DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG);

  return (call->command == NBDM_SUSPEND_GROUP ? dm_group_suspend
          : dm_group_resume)
    (conn->config->registry, names, group->count, flags, call->wait, report,
     &call->message);
}

static int
own_group (struct connection *conn, char **reply, size_t *length)
{
  const char **CLEANUP_FREE names = NULL;
  struct nbdm_group group;
  FILE *report;
  int r = own_group_names (&conn->call, &group, &names);

  if (r < 0)
    return r;
  report = open_memstream (reply, length);
  if (report == NULL)
    return -ENOMEM;
  r = own_group_run (conn, &group, names, report);
  /* The devices are what they are, told or not. */
  if (fclose (report) != 0)
    *length = 0;
  return r;
}

int
control_run_own (struct connection *conn, char **reply, size_t *length)
{
  switch (conn->call.command) {
  case NBDM_METRICS:
    return control_metrics (conn->config->registry, reply, length);
  case NBDM_COUNTERS:
    return own_counters (conn, reply, length);
  case NBDM_EXTENTS:
    return own_extents (conn, reply, length);
  case NBDM_SUSPEND_GROUP:
  case NBDM_RESUME_GROUP:
    return own_group (conn, reply, length);
  default:
    return message_set (&conn->call.message, ENOTTY, "unknown command %u",
                        conn->call.command);
  }
}
