/* SPDX-License-Identifier: BSD-3-Clause */
/* Upstream exports, served by a real nbdkit that is killed and restarted. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/list.h"
#include "common/lock.h"
#include "common/log.h"
#include "server/bdev.h"

#define MIB (1024 * 1024)

/* The plugin and what it serves, as most peers have it. */
#define FILE_IMAGE "file", image

static char dir[] = "/tmp/nbdm-XXXXXX";
static char image[64], sock[64], uri[256];
static pid_t nbdkit;
static struct bdev_options options;
static struct block_device *dev;
static struct message msg;

/* ------------------------------------------------------------------
 * The peer.
 */

static bool
peer_listens (void)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0), r;

  strcpy (sun.sun_path, sock);
  r = connect (fd, (struct sockaddr *) &sun, sizeof sun);
  close (fd);
  return r == 0;
}

static void
sleep_ms (unsigned ms)
{
  usleep (ms * 1000);
}

/* args: what to serve other than just the image, NULL at its end. */
static void
start_peer (const char *const args[])
{
  static const char *const file[] = { "file", image, NULL };
  const char *argv[32] = { "nbdkit", "-f", "--exit-with-parent", "-U", sock };
  unsigned i, status;

  if (args == NULL)
    args = file;
  for (i = 0; args[i]; i++)
    argv[5 + i] = args[i];
  nbdkit = fork ();
  if (nbdkit == 0) {
    /* Criterion's messages are not for it. */
    if (!freopen ("/dev/null", "w", stderr))
      _exit (1);
    execvp (argv[0], (char **) argv);
    _exit (127);
  }
  for (i = 0; !peer_listens (); i++) {
    if (waitpid (nbdkit, (int *) &status, WNOHANG) > 0) {
      nbdkit = 0;
      cr_skip ("nbdkit, or what is asked of it, is not here");
    }
    cr_assert_lt (i, 1000, "nbdkit does not listen");
    sleep_ms (10);
  }
}

static void
kill_peer (int sig)
{
  if (nbdkit == 0)
    return;
  kill (nbdkit, sig);
  waitpid (nbdkit, NULL, 0);
  nbdkit = 0;
  unlink (sock);
}

/* It is silent from now on. */
static void
stop_peer (void)
{
  kill (nbdkit, SIGSTOP);
  waitpid (nbdkit, NULL, WUNTRACED);
}

static void
set_up (void)
{
  char command[100];

  cr_assert_not_null (mkdtemp (dir));
  snprintf (image, sizeof image, "%s/image", dir);
  snprintf (sock, sizeof sock, "%s/s", dir);
  snprintf (uri, sizeof uri, "nbd+unix:///?socket=%s", sock);
  snprintf (command, sizeof command, "truncate -s 8M %s", image);
  cr_assert_eq (system (command), 0);
}

static void
close_device (void)
{
  if (dev)
    dev->ops->close (dev);
  dev = NULL;
}

static void
tear_down (void)
{
  char command[100];

  close_device ();
  kill_peer (SIGKILL);
  snprintf (command, sizeof command, "rm -rf %s", dir);
  cr_assert_eq (system (command), 0);
}

TestSuite (nbd, .init = set_up, .fini = tear_down, .timeout = 60);

/* ------------------------------------------------------------------
 * The device.
 */

static int
try_open (const char *u)
{
  memset (&msg, 0, sizeof msg);
  return bdev_nbd_open (u, "the name", true, &options, &dev, &msg);
}

static void
must_open (void)
{
  cr_assert_eq (try_open (uri), 0, "%s", msg.text);
}

static void
start_and_open (const char *const args[])
{
  start_peer (args);
  must_open ();
}

static int
io (enum bio_op op, unsigned flags, sector_t sector, sector_t len, char *data)
{
  struct bio bio = { .op = op, .flags = flags, .bdev = dev, .sector = sector,
                     .len = len, .data = data };

  return bdev_submit (dev, &bio);
}

static char buffer[4096];

static int
read_one (void)
{
  return io (BIO_READ, 0, 0, 8, buffer);
}

static char *
pattern (char *data, char c, size_t bytes)
{
  return memset (data, c, bytes);
}

