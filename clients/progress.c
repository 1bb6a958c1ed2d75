/* SPDX-License-Identifier: BSD-3-Clause */
/* What takes longer than a second is told on a terminal. */

#include "clients/nbdmsetup.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
  bool on;                 /* standard error is a terminal */
  bool shown;              /* there is something on the line */
  const char *what, *device;
  size_t at, n;            /* of several devices */
  time_t last;             /* when the line was written, or the first step */
} progress;

static time_t
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

void
progress_clear (void)
{
  if (progress.shown)
    fprintf (stderr, "\r\033[K");
  progress.shown = false;
}

static void
progress_show (unsigned seconds)
{
  fprintf (stderr, "\r\033[K%s", progress.what);
  if (progress.device)
    fprintf (stderr, " %s", progress.device);
  if (progress.n > 1)
    fprintf (stderr, ", %zu of %zu", progress.at + 1, progress.n);
  if (seconds > 0)
    fprintf (stderr, ": %u s", seconds);
  fflush (stderr);
  progress.shown = true;
  progress.last = now ();
}

static void
progress_waiting (unsigned seconds)
{
  if (seconds > 0)
    progress_show (seconds);
  else
    progress_clear ();
}

void
progress_init (struct client *client)
{
  progress.on = isatty (STDERR_FILENO);
  progress.what = "waiting";
  progress.last = now ();
  if (progress.on)
    client->waiting = progress_waiting;
}

void
progress_about (const char *what, const char *device)
{
  progress.what = what;
  progress.device = device;
  if (progress.on && progress.n > 1 && now () > progress.last)
    progress_show (0);
}

void
progress_step (size_t at, size_t n)
{
  progress.at = at;
  progress.n = n;
}
