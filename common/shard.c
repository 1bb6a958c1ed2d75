/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads spread over the shards of a counter. */

#include "common/shard.h"

#include <stdatomic.h>

/* Every request asks, and the default for a plugin is a call to find it. */
static __thread unsigned number __attribute__ ((tls_model ("initial-exec")));

unsigned
shard_number (void)
{
  static atomic_uint threads;

  if (__builtin_expect (number == 0, 0))
    number = atomic_fetch_add (&threads, 1) + 1;
  return number;
}
