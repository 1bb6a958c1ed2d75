/* SPDX-License-Identifier: BSD-3-Clause */
/* The graph of devices, read from a server that answers what it shall. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/graph.h"

/* Devices 1 … of the server: name, and what they stand on (0 ends). */
struct served {
  const char *name; /* NULL: in no list */
  uint64_t deps[4];
  int error;        /* what a question for its dependencies gets */
};

static struct server {
  int fd;
  const struct served *devices;
  size_t n;
} server;

static size_t
put_list (char *at)
{
  size_t bytes = 0;

  for (size_t i = 0; i < server.n; i++) {
    struct dm_name_list *record = (struct dm_name_list *) (at + bytes);

    record->dev = i + 1;
    record->next = i + 1 < server.n ? 32 : 0;
    strcpy (record->name, server.devices[i].name);
    bytes += 32;
  }
  return bytes;
}

static size_t
put_deps (const struct served *device, char *at)
{
  struct dm_target_deps *deps = (struct dm_target_deps *) at;

  while (device->deps[deps->count]) {
    deps->dev[deps->count] = device->deps[deps->count];
    deps->count++;
  }
  return sizeof *deps + deps->count * sizeof deps->dev[0];
}

static const struct served *
find_served (const char *name)
{
  for (size_t i = 0; i < server.n; i++)
    if (strcmp (server.devices[i].name, name) == 0)
      return &server.devices[i];
  return NULL;
}

static void
answer (uint32_t command, char *buffer)
{
  struct dm_ioctl *dmi = (struct dm_ioctl *) buffer;
  struct nbdm_reply head = { .magic = NBDM_MAGIC };
  const struct served *device = find_served (dmi->name);

  if (device && device->error)
    head.error = device->error;
  else {
    memset (dmi + 1, 0, 4096);
    dmi->data_start = sizeof *dmi;
    head.length = sizeof *dmi +
      (command == DM_LIST_DEVICES_CMD ? put_list ((char *) (dmi + 1)) :
       put_deps (device, (char *) (dmi + 1)));
    dmi->data_size = head.length;
  }
  send (server.fd, &head, sizeof head, MSG_NOSIGNAL);
  send (server.fd, buffer, head.length, MSG_NOSIGNAL);
}

static void *
serve (void *opaque)
{
  static char buffer[1 << 16];
  struct nbdm_request head;

  while (recv (server.fd, &head, sizeof head, MSG_WAITALL) ==
         (ssize_t) sizeof head) {
    recv (server.fd, buffer, head.length, MSG_WAITALL);
    answer (head.command, buffer);
  }
  close (server.fd);
  return NULL;
}

static struct graph graph;

static int
read_graph (const struct served *devices, size_t n)
{
  struct client client;
  pthread_t thread;
  char *message;
  int fds[2], r;

  cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), 0);
  client = (struct client) { .fd = fds[0] };
  server = (struct server) { fds[1], devices, n };
  cr_assert_eq (pthread_create (&thread, NULL, serve, NULL), 0);
  graph = (struct graph) { .by_dev = NULL };
  r = graph_read (&client, 0, &graph, &message);
  free (message);
  client_close (&client);
  pthread_join (thread, NULL);
  return r;
}

#define READ(...) \
  read_graph ((const struct served[]) { __VA_ARGS__ }, \
              sizeof ((const struct served[]) { __VA_ARGS__ }) / \
              sizeof (struct served))

/* "a b" for nodes called so, a number for one that is not mapped. */
static const char *
names (struct graph_node *const *nodes, size_t n)
{
  static char text[256];

  text[0] = '\0';
  for (size_t i = 0; i < n; i++)
    sprintf (text + strlen (text), "%s%s", i ? " " : "",
             nodes[i]->is_mapped ? nodes[i]->dmi.name : "?");
  return text;
}

#define NAMES(vector) names ((vector).ptr, (vector).len)

TestSuite (graph, .timeout = 20);

Test (graph, nodes_know_what_is_below_and_above_them)
{
  struct graph_node *b;

  cr_assert_eq (READ ({ "a", { 2, 3 } }, { "b", { 3, 99 } }, { "c" }), 0);
  b = graph_find (&graph, 2);
  cr_assert_str_eq (NAMES (b->above), "a");
  cr_assert_str_eq (NAMES (b->below), "c ?");
  cr_assert_str_eq (NAMES (graph_find (&graph, 3)->above), "b a");
  cr_assert_not (graph_find (&graph, 99)->is_mapped);
  cr_assert_null (graph_find (&graph, 98));
  graph_reset (&graph);
}

Test (graph, they_are_met_depth_first)
{
  cr_assert_eq (READ ({ "a" }, { "b", { 4, 3 } }, { "c", { 99 } }, { "d" }),
                0);
  cr_assert_str_eq (NAMES (graph.nodes), "a b c d ?");
  cr_assert_str_eq (NAMES (graph.met), "a b d c ?");
  graph_reset (&graph);
}

Test (graph, a_circle_comes_to_an_end)
{
  cr_assert_eq (READ ({ "a", { 2 } }, { "b", { 1, 2 } }), 0);
  cr_assert_eq (graph.met.len, 2);
  graph_reset (&graph);
}

Test (graph, a_device_that_has_vanished_stands_on_nothing)
{
  cr_assert_eq (READ ({ "a", { 2 } }, { "b", { 3 }, ENXIO }), 0);
  cr_assert_eq (graph_find (&graph, 2)->below.len, 0);
  graph_reset (&graph);
}

Test (graph, another_error_is_one)
{
  cr_assert_eq (READ ({ "a", { 2 }, EACCES }), -EACCES);
  graph_reset (&graph);
}
