/* SPDX-License-Identifier: BSD-3-Clause */
/* One upstream connection: leader, followers, loss and return. */

#include "server/bdev-nbd.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libnbd.h>

#include "common/log.h"

/* Between attempts to connect: doubled from the first to the last. */
#define CONN_FIRST_PAUSE_MS 100
#define CONN_LAST_PAUSE_MS 4000

/* How long the socket may be silent once the server is ending. */
#define CONN_ENDING_SILENCE_MS 1000

#define NS_PER_MS UINT64_C (1000000)

/* How long a thread that is alone looks at the socket before it sleeps.  About
 * what going to sleep and waking up cost: a server on this host has mostly
 * answered by then (15 % more requests at depth 1; longer gains no more).  For
 * one that never has, so many attempts in a row, and then one in so many.
 */
#define CONN_SPIN_NS 25000
#define CONN_SPIN_ATTEMPTS 16
#define CONN_SPIN_RARELY 64

/* ------------------------------------------------------------------
 * The leader: a connection that works.
 */

static int
conn_silence_ms (const struct upstream_conn *conn)
{
  unsigned seconds = conn->up->options.timeout;

  if (conn->up->ending)
    return CONN_ENDING_SILENCE_MS;
  return seconds > 0 && seconds < INT_MAX / 1000 ? (int) seconds * 1000 : -1;
}

/* Only one request is under way in the whole device.  Else there are threads
 * enough that want the CPU.
 */
static bool
conn_is_alone (const struct upstream_conn *conn)
{
  const struct upstream *up = conn->up;
  const struct upstream_conn *other;
  unsigned load = 0;

  for (other = up->conns; other < up->conns + up->nr_conns && load < 2; other++)
    load += other->load;
  return load == 1;
}

static bool
conn_may_spin (struct upstream_conn *conn)
{
  return conn_is_alone (conn) &&
    (conn->spin_misses < CONN_SPIN_ATTEMPTS ||
     conn->spin_misses++ % CONN_SPIN_RARELY == 0);
}

static int
conn_spin (struct upstream_conn *conn)
{
  uint64_t end = monotonic_ns () + CONN_SPIN_NS;
  int r;

  do
    r = upstream_poll (conn->h, conn->kick_fd, 0);
  while (r == -ETIMEDOUT && monotonic_ns () < end);
  conn->spin_misses = r == -ETIMEDOUT ? conn->spin_misses + 1 : 0;
  return r;
}

/* Wait for the socket once.  libnbd is never asked to read unless there is
 * something: while it waits for an answer that has not begun to arrive it sends
 * nothing, not even the rest of a command (1.14).
 */
static int
conn_serve (struct upstream_conn *conn)
{
  int r = -ETIMEDOUT;

  if (conn->trust == UPSTREAM_ENDING)
    return -ENOTCONN;
  conn->polling = true;
  if (conn_may_spin (conn))
    r = conn_spin (conn);
  if (r == -ETIMEDOUT)
    r = upstream_poll (conn->h, conn->kick_fd, conn_silence_ms (conn));
  conn->polling = false;
  requests_wake ();
  return r;
}

/* ------------------------------------------------------------------
 * The leader: a connection that is gone.
 */

static void
conn_fail_all (struct upstream_conn *conn, int err)
{
  ACQUIRE_LATCH_FOR_SCOPE (&conn->latch);
  struct upstream_request *req, *next;

  list_for_each_safe (req, next, &conn->requests, link) {
    struct upstream_waiter *waiter = req->waiter;

    req->waiter = NULL;
    req->error = err;
    list_del (&req->link);
    req->done = true;
    if (waiter)
      sem_post (&waiter->sem);
  }
}

/* The next attempt comes later, and the one after it later still. */
static void
conn_put_off (struct upstream_conn *conn, uint64_t now)
{
  assert_latch_held (&conn->latch);
  conn->retry_ns = now + conn->pause_ms * NS_PER_MS;
  conn->pause_ms *= 2;
  if (conn->pause_ms > CONN_LAST_PAUSE_MS)
    conn->pause_ms = CONN_LAST_PAUSE_MS;
}

/* Nobody is in the handle any more and it is gone: what it had not answered
 * has to be issued again.
 */
static void
conn_take_back (struct upstream_conn *conn)
{
  ACQUIRE_LATCH_FOR_SCOPE (&conn->latch);
  struct upstream_request *req;
  uint64_t now = monotonic_ns ();

  list_for_each (req, &conn->requests, link) {
    req->pending = 0;
    req->lost = true;
  }
  /* A server that came back, but dies before it answers anything, has not
   * come back.
   */
  if (conn->replies == conn->replies_before) {
    conn_put_off (conn, now);
    return;
  }
  conn->pause_ms = CONN_FIRST_PAUSE_MS;
  conn->give_up_ns = now + NS_PER_MS * 1000 * conn->up->options.reconnect;
  conn->retry_ns = now;
}

