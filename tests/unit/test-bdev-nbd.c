/* SPDX-License-Identifier: BSD-3-Clause */
/* Upstream exports, served by a real nbdkit: opening and I/O. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/bdev-nbd.h"
#include "tests/lib/peer.h"

#define MIB (1024 * 1024)

TestSuite (nbd, .init = peer_set_up, .fini = peer_tear_down, .timeout = 60);

static char buffer[4096];

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

  cr_assert_eq (peer_io (BIO_READ, 0, sector, len, got), 0);
  for (i = 0; i < n && got[i] == c; i++)
    ;
  free (got);
  return i == n;
}

static struct queue_limits
limits (void)
{
  struct queue_limits l;

  bdev_limits (peer.dev, &l);
  return l;
}

/* ------------------------------------------------------------------ */

Test (nbd, what_is_written_is_read)
{
  char data[10 * 512];

  peer_start_and_open (NULL);
  cr_assert_eq (bdev_size (peer.dev), 16384);
  cr_assert_str_eq (peer.dev->name, "the name");
  cr_assert_not (peer.dev->readonly);
  cr_assert_eq (limits ().logical_block_bytes, 512);
  pattern (data, 'x', sizeof data);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 3, 10, data), 0);
  cr_assert (holds (0, 3, 0));
  cr_assert (holds (3, 10, 'x'));
  cr_assert (holds (13, 100, 0));
  cr_assert_eq (peer_io (BIO_WRITE, BIO_FUA, 3, 1, data), 0);
  cr_assert_eq (bdev_flush (peer.dev), 0);
  cr_assert_eq (peer_io (BIO_PREFETCH, 0, 0, 16384, NULL), 0);
}

Test (nbd, discard_and_zeroes_make_holes)
{
  static char data[64 * 512];

  peer_start_and_open (NULL);
  cr_assert (limits ().discard && limits ().write_zeroes && limits ().fua);
  pattern (data, 'x', sizeof data);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 64, data), 0);
  cr_assert_eq (peer_io (BIO_WRITE_ZEROES, BIO_FUA, 8, 8, NULL), 0);
  cr_assert_eq (peer_io (BIO_WRITE_ZEROES, BIO_NOUNMAP, 16, 8, NULL), 0);
  cr_assert_eq (peer_io (BIO_DISCARD, 0, 32, 16, NULL), 0);
  cr_assert (holds (0, 8, 'x'));
  cr_assert (holds (8, 16, 0));
  cr_assert (holds (24, 8, 'x'));
  cr_assert (holds (32, 16, 0));
  cr_assert_str_eq (peer_extents (32, 64), "Z16 D16 Z32");
}

Test (nbd, beyond_the_end_is_eio)
{
  peer_start_and_open (NULL);
  cr_assert_eq (peer_io (BIO_READ, 0, 16383, 2, buffer), -EIO);
  cr_assert_eq (peer_io (BIO_DISCARD, 0, UINT64_MAX, 2, NULL), -EIO);
}

Test (nbd, a_window_shows_its_part_only)
{
  char data[512];

  peer_start_and_open (NULL);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 8, 1, pattern (data, 'x', 512)), 0);
  peer_close ();
  peer.options.offset_bytes = 4096;
  peer.options.size_bytes = 8192;
  peer_open ();
  cr_assert_eq (bdev_size (peer.dev), 16);
  cr_assert (holds (0, 1, 'x'));
  cr_assert_str_eq (peer_extents (0, 16), "D8 Z8");
  peer_close ();
  peer.options.size_bytes = 8 * MIB;
  cr_assert_eq (peer_try_open (peer.uri), -EINVAL);
  cr_assert (strstr (peer.msg.text, "reaches beyond the end"), "%s",
             peer.msg.text);
}

Test (nbd, large_requests_are_split)
{
  const char *const args[] = { PEER_FILE, "--filter=truncate",
                               "truncate=128M", NULL };
  char *data = malloc (100 * MIB);

  peer_start_and_open (args);
  pattern (data, 'x', 100 * MIB);
  cr_assert_eq (peer_io (BIO_WRITE_ZEROES, 0, 0, 128 * 2048, NULL), 0);
  cr_assert_eq (peer_io (BIO_READ, 0, 1, 100 * 2048, data), 0);
  cr_assert (holds (0, 100 * 2048, 0));
  free (data);
}

