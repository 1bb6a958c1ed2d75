/* SPDX-License-Identifier: BSD-3-Clause */
/* The joints of the conformance suite. */

#ifndef NBDM_CONFORM_H
#define NBDM_CONFORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define CONFORM_MAX_TYPES 64

struct target_type;

/* The i-th registered type, wrapped; NULL beyond the last. */
const struct target_type *conform_type (size_t i);

/* What the wrappers have seen. */
extern struct conform_seen {
  atomic_ulong maps, ctrs, dtrs;
  atomic_ulong outside;  /* pieces that reach out of their target */
  atomic_ulong too_long; /* pieces that cross a multiple of max_io_len */
} conform_seen;

/* Make the n-th allocation from now fail (once); 0 switches it off.
 * conform_alloc_failed switches it off too and tells whether it happened.
 */
void conform_fail_alloc (long n);
bool conform_alloc_failed (void);

#endif /* NBDM_CONFORM_H */