static bool
holds (sector_t sector, sector_t len, char c)
{
  size_t i, n = sectors_to_bytes (len);
  char *got = malloc (n);

  cr_assert_eq (io (BIO_READ, 0, sector, len, got), 0);
  for (i = 0; i < n && got[i] == c; i++)
    ;
  free (got);
  return i == n;
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

static const char *
extents (sector_t sector, sector_t len)
{
  static struct text_sink t;

  t = (struct text_sink) { .sink.add = text_add };
  cr_assert_eq (bdev_extents (dev, sector, len, &t.sink), 0);
  return t.text;
}

static struct queue_limits
limits (void)
{
  struct queue_limits l;

  bdev_limits (dev, &l);
  return l;
}

static double
seconds_since (uint64_t start_ns)
{
  return (monotonic_ns () - start_ns) / 1e9;
}

/* Threads that write and read back, each its own blocks and several at once,
 * until told to stop.
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
    bios[n] = (struct bio) { .op = op, .bdev = dev, .len = 16,
                             .sector = (h - hammers) * 64 + n * 16,
                             .data = data[n] };
    r = dev->ops->start (dev, &bios[n]);
    if (r < 0)
      break;
  }
  for (i = 0; i < n; i++) {
    result = dev->ops->finish (dev, &bios[i]);
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

static void
hammers_start (void)
{
  unsigned i;

  for (i = 0; i < NR_HAMMERS; i++)
    pthread_create (&hammers[i].thread, NULL, hammer_run, &hammers[i]);
}

/* Every one of them has done at least n more rounds, or failed. */
static void
hammers_wait (unsigned n)
{
  unsigned i, goal;

  for (i = 0; i < NR_HAMMERS; i++)
    for (goal = hammers[i].rounds + n;
         hammers[i].rounds < goal && hammers[i].error == 0;)
      sleep_ms (1);
}

static void
hammers_join (int error)
{
  unsigned i;

  hammers_stop = true;
  for (i = 0; i < NR_HAMMERS; i++) {
    pthread_join (hammers[i].thread, NULL);
    cr_expect_eq ((int) hammers[i].error, error, "%d", hammers[i].error);
  }
}

/* One read on a thread of its own. */
static int read_result;

static void *
reader_run (void *opaque)
{
  read_result = read_one ();
  return NULL;
}

/* ------------------------------------------------------------------ */

Test (nbd, what_is_written_is_read)
{
  char data[10 * 512];

  start_and_open (NULL);
  cr_assert_eq (bdev_size (dev), 16384);
  cr_assert_str_eq (dev->name, "the name");
  cr_assert_not (dev->readonly);
  cr_assert_eq (limits ().logical_block_bytes, 512);
  cr_assert_eq (io (BIO_WRITE, 0, 3, 10, pattern (data, 'x', sizeof data)), 0);
  cr_assert (holds (0, 3, 0));
  cr_assert (holds (3, 10, 'x'));
  cr_assert (holds (13, 100, 0));
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 3, 1, data), 0);
  cr_assert_eq (bdev_flush (dev), 0);
  cr_assert_eq (io (BIO_PREFETCH, 0, 0, 16384, NULL), 0);
}

Test (nbd, discard_and_zeroes_make_holes)
{
  static char data[64 * 512];

  start_and_open (NULL);
  cr_assert (limits ().discard && limits ().write_zeroes && limits ().fua);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 64, pattern (data, 'x', sizeof data)), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_FUA, 8, 8, NULL), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_NOUNMAP, 16, 8, NULL), 0);
  cr_assert_eq (io (BIO_DISCARD, 0, 32, 16, NULL), 0);
  cr_assert (holds (0, 8, 'x'));
  cr_assert (holds (8, 16, 0));
  cr_assert (holds (24, 8, 'x'));
  cr_assert (holds (32, 16, 0));
  cr_assert_str_eq (extents (32, 64), "Z16 D16 Z32");
}

Test (nbd, beyond_the_end_is_eio)
{
  start_and_open (NULL);
  cr_assert_eq (io (BIO_READ, 0, 16383, 2, buffer), -EIO);
  cr_assert_eq (io (BIO_DISCARD, 0, UINT64_MAX, 2, NULL), -EIO);
}

Test (nbd, a_window_shows_its_part_only)
{
  char data[512];

  start_and_open (NULL);
  cr_assert_eq (io (BIO_WRITE, 0, 8, 1, pattern (data, 'x', 512)), 0);
  close_device ();
  options.offset_bytes = 4096;
  options.size_bytes = 8192;
  must_open ();
  cr_assert_eq (bdev_size (dev), 16);
  cr_assert (holds (0, 1, 'x'));
  cr_assert_str_eq (extents (0, 16), "D8 Z8");
  close_device ();
  options.size_bytes = 8 * MIB;
  cr_assert_eq (try_open (uri), -EINVAL);
  cr_assert (strstr (msg.text, "reaches beyond the end"), "%s", msg.text);
}

