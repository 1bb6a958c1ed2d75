/* SPDX-License-Identifier: BSD-3-Clause */
/* Who stands on whom: openers, depths, and the end of the server. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/log.h"
#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * Openers.
 */

/* Is upper, or anything that stands on it, lower?  Whatever stands on another
 * is deeper, so that nothing from lower's depth on needs to be looked at but
 * lower; and each device is visited once.
 */
static bool
md_is_below (struct mapped_device *upper, struct mapped_device *lower,
             uint64_t walk)
{
  struct md_edge *edge;

  if (upper == lower)
    return true;
  if (upper->depth >= lower->depth || upper->walk == walk)
    return false;
  upper->walk = walk;
  list_for_each (edge, &upper->upper_edges, upper_link)
    if (md_is_below (edge->upper, lower, walk))
      return true;
  return false;
}

/* One more than what is deepest below; over MD_MAX_DEPTH it counts no more. */
static unsigned
md_find_depth (const struct mapped_device *md)
{
  unsigned d = MD_MAX_DEPTH + 1;

  if (md->nr_below[d] > 0)
    return d;
  while (--d > 0 && md->nr_below[d] == 0)
    ;
  return d + 1;
}

/* What is below md has changed: so may its own depth, and then that of those
 * above.  Within one change all depths move one way, so none moves more often
 * than there are depths.
 */
static void
md_update_depth (struct mapped_device *md)
{
  unsigned was = md->depth;
  struct md_edge *edge;

  md->depth = md_find_depth (md);
  if (md->depth == was)
    return;
  md->registry->nr_too_deep += md->depth > MD_MAX_DEPTH;
  md->registry->nr_too_deep -= was > MD_MAX_DEPTH;
  list_for_each (edge, &md->upper_edges, upper_link) {
    edge->upper->nr_below[was]--;
    edge->upper->nr_below[md->depth]++;
    md_update_depth (edge->upper);
  }
}

int
edge_compare (const void *key, const struct tree_node *node)
{
  const struct md_edge *a = key;
  const struct md_edge *b = container_of (node, struct md_edge, by_lower);

  if (a->lower != b->lower)
    return a->lower > b->lower ? 1 : -1;
  return a->writable - b->writable;
}

static void
edge_add (struct md_edge *edge)
{
  tree_add (&edge->upper->lower_edges, edge, &edge->by_lower);
  list_add_tail (&edge->lower->upper_edges, &edge->upper_link);
  edge->upper->nr_below[edge->lower->depth]++;
  md_update_depth (edge->upper);
}

static void
edge_del (struct md_edge *edge)
{
  tree_del (&edge->upper->lower_edges, edge);
  list_del (&edge->upper_link);
  edge->upper->nr_below[edge->lower->depth]--;
  md_update_depth (edge->upper);
}

static int
registry_add_edge (struct registry *reg, struct md_edge *edge,
                   struct message *msg)
{
  edge->tables = 1;
  if (md_is_below (edge->upper, edge->lower, ++reg->walk))
    return message_set (msg, ELOOP, "%s would come to stand on itself",
                        edge->upper->name);
  edge_add (edge);
  if (reg->nr_too_deep > 0) {
    edge_del (edge);
    return message_set (msg, ELOOP, "more than %d devices would be stacked",
                        MD_MAX_DEPTH);
  }
  return 0;
}

/* Put the edge that another table of upper has made in the place of this one;
 * false if there is none.
 */
static bool
edge_share (struct md_edge **edge)
{
  struct tree_node *node = tree_find (&(*edge)->upper->lower_edges, *edge);

  if (node == NULL)
    return false;
  free (*edge);
  *edge = container_of (node, struct md_edge, by_lower);
  (*edge)->tables++;
  return true;
}

/* edge: NULL for a connection. */
static int
registry_try_open (struct registry *reg, struct mapped_device *md,
                   struct md_edge **edge, struct message *msg)
{
  bool shared = false;
  int r = 0;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (reg->dying)
    return message_set (msg, ESHUTDOWN, "the server is shutting down");
  if (md->deleting)
    return message_set (msg, ENXIO, "%s: is being removed", md->name);
  if (edge) {
    shared = edge_share (edge);
    r = shared ? 0 : registry_add_edge (reg, *edge, msg);
  }
  if (r == 0) {
    md->open_count += !shared;
    list_del (&md->idle_link);
    registry_held (md);
  }
  return r;
}

int
registry_open (struct registry *reg, struct mapped_device *md,
               struct mapped_device *upper, bool writable,
               struct md_edge **out, struct message *msg)
{
  struct md_edge *edge;
  int r;

  if (upper == NULL)
    return registry_try_open (reg, md, NULL, msg);
  edge = malloc (sizeof *edge);
  if (edge == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  *edge = (struct md_edge) {
    .lower = md, .upper = upper, .writable = writable
  };
  r = registry_try_open (reg, md, &edge, msg);
  if (r < 0)
    free (edge);
  else
    *out = edge;
  return r;
}

/* True if the device is to be removed now, and has been claimed. */
static bool
registry_close_one (struct registry *reg, struct mapped_device *md,
                    struct md_edge *edge)
{
  bool shared;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  shared = edge && --edge->tables > 0;
  if (edge && !shared) {
    edge_del (edge);
    free (edge);
  }
  assert (md->open_count > 0);
  md->open_count -= !shared;
  if (md->open_count == 0 && md->listed)
    list_add_tail (&reg->idle, &md->idle_link);
  registry_unhold (reg, md);
  if (md->open_count > 0 || !md->deferred_remove)
    return false;
  registry_claim (md);
  return true;
}

void
registry_close (struct registry *reg, struct mapped_device *md,
                struct md_edge *edge)
{
  bool last;

  assert_no_latch_held ();
  last = registry_close_one (reg, md, edge);
  if (last)
    registry_destroy_claimed (md);
}

/* ------------------------------------------------------------------
 * The end of the server.
 */

static bool
md_has_depth (struct mapped_device *md, unsigned depth)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);

  return md->depth == depth;
}

/* Top-down: what a device has in flight, and what its targets still have to
 * write, needs all devices below.  Depths do not change any more, since
 * nothing is opened on a dying registry.
 */
static bool
registry_shutdown_all (struct registry *reg, struct mapped_device **mds,
                       size_t n, uint64_t deadline_ns)
{
  unsigned depth;
  bool drained = true;
  size_t i;

  for (depth = MD_MAX_DEPTH; depth > 0; depth--)
    for (i = 0; i < n; i++)
      if (md_has_depth (mds[i], depth))
        drained &= md_shutdown (mds[i], deadline_ns);
  return drained;
}

bool
registry_shutdown (struct registry *reg, uint64_t deadline_ns)
{
  struct mapped_device **mds;
  bool drained;
  size_t i, n;

  reg->dying = true;
  if (registry_list (reg, &mds, &n) < 0) {
    log_error ("out of memory during shutdown");
    return false;
  }
  /* Only those that wait for something outside feel it; they would wait
   * longer than we do.
   */
  devices_shutdown ();
  for (i = 0; i < n; i++)
    md_shutdown_begin (mds[i]);
  drained = registry_shutdown_all (reg, mds, n, deadline_ns);
  for (i = 0; i < n; i++)
    md_put (mds[i]);
  free (mds);
  if (!drained)
    log_error ("requests are still under way: ending without them");
  return devices_flush () == 0 && drained;
}
