/* SPDX-License-Identifier: BSD-3-Clause */
/* The cell: a hold on some blocks or chunks, for as long as I/O takes. */

#include "targets/cell.h"

void
cells_init (struct cells *cells)
{
  latch_init (&cells->latch);
  latch_cond_init (&cells->released);
  list_init (&cells->list);
  cells->nr_exclusive = 0;
}

void
cells_destroy (struct cells *cells)
{
  pthread_cond_destroy (&cells->released);
  latch_destroy (&cells->latch);
}

static bool
range_overlaps (const struct cell_range *a, const struct cell_range *b)
{
  return a->begin < b->end && b->begin < a->end;
}

static bool
cell_overlaps (const struct cell *a, const struct cell *b)
{
  unsigned i, j;

  if (!range_overlaps (&a->around, &b->around))
    return false;
  for (i = 0; i < a->nr_ranges; i++)
    for (j = 0; j < b->nr_ranges; j++)
      if (range_overlaps (&a->ranges[i], &b->ranges[j]))
        return true;
  return false;
}

/* True if somebody who came earlier is in the way.  Readers among themselves,
 * which is most of the time, need not look at each other.
 */
static bool
cell_is_blocked (struct cells *cells, const struct cell *cell)
{
  struct cell *earlier;

  if (cells->nr_exclusive == 0)
    return false;
  list_for_each (earlier, &cells->list, link) {
    if (earlier == cell)
      break;
    if ((earlier->exclusive || cell->exclusive) &&
        cell_overlaps (earlier, cell))
      return true;
  }
  return false;
}

/* The cell's ranges are set. */
static void
cell_wait (struct cells *cells, struct cell *cell, bool exclusive)
{
  gate_note (cell, GATE_CELL);

  ACQUIRE_LATCH_FOR_SCOPE (&cells->latch);
  cell->exclusive = exclusive;
  list_add_tail (&cells->list, &cell->link);
  cells->nr_exclusive += exclusive;
  while (cell_is_blocked (cells, cell))
    latch_wait (&cells->latch, &cells->released);
}

void
cell_acquire (struct cells *cells, struct cell *cell, uint64_t begin,
              uint64_t end, bool exclusive)
{
  cell->around = (struct cell_range) { begin, end };
  cell->ranges = &cell->around;
  cell->nr_ranges = 1;
  cell_wait (cells, cell, exclusive);
}

void
cell_acquire_ranges (struct cells *cells, struct cell *cell,
                     const struct cell_range ranges[], unsigned n,
                     bool exclusive)
{
  unsigned i;

  cell->around = ranges[0];
  for (i = 1; i < n; i++) {
    if (ranges[i].begin < cell->around.begin)
      cell->around.begin = ranges[i].begin;
    if (ranges[i].end > cell->around.end)
      cell->around.end = ranges[i].end;
  }
  cell->ranges = ranges;
  cell->nr_ranges = n;
  cell_wait (cells, cell, exclusive);
}

void
cell_release (struct cells *cells, struct cell *cell)
{
  latch_acquire (&cells->latch);
  list_del (&cell->link);
  cells->nr_exclusive -= cell->exclusive;
  if (!list_empty (&cells->list))
    pthread_cond_broadcast (&cells->released);
  latch_release (&cells->latch);
  gate_forget (cell);
}
