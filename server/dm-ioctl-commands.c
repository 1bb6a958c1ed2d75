/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface's commands: from header and payload to the verbs. */

#include "server/dm-ioctl-commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/vector.h"
#include "server/dm-ioctl-pack.h"

/* Flags that a client may set; the verbs use bits above for themselves. */
#define IOCTL_CLIENT_FLAGS ((DM_IMA_MEASUREMENT_FLAG << 1) - 1)

/* Flags that tell of the state of a device. */
#define IOCTL_STATE_FLAGS \
  (DM_SUSPEND_FLAG | DM_READONLY_FLAG | DM_ACTIVE_PRESENT_FLAG | \
   DM_INTERNAL_SUSPEND_FLAG)

static uint32_t
ioctl_flags (const struct dm_ioctl_call *call)
{
  return call->header.flags & IOCTL_CLIENT_FLAGS;
}

/* Points into the header: of no use once that is being made the reply. */
static struct dm_ref
ioctl_ref (const struct dm_ioctl_call *call)
{
  return (struct dm_ref) {
    .name = call->header.name,
    .uuid = call->header.uuid,
    .dev = call->header.dev,
  };
}

/* What a successful lookup leaves in the header. */
static void
ioctl_put_names (struct dm_ioctl *header, const struct dm_info *info)
{
  memcpy (header->name, info->name, sizeof header->name);
  memcpy (header->uuid, info->uuid, sizeof header->uuid);
  header->flags &= ~DM_INACTIVE_PRESENT_FLAG;
  header->flags |= info->flags & DM_INACTIVE_PRESENT_FLAG;
}

/* The kernel's status refresh.  It never clears DM_DEFERRED_REMOVE. */
static void
ioctl_put_state (struct dm_ioctl *header, const struct dm_info *info)
{
  header->flags &= ~IOCTL_STATE_FLAGS;
  header->flags |= info->flags & (IOCTL_STATE_FLAGS | DM_DEFERRED_REMOVE);
  header->dev = info->dev;
  header->open_count = info->open_count;
  header->event_nr = info->event_nr;
  header->target_count = info->target_count;
}

/* Ends a verb that tells of a device: r is its result. */
static int
ioctl_put_info (struct dm_ioctl_call *call, const struct dm_info *info, int r)
{
  if (r == 0) {
    ioctl_put_names (&call->header, info);
    ioctl_put_state (&call->header, info);
  }
  return r;
}

/* Look the device up, without touching the header. */
static int
ioctl_find (struct registry *reg, struct dm_ioctl_call *call,
            struct dm_info *info)
{
  struct dm_ref ref = ioctl_ref (call);

  return dm_device_info (reg, &ref, ioctl_flags (call), info, &call->message);
}

/* The string at an offset that comes from the client, if it begins in the
 * payload and ends inside the request; else NULL.
 */
static char *
ioctl_string (const struct dm_ioctl_call *call, uint64_t at)
{
  if (at < DM_IOCTL_MIN || at >= call->size ||
      memchr (call->buffer + at, '\0', call->size - at) == NULL)
    return NULL;
  return call->buffer + at;
}

/* The string that is the payload, or that follows so many bytes of it. */
static char *
ioctl_payload_string (const struct dm_ioctl_call *call, size_t skip)
{
  if (call->header.data_start < DM_IOCTL_MIN)
    return NULL;
  return ioctl_string (call, (uint64_t) call->header.data_start + skip);
}

static void
ioctl_pack_begin (struct dm_ioctl_pack *pack, struct dm_ioctl_call *call)
{
  dm_ioctl_pack_begin (pack, &call->header, call->buffer, call->size);
}

/* True if the device has the table that the request asks of. */
static bool
ioctl_has_table (const struct dm_ioctl_call *call, const struct dm_info *info)
{
  return info->flags & (call->header.flags & DM_QUERY_INACTIVE_TABLE_FLAG
                        ? DM_INACTIVE_PRESENT_FLAG : DM_ACTIVE_PRESENT_FLAG);
}

