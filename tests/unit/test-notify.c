/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams for the service manager. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/notify.h"
#include "tests/lib/folder.h"

static struct folder folder;
static int fd;

static void
setup (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  folder_make (&folder);
  snprintf (address.sun_path, sizeof address.sun_path, "%s/notify",
            folder.path);
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  cr_assert_eq (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
  setenv ("NOTIFY_SOCKET", address.sun_path, 1);
}

static void
teardown (void)
{
  close (fd);
  folder_remove (&folder);
}

TestSuite (notify, .init = setup, .fini = teardown);

static const char *
told (void)
{
  static char text[4096];
  ssize_t n = recv (fd, text, sizeof text - 1, 0);

  text[n > 0 ? n : 0] = '\0';
  return text;
}

Test (notify, what_is_said_is_one_datagram)
{
  notify_send ("READY=1\nSTATUS=%s\n", "fine");
  cr_assert_str_eq (told (), "READY=1\nSTATUS=fine\n");
  notify_reloading ();
  cr_assert (strncmp (told (), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
}

Test (notify, nobody_is_told_where_nobody_listens)
{
  const char *const names[] = { "", "/", "x", "@", "relative/path" };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    setenv ("NOTIFY_SOCKET", names[i], 1);
    notify_send ("READY=1\n");
  }
  unsetenv ("NOTIFY_SOCKET");
  notify_send ("READY=1\n");
  cr_assert_str_eq (told (), "");
}

/* A reader that does not read must not stop us. */
Test (notify, it_does_not_block)
{
  for (unsigned i = 0; i < 10000; i++)
    notify_send ("STATUS=%u\n", i);
  cr_assert_str_eq (told (), "STATUS=0\n");
}
