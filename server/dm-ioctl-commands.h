/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface's commands, for its dispatcher. */

#ifndef NBDM_DM_IOCTL_COMMANDS_H
#define NBDM_DM_IOCTL_COMMANDS_H

#include <stdbool.h>

#include <linux/dm-ioctl.h>

#include "server/edge.h"

#define DM_IOCTL_NR_COMMANDS (DM_GET_TARGET_VERSION_CMD + 1)

/* By command number; DM_VERSION_CMD has no function.  run finds the request's
 * header, checked and with both names terminated, in call->header, which it
 * makes the reply's, and the payload at data_start of call->buffer, not checked
 * at all.  data_size is preset to that of a reply without payload; 0 means that
 * nothing is to be copied back.  Returns 0 or -errno, or for DM_DEV_WAIT_CMD
 * -EINPROGRESS.
 */
struct dm_ioctl_command {
  int (*run) (struct registry *reg, struct dm_ioctl_call *call);
  bool no_payload; /* neither read nor, but for the header, written */
  bool no_device;  /* name and uuid may both be given, or neither */
};

extern const struct dm_ioctl_command dm_ioctl_commands[DM_IOCTL_NR_COMMANDS];

/* The end of DM_DEV_WAIT_CMD, as run; once, one or the other. */
int dm_ioctl_wait_reply (struct dm_ioctl_call *call);
int dm_ioctl_wait_cancel (struct dm_ioctl_call *call); /* -EINTR */

#endif /* NBDM_DM_IOCTL_COMMANDS_H */