/* ------------------------------------------------------------------
 * Devices.
 */

static int
ioctl_remove_all (struct registry *reg, struct dm_ioctl_call *call)
{
  dm_remove_all (reg, ioctl_flags (call));
  call->header.data_size = 0; /* nothing to copy back */
  return 0;
}

static int
ioctl_list_devices (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  struct dm_ioctl_pack pack;
  size_t n;
  int r;

  r = dm_list (reg, &infos, &n);
  if (r < 0)
    return r;
  ioctl_pack_begin (&pack, call);
  dm_ioctl_pack_names (&pack, infos, n);
  return 0;
}

static int
ioctl_create (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ioctl *h = &call->header;
  struct dm_info info;
  int r;

  r = dm_device_create (reg, h->name, h->uuid, ioctl_flags (call), h->dev,
                        &info, &call->message);
  return ioctl_put_info (call, &info, r);
}

/* The reply has the device's names but not its state: event_nr still is the
 * cookie of the client.
 */
static int
ioctl_remove (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  struct dm_info info;
  bool removed;
  int r;

  r = ioctl_find (reg, call, &info);
  if (r == 0)
    r = dm_device_remove (reg, &ref, ioctl_flags (call), &removed,
                          &call->message);
  if (r < 0)
    return r;
  ioctl_put_names (&call->header, &info);
  if (removed)
    call->header.flags &= ~DM_DEFERRED_REMOVE;
  return 0;
}

/* By name only; the reply keeps the old one, and the uuid it came with. */
static int
ioctl_rename (struct registry *reg, struct dm_ioctl_call *call)
{
  const char *value = ioctl_payload_string (call, 0);
  struct dm_info info;
  int r;

  if (value == NULL)
    return message_set (&call->message, EINVAL,
                        "the new name or uuid does not end in the request");
  r = dm_device_rename (reg, call->header.name, value, ioctl_flags (call),
                        &info, &call->message);
  if (r == 0)
    ioctl_put_state (&call->header, &info);
  return r;
}

static int
ioctl_suspend (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  uint32_t flags = ioctl_flags (call);
  struct dm_info info;
  int r;

  if (flags & DM_SUSPEND_FLAG)
    r = dm_device_suspend (reg, &ref, flags, call->wait, &info,
                           &call->message);
  else
    r = dm_device_resume (reg, &ref, flags, call->wait, &info,
                          &call->message);
  return ioctl_put_info (call, &info, r);
}

static int
ioctl_status (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_info info;

  return ioctl_put_info (call, &info, ioctl_find (reg, call, &info));
}

static int
ioctl_wait (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  struct dm_info info;
  int r;

  r = ioctl_find (reg, call, &info);
  if (r < 0)
    return r;
  call->waiter.event_nr = call->header.event_nr;
  r = dm_wait_event (reg, &ref, &call->waiter, &call->message);
  if (r < 0)
    return r;
  ioctl_put_names (&call->header, &info);
  return -EINPROGRESS;
}

/* Ends ioctl_wait: the reply has the names of its beginning and the state of
 * now.
 */
int
dm_ioctl_wait_reply (struct dm_ioctl_call *call)
{
  uint32_t flags = ioctl_flags (call), data_start = call->header.data_start;
  struct dm_ioctl_pack pack;
  struct dm_info info;
  int r;

  ioctl_pack_begin (&pack, call);
  r = dm_wait_event_status (&call->waiter, flags, dm_ioctl_pack_target, &pack);
  dm_wait_event_end (&call->waiter, flags, &info);
  if (r < 0)
    return r;
  ioctl_put_state (&call->header, &info);
  if (!ioctl_has_table (call, &info))
    call->header.data_start = data_start;
  return 0;
}

