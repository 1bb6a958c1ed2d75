/* SPDX-License-Identifier: BSD-3-Clause */
/* A real nbdkit, a device that it is upstream of, and threads that use it. */

#include "tests/lib/peer.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/list.h"

struct peer peer = { .dir = "/tmp/nbdm-XXXXXX" };

/* ------------------------------------------------------------------
 * The peer.
 */

static bool
peer_listens (void)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0), r;

  strcpy (sun.sun_path, peer.sock);
  r = connect (fd, (struct sockaddr *) &sun, sizeof sun);
  close (fd);
  return r == 0;
}

void
sleep_ms (unsigned ms)
{
  usleep (ms * 1000);
}

void
peer_start (const char *const args[])
{
  static const char *const file[] = { "file", peer.image, NULL };
  const char *argv[32] = { "nbdkit", "-f", "--exit-with-parent",
                           "-U", peer.sock };
  unsigned i, status;

  if (args == NULL)
    args = file;
  for (i = 0; args[i]; i++)
    argv[5 + i] = args[i];
  peer.pid = fork ();
  if (peer.pid == 0) {
    /* Criterion's messages are not for it. */
    if (!freopen ("/dev/null", "w", stderr))
      _exit (1);
    execvp (argv[0], (char **) argv);
    _exit (127);
  }
  for (i = 0; !peer_listens (); i++) {
    if (waitpid (peer.pid, (int *) &status, WNOHANG) > 0) {
      peer.pid = 0;
      cr_skip ("nbdkit, or what is asked of it, is not here");
    }
    cr_assert_lt (i, 1000, "nbdkit does not listen");
    sleep_ms (10);
  }
}

void
peer_kill (int sig)
{
  if (peer.pid == 0)
    return;
  kill (peer.pid, sig);
  waitpid (peer.pid, NULL, 0);
  peer.pid = 0;
  unlink (peer.sock);
}

void
peer_stop (void)
{
  kill (peer.pid, SIGSTOP);
  waitpid (peer.pid, NULL, WUNTRACED);
}

void
peer_set_up (void)
{
  char command[100];

  cr_assert_not_null (mkdtemp (peer.dir));
  snprintf (peer.image, sizeof peer.image, "%s/image", peer.dir);
  snprintf (peer.sock, sizeof peer.sock, "%s/s", peer.dir);
  snprintf (peer.uri, sizeof peer.uri, "nbd+unix:///?socket=%s", peer.sock);
  snprintf (command, sizeof command, "truncate -s 8M %s", peer.image);
  cr_assert_eq (system (command), 0);
}

void
peer_close (void)
{
  if (peer.dev)
    peer.dev->ops->close (peer.dev);
  peer.dev = NULL;
}

void
peer_tear_down (void)
{
  char command[100];

  peer_close ();
  peer_kill (SIGKILL);
  snprintf (command, sizeof command, "rm -rf %s", peer.dir);
  cr_assert_eq (system (command), 0);
}

/* ------------------------------------------------------------------
 * The device.
 */

int
peer_try_open (const char *u)
{
  memset (&peer.msg, 0, sizeof peer.msg);
  return bdev_nbd_open (u, "the name", true, &peer.options, &peer.dev,
                        &peer.msg);
}

void
peer_open (void)
{
  cr_assert_eq (peer_try_open (peer.uri), 0, "%s", peer.msg.text);
}

void
peer_start_and_open (const char *const args[])
{
  peer_start (args);
  peer_open ();
}

int
peer_io (enum bio_op op, unsigned flags, sector_t sector, sector_t len,
         char *data)
{
  struct bio bio = { .op = op, .flags = flags, .bdev = peer.dev,
                     .sector = sector, .len = len, .data = data };

  return bdev_submit (peer.dev, &bio);
}

int
peer_read (void)
{
  static char buffer[4096];

  return peer_io (BIO_READ, 0, 0, 8, buffer);
}

struct text_sink {
  struct extent_sink sink;
  char text[200];
};

static int
text_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct text_sink *t = container_of (sink, struct text_sink, sink);
  size_t n = strlen (t->text);

  snprintf (t->text + n, sizeof t->text - n, "%s%c%d", n ? " " : "",
            flags ? 'Z' : 'D', (int) len);
  return 0;
}

const char *
peer_extents (sector_t sector, sector_t len)
{
  static struct text_sink t;

  t = (struct text_sink) { .sink.add = text_add };
  cr_assert_eq (bdev_extents (peer.dev, sector, len, &t.sink), 0);
  return t.text;
}

/* ------------------------------------------------------------------
 * Hammers.
 */
#define NR_HAMMERS 8
#define HAMMER_BIOS 4

static struct hammer {
  pthread_t thread;
  atomic_uint rounds;
  atomic_int error;
} hammers[NR_HAMMERS];
static atomic_bool hammers_stop;

static int
hammer_io (const struct hammer *h, enum bio_op op, char data[][8192])
{
  struct bio bios[HAMMER_BIOS];
  int i, n, r = 0, result = 0;

  for (n = 0; n < HAMMER_BIOS && r == 0; n++) {
    bios[n] = (struct bio) { .op = op, .bdev = peer.dev, .len = 16,
                             .sector = (h - hammers) * 64 + n * 16,
                             .lane = h - hammers,
                             .data = data[n] };
    r = peer.dev->ops->start (peer.dev, &bios[n]);
    if (r < 0)
      break;
  }
  for (i = 0; i < n; i++) {
    result = peer.dev->ops->finish (peer.dev, &bios[i]);
    r = r < 0 ? r : result;
  }
  return r;
}

static void *
hammer_run (void *opaque)
{
  static __thread char data[HAMMER_BIOS][8192], got[HAMMER_BIOS][8192];
  struct hammer *h = opaque;

  while (!hammers_stop && h->error == 0) {
    memset (data, 'a' + h->rounds % 26, sizeof data);
    h->error = hammer_io (h, BIO_WRITE, data);
    if (h->error == 0)
      h->error = hammer_io (h, BIO_READ, got);
    if (h->error == 0 && memcmp (data, got, sizeof data) != 0)
      h->error = -EILSEQ;
    h->rounds++;
  }
  return NULL;
}

void
hammers_start (void)
{
  unsigned i;

  for (i = 0; i < NR_HAMMERS; i++)
    pthread_create (&hammers[i].thread, NULL, hammer_run, &hammers[i]);
}

void
hammers_wait (unsigned n)
{
  unsigned i, goal;

  for (i = 0; i < NR_HAMMERS; i++)
    for (goal = hammers[i].rounds + n;
         hammers[i].rounds < goal && hammers[i].error == 0;)
      sleep_ms (1);
}

void
hammers_join (int error)
{
  unsigned i;

  hammers_stop = true;
  for (i = 0; i < NR_HAMMERS; i++) {
    pthread_join (hammers[i].thread, NULL);
    cr_expect_eq ((int) hammers[i].error, error, "%d", hammers[i].error);
  }
}
