/* SPDX-License-Identifier: BSD-3-Clause */
/* Where messages for the administrator go. */

#include "common/log.h"

#include <errno.h>
#include <stdio.h>

static void
log_to_stderr (enum log_level level, const char *fmt, va_list ap)
{
  if (level == LOG_LEVEL_DEBUG)
    return;
  flockfile (stderr);
  fputs ("nbdm: ", stderr);
  vfprintf (stderr, fmt, ap);
  putc_unlocked ('\n', stderr);
  funlockfile (stderr);
}

static log_sink sink = log_to_stderr;

void
log_set_sink (log_sink s)
{
  sink = s ? s : log_to_stderr;
}

#define LOG_AT(level)                           \
  do {                                          \
    int err = errno;                            \
    va_list ap;                                 \
                                                \
    va_start (ap, fmt);                         \
    sink (level, fmt, ap);                      \
    va_end (ap);                                \
    errno = err;                                \
  } while (0)

void
log_error (const char *fmt, ...)
{
  LOG_AT (LOG_LEVEL_ERROR);
}

void
log_info (const char *fmt, ...)
{
  LOG_AT (LOG_LEVEL_INFO);
}

void
log_debug (const char *fmt, ...)
{
  LOG_AT (LOG_LEVEL_DEBUG);
}
