/* SPDX-License-Identifier: BSD-3-Clause */
/* The cell: a hold on some blocks or chunks, for as long as I/O takes. */

#include "targets/cell.h"

void
cells_init (struct cells *cells)
{
  latch_init (&cells->latch);
  latch_cond_init (&cells->released);
  list_init (&cells->list);
}

void
cells_destroy (struct cells *cells)
{
  pthread_cond_destroy (&cells->released);
  latch_destroy (&cells->latch);
}

/* True if somebody who came earlier is in the way. */
static bool
cell_is_blocked (struct cells *cells, const struct cell *cell)
{
  struct cell *earlier;

  list_for_each (earlier, &cells->list, link) {
    if (earlier == cell)
      break;
    if (earlier->begin < cell->end && cell->begin < earlier->end &&
        (earlier->exclusive || cell->exclusive))
      return true;
  }
  return false;
}

void
cell_acquire (struct cells *cells, struct cell *cell, uint64_t begin,
              uint64_t end, bool exclusive)
{
  gate_init (&cell->gate, GATE_CELL);
  gate_acquire (&cell->gate);

  ACQUIRE_LATCH_FOR_SCOPE (&cells->latch);
  cell->begin = begin;
  cell->end = end;
  cell->exclusive = exclusive;
  list_add_tail (&cells->list, &cell->link);
  while (cell_is_blocked (cells, cell))
    latch_wait (&cells->latch, &cells->released);
}

void
cell_release (struct cells *cells, struct cell *cell)
{
  latch_acquire (&cells->latch);
  list_del (&cell->link);
  if (!list_empty (&cells->list))
    pthread_cond_broadcast (&cells->released);
  latch_release (&cells->latch);
  gate_release (&cell->gate);
  gate_destroy (&cell->gate);
}