Test (nbd, one_thread_has_many_requests_under_way)
{
  enum { N = 64 };
  static char data[N][4096];
  struct bio bios[N];
  unsigned i;

  peer_start_and_open (NULL);
  for (i = 0; i < N; i++) {
    bios[i] = (struct bio) { .op = BIO_WRITE, .bdev = peer.dev, .sector = i * 8,
                             .len = 8,
                             .data = pattern (data[i], 'a' + i % 26, 4096) };
    cr_assert_eq (peer.dev->ops->start (peer.dev, &bios[i]), 0);
  }
  for (i = N; i-- > 0;)
    cr_assert_eq (peer.dev->ops->finish (peer.dev, &bios[i]), 0);
  for (i = 0; i < N; i++)
    cr_assert (holds (i * 8, 8, 'a' + i % 26));
}

Test (nbd, many_threads_share_a_connection)
{
  peer_start_and_open (NULL);
  hammers_start ();
  hammers_wait (200);
  hammers_join (0);
}

Test (nbd, many_threads_share_several_connections)
{
  peer.options.connections = 3;
  peer_start_and_open (NULL);
  hammers_start ();
  hammers_wait (200);
  cr_assert_eq (bdev_flush (peer.dev), 0);
  hammers_join (0);
}

/* conns[0] is asked for extents; lanes 0 and 2 share conns[1]. */
Test (nbd, a_lane_keeps_to_its_connection)
{
  static const unsigned lanes[] = { 0, 1, 1, 2, 1 };
  struct upstream *up;
  unsigned i, before[3];

  peer.options.connections = 2;
  peer_start_and_open (NULL);
  up = container_of (peer.dev, struct upstream, bdev);
  cr_assert_eq (up->nr_conns, 3);
  for (i = 0; i < 3; i++)
    before[i] = up->conns[i].replies;
  for (i = 0; i < sizeof lanes / sizeof lanes[0]; i++) {
    struct bio bio = { .op = BIO_READ, .bdev = peer.dev, .len = 8,
                       .data = buffer, .lane = lanes[i] };

    cr_assert_eq (bdev_submit (peer.dev, &bio), 0);
  }
  cr_expect_eq (up->conns[0].replies - before[0], 0);
  cr_expect_eq (up->conns[1].replies - before[1], 2);
  cr_expect_eq (up->conns[2].replies - before[2], 3);
}

Test (nbd, a_device_opened_before_a_fork_works_after_it)
{
  pid_t child;
  int status;

  peer_start_and_open (NULL);
  child = fork ();
  if (child == 0)
    _exit (peer_read () == 0 ? 0 : 1);
  waitpid (child, &status, 0);
  cr_assert_eq (status, 0);
}

/* ------------------------------------------------------------------
 * Servers that can less.
 */

Test (nbd, a_read_only_export_makes_a_read_only_device)
{
  const char *const args[] = { PEER_FILE, "-r", NULL };

  peer_start_and_open (args);
  cr_assert (peer.dev->readonly);
  cr_assert_eq (peer_read (), 0);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 8, buffer), -EPERM);
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

  snprintf (flush, sizeof flush, "flush=rm %s", peer.image);
  peer_start_and_open (args);
  cr_assert_not (limits ().fua);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 8, buffer), 0);
  cr_assert_eq (access (peer.image, F_OK), 0);
  cr_assert_eq (peer_io (BIO_WRITE, BIO_FUA, 0, 8, buffer), 0);
  cr_assert_eq (access (peer.image, F_OK), -1);
}

