/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling the service manager of this process, if there is one. */

#include "common/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/lock.h"

/* Its length, or 0 if there is none to speak of. */
static socklen_t
notify_address (struct sockaddr_un *address)
{
  const char *name = secure_getenv ("NOTIFY_SOCKET");
  size_t n = name ? strlen (name) : 0;

  if (n < 2 || n >= sizeof address->sun_path ||
      (name[0] != '/' && name[0] != '@'))
    return 0;
  *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
  memcpy (address->sun_path, name, n);
  if (name[0] == '@')
    address->sun_path[0] = '\0';
  return offsetof (struct sockaddr_un, sun_path) + n;
}

void
notify_send (const char *fmt, ...)
{
  struct sockaddr_un address;
  socklen_t length = notify_address (&address);
  int fd CLEANUP_CLOSE = -1;
  char text[1024];
  va_list ap;

  if (length == 0)
    return;
  va_start (ap, fmt);
  vsnprintf (text, sizeof text, fmt, ap);
  va_end (ap);
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0)
    sendto (fd, text, strlen (text), MSG_NOSIGNAL,
            (struct sockaddr *) &address, length);
}

void
notify_reloading (void)
{
  notify_send ("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
               monotonic_ns () / 1000);
}
