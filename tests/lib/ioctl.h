/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface of a registry of its own, called without a socket. */

#ifndef NBDM_TEST_IOCTL_H
#define NBDM_TEST_IOCTL_H

#include <stddef.h>
#include <stdint.h>

#include "server/edge.h"

/* What every function below works on; anything that fails unexpectedly ends
 * the test.
 */
extern struct registry *ioctl_registry;
extern struct dm_wait ioctl_wait;
extern struct dm_ioctl_call ioctl_call; /* the last one */
extern int ioctl_fired;                 /* how many waiters have */

void ioctl_setup (void);
void ioctl_teardown (void);

/* Run a request of length bytes in a buffer of exactly that size, so that a
 * step beyond it is seen by the sanitizer, and copy the reply over it.  If it
 * returns -EINPROGRESS ioctl_call, with its buffer, is still in use.
 */
int ioctl_run_raw (uint32_t command, void *request, size_t length);

/* The same for one that tells its size. */
int ioctl_run (uint32_t command, struct dm_ioctl *request);

/* A request that is a header only, and is not looked at afterwards. */
int ioctl_run_named (uint32_t command, const char *name, uint32_t flags);

/* A struct dm_event_waiter.fire that counts. */
void ioctl_fire (struct dm_event_waiter *waiter);

void ioctl_create (const char *name, const char *uuid);

/* Give it a live table of so many error targets of 8 sectors. */
void ioctl_activate (const char *name, unsigned targets);

/* The number of a device, as the dev field has it. */
uint64_t ioctl_number (const char *name);

#endif /* NBDM_TEST_IOCTL_H */
