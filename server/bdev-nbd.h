/* SPDX-License-Identifier: BSD-3-Clause */
/* Upstream NBD exports: what the bdev-nbd*.c files share. */

#ifndef NBDM_BDEV_NBD_H
#define NBDM_BDEV_NBD_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"
#include "common/list.h"
#include "common/lock.h"
#include "common/message.h"
#include "server/bdev.h"

struct nbd_handle;
struct upstream;

/* ------------------------------------------------------------------
 * bdev-nbd-handle.c: one libnbd handle.  A handle is a mutex: a call may wait
 * for another thread's call on it, but none of those used here waits for the
 * socket.
 */

/* How to connect, and when to stop trying. */
struct upstream_dial {
  const char *uri;
  bool structured;          /* ask for structured replies and extents */
  uint64_t deadline_ns;     /* CLOCK_MONOTONIC */
  int kick_fd;              /* an eventfd: look at *cancel */
  const atomic_bool *cancel;
};

/* Connect and negotiate; blocks up to the deadline (a name is looked up by
 * the system's resolver, which has its own idea of time).  0, or -errno with
 * the message set: -ETIMEDOUT, -ESHUTDOWN if cancelled, what connect failed
 * with, or -ENODEV if the server refuses the export.
 */
int upstream_dial (const struct upstream_dial *dial, struct nbd_handle **h,
                   struct message *msg);

/* Say goodbye if the server still listens and close; never blocks.  Commands
 * under way end without their callbacks, and their buffers are not touched any
 * more.
 */
void upstream_hang_up (struct nbd_handle *h);

/* Wait for the socket or the eventfd and let the handle go on: completion
 * callbacks run.  0, or -ETIMEDOUT, or -ENOTCONN for a handle that is dead.
 * timeout_ms as poll's.
 */
int upstream_poll (struct nbd_handle *h, int kick_fd, int timeout_ms);

/* ------------------------------------------------------------------
 * bdev-nbd-conn.c: a connection that several threads use at once and that
 * comes back.
 *
 * Leader and followers: a thread that waits for its request polls the socket
 * itself if nobody does (it leads) and completes whatever answers arrive;
 * otherwise it sleeps.  When the leader's own request is done it hands the
 * role to the thread that joined last: the one that can be expected to stay
 * longest.  So a single request costs no thread switch, and no thread exists
 * for the connection.  A leader that is alone looks for the answer for some
 * microseconds before it sleeps.
 *
 * Losing the connection: requests that were not answered stay on the list, new
 * ones join them.  The leader connects again, with growing pauses, issues them
 * all once more and goes on.  It gives up `reconnect` seconds after the last
 * moment when the server was known to answer: then all fail with -EIO, and
 * later ones at once, except that one at a time, after each pause, causes
 * another attempt.
 *
 * What a lost connection means for data: each request is repeated until it has
 * been answered once, in no particular order, which for a block device is as
 * good as once.  A write answered on the old connection and not yet flushed
 * is where the server had it: in the page cache of its host, which
 * survives the death of the server process and is made durable by a flush
 * through the new one.  Whoever cannot trust the server's host to stay up, or
 * the server to keep its data outside its own memory, sets reconnect to 0 and
 * gets an error instead.
 */
struct upstream_conn {
  struct upstream *up;
  bool structured;
  int kick_fd;

  struct latch latch;      /* guards the next five */
  struct list requests;    /* struct upstream_request: not yet done */
  bool led;                /* some thread is the leader */
  bool connected;          /* issue at once; else the leader will */
  uint64_t give_up_ns;     /* while not connected: fail from then on … */
  uint64_t retry_ns;       /* … but try again then */

  struct nbd_handle *h;    /* changed by the leader while not connected and
                              nobody is issuing */
  bool told;               /* the leader's: why the first attempt failed */
  unsigned pause_ms;       /* the leader's: before the next attempt */
  unsigned replies_before; /* the leader's: replies when it connected */
  unsigned spin_misses;    /* the leader's: answers that did not come soon */

