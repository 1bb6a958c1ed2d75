/* SPDX-License-Identifier: BSD-3-Clause */
/* One request of a control client, on the thread that carries it out. */

#include "server/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"

void
control_drop_buffer (struct connection *conn)
{
  /* Keys in a table or a message should not outlive the request. */
  if (conn->call.secure && conn->call.buffer)
    explicit_bzero (conn->call.buffer, conn->buffer_size);
  free (conn->call.buffer);
  conn->call.buffer = NULL;
  conn->call.length = conn->buffer_size = 0;
}

static int
control_dump (struct reload *reload, char **text, struct message *msg)
{
  int r = reload_dump (reload, text);

  if (r == -EILSEQ)
    message_set (msg, EILSEQ, "a name or path is not UTF-8, so YAML cannot "
                 "hold it");
  return r;
}

/* Our own commands. */
static int
control_run_text (struct connection *conn, char **text, size_t *length)
{
  struct reload *reload = conn->config->reload;
  struct message *msg = &conn->call.message;
  int r;

  switch (conn->call.command) {
  case NBDM_RELOAD:
    r = loop_reload (text, msg);
    break;
  case NBDM_RELOAD_STATUS:
    r = reload_status (reload, text, msg);
    break;
  case NBDM_DUMP:
    r = control_dump (reload, text, msg);
    break;
  default:
    return control_run_own (conn, text, length);
  }
  *length = *text ? strlen (*text) : 0;
  return r;
}

void
control_run (struct connection *conn)
{
  struct dm_ioctl_call *call = &conn->call;
  char *reply = NULL;
  size_t length = 0;

  if (call->command < NBDM_RELOAD) {
    call->result = dm_ioctl_call (conn->config->registry, call);
    return;
  }
  call->result = control_run_text (conn, &reply, &length);
  control_drop_buffer (conn);
  call->buffer = reply;
  call->length = conn->buffer_size = length;
}

void
control_run_ending (struct connection *conn)
{
  conn->call.result = dm_ioctl_wait_done (conn->config->registry, &conn->call,
                                          conn->cancelled);
}