Test (nbd, large_requests_are_split)
{
  const char *const args[] = { FILE_IMAGE, "--filter=truncate",
                               "truncate=128M", NULL };
  char *data = malloc (100 * MIB);

  start_and_open (args);
  pattern (data, 'x', 100 * MIB);
  cr_assert_eq (io (BIO_WRITE_ZEROES, 0, 0, 128 * 2048, NULL), 0);
  cr_assert_eq (io (BIO_READ, 0, 1, 100 * 2048, data), 0);
  cr_assert (holds (0, 100 * 2048, 0));
  free (data);
}

Test (nbd, one_thread_has_many_requests_under_way)
{
  enum { N = 64 };
  static char data[N][4096];
  struct bio bios[N];
  unsigned i;

  start_and_open (NULL);
  for (i = 0; i < N; i++) {
    bios[i] = (struct bio) { .op = BIO_WRITE, .bdev = dev, .sector = i * 8,
                             .len = 8,
                             .data = pattern (data[i], 'a' + i % 26, 4096) };
    cr_assert_eq (dev->ops->start (dev, &bios[i]), 0);
  }
  for (i = N; i-- > 0;)
    cr_assert_eq (dev->ops->finish (dev, &bios[i]), 0);
  for (i = 0; i < N; i++)
    cr_assert (holds (i * 8, 8, 'a' + i % 26));
}

Test (nbd, many_threads_share_a_connection)
{
  start_and_open (NULL);
  hammers_start ();
  hammers_wait (200);
  hammers_join (0);
}

Test (nbd, many_threads_share_several_connections)
{
  options.connections = 3;
  start_and_open (NULL);
  hammers_start ();
  hammers_wait (200);
  cr_assert_eq (bdev_flush (dev), 0);
  hammers_join (0);
}

Test (nbd, a_device_opened_before_a_fork_works_after_it)
{
  pid_t child;
  int status;

  start_and_open (NULL);
  child = fork ();
  if (child == 0)
    _exit (read_one () == 0 ? 0 : 1);
  waitpid (child, &status, 0);
  cr_assert_eq (status, 0);
}

/* ------------------------------------------------------------------
 * Servers that can less.
 */

Test (nbd, a_read_only_export_makes_a_read_only_device)
{
  const char *const args[] = { FILE_IMAGE, "-r", NULL };

  start_and_open (args);
  cr_assert (dev->readonly);
  cr_assert_eq (read_one (), 0);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 8, buffer), -EPERM);
  cr_assert_not (limits ().discard);
}

/* A server made of shell commands, which offers little. */
#define SMALL_SERVER                                                    \
  "eval", "get_size=echo 8M", "can_write=exit 0", "can_fua=echo none",  \
  "pread=dd if=/dev/zero iflag=count_bytes count=$3",                   \
  "pwrite=cat >/dev/null", "--filter=nozero", "zeromode=none"

Test (nbd, fua_is_made_up_by_a_flush)
{
  char flush[80];
  const char *const args[] = { SMALL_SERVER, flush, NULL };

  snprintf (flush, sizeof flush, "flush=rm %s", image);
  start_and_open (args);
  cr_assert_not (limits ().fua);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 8, buffer), 0);
  cr_assert_eq (access (image, F_OK), 0);
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 0, 8, buffer), 0);
  cr_assert_eq (access (image, F_OK), -1);
}

