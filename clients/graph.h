/* SPDX-License-Identifier: BSD-3-Clause */
/* All mapped devices and what stands on what. */

#ifndef NBDM_GRAPH_H
#define NBDM_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/client.h"
#include "common/vector.h"

struct graph_node {
  uint64_t dev;              /* ioctl's encoding */
  bool is_mapped;            /* else only dev is set */
  bool is_visited;
  struct dm_ioctl dmi;       /* the header of its status */
  VECTOR (struct graph_node *) below, above; /* in the order they were met */
};

struct graph {
  VECTOR (struct graph_node *) nodes; /* mapped ones first, by name */
  VECTOR (struct graph_node *) met;   /* the same, depth first from there */
  void *by_dev;                       /* tsearch(3) */
};

/* Ask the server for all devices and their live (flags: or inactive) tables'
 * dependencies: one call for each.  A device that vanishes meanwhile is one
 * without dependencies.  0 or -errno, with *graph for graph_reset anyway;
 * *message (malloc'ed or NULL) is the server's reason.
 */
int graph_read (struct client *client, uint32_t flags, struct graph *graph,
                char **message);

/* NULL if there is none. */
struct graph_node *graph_find (const struct graph *graph, uint64_t dev);

void graph_reset (struct graph *graph);

#endif /* NBDM_GRAPH_H */
