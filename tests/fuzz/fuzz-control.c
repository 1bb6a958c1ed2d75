/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: all that a client can send over the control socket. */

/* One input is one connection.  The server is the real one, but for nbdkit:
 * loop thread, verb threads, registry, target types.  Whatever comes, it must
 * end the connection soon after the client has, and all devices that were made
 * must go again.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "server/edge.h"
#include "server/dm-core.h"
#include "tests/lib/folder.h"
#include "tests/lib/memdev.h"

/* Long enough for a machine that has better things to do. */
#define HANG_MS 300000

static struct folder folder;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static struct registry *registry;
static struct reload *reload;
static struct memdev *devices[2];

static void
fuzz_log (enum log_level level, const char *fmt, va_list ap)
{
}

const char *__asan_default_options (void);

static void
fuzz_must (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "fuzz-control: %s\n", what);
  abort ();
}

static void
fuzz_teardown (void)
{
  unsigned i;

  loop_stop ();
  registry_shutdown (registry, 0);
  reload_free (reload);
  registry_free (registry);
  for (i = 0; i < 2; i++) {
    devices_remove (&devices[i]->bdev);
    memdev_free (devices[i]);
  }
  folder_remove (&folder);
}

static void
fuzz_setup (void)
{
  struct loop_config config;
  sigset_t set;
  int fd;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  log_set_sink (fuzz_log);
  folder_make (&folder);
  snprintf (address.sun_path, sizeof address.sun_path, "%s/control",
            folder.path);
  devices[0] = memdev_new ("mem0", 64);
  devices[1] = memdev_new ("mem1", 64);
  devices_add (&devices[0]->bdev);
  devices_add (&devices[1]->bdev);
  registry = registry_new ();
  reload = reload_new (registry, NULL);
  config = (struct loop_config) { .registry = registry, .reload = reload,
                                  .control_path = address.sun_path };
  fuzz_must (control_listen (address.sun_path, &fd, NULL) == 0 &&
             loop_start (&config, fd, NULL) == 0, "cannot start");
  atexit (fuzz_teardown);
}

static int
fuzz_connect (void)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  fuzz_must (fd >= 0 && connect (fd, (struct sockaddr *) &address,
                                 sizeof address) == 0, "cannot connect");
  fuzz_must (fcntl (fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return fd;
}

/* Send what goes; at the end hang up.  How much was sent. */
static size_t
fuzz_send (int fd, const uint8_t *data, size_t size)
{
  ssize_t n = send (fd, data, size, MSG_NOSIGNAL);

  /* A server that has heard enough closes. */
  if (n < 0 && errno != EAGAIN)
    n = size;
  if (n == (ssize_t) size)
    shutdown (fd, SHUT_WR);
  return n < 0 ? 0 : n;
}

/* False when there will be no more answers. */
static bool
fuzz_receive (int fd)
{
  char answer[65536];
  ssize_t n = recv (fd, answer, sizeof answer, 0);

  return n > 0 || (n < 0 && errno == EAGAIN);
}

static void
fuzz_poll (struct pollfd *p)
{
  int n;

  do /* fuzzers have alarms */
    n = poll (p, 1, HANG_MS);
  while (n < 0 && errno == EINTR);
  fuzz_must (n > 0, "the server hangs");
}

/* Whole frames first: what it waits for is broken off when the client hangs up,
 * so that this takes no time to speak of.
 */
static void
fuzz_talk (int fd, const uint8_t *data, size_t size)
{
  struct pollfd p = { .fd = fd };
  size_t sent = size == 0 ? fuzz_send (fd, data, 0) : 0;

  do {
    p.events = POLLIN | (sent < size ? POLLOUT : 0);
    fuzz_poll (&p);
    if (sent < size && (p.revents & POLLOUT))
      sent += fuzz_send (fd, data + sent, size - sent);
  } while (!(p.revents & (POLLIN | POLLHUP)) || fuzz_receive (fd));
}

/* A server named in a table would be looked for. */
static bool
fuzz_names_server (const uint8_t *data, size_t size)
{
  return memmem (data, size, "://", 3) || memmem (data, size, "nbd:", 4) ||
    memmem (data, size, "nbds", 4) || memmem (data, size, "nbd+", 4);
}

/* A table may ask for more memory than there is. */
const char *
__asan_default_options (void)
{
  return "allocator_may_return_null=1";
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool ready;
  int fd;

  if (fuzz_names_server (data, size))
    return 0;

  if (!ready)
    fuzz_setup ();
  ready = true;
  fd = fuzz_connect ();
  fuzz_talk (fd, data, size);
  close (fd);
  fuzz_must (dm_remove_all (registry, 0) == 0, "a device stays open");
  return 0;
}
