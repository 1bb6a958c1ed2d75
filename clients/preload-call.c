/* SPDX-License-Identifier: BSD-3-Clause */
/* What is asked of the server: ioctls on the control node and on others. */

#include "clients/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/fs.h>

#include "clients/client.h"
#include "common/cleanup.h"

/* What the kernel reads of every request but VERSION: the header without its
 * padding.
 */
#define CALL_MIN offsetof (struct dm_ioctl, data)

#define MAX_MESSAGE (64u << 10)

static int
preload_fail (int err)
{
  errno = err;
  return -1;
}

void
preload_say (const char *text, const char *reason)
{
  const char *quiet = getenv ("NBDM_QUIET");

  if (quiet == NULL || strcmp (quiet, "1") != 0)
    fprintf (stderr, "nbdm: %s%s%s\n", text, reason ? ": " : "",
             reason ? reason : "");
}

/* ------------------------------------------------------------------
 * Connections.
 */

/* Says why not. */
static int
preload_connect (struct client *client)
{
  char *CLEANUP_FREE path = NULL;
  int r = client_socket_path (NULL, &path);

  if (r == 0)
    r = client_connect (client, path);
  if (r == 0)
    return 0;
  preload_say (path ? path : "neither NBDM_CONTROL nor XDG_RUNTIME_DIR is set",
               path ? strerror (-r) : NULL);
  return r;
}

int
preload_probe (void)
{
  struct client client = CLIENT_INIT;
  int r = preload_connect (&client);

  client_close (&client);
  return r < 0 ? preload_fail (-r) : 0;
}

/* ------------------------------------------------------------------
 * The control node.
 */

static int
frame_send (int fd, const void *data, size_t bytes)
{
  const char *p = data;
  ssize_t n;

  while (bytes > 0) {
    n = send (fd, p, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR)
      return -errno;
    if (n > 0) {
      p += n;
      bytes -= n;
    }
  }
  return 0;
}

/* A signal whose handler does not restart calls ends our sending side, upon
 * which the server breaks off what it waits for and says so; or it is done
 * already, and says that.
 */
static int
frame_receive (int fd, void *data, size_t bytes)
{
  char *p = data;
  ssize_t n;

  while (bytes > 0) {
    n = recv (fd, p, bytes, 0);
    if (n == 0)
      return -ECONNRESET;
    if (n < 0 && errno != EINTR)
      return -errno;
    if (n < 0)
      shutdown (fd, SHUT_WR);
    else {
      p += n;
      bytes -= n;
    }
  }
  return 0;
}

/* The reply goes over dmi, of which length bytes were sent. */
static int
frame_receive_reply (int fd, struct dm_ioctl *dmi, size_t length,
                     char **message)
{
  struct nbdm_reply head;
  int r;

  do /* events that were told before are no news any more */
    r = frame_receive (fd, &head, sizeof head);
  while (r == 0 && head.magic == NBDM_EVENT_MAGIC);
  if (r < 0)
    return r;
  if (head.magic != NBDM_MAGIC || head.length > length ||
      head.message_length > MAX_MESSAGE || head.error > INT16_MAX)
    return -EPROTO;
  r = frame_receive (fd, dmi, head.length);
  *message = calloc (1, head.message_length + 1);
  if (r == 0)
    r = *message ? frame_receive (fd, *message, head.message_length) : -ENOMEM;
  return r < 0 ? r : -(int) head.error;
}

static int
frame_exchange (int fd, uint32_t command, struct dm_ioctl *dmi, size_t length,
                char **message)
{
  struct nbdm_request head = { .magic = NBDM_MAGIC, .command = command,
                               .length = length };
  int r = frame_send (fd, &head, sizeof head);

  if (r == 0)
    r = frame_send (fd, dmi, length);
  /* A server that turns us away says why before it hangs up. */
  if (r == 0 || r == -EPIPE || r == -ECONNRESET)
    r = frame_receive_reply (fd, dmi, length, message);
  return r;
}

/* Failures that libdevmapper keeps to itself: the question was whether there is
 * such a device, and the user's own interruption.
 */
static bool
call_is_quiet (uint32_t command, const struct dm_ioctl *dmi, int err)
{
  return err == EINTR ||
    (err == ENXIO &&
     (command == DM_DEV_STATUS_CMD ||
      (command == DM_TABLE_STATUS_CMD &&
       !(dmi->flags & DM_STATUS_TABLE_FLAG))));
}

static size_t
call_length (const struct dm_ioctl *dmi)
{
  return dmi->data_size > CALL_MIN ? dmi->data_size : CALL_MIN;
}

/* Tell the user why it failed; message is the server's, NULL if it gave none.
 * Returns r.
 */
static int
call_say (uint32_t command, const struct dm_ioctl *dmi, int r,
          const char *message)
{
  if (r < 0 && message == NULL)
    preload_say ("lost the server", strerror (-r));
  else if (r < 0 && message[0] && !call_is_quiet (command, dmi, -r))
    preload_say (message, NULL);
  return r;
}

static int
call_control (uint32_t command, struct dm_ioctl *dmi)
{
  struct client client = CLIENT_INIT;
  char *CLEANUP_FREE message = NULL;
  int r;

  if (call_length (dmi) > NBDM_MAX_FRAME)
    return -ENOMEM;
  r = preload_connect (&client);
  if (r < 0)
    return r;
  r = frame_exchange (client.fd, command, dmi, call_length (dmi), &message);
  client_close (&client);
  return call_say (command, dmi, r, message);
}

/* ------------------------------------------------------------------
 * Polling: the connection that was armed takes the descriptor's place.
 */