int
dm_ioctl_wait_cancel (struct dm_ioctl_call *call)
{
  struct dm_info info;

  dm_wait_event_end (&call->waiter, ioctl_flags (call), &info);
  return message_set (&call->message, EINTR, "interrupted");
}

static int
ioctl_geometry (struct registry *reg, struct dm_ioctl_call *call)
{
  const char *text = ioctl_payload_string (call, 0);
  struct dm_ref ref = ioctl_ref (call);
  struct dm_info info;
  int r;

  r = ioctl_find (reg, call, &info);
  if (r < 0)
    return r;
  if (text == NULL)
    return message_set (&call->message, EINVAL,
                        "the geometry does not end in the request");
  call->header.data_size = 0; /* nothing to copy back */
  return dm_device_set_geometry (reg, &ref, text, &call->message);
}

static int
ioctl_arm_poll (struct registry *reg, struct dm_ioctl_call *call)
{
  call->arm_event_nr = registry_event_nr (reg);
  return 0;
}

/* ------------------------------------------------------------------
 * Tables.
 */

typedef VECTOR (struct dm_target_line) ioctl_lines;

static int
ioctl_bad_line (struct dm_ioctl_call *call, uint32_t i)
{
  return message_set (&call->message, EINVAL,
                      "table line %u of %u does not lie in the request",
                      i + 1, call->header.target_count);
}

/* The lines stay in the buffer, so their strings live as long as that.  A type
 * that fills its field goes on into the parameters, where it ends at the
 * latest; no type is so long.
 */