Test (nbd, what_the_server_cannot_do_is_not_supported)
{
  const char *const args[] = { SMALL_SERVER, NULL };

  start_and_open (args);
  cr_assert_not (limits ().write_zeroes || limits ().discard);
  cr_assert_eq (io (BIO_WRITE_ZEROES, 0, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (io (BIO_DISCARD, 0, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (io (BIO_PREFETCH, 0, 0, 8, NULL), 0);
  cr_assert_eq (bdev_flush (dev), 0);
  cr_assert_str_eq (extents (0, 64), "D64");
}

Test (nbd, one_connection_serves_data_and_extents_if_the_server_wants_one)
{
  const char *const args[] = { FILE_IMAGE, "--filter=limit", "limit=1", NULL };

  start_and_open (args);
  cr_assert_eq (read_one (), 0);
  cr_assert_str_eq (extents (0, 64), "Z64");
}

Test (nbd, block_sizes_are_taken_over)
{
  const char *const args[] = { FILE_IMAGE, "--filter=blocksize-policy",
                               "blocksize-minimum=4096",
                               "blocksize-preferred=64K",
                               "blocksize-maximum=1M", NULL };
  struct queue_limits l;

  start_and_open (args);
  l = limits ();
  cr_assert_eq (l.logical_block_bytes, 4096);
  cr_assert_eq (l.io_min_bytes, 65536);
  cr_assert_eq (l.max_sectors, 2048);
  cr_assert (holds (0, 16384, 0));
}

Test (nbd, an_error_of_the_server_is_passed_on)
{
  const char *const args[] = { FILE_IMAGE, "--filter=error", "error=ENOSPC",
                               "error-pwrite-rate=100%", NULL };

  start_and_open (args);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 8, buffer), -ENOSPC);
  cr_assert_eq (read_one (), 0);
}

/* ------------------------------------------------------------------
 * What cannot be opened.
 */

static void
refused (const char *u, int err, const char *text)
{
  int r = try_open (u);

  cr_expect_eq (r, err, "%d: %s", r, msg.text);
  cr_expect (strstr (msg.text, text), "'%s' lacks '%s'", msg.text, text);
}

Test (nbd, a_bad_uri_is_refused)
{
  refused ("http://example.com/", -EINVAL, "cannot connect to http:");
  refused ("nbd+unix:///?socket=/nonexistent", -ENODEV, "/nonexistent");
}

Test (nbd, an_unknown_export_is_refused)
{
  const char *const args[] = { FILE_IMAGE, "--filter=exportname",
                               "exportname-strict=true", "exportname=here",
                               "default-export=here", NULL };
  char u[300];

  start_peer (args);
  snprintf (u, sizeof u, "nbd+unix:///elsewhere?socket=%s", sock);
  refused (u, -ENODEV, "elsewhere");
  snprintf (u, sizeof u, "nbd+unix:///here?socket=%s", sock);
  cr_assert_eq (try_open (u), 0);
}

Test (nbd, a_peer_that_does_not_answer_times_out)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  uint64_t start = monotonic_ns ();

  strcpy (sun.sun_path, sock);
  cr_assert_eq (bind (fd, (struct sockaddr *) &sun, sizeof sun), 0);
  cr_assert_eq (listen (fd, 1), 0);
  options.timeout = 1;
  refused (uri, -ETIMEDOUT, "timed out");
  cr_assert_lt (seconds_since (start), 5);
  close (fd);
}

Test (nbd, tls_with_a_shared_key)
{
  char file[64], command[200], arg[80];
  const char *const args[] = { FILE_IMAGE, "--tls=require", arg, NULL };

  snprintf (file, sizeof file, "%s/psk", dir);
  snprintf (arg, sizeof arg, "--tls-psk=%s", file);
  snprintf (command, sizeof command,
            "psktool -u alice -p %s >/dev/null 2>&1", file);
  if (system (command) != 0)
    cr_skip ("no psktool");
  start_peer (args);
  refused (uri, -EOPNOTSUPP, "requires TLS");
  snprintf (uri, sizeof uri, "nbds+unix://alice@/?socket=%s&tls-psk-file=%s",
            sock, file);
  must_open ();
  hammers_start ();
  hammers_wait (20);
  hammers_join (0);
}

/* ------------------------------------------------------------------
 * Loss and return.
 */

Test (nbd, with_reconnect_a_killed_server_goes_unnoticed)
{
  unsigned i;

  options.reconnect = 30;
  options.connections = 2;
  start_and_open (NULL);
  hammers_start ();
  for (i = 0; i < 3; i++) {
    hammers_wait (20);
    kill_peer (i % 2 ? SIGTERM : SIGKILL);
    sleep_ms (150);
    start_peer (NULL);
  }
  hammers_wait (20);
  hammers_join (0);
  cr_assert_str_eq (extents (8192, 64), "Z64");
}

Test (nbd, without_reconnect_a_killed_server_is_eio_until_it_is_back)
{
  uint64_t start;

  start_and_open (NULL);
  hammers_start ();
  hammers_wait (20);
  start = monotonic_ns ();
  kill_peer (SIGKILL);
  hammers_wait (1000000); /* until they fail */
  hammers_join (-EIO);
  cr_assert_eq (read_one (), -EIO);
  cr_assert_eq (read_one (), -EIO);
  cr_assert_lt (seconds_since (start), 5);
  start_peer (NULL);
  for (start = monotonic_ns (); read_one () != 0; sleep_ms (10))
    cr_assert_lt (seconds_since (start), 10);
  cr_assert_eq (read_one (), 0);
}

Test (nbd, reconnecting_gives_up_after_its_time_and_then_fails_fast)
{
  uint64_t start;
  unsigned i;

  options.reconnect = 1;
  start_and_open (NULL);
  kill_peer (SIGKILL);
  start = monotonic_ns ();
  cr_assert_eq (read_one (), -EIO);
  cr_assert_geq (seconds_since (start), 0.9);
  cr_assert_lt (seconds_since (start), 5);
  start = monotonic_ns ();
  for (i = 0; i < 100; i++)
    cr_assert_eq (read_one (), -EIO);
  cr_assert_lt (seconds_since (start), 1);
}

Test (nbd, a_server_that_dies_of_every_request_is_given_up)
{
  const char *const args[] = { FILE_IMAGE, "--filter=error", "error=ESHUTDOWN",
                               "error-pread-rate=100%", NULL };
  uint64_t start = monotonic_ns ();

  options.reconnect = 1;
  start_and_open (args);
  cr_assert_eq (read_one (), -EIO);
  cr_assert_lt (seconds_since (start), 10);
}

Test (nbd, a_silent_server_is_given_up_after_the_timeout)
{
  uint64_t start;

  options.timeout = 1;
  start_and_open (NULL);
  stop_peer ();
  start = monotonic_ns ();
  cr_assert_eq (read_one (), -EIO);
  cr_assert_lt (seconds_since (start), 5);
  kill (nbdkit, SIGCONT);
}

static void
shutdown_ends_a_wait (void)
{
  uint64_t start;
  pthread_t reader;

  pthread_create (&reader, NULL, reader_run, NULL);
  sleep_ms (300);
  start = monotonic_ns ();
  dev->ops->shutdown (dev);
  pthread_join (reader, NULL);
  cr_assert_eq (read_result, -ESHUTDOWN);
  cr_assert_lt (seconds_since (start), 2);
  cr_assert_eq (read_one (), -ESHUTDOWN);
}

Test (nbd, shutdown_ends_waiting_for_a_dead_server)
{
  options.reconnect = 1000;
  start_and_open (NULL);
  kill_peer (SIGKILL);
  shutdown_ends_a_wait ();
}

Test (nbd, shutdown_ends_waiting_for_a_silent_server)
{
  options.reconnect = 1000;
  start_and_open (NULL);
  stop_peer ();
  shutdown_ends_a_wait ();
}

Test (nbd, a_live_server_is_used_to_the_end)
{
  start_and_open (NULL);
  dev->ops->shutdown (dev);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 8, buffer), 0);
  cr_assert_eq (bdev_flush (dev), 0);
}

