/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of the control socket that does not mind what it sends. */

#include "tests/lib/frame.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/protocol.h"

int
frame_connect (const char *where)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  strcpy (address.sun_path, where);
  cr_assert_geq (fd, 0, "%s", strerror (errno));
  if (connect (fd, (struct sockaddr *) &address, sizeof address) < 0) {
    close (fd);
    return -errno;
  }
  return fd;
}

void
frame_send_bytes (int fd, const void *bytes, size_t n)
{
  cr_assert_eq (send (fd, bytes, n, MSG_NOSIGNAL), (ssize_t) n);
}

void
frame_send (int fd, uint32_t command, const void *payload, uint32_t length)
{
  struct nbdm_request frame = { NBDM_MAGIC, command, length, 0 };

  frame_send_bytes (fd, &frame, sizeof frame);
  if (length > 0)
    frame_send_bytes (fd, payload, length);
}

static void
frame_receive_bytes (int fd, void *bytes, size_t n)
{
  cr_assert_eq (recv (fd, bytes, n, n > 0 ? MSG_WAITALL : 0), (ssize_t) n);
}

/* The reply's result; what comes with it goes to payload (may be NULL, of size
 * bytes) and text (of at least 1024, or NULL).
 */
int
frame_receive (int fd, void *payload, size_t size, char *text)
{
  struct nbdm_reply reply;
  char *scratch;

  frame_receive_bytes (fd, &reply, sizeof reply);
  cr_assert_eq (reply.magic, NBDM_MAGIC);
  scratch = malloc (reply.length + reply.message_length + 1);
  if (reply.length > 0)
    frame_receive_bytes (fd, scratch, reply.length);
  if (payload)
    memcpy (payload, scratch, reply.length < size ? reply.length : size);
  if (reply.message_length > 0)
    frame_receive_bytes (fd, scratch, reply.message_length);
  if (text) {
    memcpy (text, scratch, reply.message_length);
    text[reply.message_length] = '\0';
  }
  free (scratch);
  return -(int) reply.error;
}
