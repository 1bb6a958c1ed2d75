/* SPDX-License-Identifier: BSD-3-Clause */
/* The one human message that travels beside an errno. */

#include "common/message.h"

#include <stdarg.h>
#include <stdio.h>

int
message_set (struct message *msg, int err, const char *fmt, ...)
{
  va_list ap;

  if (msg && !message_is_set (msg)) {
    va_start (ap, fmt);
    vsnprintf (msg->text, sizeof msg->text, fmt, ap);
    va_end (ap);
  }
  return -err;
}

void
message_prefix (struct message *msg, const char *fmt, ...)
{
  struct message old;
  va_list ap;
  int n;

  if (!message_is_set (msg))
    return;
  old = *msg;
  va_start (ap, fmt);
  n = vsnprintf (msg->text, sizeof msg->text, fmt, ap);
  va_end (ap);
  if (n >= 0 && (size_t) n < sizeof msg->text)
    snprintf (msg->text + n, sizeof msg->text - n, "%s", old.text);
}
