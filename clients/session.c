/* SPDX-License-Identifier: BSD-3-Clause */
/* One run of nbdmsetup: its connection, and what it has read once. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/graph.h"
#include "clients/info-fields.h"
#include "common/cleanup.h"

/* One line, whatever the server has put into it. */
void
print_message (const char *text)
{
  progress_clear ();
  fputs ("nbdm: ", stderr);
  for (; *text; text++)
    fputc ((unsigned char) *text < ' ' || *text == 127 ? ' ' : *text, stderr);
  fputc ('\n', stderr);
}

static void
print_no_server (const struct session *s, const char *path, int err)
{
  bool env = getenv ("NBDM_CONTROL") != NULL;

  fprintf (stderr, "nbdmsetup: cannot reach a server at %s: %s "
           "(%s; `nbdkit dm control=SOCKET` makes such a socket)\n",
           path, strerror (err),
           s->options.control ? "the socket that --control names" :
           env ? "the socket that NBDM_CONTROL names" :
           "the default, as NBDM_CONTROL is not set");
}

void
session_connect (struct session *s)
{
  char *CLEANUP_FREE path = NULL;
  int r;

  if (s->client.fd >= 0)
    return;
  r = client_socket_path (s->options.control, &path);
  if (r == 0)
    r = client_connect (&s->client, path);
  if (r == 0)
    return;
  if (path)
    print_no_server (s, path, -r);
  else
    fprintf (stderr, "nbdmsetup: no control socket: neither --control nor "
             "NBDM_CONTROL nor XDG_RUNTIME_DIR is set\n");
  exit (EXIT_FAILURE);
}

int
session_graph (struct session *s, struct graph **graph)
{
  char *CLEANUP_FREE message = NULL;
  int r = 0;

  if (s->graph == NULL) {
    s->graph = calloc (1, sizeof *s->graph);
    if (s->graph == NULL)
      return -ENOMEM;
    session_connect (s);
    r = graph_read (&s->client, s->options.flags, s->graph, &message);
  }
  if (r < 0)
    print_message (message ? message : strerror (-r));
  *graph = s->graph;
  return r;
}

int
session_selects (struct session *s, const struct dm_ioctl *dmi)
{
  struct info_row row = { .dmi = dmi };
  struct graph *graph;
  int r = 0;

  if (s->options.select == NULL)
    return 1;
  if (s->selection == NULL)
    r = selection_parse (s->options.select, &info_select_source,
                         &s->selection);
  if (r == 0 && info_selection_needs_graph (s->selection)) {
    r = session_graph (s, &graph);
    row.node = r < 0 ? NULL : graph_find (graph, dmi->dev);
  }
  return r < 0 ? r : selection_match (s->selection, &row);
}

void
session_reset (struct session *s)
{
  client_close (&s->client);
  selection_free (s->selection);
  if (s->graph)
    graph_reset (s->graph);
  free (s->graph);
}