/* Stop leading. */
static void
conn_hand_on (struct upstream_conn *conn)
{
  struct upstream_waiter *waiter = NULL;
  struct list *l;

  latch_acquire (&conn->latch);
  for (l = conn->requests.prev; l != &conn->requests && !waiter; l = l->prev) {
    struct upstream_request *req =
      container_of (l, struct upstream_request, link);

    waiter = req->waiter;
    req->waiter = NULL;
  }
  if (waiter)
    waiter->lead = true;
  else
    conn->led = false;
  latch_release (&conn->latch);
  if (waiter)
    sem_post (&waiter->sem);
}

/* Call as the leader. */
static void
conn_close (struct upstream_conn *conn)
{
  latch_acquire (&conn->latch);
  conn->connected = false;
  latch_release (&conn->latch);
  /* To issue is never to wait for anything. */
  while (conn->issuing > 0)
    sched_yield ();
  upstream_hang_up (conn->h);
  requests_wake ();
  conn->h = NULL;
  conn_take_back (conn);
  conn->told = false;
  if (monotonic_ns () >= conn->give_up_ns)
    conn_fail_all (conn, EIO);
}

/* A connection that nobody leads has nobody to see that it should be closed.
 * It may have been asked something by a thread that now waits for another one,
 * so for the server to come back, which waits for this one to be closed.  It
 * comes back when it is needed.
 */
static void
conn_close_unled (struct upstream_conn *conn)
{
  bool close;

  latch_acquire (&conn->latch);
  close = conn->connected && !conn->led &&
    (list_empty (&conn->requests) || conn->up->options.reconnect);
  conn->led = conn->led || close;
  latch_release (&conn->latch);
  if (!close)
    return;
  conn_close (conn);
  conn_hand_on (conn);
}

static void
conn_lost (struct upstream_conn *conn)
{
  struct upstream *up = conn->up;
  struct upstream_conn *other;

  log_error ("%s: connection lost, I/O %s until it is back", up->bdev.name,
             up->options.reconnect ? "waits" : "fails");
  conn_close (conn);
  for (other = up->conns; other < up->conns + up->nr_conns; other++) {
    int fine = UPSTREAM_FINE;

    atomic_compare_exchange_strong (&other->trust, &fine, UPSTREAM_SUSPECT);
    conn_close_unled (other);
  }
}

static struct upstream_request *
conn_next_lost (struct upstream_conn *conn)
{
  ACQUIRE_LATCH_FOR_SCOPE (&conn->latch);
  struct upstream_request *req;

  list_for_each (req, &conn->requests, link)
    if (req->lost && req->pending == 0) {
      req->lost = false;
      req->error = 0;
      req->pending = 1;
      return req;
    }
  conn->connected = true;
  return NULL;
}

/* Issue what waited, until nothing more has joined. */
static void
conn_resume (struct upstream_conn *conn, struct nbd_handle *h)
{
  struct upstream_request *req;

  conn->h = h;
  conn->trust = UPSTREAM_FINE;
  conn->replies_before = conn->replies;
  while ((req = conn_next_lost (conn)) != NULL) {
    request_issue (req);
    requests_wake ();
    if (nbd_aio_get_direction (h) == 0)
      return; /* dead already */
  }
}

static int
conn_dial (struct upstream_conn *conn, struct nbd_handle **h,
           struct message *msg)
{
  struct upstream *up = conn->up;
  struct upstream_dial dial = {
    .uri = up->uri,
    .structured = conn->structured,
    .deadline_ns = upstream_connect_deadline (up),
    .kick_fd = conn->kick_fd,
    .cancel = &up->ending,
  };
  int r;

  if (conn->give_up_ns > monotonic_ns () && conn->give_up_ns < dial.deadline_ns)
    dial.deadline_ns = conn->give_up_ns;
  r = upstream_dial (&dial, h, msg);
  if (r < 0)
    return r;
  r = upstream_recognise (up, *h, msg);
  if (r < 0)
    upstream_hang_up (*h);
  return r;
}

