/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that dmsetup does not have: the server's table files and metrics. */

#include "clients/nbdmsetup.h"

#include <stdio.h>
#include <string.h>

/* A report of a failure gives the reason itself. */
static int
print_server_text (struct session *s, enum nbdm_command command)
{
  struct own_call call = { .payload = NULL };
  int r;

  session_connect (s);
  r = client_own_call (&s->client, command, &call);
  if (r < 0 && call.reply_bytes == 0)
    print_message (call.message ? call.message : strerror (-r));
  else
    print_lines (r < 0 ? stderr : stdout, &call);
  own_call_reset (&call);
  return r;
}

int
files_reload (struct session *s)
{
  return print_server_text (s, s->options.status ? NBDM_RELOAD_STATUS :
                            NBDM_RELOAD);
}

int
cmd_dump (struct session *s)
{
  return print_server_text (s, NBDM_DUMP);
}

int
cmd_metrics (struct session *s)
{
  return print_server_text (s, NBDM_METRICS);
}
