/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to the control socket, and calls over it. */

#include "clients/client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

#define FIRST_BUFFER (16u << 10)
#define MAX_MESSAGE (64u << 10)

int
client_socket_path (const char *option, char **path)
{
  const char *env = option ? option : getenv ("NBDM_CONTROL");
  const char *runtime = getenv ("XDG_RUNTIME_DIR");

  if (env)
    *path = strdup (env);
  else if (geteuid () == 0)
    *path = strdup ("/run/nbdm/control");
  else if (runtime == NULL)
    return -ENOENT;
  else if (asprintf (path, "%s/nbdm/control", runtime) < 0)
    *path = NULL;
  return *path ? 0 : -ENOMEM;
}

int
client_connect (struct client *client, const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  int fd, err;

  if (strlen (path) >= sizeof addr.sun_path)
    return -ENAMETOOLONG;
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  if (connect (fd, (struct sockaddr *) &addr, sizeof addr) < 0) {
    err = -errno;
    close (fd);
    return err;
  }
  client->fd = fd;
  return 0;
}

void
client_close (struct client *client)
{
  if (client->fd >= 0)
    close (client->fd);
  client->fd = -1;
}

static int
client_send (struct client *client, const void *data, size_t bytes)
{
  const char *p = data;
  ssize_t n;

  while (bytes > 0) {
    n = send (client->fd, p, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR)
      return -errno;
    if (n > 0) {
      p += n;
      bytes -= n;
    }
  }
  return 0;
}

static int
client_receive (struct client *client, void *data, size_t bytes)
{
  char *p = data;
  ssize_t n;

  while (bytes > 0) {
    n = recv (client->fd, p, bytes, 0);
    if (n == 0)
      return -ECONNRESET;
    if (n < 0 && errno != EINTR)
      return -errno;
    if (n > 0) {
      p += n;
      bytes -= n;
    }
  }
  return 0;
}

/* Read bytes into a new buffer with a NUL behind them. */
static int
client_receive_text (struct client *client, size_t bytes, char **text)
{
  *text = malloc (bytes + 1);
  if (*text == NULL)
    return -ENOMEM;
  (*text)[bytes] = '\0';
  return client_receive (client, *text, bytes);
}

/* What goes out and comes back in one frame each. */
struct frame {
  const void *data;
  size_t bytes;
  size_t max_reply;   /* a longer one breaks the protocol */
  char *reply;        /* malloc'ed */
  size_t reply_bytes;
  char *message;
};

/* Tell how long it takes until something comes. */
static void
client_wait (struct client *client)
{
  struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
  unsigned seconds = 0;

  if (client->waiting == NULL)
    return;
  while (poll (&poll_fd, 1, 1000) == 0)
    client->waiting (++seconds);
  if (seconds > 0)
    client->waiting (0);
}

static int
client_receive_frame (struct client *client, struct frame *f, uint32_t *error)
{
  struct nbdm_reply head;
  int r;

  client_wait (client);
  r = client_receive (client, &head, sizeof head);
  if (r < 0)
    return r;
  if (head.magic != NBDM_MAGIC || head.length > f->max_reply ||
      head.message_length > MAX_MESSAGE || head.error > INT16_MAX)
    return -EPROTO;
  *error = head.error;
  f->reply_bytes = head.length;
  r = client_receive_text (client, head.length, &f->reply);
  if (r == 0 && head.message_length > 0)
    r = client_receive_text (client, head.message_length, &f->message);
  return r;
}

static int
client_exchange (struct client *client, uint32_t command, struct frame *f)
{
  struct nbdm_request head = { .magic = NBDM_MAGIC, .command = command,
                               .length = f->bytes };
  uint32_t error = 0;
  int r = client_send (client, &head, sizeof head);

  if (r == 0)
    r = client_send (client, f->data, f->bytes);
  /* A server that turns us away says why before it hangs up. */
  if (r == 0 || r == -EPIPE)
    r = client_receive_frame (client, f, &error);
  if (r == 0)
    return -(int) error;

  /* Both ends may now disagree about where a frame begins. */
  client_close (client);
  free (f->message);
  if (asprintf (&f->message, "lost the server: %s",
                r == -EPROTO ? "its reply is not in our protocol" :
                r == -ECONNRESET ? "it closed the connection" :
                strerror (-r)) < 0)
    f->message = NULL;
  return r;
}

