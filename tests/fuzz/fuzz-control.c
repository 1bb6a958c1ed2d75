/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: all that a client can send over the control socket. */

/* One input is what one client sends, or two at once; one in four comes in
 * small pieces.  The server is the real one, but for nbdkit: loop thread, verb
 * threads, registry, target types, and table files to reload.  Whatever comes,
 * it must end the connections soon after the clients have, and all devices that
 * were made must go again.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/edge.h"
#include "server/dm-core.h"
#include "tests/lib/folder.h"
#include "tests/lib/memdev.h"

/* Long enough for a machine that has better things to do. */
#define HANG_MS 300000
#define RESCUE_MS 200

#define MAX_CLIENTS 2
#define MAX_ORDERS 64
#define PIECE_BYTES 97
#define FILE_BYTES (1 << 20)

/* What RELOAD reads; clients may use the backings. */
static const char tables[] =
  "backings:\n"
  "  file: {file: disk}\n"
  "  window: {file: disk, offset: 4096, size: 65536, readonly: true}\n"
  "devices:\n"
  "  a: {uuid: u, table: 0 64 linear file 8}\n"
  "  y: {table: [0 64 linear a 0, 64 64 zero], export: false}\n"
  "  pool: {table: 0 1024 thin-pool mem2 mem0 128 0,"
  " messages: [create_thin 1]}\n";

static struct folder folder;
static char disk[sizeof folder.path + 16];
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static struct registry *registry;
static struct reload *reload;
static struct memdev *devices[3];
static int orders[MAX_ORDERS]; /* connections of fuzz_order */
static unsigned nr_orders;

static void
fuzz_teardown (void)
{
  unsigned i;

  loop_stop ();
  registry_shutdown (registry, 0);
  reload_free (reload);
  registry_free (registry);
  for (i = 0; i < 3; i++) {
    devices_remove (&devices[i]->bdev);
    memdev_free (devices[i]);
  }
  folder_remove (&folder);
}

/* Large enough for thin pools: metadata of 64 blocks, 8 blocks of data. */
static void
fuzz_make_devices (void)
{
  char name[] = "mem0";
  unsigned i;

  for (i = 0; i < 3; i++) {
    name[3] = '0' + i;
    devices[i] = memdev_new (name, i < 2 ? 1024 : 512);
    devices_add (&devices[i]->bdev);
  }
  snprintf (disk, sizeof disk, "%s",
            folder_sparse (&folder, "disk", FILE_BYTES));
  reload = reload_new (registry, folder_write (&folder, "tables", tables));
  fuzz_must (reload_run (reload, NULL, NULL) == 0, "cannot load");
}

/* The next input finds the devices blank. */
static void
fuzz_blank_devices (void)
{
  unsigned i, op;

  for (i = 0; i < 3; i++)
    for (op = 0; op <= BIO_PREFETCH; op++)
      if (atomic_exchange (&devices[i]->counts[op], 0) && op != BIO_READ)
        memset (devices[i]->data, 0,
                sectors_to_bytes (devices[i]->bdev.size));
  fuzz_must (truncate (disk, 0) == 0 && truncate (disk, FILE_BYTES) == 0,
             "truncate");
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
  fuzz_be_quiet ();
  folder_make (&folder);
  snprintf (address.sun_path, sizeof address.sun_path, "%s/control",
            folder.path);
  registry = registry_new ();
  fuzz_make_devices ();
  config = (struct loop_config) { .registry = registry, .reload = reload,
                                  .control_path = address.sun_path };
  fuzz_must (control_listen (address.sun_path, &fd, NULL) == 0 &&
             loop_start (&config, fd, NULL) == 0, "cannot start");
  atexit (fuzz_teardown);
}

/* A command about a device; "" for all. */
struct fuzz_frame {
  struct nbdm_request head;
  struct dm_ioctl ioctl;
};

