/* SPDX-License-Identifier: BSD-3-Clause */
/* A control client's connection, for control.c and control-call.c. */

#ifndef NBDM_CONTROL_H
#define NBDM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "common/list.h"
#include "common/protocol.h"
#include "server/edge.h"
#include "server/loop.h"

/*   accept            frame complete            result
 *     |                     |                     |
 *     +---> [ READING ] ----+----> [ BUSY ] ------+----> [ WRITING ]
 *               ^                  |      ^                   |
 *               |     -EINPROGRESS v      | event, hang-up    |
 *               |              [ WAITING ] -+                 |
 *               +------------------(reply sent)---------------+
 *
 *  READING  the socket is read from
 *  BUSY     a job runs or queues; it alone uses call; wait is initialised
 *  WAITING  call.waiter is queued, no thread has anything to do with it
 *  WRITING  the reply goes out as fast as the client takes it, or the word of
 *           an event that a connection was armed for
 *
 * Everything else belongs to the loop thread.  A connection goes away in
 * READING and WRITING only; otherwise it first has to be broken off.
 */
enum connection_state { CONN_READING, CONN_BUSY, CONN_WAITING, CONN_WRITING };

struct connection {
  struct list link;
  const struct loop_config *config;
  enum connection_state state;
  int fd;
  ev_io in, out;
  bool hung_up;            /* break off whatever it waits for */
  bool fired;              /* call.waiter has */
  bool cancelled;          /* the wait is to end although it has not */
  bool last;               /* close after this reply */
  bool reads_only;         /* it is of the group that may not change anything */

  struct nbdm_request request;
  size_t received;         /* bytes of the request, header included */

  struct dm_wait wait;
  struct dm_ioctl_call call;
  size_t buffer_size;      /* call.buffer as allocated */
  struct loop_job job;
  struct loop_task fire;

  struct list armed_link;  /* control.armed, if an event is to be told … */
  uint32_t armed_nr;       /* … once the global counter is past this */

  struct nbdm_reply reply;
  size_t sent;             /* bytes of the reply, header included */
};

/* Carry out the request in call; call.result and call.buffer become the reply.
 * On a verb thread, blocks as long as the verb does.
 */
void control_run (struct connection *conn);

/* control-own.c: the same for commands whose payload is not just text; *reply,
 * of *length bytes, is malloc'ed, NULL for none.  0 or -errno.
 */
int control_run_own (struct connection *conn, char **reply, size_t *length);

/* control-metrics.c: the reply of NBDM_METRICS. */
int control_metrics (struct registry *reg, char **text, size_t *length);

/* End a DM_DEV_WAIT that has fired or, if cancelled is set, break it off. */
void control_run_ending (struct connection *conn);

/* Free call.buffer, wiped if the client wishes so. */
void control_drop_buffer (struct connection *conn);

#endif /* NBDM_CONTROL_H */
