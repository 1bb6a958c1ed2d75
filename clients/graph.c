/* SPDX-License-Identifier: BSD-3-Clause */
/* All mapped devices and what stands on what. */

#include "clients/graph.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "clients/reply.h"

static int
compare_nodes (const void *a, const void *b)
{
  const struct graph_node *x = a, *y = b;

  return x->dev < y->dev ? -1 : x->dev > y->dev;
}

struct graph_node *
graph_find (const struct graph *graph, uint64_t dev)
{
  const struct graph_node key = { .dev = dev };
  struct graph_node **found = tfind (&key, &graph->by_dev, compare_nodes);

  return found ? *found : NULL;
}

static struct graph_node *
graph_add (struct graph *graph, uint64_t dev)
{
  struct graph_node *node = calloc (1, sizeof *node);

  if (node == NULL || vector_append (&graph->nodes, node) < 0) {
    free (node);
    return NULL;
  }
  node->dev = dev;
  return tsearch (node, &graph->by_dev, compare_nodes) ? node : NULL;
}

/* The node of a device that tables stand on, mapped or not. */
static struct graph_node *
graph_get (struct graph *graph, uint64_t dev)
{
  struct graph_node *node = graph_find (graph, dev);

  return node ? node : graph_add (graph, dev);
}

static int
graph_link (struct graph_node *above, struct graph_node *below)
{
  return vector_append (&above->below, below) < 0 ? -ENOMEM :
    vector_append (&below->above, above);
}

static int graph_visit (struct client *client, uint32_t flags,
                        struct graph *graph, struct graph_node *node,
                        char **message);

static int
graph_add_deps (struct client *client, uint32_t flags, struct graph *graph,
                struct graph_node *node, const struct call *call,
                char **message)
{
  struct reply_walk walk = reply_walk (call);
  uint32_t count;
  uint64_t dev;
  int r = reply_deps_count (&walk, &count);

  while (r >= 0 && (r = reply_next_dep (&walk, &dev)) > 0) {
    struct graph_node *below = graph_get (graph, dev);

    r = below ? graph_link (node, below) : -ENOMEM;
    if (r == 0)
      r = graph_visit (client, flags, graph, below, message);
  }
  return r;
}

/* Depth first, as libdevmapper builds its tree: the order of what it shows
 * comes from that.
 */
static int
graph_visit (struct client *client, uint32_t flags, struct graph *graph,
             struct graph_node *node, char **message)
{
  struct call call = { .request.flags = flags };
  int r;

  if (node->is_visited)
    return 0;
  node->is_visited = true;
  r = vector_append (&graph->met, node);
  if (r < 0 || !node->is_mapped)
    return r;
  strcpy (call.request.name, node->dmi.name);
  r = client_call (client, DM_TABLE_DEPS_CMD, &call);
  if (r == 0) {
    node->dmi = *call.reply;
    r = graph_add_deps (client, flags, graph, node, &call, message);
  }
  else if (r == -ENXIO)
    r = 0;
  else {
    *message = call.message;
    call.message = NULL;
  }
  call_reset (&call);
  return r;
}

static int
graph_add_names (struct graph *graph, const struct call *call)
{
  struct reply_walk walk = reply_walk (call);
  struct reply_name name;
  int r;

  while ((r = reply_next_name (&walk, &name)) > 0) {
    struct graph_node *node = graph_add (graph, name.dev);

    if (node == NULL)
      return -ENOMEM;
    if (strlen (name.name) >= sizeof node->dmi.name)
      return -EPROTO;
    strcpy (node->dmi.name, name.name);
    node->dmi.dev = name.dev;
    node->is_mapped = true;
  }
  return r;
}

int
graph_read (struct client *client, uint32_t flags, struct graph *graph,
            char **message)
{
  struct call call = { .reply = NULL };
  size_t mapped;
  int r = client_call (client, DM_LIST_DEVICES_CMD, &call);

  *message = call.message;
  call.message = NULL;
  if (r == 0)
    r = graph_add_names (graph, &call);
  call_reset (&call);
  mapped = graph->nodes.len;
  for (size_t i = 0; i < mapped && r == 0; i++)
    r = graph_visit (client, flags, graph, graph->nodes.ptr[i], message);
  return r;
}

static void
keep (void *node)
{
}

void
graph_reset (struct graph *graph)
{
  tdestroy (graph->by_dev, keep);
  graph->by_dev = NULL;
  for (size_t i = 0; i < graph->nodes.len; i++) {
    vector_reset (&graph->nodes.ptr[i]->below);
    vector_reset (&graph->nodes.ptr[i]->above);
    free (graph->nodes.ptr[i]);
  }
  vector_reset (&graph->nodes);
  vector_reset (&graph->met);
}
