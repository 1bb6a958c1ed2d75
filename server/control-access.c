/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: who may do what. */

#include "server/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/protocol.h"

/* Is the group among those that the peer had when it connected? */
static bool
access_in_groups (int fd, gid_t group)
{
  gid_t *CLEANUP_FREE groups = NULL;
  socklen_t size = 0;
  size_t i;

  /* The first call tells the size. */
  if (getsockopt (fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 &&
      errno != ERANGE)
    return false;
  groups = malloc (size + 1);
  if (groups == NULL ||
      getsockopt (fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
    return false;
  for (i = 0; i < size / sizeof groups[0]; i++)
    if (groups[i] == group)
      return true;
  return false;
}

enum control_access
control_peer_access (int fd, gid_t group)
{
  struct ucred cred;
  socklen_t len = sizeof cred;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
    return CONTROL_NOTHING;
  if (cred.uid == 0 || cred.uid == geteuid ())
    return CONTROL_ALL;
  if (group != CONTROL_NO_GROUP &&
      (cred.gid == group || access_in_groups (fd, group)))
    return CONTROL_READ;
  return CONTROL_NOTHING;
}

bool
control_only_reads (uint32_t command)
{
  switch (command) {
  case DM_VERSION_CMD:
  case DM_LIST_DEVICES_CMD:
  case DM_DEV_STATUS_CMD:
  case DM_DEV_WAIT_CMD:
  case DM_TABLE_DEPS_CMD:
  case DM_TABLE_STATUS_CMD:
  case DM_LIST_VERSIONS_CMD:
  case DM_TARGET_MSG_CMD: /* so far: call.only_reads goes into the rest */
  case DM_DEV_ARM_POLL_CMD:
  case DM_GET_TARGET_VERSION_CMD:
  case NBDM_RELOAD_STATUS:
  case NBDM_DUMP:
  case NBDM_METRICS:
  case NBDM_COUNTERS:
  case NBDM_EXTENTS:
    return true;
  default:
    return false;
  }
}