Test (nbd, the_size_follows_the_server_when_it_comes_back)
{
  options.reconnect = 10;
  start_and_open (NULL);
  kill_peer (SIGKILL);
  cr_assert_eq (truncate (image, 1 * MIB), 0);
  start_peer (NULL);
  cr_assert_eq (read_one (), 0);
  cr_assert_eq (bdev_size (dev), 2048);
  cr_assert_eq (io (BIO_READ, 0, 2048, 8, buffer), -EIO);
}

Test (nbd, a_server_that_comes_back_read_only_is_not_the_same)
{
  const char *const args[] = { FILE_IMAGE, "-r", NULL };

  options.reconnect = 1;
  start_and_open (NULL);
  kill_peer (SIGKILL);
  start_peer (args);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 8, buffer), -EIO);
}

Test (nbd, no_idle_connection_keeps_a_server_from_ending)
{
  uint64_t start = monotonic_ns ();

  options.reconnect = 10;
  start_and_open (NULL);
  cr_assert_str_eq (extents (0, 64), "Z64");
  kill (nbdkit, SIGTERM);
  sleep_ms (100);
  hammers_start (); /* has the server say that it is ending */
  kill_peer (SIGTERM);
  cr_assert_lt (seconds_since (start), 5);
  start_peer (NULL);
  hammers_wait (5);
  hammers_join (0);
}
