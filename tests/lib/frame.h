/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of the control socket that does not mind what it sends. */

#ifndef NBDM_TEST_FRAME_H
#define NBDM_TEST_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Whatever goes wrong fails the running test, but for a connection that is not
 * accepted: -errno.
 */
int frame_connect (const char *path);

void frame_send_bytes (int fd, const void *bytes, size_t n);
void frame_send (int fd, uint32_t command, const void *payload,
                 uint32_t length);

/* The reply's result; what comes with it goes to payload (may be NULL, of size
 * bytes) and text (of at least 1024, or NULL).
 */
int frame_receive (int fd, void *payload, size_t size, char *text);

#endif /* NBDM_TEST_FRAME_H */