Test (nbd, what_the_server_cannot_do_is_not_supported)
{
  const char *const args[] = { SMALL_SERVER, NULL };

  peer_start_and_open (args);
  cr_assert_not (limits ().write_zeroes || limits ().discard);
  cr_assert_eq (peer_io (BIO_WRITE_ZEROES, 0, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (peer_io (BIO_DISCARD, 0, 0, 8, NULL), -EOPNOTSUPP);
  cr_assert_eq (peer_io (BIO_PREFETCH, 0, 0, 8, NULL), 0);
  cr_assert_eq (bdev_flush (peer.dev), 0);
  cr_assert_str_eq (peer_extents (0, 64), "D64");
}

Test (nbd, one_connection_serves_data_and_extents_if_the_server_wants_one)
{
  const char *const args[] = { PEER_FILE, "--filter=limit", "limit=1", NULL };

  peer_start_and_open (args);
  cr_assert_eq (peer_read (), 0);
  cr_assert_str_eq (peer_extents (0, 64), "Z64");
}

Test (nbd, block_sizes_are_taken_over)
{
  const char *const args[] = { PEER_FILE, "--filter=blocksize-policy",
                               "blocksize-minimum=4096",
                               "blocksize-preferred=64K",
                               "blocksize-maximum=1M", NULL };
  struct queue_limits l;

  peer_start_and_open (args);
  l = limits ();
  cr_assert_eq (l.logical_block_bytes, 4096);
  cr_assert_eq (l.io_min_bytes, 65536);
  cr_assert_eq (l.max_sectors, 2048);
  cr_assert (holds (0, 16384, 0));
}

Test (nbd, an_error_of_the_server_is_passed_on)
{
  const char *const args[] = { PEER_FILE, "--filter=error", "error=ENOSPC",
                               "error-pwrite-rate=100%", NULL };

  peer_start_and_open (args);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 8, buffer), -ENOSPC);
  cr_assert_eq (peer_read (), 0);
}

/* ------------------------------------------------------------------
 * What cannot be opened.
 */

static void
refused (const char *u, int err, const char *text)
{
  int r = peer_try_open (u);

  cr_expect_eq (r, err, "%d: %s", r, peer.msg.text);
  cr_expect (strstr (peer.msg.text, text), "'%s' lacks '%s'", peer.msg.text,
             text);
}

Test (nbd, a_bad_uri_is_refused)
{
  refused ("http://example.com/", -EINVAL, "cannot connect to http:");
  refused ("nbd+unix:///?socket=/nonexistent", -ENODEV, "/nonexistent");
}

Test (nbd, an_unknown_export_is_refused)
{
  const char *const args[] = { PEER_FILE, "--filter=exportname",
                               "exportname-strict=true", "exportname=here",
                               "default-export=here", NULL };
  char u[300];

  peer_start (args);
  snprintf (u, sizeof u, "nbd+unix:///elsewhere?socket=%s", peer.sock);
  refused (u, -ENODEV, "elsewhere");
  snprintf (u, sizeof u, "nbd+unix:///here?socket=%s", peer.sock);
  cr_assert_eq (peer_try_open (u), 0);
}

Test (nbd, a_peer_that_does_not_answer_times_out)
{
  struct sockaddr_un sun = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);

  strcpy (sun.sun_path, peer.sock);
  cr_assert_eq (bind (fd, (struct sockaddr *) &sun, sizeof sun), 0);
  cr_assert_eq (listen (fd, 1), 0);
  peer.options.timeout = 1;
  refused (peer.uri, -ETIMEDOUT, "timed out");
  close (fd);
}

Test (nbd, tls_with_a_shared_key)
{
  char file[64], command[200], arg[80];
  const char *const args[] = { PEER_FILE, "--tls=require", arg, NULL };

  snprintf (file, sizeof file, "%s/psk", peer.dir);
  snprintf (arg, sizeof arg, "--tls-psk=%s", file);
  snprintf (command, sizeof command,
            "psktool -u alice -p %s >/dev/null 2>&1", file);
  if (system (command) != 0)
    cr_skip ("no psktool");
  peer_start (args);
  refused (peer.uri, -EOPNOTSUPP, "requires TLS");
  snprintf (peer.uri, sizeof peer.uri,
            "nbds+unix://alice@/?socket=%s&tls-psk-file=%s", peer.sock, file);
  peer_open ();
  hammers_start ();
  hammers_wait (20);
  hammers_join (0);
}