/* The bytes that came, and the rest of the buffer as it was sent: what a
 * caller of ioctl(2) would find in its memory.
 */
static int
call_take_reply (struct call *call, struct dm_ioctl *buffer, size_t size,
                 const struct frame *f)
{
  memcpy (buffer, f->reply, f->reply_bytes);
  if (buffer->data_size > size)
    return -EPROTO;
  buffer->name[sizeof buffer->name - 1] = '\0';
  buffer->uuid[sizeof buffer->uuid - 1] = '\0';
  call->reply = buffer;
  call->reply_bytes = buffer->data_size;
  return 0;
}

/* One try with a buffer of size bytes. */
static int
call_try (struct client *client, uint32_t command, struct call *call,
          size_t size)
{
  struct frame f = { .bytes = size, .max_reply = size };
  struct dm_ioctl *buffer = calloc (1, size + 1);
  int r;

  if (buffer == NULL)
    return -ENOMEM;
  *buffer = call->request;
  buffer->version[0] = DM_VERSION_MAJOR;
  buffer->version[1] = buffer->version[2] = 0;
  buffer->data_size = size;
  buffer->data_start = sizeof *buffer;
  if (call->payload_bytes > 0)
    memcpy (buffer + 1, call->payload, call->payload_bytes);
  f.data = buffer;
  r = client_exchange (client, command, &f);
  if (r == 0)
    r = call_take_reply (call, buffer, size, &f);
  if (call->reply == NULL)
    free (buffer);
  free (f.reply);
  free (call->message);
  call->message = f.message;
  return r;
}

int
client_call (struct client *client, uint32_t command, struct call *call)
{
  size_t size = FIRST_BUFFER;
  int r;

  while (size < sizeof (struct dm_ioctl) + call->payload_bytes &&
         size < NBDM_MAX_FRAME)
    size *= 2;
  if (size < sizeof (struct dm_ioctl) + call->payload_bytes)
    return -EMSGSIZE;
  for (;;) {
    r = call_try (client, command, call, size);
    if (r < 0 || !(call->reply->flags & DM_BUFFER_FULL_FLAG))
      return r;
    free (call->reply);
    call->reply = NULL;
    size *= 2;
    if (size > NBDM_MAX_FRAME)
      return -EMSGSIZE;
  }
}

void
call_reset (struct call *call)
{
  free (call->reply);
  free (call->message);
  *call = (struct call) { .reply = NULL };
}

int
client_own_call (struct client *client, enum nbdm_command command,
                 struct own_call *call)
{
  struct frame f = {
    .data = call->payload,
    .bytes = call->payload_bytes,
    .max_reply = NBDM_MAX_FRAME,
  };
  int r = client_exchange (client, command, &f);

  call->reply = f.reply ? f.reply : strdup ("");
  call->reply_bytes = f.reply ? f.reply_bytes : 0;
  call->message = f.message;
  return call->reply ? r : -ENOMEM;
}

void
own_call_reset (struct own_call *call)
{
  free (call->reply);
  free (call->message);
  *call = (struct own_call) { .reply = NULL };
}

uint64_t
dev_encode (unsigned major, unsigned minor)
{
  return (minor & 0xff) | (uint64_t) major << 8 |
    (uint64_t) (minor & ~0xffu) << 12;
}

unsigned
dev_major (uint64_t dev)
{
  return (dev >> 8) & 0xfff;
}

unsigned
dev_minor (uint64_t dev)
{
  return (dev & 0xff) | ((dev >> 12) & 0xfff00);
}
