/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling the service manager of this process, if there is one. */

#ifndef NBDM_NOTIFY_H
#define NBDM_NOTIFY_H

/* Send "READY=1\nSTATUS=…" and the like, one assignment per line, as one
 * datagram to the socket that NOTIFY_SOCKET names (systemd, sd_notify(3)), a
 * path or, after an '@', an abstract name.  Nothing without the variable;
 * failures are of no interest to anybody.  From any thread; does not block.
 */
void notify_send (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2)));

/* "RELOADING=1" and the time, which goes with it. */
void notify_reloading (void);

#endif /* NBDM_NOTIFY_H */
