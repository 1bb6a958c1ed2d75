/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that dmsetup does not have: the server's table files. */

#include "clients/nbdmsetup.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

/* A report of a failure gives the reason itself. */
static int
print_server_text (struct session *s, enum nbdm_command command)
{
  char *CLEANUP_FREE text = NULL;
  char *CLEANUP_FREE message = NULL;
  int r;

  session_connect (s);
  r = client_text (&s->client, command, &text, &message);
  if (text && *text)
    fprintf (r < 0 ? stderr : stdout, "%s%s", text,
             text[strlen (text) - 1] == '\n' ? "" : "\n");
  else if (r < 0)
    print_message (message ? message : strerror (-r));
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
