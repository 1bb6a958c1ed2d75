/* SPDX-License-Identifier: BSD-3-Clause */
/* A door: any number may be inside; who closes it waits until nobody is. */

#ifndef NBDM_POOL_DOOR_H
#define NBDM_POOL_DOOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/lock.h"

#define DOOR_SHARDS 16

/* What keeps a suspend of the pool, a snapshot, a commit apart from requests
 * that are under way, at the cost of one counter in the cache line of a thread:
 * count first, then look whether it is closed; who closes it says so first,
 * then counts.  The argument is that of a mapped device's gate (docs/locks.md).
 *
 * It is no lock in the sense of common/lock.h: the same thread must not enter
 * twice, nor close what it is inside of; which door is entered before which
 * says targets/thin/pool.h.
 */
struct door {
  struct {
    atomic_long inside;
    char pad[64 - sizeof (atomic_long)]; /* a cache line each */
  } shards[DOOR_SHARDS];
  atomic_uint closed; /* by so many; written under latch */

  struct latch latch;
  pthread_cond_t moved; /* somebody left, or it opened */
};

void door_init (struct door *door);
void door_destroy (struct door *door);

/* Wait until it is open and go in.  False: did not, since it was closed and
 * *leave (may be NULL) was true, which door_wake makes waiters look at.
 */
bool door_enter (struct door *door, const atomic_bool *leave);
void door_exit (struct door *door);
void door_wake (struct door *door);

/* Let nobody in any more, wait until all are out.  It is open again when each
 * who closed it has opened it.
 */
void door_close (struct door *door);
void door_open (struct door *door);

#endif /* NBDM_POOL_DOOR_H */
