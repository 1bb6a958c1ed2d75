/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters in a file, for node_exporter's textfile collector. */

#include "server/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define TEXTFILE_SECONDS 15.

static struct {
  struct registry *registry;
  const char *path;        /* NULL: none */
  ev_timer timer;
  struct loop_job job;
  bool running, failed;    /* failed: the last time, and the log knows */
} textfile;

static int
textfile_fill (const char *path, const char *text, size_t length)
{
  FILE *fp = fopen (path, "we");
  int r = 0;

  if (fp == NULL)
    return -errno;
  if (fwrite (text, 1, length, fp) != length)
    r = -errno;
  if (fclose (fp) != 0 && r == 0)
    r = -errno;
  return r;
}

/* Whoever reads it sees all of one state. */
static int
textfile_replace (const char *path, const char *text, size_t length)
{
  char *CLEANUP_FREE new = NULL;
  int r;

  /* The collector reads *.prom only. */
  if (asprintf (&new, "%s.new", path) < 0) {
    new = NULL;
    return -ENOMEM;
  }
  r = textfile_fill (new, text, length);
  if (r == 0 && rename (new, path) < 0)
    r = -errno;
  if (r < 0)
    unlink (new);
  return r;
}

static int
textfile_write (void)
{
  char *CLEANUP_FREE text = NULL;
  size_t length;
  int r = control_metrics (textfile.registry, &text, &length);

  return r < 0 ? r : textfile_replace (textfile.path, text, length);
}

static void
textfile_run (struct loop_job *job)
{
  int r = textfile_write ();

  if (r < 0 && !textfile.failed)
    log_error ("metrics file %s: %s", textfile.path, strerror (-r));
  textfile.failed = r < 0;
}

static void
textfile_done (struct loop_task *task)
{
  textfile.running = false;
  loop_end_if_idle ();
}

static void
textfile_tick (struct ev_loop *ev, ev_timer *w, int revents)
{
  if (!textfile.running)
    textfile.running = loop_job_start (&textfile.job, LOOP_READS) == 0;
}

void
textfile_start (struct ev_loop *ev, struct registry *registry,
                const char *path)
{
  textfile.registry = registry;
  textfile.path = path;
  textfile.running = textfile.failed = false;
  list_init (&textfile.job.link);
  list_init (&textfile.job.done.link);
  textfile.job.run = textfile_run;
  textfile.job.done.fn = textfile_done;
  ev_timer_init (&textfile.timer, textfile_tick, 0., TEXTFILE_SECONDS);
  if (path)
    ev_timer_start (ev, &textfile.timer);
}

void
textfile_stop (struct ev_loop *ev)
{
  ev_timer_stop (ev, &textfile.timer);
}

bool
textfile_is_idle (void)
{
  return !textfile.running;
}

void
textfile_exit (void)
{
  if (textfile.path)
    unlink (textfile.path);
  textfile.path = NULL;
}
