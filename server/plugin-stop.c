/* SPDX-License-Identifier: BSD-3-Clause */
/* Noticing the end of the server while clients still wait. */

#include "server/plugin.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "common/lock.h"
#include "common/log.h"
#include "common/notify.h"

/* For replies to requests that have just been woken. */
#define STOP_GRACE_NS 100000000u

static struct {
  bool watching;
  pthread_t watcher;
  unsigned timeout_s;
  sem_t done; /* posted once by cleanup, once when the loop has stopped */
} stop;

/* nbdkit has no callback that comes early enough (cleanup waits for the very
 * workers that have to be woken), but this sleep breaks off.
 */
static void
stop_await_quit (void)
{
  while (nbdkit_nanosleep (3600, 0) == 0 || errno != ESHUTDOWN)
    ;
}

static void *
stop_loop (void *arg)
{
  loop_stop ();
  sem_post (&stop.done);
  return NULL;
}

static bool
stop_await_done (uint64_t deadline_ns)
{
  struct timespec ts = { .tv_sec = deadline_ns / 1000000000,
                         .tv_nsec = deadline_ns % 1000000000 };
  int r;

  do
    r = sem_clockwait (&stop.done, CLOCK_MONOTONIC, &ts);
  while (r == -1 && errno == EINTR);
  return r == 0;
}

static uint64_t
stop_hard_deadline (uint64_t deadline_ns)
{
  uint64_t now = monotonic_ns ();

  return (now > deadline_ns ? now : deadline_ns) + STOP_GRACE_NS;
}

static void *
stop_watch (void *arg)
{
  uint64_t deadline;
  pthread_t stopper;
  bool orderly;

  stop_await_quit ();
  notify_send ("STOPPING=1\n");
  deadline = monotonic_ns () + stop.timeout_s * UINT64_C (1000000000);
  orderly = registry_shutdown (door.registry, deadline);

  /* On a thread of its own: a verb may sit in a connect that cannot be broken
   * off.
   */
  if (pthread_create (&stopper, NULL, stop_loop, NULL) != 0)
    _exit (!orderly);
  deadline = stop_hard_deadline (deadline);
  if (!stop_await_done (deadline) || !stop_await_done (deadline)) {
    log_info ("clients still connected: ending without them");
    _exit (!orderly);
  }
  pthread_join (stopper, NULL);
  return NULL;
}

int
stop_watch_start (unsigned timeout_s)
{
  int err;

  stop.timeout_s = timeout_s;
  sem_init (&stop.done, 0, 0);
  err = pthread_create (&stop.watcher, NULL, stop_watch, NULL);
  stop.watching = err == 0;
  return -err;
}

void
stop_watch_join (void)
{
  if (!stop.watching)
    return;
  nbdkit_shutdown (); /* not yet requested if the server was run with -s */
  sem_post (&stop.done);
  pthread_join (stop.watcher, NULL);
  sem_destroy (&stop.done);
  stop.watching = false;
}