static struct fuzz_frame
fuzz_frame (uint32_t command, const char *name)
{
  struct fuzz_frame f = {
    .head = { NBDM_MAGIC, command, sizeof f.ioctl, 0 },
    .ioctl = { .version = { 4 }, .data_size = sizeof f.ioctl },
  };

  strcpy (f.ioctl.name, name);
  return f;
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

struct client {
  size_t sent;
  bool done;
};

/* Send what goes; at the end hang up. */
static void
fuzz_send (struct client *c, int fd, const uint8_t *data, size_t size)
{
  bool small = size % 4 == 1 && size - c->sent > PIECE_BYTES;
  ssize_t n = send (fd, data + c->sent, small ? PIECE_BYTES : size - c->sent,
                    MSG_NOSIGNAL);

  /* A server that has heard enough closes. */
  if (n >= 0)
    c->sent += n;
  else if (errno != EAGAIN)
    c->sent = size;
  if (c->sent == size)
    shutdown (fd, SHUT_WR);
  if (small)
    sched_yield ();
}

/* False when there will be no more answers. */
static bool
fuzz_receive (int fd)
{
  char answer[65536];
  ssize_t n = recv (fd, answer, sizeof answer, 0);

  return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Send it, without waiting for an answer. */
static void
fuzz_order (uint32_t command, const char *name)
{
  const struct fuzz_frame frame = fuzz_frame (command, name);
  int fd;

  if (nr_orders == MAX_ORDERS)
    return;
  fd = fuzz_connect ();
  fuzz_must (send (fd, &frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame,
             "cannot send");
  shutdown (fd, SHUT_WR);
  orders[nr_orders++] = fd;
}

/* What does I/O to a suspended device waits, as in the kernel, until somebody
 * resumes it, or removes it if it cannot be resumed.  So here is somebody.
 */
static void
fuzz_rescue (void)
{
  struct dm_info *infos;
  size_t n, i;

  fuzz_must (dm_list (registry, &infos, &n) == 0, "cannot list");
  for (i = 0; i < n; i++)
    if (infos[i].flags & DM_SUSPEND_FLAG) {
      fuzz_order (DM_TABLE_CLEAR_CMD, infos[i].name);
      fuzz_order (DM_DEV_SUSPEND_CMD, infos[i].name);
    }
  fuzz_order (DM_REMOVE_ALL_CMD, "");
  free (infos);
}

static void
fuzz_poll (struct pollfd p[], unsigned n)
{
  unsigned tries;
  int r;

  for (tries = HANG_MS / RESCUE_MS; tries > 0; tries--) {
    do /* fuzzers have alarms */
      r = poll (p, n, RESCUE_MS);
    while (r < 0 && errno == EINTR);
    if (r != 0)
      break;
    fuzz_rescue ();
  }
  fuzz_must (r > 0, "the server hangs");
}

static void
fuzz_serve (struct client *c, struct pollfd *p, const uint8_t *data,
            size_t size)
{
  if (p->revents & POLLOUT)
    fuzz_send (c, p->fd, data, size);
  if ((p->revents & (POLLIN | POLLHUP)) && !fuzz_receive (p->fd)) {
    c->done = true;
    close (p->fd);
    p->fd = -1;
  }
  p->events = POLLIN | (c->sent < size ? POLLOUT : 0);
}

/* What the server waits for is broken off when the client hangs up, so that
 * this takes no time to speak of.
 */
static void
fuzz_talk (const uint8_t *data, size_t size)
{
  struct client clients[MAX_CLIENTS] = { 0 };
  struct pollfd p[MAX_CLIENTS];
  unsigned n = size % 4 == 3 ? 2 : 1, left = n, i;

  for (i = 0; i < n; i++)
    p[i] = (struct pollfd) { fuzz_connect (), POLLIN | POLLOUT };
  while (left > 0) {
    fuzz_poll (p, n);
    for (left = i = 0; i < n; i++) {
      if (!clients[i].done)
        fuzz_serve (&clients[i], &p[i], data, size);
      left += !clients[i].done;
    }
  }
}

/* A path or URI in a table would be opened, and maybe written to.  After a
 * slash there may only be a count of areas.
 */
static bool
fuzz_reaches_out (const uint8_t *data, size_t size)
{
  const uint8_t *p = data, *end = data + size;

  while (p < end && (p = memchr (p, '/', end - p)) != NULL)
    if (++p == end || *p < '0' || *p > '9')
      return true;
  return false;
}

/* Wait until the server has nothing to do any more. */
static void
fuzz_end_orders (void)
{
  struct pollfd p = { .events = POLLIN };

  while (nr_orders > 0) {
    p.fd = orders[--nr_orders];
    do
      fuzz_poll (&p, 1);
    while (fuzz_receive (p.fd));
    close (p.fd);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const struct fuzz_frame remove_all = fuzz_frame (DM_REMOVE_ALL_CMD, "");
  static bool ready;

  if (fuzz_reaches_out (data, size))
    return 0;

  if (!ready)
    fuzz_setup ();
  ready = true;
  fuzz_talk (data, size);
  fuzz_talk ((const uint8_t *) &remove_all, sizeof remove_all);
  fuzz_end_orders ();
  fuzz_must (dm_remove_all (registry, 0) == 0, "a device stays open");
  fuzz_blank_devices ();
  return 0;
}