static void
conn_try (struct upstream_conn *conn)
{
  struct message msg = { "" };
  struct nbd_handle *h;
  uint64_t now;
  int r;

  r = conn_dial (conn, &h, &msg);
  if (r == 0) {
    log_info ("%s: connected again", conn->up->bdev.name);
    conn->up->bdev.reconnects++;
    conn_resume (conn, h);
    return;
  }
  if (conn->told)
    log_debug ("%s: %s", conn->up->bdev.name, msg.text);
  else
    log_info ("%s: not back yet: %s", conn->up->bdev.name, msg.text);
  conn->told = true;
  now = monotonic_ns ();
  latch_acquire (&conn->latch);
  conn_put_off (conn, now);
  latch_release (&conn->latch);
  if (now >= conn->give_up_ns)
    conn_fail_all (conn, EIO);
}

/* One step of coming back: a pause or an attempt. */
static void
conn_revive (struct upstream_conn *conn)
{
  struct pollfd kick = { .fd = conn->kick_fd, .events = POLLIN };
  uint64_t now = monotonic_ns ();
  eventfd_t ignored;

  if (conn->up->ending)
    conn_fail_all (conn, ESHUTDOWN);
  else if (now >= conn->retry_ns)
    conn_try (conn);
  else if (poll (&kick, 1, (conn->retry_ns - now) / NS_PER_MS + 1) > 0)
    eventfd_read (conn->kick_fd, &ignored);
}

/* ------------------------------------------------------------------
 * Roles.
 */

static void
conn_lead (struct upstream_conn *conn, const struct upstream_request *req)
{
  assert_no_latch_held ();
  while (!req->done) {
    if (conn->h == NULL)
      conn_revive (conn);
    else if (conn_serve (conn) < 0)
      conn_lost (conn);
  }
}

/* Returns true if the caller has to lead, false if the request is done.  Every
 * waiter that is entered is posted exactly once.
 */
static bool
conn_follow (struct upstream_conn *conn, struct upstream_request *req)
{
  struct upstream_waiter waiter = { .lead = false };

  latch_acquire (&conn->latch);
  if (req->done || !conn->led) {
    waiter.lead = !req->done;
    conn->led = conn->led || waiter.lead;
    latch_release (&conn->latch);
    return waiter.lead;
  }
  sem_init (&waiter.sem, 0, 0);
  req->waiter = &waiter;
  latch_release (&conn->latch);
  while (sem_wait (&waiter.sem) == -1)
    ;
  sem_destroy (&waiter.sem);
  return waiter.lead;
}

/* May a new request wait?  Call with the latch. */
static int
conn_admit (const struct upstream_conn *conn)
{
  uint64_t now;

  if (conn->connected)
    return 0;
  if (conn->up->ending)
    return -ESHUTDOWN;
  now = monotonic_ns ();
  return now >= conn->give_up_ns && now < conn->retry_ns ? -EIO : 0;
}

int
conn_start (struct upstream_conn *conn, struct upstream_request *req,
            struct bio *bio, struct upstream_extents *extents)
{
  bool connected;
  int r;

  *req = (struct upstream_request) { .conn = conn, .bio = bio,
                                     .extents = extents };
  latch_acquire (&conn->latch);
  r = conn_admit (conn);
  connected = conn->connected;
  if (r == 0) {
    req->lost = !connected;
    req->pending = connected;
    conn->issuing += connected;
    list_add_tail (&conn->requests, &req->link);
  }
  latch_release (&conn->latch);
  if (r < 0)
    return r;
  conn->load++;
  if (connected) {
    request_issue (req);
    conn->issuing--;
    requests_wake ();
  }
  return 0;
}

int
conn_finish (struct upstream_request *req)
{
  struct upstream_conn *conn = req->conn;

  if (!req->done && conn_follow (conn, req)) {
    conn_lead (conn, req);
    conn_hand_on (conn);
    if (conn->trust != UPSTREAM_FINE)
      conn_close_unled (conn);
  }
  conn->load--;
  return -req->error;
}

void
conn_kick (struct upstream_conn *conn)
{
  eventfd_write (conn->kick_fd, 1);
}

int
conn_init (struct upstream_conn *conn, struct upstream *up, bool structured)
{
  conn->up = up;
  conn->structured = structured;
  conn->pause_ms = CONN_FIRST_PAUSE_MS;
  list_init (&conn->requests);
  latch_init (&conn->latch);
  conn->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return conn->kick_fd == -1 ? -errno : 0;
}

void
conn_adopt (struct upstream_conn *conn, struct nbd_handle *h)
{
  conn->h = h;
  conn->replies = 1; /* the server has proved itself by negotiating */
  conn->connected = true;
}

void
conn_destroy (struct upstream_conn *conn)
{
  if (conn->h)
    upstream_hang_up (conn->h);
  if (conn->kick_fd >= 0)
    close (conn->kick_fd);
  latch_destroy (&conn->latch);
}
