/* SPDX-License-Identifier: BSD-3-Clause */
/* One libnbd handle: connecting within a time, polling, closing. */

#include "server/bdev-nbd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <libnbd.h>

/* Tell libnbd's last error on this thread, without the name of the function
 * that found it.
 */
static int
handle_error (const char *uri, struct message *msg)
{
  const char *text = nbd_get_error (), *colon;
  int err = nbd_get_errno ();

  if (text && strncmp (text, "nbd_", 4) == 0 && (colon = strstr (text, ": ")))
    text = colon + 2;

  if (err == 0)
    err = EIO;
  if (err == ENOENT)
    err = ENODEV;
  return message_set (msg, err, "cannot connect to %s: %s", uri,
                      text ? text : "the server closed the connection");
}

static struct nbd_handle *
handle_new (bool structured)
{
  struct nbd_handle *h = nbd_create ();

  if (h == NULL)
    return NULL;
  /* We check ranges ourselves, and fill every buffer or fail. */
  nbd_set_strict_mode (h, 0);
  nbd_set_pread_initialize (h, false);
  if (nbd_set_uri_allow_local_file (h, true) == -1 ||
      nbd_set_request_structured_replies (h, structured) == -1 ||
      (structured &&
       nbd_add_meta_context (h, LIBNBD_CONTEXT_BASE_ALLOCATION) == -1)) {
    nbd_close (h);
    return NULL;
  }
  return h;
}

int
upstream_poll (struct nbd_handle *h, int kick_fd, int timeout_ms)
{
  unsigned dir = nbd_aio_get_direction (h);
  struct pollfd fds[2] = { { .fd = nbd_aio_get_fd (h) },
                           { .fd = kick_fd, .events = POLLIN } };
  eventfd_t ignored;
  int r;

  if (dir == 0 || fds[0].fd == -1)
    return -ENOTCONN;
  if (dir & LIBNBD_AIO_DIRECTION_READ)
    fds[0].events |= POLLIN;
  if (dir & LIBNBD_AIO_DIRECTION_WRITE)
    fds[0].events |= POLLOUT;
  r = poll (fds, 2, timeout_ms);
  if (r <= 0)
    return r == 0 ? -ETIMEDOUT : 0; /* else EINTR */
  if (fds[1].revents)
    eventfd_read (kick_fd, &ignored);
  /* What fails here kills the handle; the next round sees that. */
  if (fds[0].revents == 0)
    r = 0;
  else if ((dir & LIBNBD_AIO_DIRECTION_READ) && fds[0].revents != POLLOUT)
    r = nbd_aio_notify_read (h);
  else
    r = nbd_aio_notify_write (h);
  return r == -1 ? -ENOTCONN : 0;
}

static int
handle_wait_ready (struct nbd_handle *h, const struct upstream_dial *dial,
                   struct message *msg)
{
  uint64_t now;
  int r;

  while (!nbd_aio_is_ready (h)) {
    now = monotonic_ns ();
    if (*dial->cancel)
      return message_set (msg, ESHUTDOWN, "the server is ending");
    r = -ETIMEDOUT;
    if (now < dial->deadline_ns)
      r = upstream_poll (h, dial->kick_fd,
                         (dial->deadline_ns - now) / 1000000 + 1);
    if (r == -ETIMEDOUT)
      return message_set (msg, ETIMEDOUT, "cannot connect to %s: timed out",
                          dial->uri);
    if (r < 0)
      return handle_error (dial->uri, msg);
  }
  return 0;
}

int
upstream_dial (const struct upstream_dial *dial, struct nbd_handle **out,
               struct message *msg)
{
  struct nbd_handle *h = handle_new (dial->structured);
  int r;

  if (h == NULL)
    return handle_error (dial->uri, msg);
  if (nbd_aio_connect_uri (h, dial->uri) == -1)
    r = handle_error (dial->uri, msg);
  else
    r = handle_wait_ready (h, dial, msg);
  if (r < 0)
    nbd_close (h);
  else
    *out = h;
  return r;
}

void
upstream_hang_up (struct nbd_handle *h)
{
  int fd = nbd_aio_get_fd (h);

  /* Not left to close: a parent process that forked us (nbdkit --run) has the
   * same socket open.
   */
  if (nbd_aio_is_ready (h) == 1)
    nbd_aio_disconnect (h, 0);
  else if (fd >= 0)
    shutdown (fd, SHUT_RDWR);
  nbd_close (h);
}
