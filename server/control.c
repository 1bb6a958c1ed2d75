/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: connections on the loop thread. */

#include "server/control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* How long to leave clients in the socket's queue when there is no descriptor
 * or memory for them.
 */
#define CONTROL_RETRY_SECONDS 0.5

static struct {
  struct loop_config config;
  struct ev_loop *ev;
  int fd;                  /* listening, -1 for none */
  int hangup_fd;           /* epoll: who has hung up */
  ev_io accept, hangup;
  ev_timer retry;
  struct list connections, armed;
  struct loop_task event;  /* the global event counter has moved */
  unsigned nr, max;
  bool stopping;
} control = { .fd = -1, .hangup_fd = -1 };

static void connection_tell_event (struct connection *conn);

/* ------------------------------------------------------------------
 * Birth and death of a connection.
 */

static void
connection_close (struct connection *conn)
{
  assert (conn->state == CONN_READING || conn->state == CONN_WRITING);
  ev_io_stop (control.ev, &conn->in);
  ev_io_stop (control.ev, &conn->out);
  /* Closing is not enough: a child that has not exec'ed yet has it too. */
  epoll_ctl (control.hangup_fd, EPOLL_CTL_DEL, conn->fd, NULL);
  close (conn->fd);
  control_drop_buffer (conn);
  list_del (&conn->link);
  list_del (&conn->armed_link);
  free (conn);
  control.nr--;
  if (!control.stopping && control.fd >= 0)
    ev_io_start (control.ev, &control.accept);
  loop_end_if_idle ();
}

/* Ready for the next request. */
static void
connection_reset (struct connection *conn)
{
  control_drop_buffer (conn);
  memset (&conn->call, 0, sizeof conn->call);
  conn->received = conn->sent = 0;
  conn->fired = false;
  conn->state = CONN_READING;
  ev_io_stop (control.ev, &conn->out);
  ev_io_start (control.ev, &conn->in);
  connection_tell_event (conn);
}

/* ------------------------------------------------------------------
 * Writing.
 */

/* What is left to send: the reply's three parts without the bytes that have
 * gone.
 */
static int
connection_left (struct connection *conn, struct iovec iov[3])
{
  struct iovec parts[] = {
    { &conn->reply, sizeof conn->reply },
    { conn->call.buffer, conn->reply.length },
    { conn->call.message.text, conn->reply.message_length },
  };
  size_t skip = conn->sent;
  int i, n = 0;

  for (i = 0; i < 3; i++) {
    if (skip >= parts[i].iov_len) {
      skip -= parts[i].iov_len;
      continue;
    }
    iov[n].iov_base = (char *) parts[i].iov_base + skip;
    iov[n++].iov_len = parts[i].iov_len - skip;
    skip = 0;
  }
  return n;
}

