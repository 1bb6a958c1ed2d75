/* SPDX-License-Identifier: BSD-3-Clause */
/* The cell: a hold on some blocks or chunks, for as long as I/O takes. */

#ifndef NBDM_CELL_H
#define NBDM_CELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/lock.h"

/* A set of cells, one of which any thread may hold on a range of keys.  What
 * the keys number is the owner's business.  Two cells conflict if their ranges
 * overlap and one of them is exclusive.  Who conflicts with somebody who came
 * earlier waits for him, whether he holds his cell or waits himself: nobody
 * starves.
 *
 * A cell may be held across I/O and stands with the gates, at GATE_CELL: it is
 * taken without any latch, at most one by a thread on one storey, before
 * anything of a higher rank.
 *
 * Cost: one latch, twice, and while any cell is exclusive a walk along those
 * that exist, which are no more than requests under way.
 */
struct cells {
  struct latch latch;
  /* Guarded by latch. */
  pthread_cond_t released;
  struct list list; /* struct cell, in the order in which they came */
  unsigned nr_exclusive;
};

struct cell_range {
  uint64_t begin, end;
};

/* On the holder's stack; its fields are cell.c's. */
struct cell {
  struct list link;
  struct cell_range around; /* from the first key to the last */
  const struct cell_range *ranges;
  unsigned nr_ranges;
  bool exclusive;
};

void cells_init (struct cells *cells);
void cells_destroy (struct cells *cells); /* nobody holds or waits */

/* Hold [begin, end).  Blocks. */
void cell_acquire (struct cells *cells, struct cell *cell, uint64_t begin,
                   uint64_t end, bool exclusive);

/* Hold ranges[0..n-1], n > 0, at once.  The array stays the caller's and as it
 * is until the cell is released.
 */
void cell_acquire_ranges (struct cells *cells, struct cell *cell,
                          const struct cell_range ranges[], unsigned n,
                          bool exclusive);

void cell_release (struct cells *cells, struct cell *cell);

#endif /* NBDM_CELL_H */
