/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's device-mapper ioctl interface, version 4.47, on a buffer. */

#include "server/edge.h"

#include <errno.h>
#include <string.h>

#include "server/dm-ioctl-commands.h"
#include "server/dm-ioctl-pack.h"

static const uint32_t ioctl_version[3] = DM_INTERFACE_VERSION;

/* Flags that only a reply has. */
#define IOCTL_REPLY_FLAGS \
  (DM_BUFFER_FULL_FLAG | DM_UEVENT_GENERATED_FLAG | DM_SECURE_DATA_FLAG | \
   DM_DATA_OUT_FLAG)

/* The client's version against ours, which it gets in every case. */
static int
ioctl_check_version (struct dm_ioctl_call *call)
{
  uint32_t version[3];

  if (call->length < sizeof version)
    return message_set (&call->message, EINVAL, "request without a version");
  memcpy (version, call->buffer, sizeof version);
  memcpy (call->buffer, ioctl_version, sizeof ioctl_version);
  if (version[0] != ioctl_version[0] || version[1] > ioctl_version[1])
    return message_set (&call->message, EINVAL,
                        "interface version %u.%u.%u is not served, "
                        "only up to %u.%u", version[0], version[1],
                        version[2], ioctl_version[0], ioctl_version[1]);
  return 0;
}

/* Take the header in. */
static int
ioctl_copy_header (struct dm_ioctl_call *call)
{
  struct dm_ioctl *h = &call->header;
  bool no_payload = dm_ioctl_commands[call->command].no_payload;

  if (call->length < DM_IOCTL_MIN)
    return message_set (&call->message, EINVAL, "request without a header");
  memset (h, 0, sizeof *h);
  memcpy (h, call->buffer, DM_IOCTL_MIN);
  if (h->data_size < DM_IOCTL_MIN ||
      (!no_payload && h->data_size > call->length))
    return message_set (&call->message, EINVAL,
                        "data size %u in a request of %zu bytes",
                        h->data_size, call->length);
  call->secure = h->flags & DM_SECURE_DATA_FLAG;
  call->size = no_payload ? DM_IOCTL_MIN : h->data_size;
  h->flags &= ~IOCTL_REPLY_FLAGS;
  return 0;
}

static int
ioctl_check_names (struct dm_ioctl_call *call)
{
  struct dm_ioctl *h = &call->header;

  h->name[sizeof h->name - 1] = '\0';
  h->uuid[sizeof h->uuid - 1] = '\0';
  if (dm_ioctl_commands[call->command].no_device)
    return 0;
  if (call->command == DM_DEV_CREATE_CMD)
    return h->name[0] ? 0 : message_set (&call->message, EINVAL,
                                         "a new device needs a name");
  if (h->name[0] && h->uuid[0])
    return message_set (&call->message, EINVAL,
                        "both a name and a uuid are given");
  return 0;
}

static int
ioctl_dispatch (struct registry *reg, struct dm_ioctl_call *call)
{
  int r;

  r = ioctl_check_version (call);
  if (r < 0)
    return r;
  /* VERSION ends here, like a failure: only the version is copied back. */
  call->header.data_size = 0;
  if (call->command == DM_VERSION_CMD)
    return 0;
  if (call->command >= DM_IOCTL_NR_COMMANDS)
    return message_set (&call->message, ENOTTY, "unknown command %u",
                        call->command);
  r = ioctl_copy_header (call);
  if (r == 0)
    r = ioctl_check_names (call);
  if (r < 0)
    return r;
  call->header.data_size = DM_IOCTL_MIN;
  return dm_ioctl_commands[call->command].run (reg, call);
}

/* Copy the reply back.  A failure, and success with a data_size of 0, leave
 * the header as it came, but for the version.
 */
static int
ioctl_finish (struct dm_ioctl_call *call, int r)
{
  if (r == 0 && call->header.data_size > 0) {
    memcpy (call->header.version, ioctl_version, sizeof ioctl_version);
    memcpy (call->buffer, &call->header, DM_IOCTL_MIN);
    call->length = call->header.data_size;
  }
  else if (call->length > DM_IOCTL_MIN)
    call->length = DM_IOCTL_MIN;
  return r;
}

int
dm_ioctl_call (struct registry *reg, struct dm_ioctl_call *call)
{
  int r = ioctl_dispatch (reg, call);

  if (r == -EINPROGRESS && call->command == DM_DEV_WAIT_CMD)
    return r;
  return ioctl_finish (call, r);
}

int
dm_ioctl_wait_done (struct registry *reg, struct dm_ioctl_call *call,
                    bool cancelled)
{
  return ioctl_finish (call, cancelled ? dm_ioctl_wait_cancel (call)
                       : dm_ioctl_wait_reply (call));
}
