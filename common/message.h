/* SPDX-License-Identifier: BSD-3-Clause */
/* The one human message that travels beside an errno. */

#ifndef NBDM_MESSAGE_H
#define NBDM_MESSAGE_H

#include <stdbool.h>

/* Made where the offending value is known, read by whoever asked (a control
 * client, the reload, the command line).  A caller that does not care passes
 * NULL.  Zero-initialise; nothing to free.
 */
struct message {
  char text[1024];
};

/* Set the text unless an earlier (deeper, so better informed) call has set
 * it, and return -err: `return message_set (msg, EINVAL, "…");`
 */
int message_set (struct message *msg, int err, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Put a prefix ("vol1: table line 2: linear: ") before the text, if any. */
void message_prefix (struct message *msg, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

static inline bool
message_is_set (const struct message *msg)
{
  return msg && msg->text[0] != '\0';
}

#endif /* NBDM_MESSAGE_H */
