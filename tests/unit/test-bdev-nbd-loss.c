/* SPDX-License-Identifier: BSD-3-Clause */
/* Upstream exports, served by a real nbdkit: its loss and its return. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "common/lock.h"
#include "tests/lib/peer.h"

/* The timeout is what finds a hang: a busy machine may be slow. */
TestSuite (nbd_loss, .init = peer_set_up, .fini = peer_tear_down,
           .timeout = 60);

static char buffer[4096];

/* One read on a thread of its own. */
static int read_result;

static void *
reader_run (void *opaque)
{
  read_result = peer_read ();
  return NULL;
}

Test (nbd_loss, with_reconnect_a_killed_server_goes_unnoticed)
{
  unsigned i;

  peer.options.reconnect = 30;
  peer.options.connections = 2;
  peer_start_and_open (NULL);
  hammers_start ();
  for (i = 0; i < 3; i++) {
    hammers_wait (20);
    peer_kill (i % 2 ? SIGTERM : SIGKILL);
    sleep_ms (150);
    peer_start (NULL);
  }
  hammers_wait (20);
  hammers_join (0);
  cr_assert_str_eq (peer_extents (8192, 64), "Z64");
}

Test (nbd_loss, without_reconnect_a_killed_server_is_eio_until_it_is_back)
{
  peer_start_and_open (NULL);
  hammers_start ();
  hammers_wait (20);
  peer_kill (SIGKILL);
  hammers_wait (1000000); /* until they fail */
  hammers_join (-EIO);
  cr_assert_eq (peer_read (), -EIO);
  cr_assert_eq (peer_read (), -EIO);
  peer_start (NULL);
  while (peer_read () != 0)
    sleep_ms (10);
  cr_assert_eq (peer_read (), 0);
}

Test (nbd_loss, reconnecting_gives_up_after_its_time_and_then_fails_fast)
{
  uint64_t start;
  unsigned i;

  peer.options.reconnect = 1;
  peer_start_and_open (NULL);
  peer_kill (SIGKILL);
  start = monotonic_ns ();
  cr_assert_eq (peer_read (), -EIO);
  cr_assert_geq (monotonic_ns () - start, 900000000);
  for (i = 0; i < 100; i++)
    cr_assert_eq (peer_read (), -EIO);
}

Test (nbd_loss, a_server_that_dies_of_every_request_is_given_up)
{
  const char *const args[] = { PEER_FILE, "--filter=error", "error=ESHUTDOWN",
                               "error-pread-rate=100%", NULL };

  peer.options.reconnect = 1;
  peer_start_and_open (args);
  cr_assert_eq (peer_read (), -EIO);
}

Test (nbd_loss, a_silent_server_is_given_up_after_the_timeout)
{
  int r;

  peer.options.timeout = 1;
  peer_start (NULL);
  /* It is the time to connect, too, and this machine may be busy. */
  do
    r = peer_try_open (peer.uri);
  while (r == -ETIMEDOUT);
  cr_assert_eq (r, 0, "%s", peer.msg.text);
  peer_stop ();
  cr_assert_eq (peer_read (), -EIO);
}

static void
shutdown_ends_a_wait (void)
{
  pthread_t reader;

  pthread_create (&reader, NULL, reader_run, NULL);
  sleep_ms (300);
  peer.dev->ops->shutdown (peer.dev);
  pthread_join (reader, NULL);
  cr_assert_eq (read_result, -ESHUTDOWN);
  cr_assert_eq (peer_read (), -ESHUTDOWN);
}

Test (nbd_loss, shutdown_ends_waiting_for_a_dead_server)
{
  peer.options.reconnect = 1000;
  peer_start_and_open (NULL);
  peer_kill (SIGKILL);
  shutdown_ends_a_wait ();
}

Test (nbd_loss, shutdown_ends_waiting_for_a_silent_server)
{
  peer.options.reconnect = 1000;
  peer_start_and_open (NULL);
  peer_stop ();
  shutdown_ends_a_wait ();
}

Test (nbd_loss, a_live_server_is_used_to_the_end)
{
  peer_start_and_open (NULL);
  peer.dev->ops->shutdown (peer.dev);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 8, buffer), 0);
  cr_assert_eq (bdev_flush (peer.dev), 0);
}

Test (nbd_loss, the_size_follows_the_server_when_it_comes_back)
{
  peer.options.reconnect = 10;
  peer_start_and_open (NULL);
  peer_kill (SIGKILL);
  cr_assert_eq (truncate (peer.image, 1 << 20), 0);
  peer_start (NULL);
  cr_assert_eq (peer_read (), 0);
  cr_assert_eq (bdev_size (peer.dev), 2048);
  cr_assert_eq (peer_io (BIO_READ, 0, 2048, 8, buffer), -EIO);
}

Test (nbd_loss, a_server_that_comes_back_read_only_is_not_the_same)
{
  const char *const args[] = { PEER_FILE, "-r", NULL };

  peer.options.reconnect = 1;
  peer_start_and_open (NULL);
  peer_kill (SIGKILL);
  peer_start (args);
  cr_assert_eq (peer_io (BIO_WRITE, 0, 0, 8, buffer), -EIO);
}

Test (nbd_loss, no_idle_connection_keeps_a_server_from_ending)
{
  peer.options.reconnect = 10;
  peer_start_and_open (NULL);
  cr_assert_str_eq (peer_extents (0, 64), "Z64");
  kill (peer.pid, SIGTERM);
  sleep_ms (100);
  hammers_start (); /* has the server say that it is ending */
  peer_kill (SIGTERM);
  peer_start (NULL);
  hammers_wait (5);
  hammers_join (0);
}