/* An address of its own is what place_of_fd knows the socket by. */
static int
poll_label (int fd)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  static atomic_uint serial;
  unsigned tries;
  int n;

  for (tries = 0; tries < 1000; tries++) {
    n = snprintf (address.sun_path + 1, sizeof address.sun_path - 1,
                  PRELOAD_POLL_LABEL "%ld.%u", (long) getpid (), serial++);
    if (bind (fd, (struct sockaddr *) &address,
              offsetof (struct sockaddr_un, sun_path) + 1 + n) == 0)
      return 0;
    if (errno != EADDRINUSE)
      break;
  }
  return -errno;
}

/* A duplicate of fd made before stays what it was. */
static int
poll_replace (int fd, int socket)
{
  int flags = fcntl (fd, F_GETFD);

  if (flags < 0 || dup3 (socket, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
    return -errno;
  return 0;
}

static int
poll_begin (int fd, struct dm_ioctl *dmi)
{
  struct client client = CLIENT_INIT;
  char *CLEANUP_FREE message = NULL;
  int r = preload_connect (&client);

  if (r < 0)
    return r;
  r = poll_label (client.fd);
  if (r == 0)
    r = call_say (DM_DEV_ARM_POLL_CMD, dmi,
                  frame_exchange (client.fd, DM_DEV_ARM_POLL_CMD, dmi,
                                  call_length (dmi), &message), message);
  if (r == 0)
    r = poll_replace (fd, client.fd);
  client_close (&client);
  return r;
}

/* On a connection already, the one to poll stays the same, unless its server
 * has gone.
 */
static int
poll_arm (int fd, struct dm_ioctl *dmi)
{
  char *CLEANUP_FREE message = NULL;
  int type, r;
  socklen_t size = sizeof type;

  if (call_length (dmi) > NBDM_MAX_FRAME)
    return -ENOMEM;
  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
    return poll_begin (fd, dmi);
  r = frame_exchange (fd, DM_DEV_ARM_POLL_CMD, dmi, call_length (dmi),
                      &message);
  return message ? call_say (DM_DEV_ARM_POLL_CMD, dmi, r, message)
    : poll_begin (fd, dmi);
}

/* Unlike recv, ioctl is no place where a thread can be cancelled. */
int
preload_control_ioctl (int fd, unsigned long request, struct dm_ioctl *dmi)
{
  int r, state;

  if (_IOC_TYPE (request) != DM_IOCTL)
    return preload_fail (ENOTTY);
  if (dmi == NULL)
    return preload_fail (EFAULT);
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &state);
  r = _IOC_NR (request) == DM_DEV_ARM_POLL_CMD ? poll_arm (fd, dmi)
    : call_control (_IOC_NR (request), dmi);
  pthread_setcancelstate (state, NULL);
  return r < 0 ? preload_fail (-r) : 0;
}

/* ------------------------------------------------------------------
 * Nodes.
 */

/* Sets what identifies the device; the caller resets the call. */
static int
call_device (uint32_t command, const struct place *place, struct call *call)
{
  struct client client = CLIENT_INIT;
  int r;

  if (place->kind == PLACE_NODE && place->name)
    strcpy (call->request.name, place->name);
  else
    call->request.dev = makedev (DM_BLOCK_MAJOR, place->minor);
  r = preload_connect (&client);
  if (r == 0)
    r = client_call (&client, command, call);
  client_close (&client);
  return r;
}

int
preload_status (const struct place *place, struct dm_ioctl *status)
{
  struct call call = { .reply = NULL };
  int r = call_device (DM_DEV_STATUS_CMD, place, &call);

  if (r == 0)
    *status = *call.reply;
  call_reset (&call);
  return r < 0 ? preload_fail (r == -ENXIO ? ENOENT : -r) : 0;
}

/* Where the last target of the live table ends. */
static int
node_size (const struct place *place, uint64_t *sectors)
{
  struct call call = { .request.flags = DM_STATUS_TABLE_FLAG };
  int r = call_device (DM_TABLE_STATUS_CMD, place, &call);
  struct dm_target_spec spec;
  size_t at;

  *sectors = 0;
  if (r == 0) {
    /* next counts from the first one. */
    at = call.reply->data_start;
    for (uint32_t i = 0; i < call.reply->target_count; i++) {
      if (at + sizeof spec > call.reply_bytes)
        break;
      memcpy (&spec, (char *) call.reply + at, sizeof spec);
      *sectors = spec.sector_start + spec.length;
      at = call.reply->data_start + (size_t) spec.next;
    }
  }
  call_reset (&call);
  return r < 0 ? preload_fail (-r) : 0;
}

static int
node_get_size (const struct place *place, unsigned long request, void *arg)
{
  uint64_t sectors;

  if (node_size (place, &sectors) < 0)
    return -1;
  if (request == BLKGETSIZE64)
    *(uint64_t *) arg = sectors << 9;
  else
    *(unsigned long *) arg = sectors;
  return 0;
}

static int
node_get_readonly (const struct place *place, int *readonly)
{
  struct dm_ioctl status;

  if (preload_status (place, &status) < 0)
    return -1;
  *readonly = !!(status.flags & DM_READONLY_FLAG);
  return 0;
}

int
preload_node_ioctl (uint32_t minor, unsigned long request, void *arg)
{
  struct place place = { .kind = PLACE_NODE, .minor = minor };

  if (request == BLKRASET)
    return 0;
  if (arg == NULL)
    return preload_fail (EFAULT);
  switch (request) {
  case BLKGETSIZE:
  case BLKGETSIZE64:
    return node_get_size (&place, request, arg);
  case BLKROGET:
    return node_get_readonly (&place, arg);
  case BLKSSZGET:
    *(int *) arg = 512;
    return 0;
  case BLKRAGET:
    *(long *) arg = 0;
    return 0;
  default:
    return preload_fail (ENOTTY);
  }
}