static int
ioctl_parse_lines (struct dm_ioctl_call *call, ioctl_lines *lines)
{
  uint64_t at = call->header.data_start, end = DM_IOCTL_MIN;
  struct dm_target_line line;
  struct dm_target_spec spec;
  uint32_t i;
  int r;

  for (i = 0; i < call->header.target_count; i++, at += spec.next) {
    line.params = ioctl_string (call, at + sizeof spec);
    if (at < end || line.params == NULL)
      return ioctl_bad_line (call, i);
    end = at + sizeof spec + strlen (line.params) + 1;
    memcpy (&spec, call->buffer + at, sizeof spec);
    line.start = spec.sector_start;
    line.len = spec.length;
    line.type = call->buffer + at + offsetof (struct dm_target_spec,
                                              target_type);
    r = vector_append (lines, line);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
ioctl_load (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  ioctl_lines lines = VECTOR_INIT;
  struct dm_info info;
  int r;

  r = ioctl_find (reg, call, &info);
  if (r == 0)
    r = ioctl_parse_lines (call, &lines);
  if (r == 0)
    r = dm_table_load (reg, &ref, ioctl_flags (call), lines.ptr, lines.len,
                       NULL, &info, &call->message);
  vector_reset (&lines);
  return ioctl_put_info (call, &info, r);
}

static int
ioctl_clear (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  struct dm_info info;
  int r;

  r = dm_table_clear (reg, &ref, &info, &call->message);
  return ioctl_put_info (call, &info, r);
}

static int
ioctl_deps (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  uint64_t *CLEANUP_FREE devs = NULL;
  struct dm_ioctl_pack pack;
  struct dm_info info;
  size_t n;
  int r;

  r = dm_table_deps (reg, &ref, ioctl_flags (call), &devs, &n, &info,
                     &call->message);
  if (r == 0 && ioctl_has_table (call, &info)) {
    ioctl_pack_begin (&pack, call);
    dm_ioctl_pack_deps (&pack, devs, n);
  }
  return ioctl_put_info (call, &info, r);
}

static int
ioctl_table_status (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ref ref = ioctl_ref (call);
  uint32_t data_start = call->header.data_start;
  struct dm_ioctl_pack pack;
  struct dm_info info;
  int r;

  ioctl_pack_begin (&pack, call);
  r = dm_table_status (reg, &ref, ioctl_flags (call), dm_ioctl_pack_target,
                       &pack, &info, &call->message);
  if (r == 0 && !ioctl_has_table (call, &info))
    call->header.data_start = data_start;
  return ioctl_put_info (call, &info, r);
}

static int
ioctl_message (struct registry *reg, struct dm_ioctl_call *call)
{
  char *text = ioctl_payload_string (call, sizeof (struct dm_target_msg));
  struct dm_ref ref = ioctl_ref (call);
  char *CLEANUP_FREE reply = NULL;
  struct dm_ioctl_pack pack;
  struct dm_info info;
  uint64_t sector;
  int r;

  r = ioctl_find (reg, call, &info);
  if (r < 0)
    return r;
  if (text == NULL)
    return message_set (&call->message, EINVAL,
                        "the message does not end in the request");
  if (call->only_reads && !dm_message_only_reads (text))
    return message_set (&call->message, EACCES, "only the server's user and "
                        "root may send messages that change anything");
  memcpy (&sector, call->buffer + call->header.data_start, sizeof sector);
  r = dm_device_message_room (reg, &ref, sector, text,
                              dm_ioctl_pack_room (call->size), &reply, &info,
                              &call->message);
  if (r < 0)
    return r;
  ioctl_pack_begin (&pack, call);
  if (reply)
    dm_ioctl_pack_text (&pack, reply);
  return ioctl_put_info (call, &info, 0);
}

/* ------------------------------------------------------------------
 * Target types.
 */

static int
ioctl_list_versions (struct registry *reg, struct dm_ioctl_call *call)
{
  struct dm_ioctl_pack pack;
  int r;

  ioctl_pack_begin (&pack, call);
  r = dm_list_versions (dm_ioctl_count_version, &pack);
  if (r < 0 || !dm_ioctl_versions_fit (&pack))
    return r;
  return dm_list_versions (dm_ioctl_pack_version, &pack);
}

static int
ioctl_target_version (struct registry *reg, struct dm_ioctl_call *call)
{
  const char *name = call->header.name;
  struct dm_ioctl_pack pack;
  unsigned version[3];
  int r;

  r = dm_target_version (name, version, &call->message);
  if (r < 0)
    return r;
  ioctl_pack_begin (&pack, call);
  dm_ioctl_count_version (&pack, name, version);
  if (dm_ioctl_versions_fit (&pack))
    dm_ioctl_pack_version (&pack, name, version);
  return 0;
}

/* ------------------------------------------------------------------ */

const struct dm_ioctl_command dm_ioctl_commands[DM_IOCTL_NR_COMMANDS] = {
  [DM_REMOVE_ALL_CMD] = { ioctl_remove_all, true, true },
  [DM_LIST_DEVICES_CMD] = { ioctl_list_devices, false, true },
  [DM_DEV_CREATE_CMD] = { ioctl_create, true },
  [DM_DEV_REMOVE_CMD] = { ioctl_remove, true },
  [DM_DEV_RENAME_CMD] = { ioctl_rename },
  [DM_DEV_SUSPEND_CMD] = { ioctl_suspend, true },
  [DM_DEV_STATUS_CMD] = { ioctl_status, true },
  [DM_DEV_WAIT_CMD] = { ioctl_wait },
  [DM_TABLE_LOAD_CMD] = { ioctl_load },
  [DM_TABLE_CLEAR_CMD] = { ioctl_clear, true },
  [DM_TABLE_DEPS_CMD] = { ioctl_deps },
  [DM_TABLE_STATUS_CMD] = { ioctl_table_status },
  [DM_LIST_VERSIONS_CMD] = { ioctl_list_versions, false, true },
  [DM_TARGET_MSG_CMD] = { ioctl_message },
  [DM_DEV_SET_GEOMETRY_CMD] = { ioctl_geometry },
  [DM_DEV_ARM_POLL_CMD] = { ioctl_arm_poll, true },
  [DM_GET_TARGET_VERSION_CMD] = { ioctl_target_version },
};
