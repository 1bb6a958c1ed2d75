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

/* Does from stand, at any distance, on md?  Each device is visited once. */
static bool
md_stands_on (struct mapped_device *from, struct mapped_device *md,
              uint64_t walk)
{
  struct md_edge *edge;

  if (from == md)
    return true;
  if (from->walk == walk)
    return false;
  from->walk = walk;
  list_for_each (edge, &from->lower_edges, link)
    if (md_stands_on (edge->lower, md, walk))
      return true;
  return false;
}

static unsigned
md_find_depth (struct mapped_device *md, uint64_t walk)
{
  struct md_edge *edge;
  unsigned d;

  if (md->walk == walk)
    return md->depth;
  md->walk = walk;
  md->depth = 1;
  list_for_each (edge, &md->lower_edges, link) {
    d = 1 + md_find_depth (edge->lower, walk);
    if (d > md->depth)
      md->depth = d;
  }
  return md->depth;
}

/* How deep the deepest stack is. */
static unsigned
registry_find_depths (struct registry *reg)
{
  struct mapped_device *md;
  unsigned d, deepest = 0;

  assert_latch_held (&reg->latch);
  reg->walk++;
  list_for_each (md, &reg->numbers, number_link) {
    d = md_find_depth (md, reg->walk);
    if (d > deepest)
      deepest = d;
  }
  return deepest;
}

static int
registry_add_edge (struct registry *reg, struct mapped_device *upper,
                   struct md_edge *edge, struct message *msg)
{
  if (md_stands_on (edge->lower, upper, ++reg->walk))
    return message_set (msg, ELOOP, "%s would come to stand on itself",
                        upper->name);
  list_add_tail (&upper->lower_edges, &edge->link);
  if (registry_find_depths (reg) > MD_MAX_DEPTH) {
    list_del (&edge->link);
    return message_set (msg, ELOOP, "more than %d devices would be stacked",
                        MD_MAX_DEPTH);
  }
  return 0;
}

static int
registry_try_open (struct registry *reg, struct mapped_device *md,
                   struct mapped_device *upper, struct md_edge *edge,
                   struct message *msg)
{
  int r = 0;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (reg->dying)
    return message_set (msg, ESHUTDOWN, "the server is shutting down");
  if (md->deleting)
    return message_set (msg, ENXIO, "%s: is being removed", md->name);
  if (upper)
    r = registry_add_edge (reg, upper, edge, msg);
  if (r == 0) {
    md->open_count++;
    registry_held (md);
  }
  return r;
}

int
registry_open (struct registry *reg, struct mapped_device *md,
               struct mapped_device *upper, struct message *msg)
{
  struct md_edge *edge = NULL;
  int r;

  if (upper) {
    edge = malloc (sizeof *edge);
    if (edge == NULL)
      return message_set (msg, ENOMEM, "out of memory");
    edge->lower = md;
  }
  r = registry_try_open (reg, md, upper, edge, msg);
  if (r < 0)
    free (edge);
  return r;
}

static struct md_edge *
md_take_edge (struct mapped_device *upper, struct mapped_device *lower)
{
  struct md_edge *edge;

  list_for_each (edge, &upper->lower_edges, link)
    if (edge->lower == lower) {
      list_del (&edge->link);
      return edge;
    }
  assert (!"closed more often than opened");
  return NULL;
}

void
registry_close (struct registry *reg, struct mapped_device *md,
                struct mapped_device *upper)
{
  struct md_edge *edge = NULL;
  bool last;

  assert_no_latch_held ();
  latch_acquire (&reg->latch);
  if (upper)
    edge = md_take_edge (upper, md);
  assert (md->open_count > 0);
  md->open_count--;
  last = md->open_count == 0 && md->deferred_remove;
  if (last)
    registry_claim (md);
  registry_unhold (reg, md);
  latch_release (&reg->latch);
  free (edge);
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

  latch_acquire (&reg->latch);
  depth = registry_find_depths (reg);
  latch_release (&reg->latch);
  for (; depth > 0; depth--)
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
