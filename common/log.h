/* SPDX-License-Identifier: BSD-3-Clause */
/* Where messages for the administrator go. */

#ifndef NBDM_LOG_H
#define NBDM_LOG_H

#include <stdarg.h>

enum log_level {
  LOG_LEVEL_ERROR, /* something an administrator has to look at */
  LOG_LEVEL_INFO,  /* a transition: reload done, device removed, … */
  LOG_LEVEL_DEBUG, /* shown with nbdkit -v only */
};

/* Receives every message; called from any thread, must not call back.  Until
 * one is set messages go to stderr (debug ones nowhere).
 */
typedef void (*log_sink) (enum log_level level, const char *fmt, va_list ap);

void log_set_sink (log_sink sink);

/* One line each, without a newline at its end.  errno is preserved.  On the
 * I/O path log transitions only, never each failing request.
 */
void log_error (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
void log_info (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
void log_debug (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));

#endif /* NBDM_LOG_H */
