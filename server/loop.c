/* SPDX-License-Identifier: BSD-3-Clause */
/* The control plane's thread: signals, the way in, the way out. */

#include "server/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/notify.h"

static struct {
  bool started;
  struct loop_config config;
  struct ev_loop *ev;
  pthread_t thread;
  struct loop_task stop;

  /* --- the loop thread's --- */
  ev_signal hangup;
  struct loop_job reload;
  bool reloading, reload_again;
  bool stopping;
} loop;

static void
loop_mask_sighup (int how)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (how, &set, NULL);
}

void
loop_end_if_idle (void)
{
  if (loop.stopping && !loop.reloading && control_is_idle () &&
      textfile_is_idle ())
    ev_break (loop.ev, EVBREAK_ALL);
}

/* ------------------------------------------------------------------
 * SIGHUP.
 */

int
loop_reload (char **report, struct message *msg)
{
  struct message own = { "" };
  int r;

  notify_reloading ();
  r = reload_run (loop.config.reload, report, &own);
  notify_send ("READY=1\nSTATUS=The last reload %s%s\n",
               r < 0 ? "failed, nothing changed: " : "went well",
               r < 0 ? own.text : "");
  return r < 0 ? message_set (msg, -r, "%s", own.text) : 0;
}

/* It logs what comes of it by itself. */
static void
loop_reload_run (struct loop_job *job)
{
  loop_reload (NULL, NULL);
}

/* However many signals come during a reload, one more sees all that they could
 * have been sent for.
 */
static void
loop_reload_start (void)
{
  int r;

  if (loop.reloading) {
    loop.reload_again = true;
    return;
  }
  loop.reload_again = false;
  r = loop_job_start (&loop.reload, LOOP_VERBS);
  if (r < 0)
    log_error ("reload: no thread: %s", strerror (-r));
  else
    loop.reloading = true;
}

static void
loop_reload_done (struct loop_task *task)
{
  loop.reloading = false;
  if (loop.reload_again && !loop.stopping)
    loop_reload_start ();
  loop_end_if_idle ();
}

static void
loop_hangup (struct ev_loop *ev, ev_signal *w, int revents)
{
  loop_reload_start ();
}

/* ------------------------------------------------------------------
 * The thread.
 */

static void
loop_stop_here (struct loop_task *task)
{
  loop.stopping = true;
  reload_cancel (loop.config.reload);
  control_stop ();
  textfile_stop (loop.ev);
  loop_end_if_idle ();
}

static void *
loop_main (void *opaque)
{
  /* SIGHUP was blocked before the fork; here it has its handler now. */
  loop_mask_sighup (SIG_UNBLOCK);
  ev_run (loop.ev, 0);
  loop_mask_sighup (SIG_BLOCK);
  return NULL;
}

static void
loop_init (void)
{
  loop.stopping = loop.reloading = loop.reload_again = false;
  list_init (&loop.stop.link);
  loop.stop.fn = loop_stop_here;
  loop.reload.run = loop_reload_run;
  list_init (&loop.reload.link);
  list_init (&loop.reload.done.link);
  loop.reload.done.fn = loop_reload_done;
  loop_jobs_init (loop.ev);
  ev_signal_init (&loop.hangup, loop_hangup, SIGHUP);
  ev_signal_start (loop.ev, &loop.hangup);
}

/* With SIGHUP blocked in this thread and all that were made after get_ready:
 * taking the handler away brings its deadly default back.
 */
static void
loop_exit (void)
{
  control_exit ();
  textfile_exit ();
  loop_jobs_exit (loop.ev);
  ev_signal_stop (loop.ev, &loop.hangup);
  ev_loop_destroy (loop.ev);
  loop.ev = NULL;
}

int
loop_start (const struct loop_config *config, int listen_fd,
            struct message *msg)
{
  int err;

  loop.config = *config;
  /* Not the default loop: that one would reap all children. */
  loop.ev = ev_loop_new (EVFLAG_AUTO | EVFLAG_NOENV);
  if (loop.ev == NULL) {
    if (listen_fd >= 0)
      close (listen_fd);
    return message_set (msg, ENOMEM, "cannot make an event loop");
  }
  loop_init ();
  textfile_start (loop.ev, config->registry, config->metrics_path);
  err = -control_start (loop.ev, config, listen_fd, msg);
  if (err == 0)
    err = pthread_create (&loop.thread, NULL, loop_main, NULL);
  if (err) {
    loop_exit ();
    return message_set (msg, err, "cannot start the control thread: %s",
                        strerror (err));
  }
  loop.started = true;
  return 0;
}

void
loop_stop (void)
{
  if (!loop.started)
    return;
  loop.started = false;
  loop_post (&loop.stop);
  pthread_join (loop.thread, NULL);
  loop_exit ();
}
