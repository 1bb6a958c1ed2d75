/* SPDX-License-Identifier: BSD-3-Clause */
/* The door's own joints: what the plugin*.c share. */

#ifndef NBDM_PLUGIN_H
#define NBDM_PLUGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"
#include "common/list.h"
#include "server/dm-interface.h"
#include "server/edge.h"

/* Only these files know nbdkit: its symbols exist only inside nbdkit, so
 * nothing that a unit test links may name them.
 *
 * Threads (nbdkit 1.32): config and get_ready run on the main thread before the
 * server forks, after_fork, cleanup and unload on the main thread of the child,
 * what concerns an export or a request on threads of its connection.
 */

/* One per server.  Set up before the fork, fixed until unload. */
struct door {
  struct registry *registry;
  struct reload *reload;
  char *only_export; /* export=NAME: no other device is served; or NULL */
};

extern struct door door;

/* ------------------------------------------------------------------
 * plugin-export.c: exports and handles; plugin-io.c: requests.
 */

struct nbdkit_plugin;

/* One per open of an export: one per connection, more while it negotiates. */
struct handle {
  struct list link;
  struct mapped_device *md;
  struct block_device *bdev; /* md's */
  unsigned lane;             /* of its bios: a small number, no other's */
};

/* Enter the callbacks into nbdkit's table. */
void export_register (struct nbdkit_plugin *plugin);
void io_register (struct nbdkit_plugin *plugin);

/* Close the handles that nbdkit has left open: it closes none of the
 * connections that were still there when the server was told to end.  All
 * connection threads have ended.
 */
void export_close_all (void);

/* ------------------------------------------------------------------
 * plugin-stop.c: noticing the end of the server while clients still wait.
 */

/* Start the thread that waits for the end (after the fork, once the loop
 * runs).  When the end comes it wakes every bio that is parked at a gate, waits
 * timeout_s seconds for what is in flight, makes everything durable and stops
 * the loop.  If clients still hold the server then, the process ends without
 * asking them: an idle connection keeps nbdkit 1.32 alive for ever.  0 or
 * -errno.
 */
int stop_watch_start (unsigned timeout_s);

/* All connections have ended: join the thread, which has then stopped the
 * loop.  Safe if it was never started.
 */
void stop_watch_join (void);

#endif /* NBDM_PLUGIN_H */