  atomic_uint issuing;     /* threads that use h and are not the leader */
  atomic_uint load;        /* requests not yet finished */
  atomic_uint replies;     /* answers of any kind, ever */
  atomic_bool polling;     /* the leader sleeps, or is about to */
  atomic_int trust;        /* enum upstream_trust */
};

/* A server that is ending may say so in answer to a request, or answer what it
 * has begun and close; nbdkit then waits until the client has closed the other
 * connections.
 */
enum upstream_trust {
  UPSTREAM_FINE,
  UPSTREAM_SUSPECT, /* another was lost: close when nobody leads */
  UPSTREAM_ENDING,  /* the server says it is going: close at once */
};

/* A thread that sleeps for one of its requests. */
struct upstream_waiter {
  sem_t sem;
  bool lead;               /* woken to lead, not because it is done */
  struct upstream_waiter *next; /* for requests_wake */
};

/* What a block status request brings back: pairs of a length in bytes and
 * flags, as on the wire.
 */
#define UPSTREAM_MAX_EXTENTS 256
struct upstream_extents {
  unsigned nr;             /* pairs */
  uint32_t entries[2 * UPSTREAM_MAX_EXTENTS];
};

/* Lives from conn_start to conn_finish; fits in bio.device_private.  It is done
 * when every command it was cut into has been answered, and not ours any more
 * from the moment done is set.
 */
struct upstream_request {
  struct list link;
  struct upstream_conn *conn;
  struct bio *bio;
  struct upstream_extents *extents; /* block status of the bio's range */
  struct upstream_waiter *waiter;   /* under the latch */
  atomic_uint pending;              /* commands not yet answered */
  int error;                        /* errno of the first that failed */
  bool lost;                        /* has to be issued (again) */
  atomic_bool done;
};

/* bdev-nbd-request.c: issue all commands of a request on req->conn->h, whose
 * pending is 1 for the caller and who keeps the handle from being changed.
 * Does not wait; the request may be done on return.  What the connection takes
 * down with it when it dies becomes lost, not done.
 */
void request_issue (struct upstream_request *req);

/* Wake the threads whose requests were completed on this one.  Call after
 * everything that may complete some (issuing, polling, hanging up): not done on
 * the spot, because the handle is locked there, and who wakes up on this CPU
 * would make all others wait for it.
 */
void requests_wake (void);

/* structured: see struct upstream_dial.  Does not connect. */
int conn_init (struct upstream_conn *conn, struct upstream *up,
               bool structured);

/* Use a handle that has been connected; before the first request. */
void conn_adopt (struct upstream_conn *conn, struct nbd_handle *h);

void conn_destroy (struct upstream_conn *conn); /* nothing is under way */

/* Issue what bio (and extents) say, within bdev_size.  Does not wait.  -errno:
 * conn_finish must not be called.
 */
int conn_start (struct upstream_conn *conn, struct upstream_request *req,
                struct bio *bio, struct upstream_extents *extents);

/* Wait for it; returns 0 or -errno, the server's as libnbd tells it, -EIO for
 * a lost connection, -ESHUTDOWN after upstream_shutdown.
 */
int conn_finish (struct upstream_request *req);

/* Make the leader look around. */
void conn_kick (struct upstream_conn *conn);

/* ------------------------------------------------------------------
 * bdev-nbd.c: the device.
 */
struct upstream {
  struct block_device bdev;
  char *uri;
  struct bdev_options options;
  struct queue_limits limits;

  /* What the server said it can; the same on all connections and, or we do
   * not reconnect, for ever.
   */
  struct upstream_features {
    bool flush, fua, trim, zero, fast_zero, cache, multi_conn, extents;
    bool readonly;
  } can;

  atomic_bool ending;       /* upstream_shutdown was called */
  unsigned nr_conns;
  unsigned first_data_conn; /* 1 if conns[0] serves extents only */
  struct upstream_conn *conns;
};

/* Check that a new connection leads to what the old ones did, and take over
 * its size.  0, or -EIO with the message set.
 */
int upstream_recognise (struct upstream *up, struct nbd_handle *h,
                        struct message *msg);

/* When an attempt to connect that starts now has to end. */
uint64_t upstream_connect_deadline (const struct upstream *up);

#endif /* NBDM_BDEV_NBD_H */
