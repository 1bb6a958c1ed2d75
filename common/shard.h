/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads spread over the shards of a counter. */

#ifndef NBDM_SHARD_H
#define NBDM_SHARD_H

/* The calling thread's number, from 1 on in the order in which threads first
 * ask for it.  Taken modulo the number of shards it gives each thread a shard
 * of its own, as far as there are enough.
 */
unsigned shard_number (void);

#endif /* NBDM_SHARD_H */