/* As much as goes; the last of it makes the connection ready again. */
static void
connection_send (struct connection *conn)
{
  struct iovec iov[3];
  struct msghdr msg = { .msg_iov = iov };
  ssize_t n = 0;

  for (;;) {
    msg.msg_iovlen = connection_left (conn, iov);
    if (msg.msg_iovlen == 0)
      break;
    n = sendmsg (conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
      break;
    conn->sent += n;
  }
  if (n >= 0 && !conn->last)
    connection_reset (conn);
  else if (n < 0 && !control.stopping && (errno == EAGAIN || errno == EINTR))
    ev_io_start (control.ev, &conn->out);
  else
    connection_close (conn);
}

static void
connection_writable (struct ev_loop *ev, ev_io *w, int revents)
{
  connection_send (container_of (w, struct connection, out));
}

/* Answer with what stands in conn->call. */
static void
connection_reply (struct connection *conn)
{
  struct dm_ioctl_call *call = &conn->call;

  conn->state = CONN_WRITING;
  conn->reply = (struct nbdm_reply) {
    .magic = NBDM_MAGIC,
    .error = -call->result,
    .length = call->length,
    .message_length = strlen (call->message.text),
  };
  ev_io_stop (control.ev, &conn->in);
  connection_send (conn);
}

/* If it is armed and idle, and there has been an event, say so, once. */
static void
connection_tell_event (struct connection *conn)
{
  uint32_t now = registry_event_nr (conn->config->registry);

  if (conn->state != CONN_READING || conn->received > 0 ||
      list_empty (&conn->armed_link) || (int32_t) (now - conn->armed_nr) <= 0)
    return;
  list_del (&conn->armed_link);
  conn->state = CONN_WRITING;
  conn->reply = (struct nbdm_reply) { .magic = NBDM_EVENT_MAGIC };
  ev_io_stop (control.ev, &conn->in);
  connection_send (conn);
}

/* From any thread … */
static void
control_event (void *opaque)
{
  loop_post (&control.event);
}

/* … and here on ours.  Telling one may end it, not the next one. */
static void
control_tell_events (struct loop_task *task)
{
  struct connection *conn, *next;

  list_for_each_safe (conn, next, &control.armed, armed_link)
    connection_tell_event (conn);
}

static void
connection_arm (struct connection *conn)
{
  conn->armed_nr = conn->call.arm_event_nr;
  list_del (&conn->armed_link);
  list_add_tail (&control.armed, &conn->armed_link);
}

/* Answer without having done anything, and hear no more. */
static void
connection_refuse (struct connection *conn, int err, const char *why)
{
  control_drop_buffer (conn);
  conn->call.result = message_set (&conn->call.message, err, "%s", why);
  conn->last = true;
  connection_reply (conn);
}

/* ------------------------------------------------------------------
 * Verbs.
 */

static void
connection_job (struct loop_job *job)
{
  control_run (container_of (job, struct connection, job));
}

static void
connection_ending_job (struct loop_job *job)
{
  control_run_ending (container_of (job, struct connection, job));
}

static void
connection_start (struct connection *conn)
{
  struct dm_ioctl_call *call = &conn->call;
  int r;

  ev_io_stop (control.ev, &conn->in);
  if (conn->reads_only && !control_only_reads (conn->request.command)) {
    control_drop_buffer (conn);
    call->result = message_set (&call->message, EACCES, "only the server's "
                                "user and root may change anything");
    connection_reply (conn);
    return;
  }
  conn->state = CONN_BUSY;
  dm_wait_init (&conn->wait);
  if (conn->hung_up)
    dm_wait_cancel (&conn->wait);
  call->command = conn->request.command;
  call->length = conn->request.length;
  call->wait = &conn->wait;
  call->only_reads = conn->reads_only;
  conn->job.run = connection_job;
  /* On a suspended device it waits like any request; verbs must not have to
   * queue behind it.
   */
  r = loop_job_start (&conn->job, call->command == NBDM_EXTENTS ? LOOP_READS
                      : LOOP_VERBS);
  if (r < 0) {
    dm_wait_destroy (&conn->wait);
    connection_refuse (conn, -r, "no thread to carry it out");
  }
}

/* From WAITING.  Without a thread it is done right here: it blocks no more
 * than a status, and must not be left out.
 */
static void
connection_end_wait (struct connection *conn)
{
  conn->state = CONN_BUSY;
  conn->cancelled = !conn->fired;
  conn->job.run = connection_ending_job;
  if (loop_job_start (&conn->job, LOOP_ENDINGS) < 0) {
    conn->job.run (&conn->job);
    conn->job.done.fn (&conn->job.done);
  }
}

static void
connection_job_done (struct loop_task *task)
{
  struct connection *conn = container_of (task, struct connection, job.done);

  if (conn->call.result == -EINPROGRESS &&
      conn->call.command == DM_DEV_WAIT_CMD) {
    conn->state = CONN_WAITING;
    if (conn->fired || conn->hung_up)
      connection_end_wait (conn);
    return;
  }
  if (conn->call.result == 0 && conn->call.command == DM_DEV_ARM_POLL_CMD)
    connection_arm (conn);
  loop_unpost (&conn->fire);
  dm_wait_destroy (&conn->wait);
  connection_reply (conn);
}

/* The event that a DM_DEV_WAIT waits for, from any thread … */
static void
connection_event (struct dm_event_waiter *waiter)
{
  loop_post (&container_of (waiter, struct connection, call.waiter)->fire);
}

/* … and here on ours, perhaps even before we know that it waits. */
static void
connection_fired (struct loop_task *task)
{
  struct connection *conn = container_of (task, struct connection, fire);

  conn->fired = true;
  if (conn->state == CONN_WAITING)
    connection_end_wait (conn);
}

/* The client is gone or the server ends: whatever it waits for, let it be
 * over.  What it had sent before is still carried out.
 */
static void
connection_break (struct connection *conn)
{
  conn->hung_up = true;
  if (conn->state == CONN_BUSY)
    dm_wait_cancel (&conn->wait);
  else if (conn->state == CONN_WAITING)
    connection_end_wait (conn);
}

/* A client that waits for an answer is not read from, and whatever else it has
 * sent stays in the socket; so end of file would not be seen, but this is.
 */
static void
control_hangup (struct ev_loop *ev, ev_io *w, int revents)
{
  struct epoll_event events[64];
  int i, n;

  n = epoll_wait (control.hangup_fd, events, 64, 0);
  for (i = 0; i < n; i++)
    connection_break (events[i].data.ptr);
}

/* ------------------------------------------------------------------
 * Reading.
 */

/* The frame's header is there.  False if that was all of the connection. */
static bool
connection_header (struct connection *conn)
{
  const struct nbdm_request *request = &conn->request;

  if (request->magic != NBDM_MAGIC || request->reserved != 0) {
    connection_refuse (conn, EPROTO, "not a frame of the control protocol");
    return false;
  }
  if (request->length > NBDM_MAX_FRAME) {
    connection_refuse (conn, EPROTO, "frame too long");
    return false;
  }
  conn->call.buffer = malloc (request->length > 0 ? request->length : 1);
  if (conn->call.buffer == NULL) {
    connection_refuse (conn, ENOMEM, "no memory for the request");
    return false;
  }
  conn->buffer_size = request->length;
  conn->call.waiter.fire = connection_event;
  return true;
}

/* One piece each time: nobody who sends much keeps others waiting. */
static void
connection_readable (struct ev_loop *ev, ev_io *w, int revents)
{
  struct connection *conn = container_of (w, struct connection, in);
  const size_t header = sizeof conn->request;
  ssize_t n;

  if (conn->received < header)
    n = recv (conn->fd, (char *) &conn->request + conn->received,
              header - conn->received, MSG_DONTWAIT);
  else
    n = recv (conn->fd, conn->call.buffer + (conn->received - header),
              conn->request.length - (conn->received - header), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    connection_close (conn);
    return;
  }
  conn->received += n;
  if (conn->received == header && !connection_header (conn))
    return;
  if (conn->received >= header &&
      conn->received - header == conn->request.length)
    connection_start (conn);
}

/* ------------------------------------------------------------------
 * Accepting.
 */

static void
connection_admit (struct connection *conn)
{
  enum control_access access =
    control_peer_access (conn->fd, conn->config->control_group);

  conn->reads_only = access == CONTROL_READ;
  if (access == CONTROL_NOTHING)
    connection_refuse (conn, EACCES, conn->config->control_group
                       ? "only the server's user, root and members of the "
                         "control group may connect"
                       : "only the server's user and root may connect");
}

/* Takes fd over. */
static int
control_add (int fd)
{
  struct connection *conn = calloc (1, sizeof *conn);
  struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT,
                               .data.ptr = conn };

  if (conn == NULL ||
      epoll_ctl (control.hangup_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
    free (conn);
    close (fd);
    return -ENOMEM;
  }
  conn->config = &control.config;
  conn->fd = fd;
  list_init (&conn->job.link);
  list_init (&conn->job.done.link);
  conn->job.done.fn = connection_job_done;
  list_init (&conn->fire.link);
  list_init (&conn->armed_link);
  conn->fire.fn = connection_fired;
  ev_io_init (&conn->in, connection_readable, fd, EV_READ);
  ev_io_init (&conn->out, connection_writable, fd, EV_WRITE);
  list_add_tail (&control.connections, &conn->link);
  if (++control.nr == control.max)
    ev_io_stop (control.ev, &control.accept);
  connection_reset (conn);
  connection_admit (conn);
  return 0;
}

static void
control_accept (struct ev_loop *ev, ev_io *w, int revents)
{
  int fd, r;

  fd = accept4 (control.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  r = fd >= 0 ? control_add (fd) : -errno;
  if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS) {
    ev_io_stop (ev, &control.accept);
    ev_timer_again (ev, &control.retry);
  }
}

static void
control_retry (struct ev_loop *ev, ev_timer *w, int revents)
{
  ev_timer_stop (ev, w);
  if (control.nr < control.max)
    ev_io_start (ev, &control.accept);
}

int
control_start (struct ev_loop *ev, const struct loop_config *config,
               int listen_fd, struct message *msg)
{
  control.ev = ev;
  control.config = *config;
  control.fd = listen_fd;
  control.nr = 0;
  control.max = control_max_connections ();
  control.stopping = false;
  list_init (&control.connections);
  list_init (&control.armed);
  list_init (&control.event.link);
  control.event.fn = control_tell_events;
  control.hangup_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (control.hangup_fd < 0)
    return message_set (msg, errno, "epoll: %s", strerror (errno));
  ev_io_init (&control.hangup, control_hangup, control.hangup_fd, EV_READ);
  ev_io_start (ev, &control.hangup);
  ev_timer_init (&control.retry, control_retry, 0, CONTROL_RETRY_SECONDS);
  ev_io_init (&control.accept, control_accept, listen_fd, EV_READ);
  if (listen_fd >= 0)
    ev_io_start (ev, &control.accept);
  registry_on_event (config->registry, control_event, NULL);
  return 0;
}

void
control_stop (void)
{
  struct connection *conn, *next;

  control.stopping = true;
  registry_on_event (control.config.registry, NULL, NULL);
  loop_unpost (&control.event);
  ev_io_stop (control.ev, &control.accept);
  ev_timer_stop (control.ev, &control.retry);
  list_for_each_safe (conn, next, &control.connections, link) {
    conn->last = true;
    if (conn->state == CONN_READING || conn->state == CONN_WRITING)
      connection_close (conn);
    else
      connection_break (conn);
  }
}

bool
control_is_idle (void)
{
  return list_empty (&control.connections);
}

/* The socket goes before its descriptor does: as long as that is open the
 * inode's number cannot be another's.
 */
void
control_exit (void)
{
  registry_on_event (control.config.registry, NULL, NULL);
  if (control.hangup_fd >= 0)
    close (control.hangup_fd);
  control.hangup_fd = -1;
  if (control.fd < 0)
    return;
  if (control.config.control_path)
    control_unlink (control.config.control_path);
  close (control.fd);
  control.fd = -1;
}
