/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells: who waits for whom. */

#include <criterion/criterion.h>

#include <stdatomic.h>

#include "targets/cell.h"
#include "tests/lib/rig.h"

static struct cells cells;

static void
setup (void)
{
  cells_init (&cells);
}

static void
teardown (void)
{
  cells_destroy (&cells);
}

TestSuite (cell, .init = setup, .fini = teardown);

/* A thread that takes a cell and holds it until told to let go. */
struct holder {
  pthread_t thread;
  uint64_t begin, end;
  bool exclusive;
  atomic_bool holds, let_go;
};

static void *
holder_thread (void *opaque)
{
  struct holder *h = opaque;
  struct cell cell;

  cell_acquire (&cells, &cell, h->begin, h->end, h->exclusive);
  h->holds = true;
  cr_expect (EVENTUALLY (h->let_go));
  cell_release (&cells, &cell);
  return NULL;
}

/* How many cells there are, held or waited for. */
static unsigned
count (void)
{
  struct cell *cell;
  unsigned n = 0;
  ACQUIRE_LATCH_FOR_SCOPE (&cells.latch);

  list_for_each (cell, &cells.list, link)
    n++;
  return n;
}

static void
start (struct holder *h, uint64_t begin, uint64_t end, bool exclusive)
{
  unsigned n = count ();

  h->begin = begin;
  h->end = end;
  h->exclusive = exclusive;
  h->holds = h->let_go = false;
  cr_assert_eq (pthread_create (&h->thread, NULL, holder_thread, h), 0);
  cr_assert (EVENTUALLY (count () == n + 1));
}

static void
stop (struct holder *h)
{
  h->let_go = true;
  pthread_join (h->thread, NULL);
}

/* Long enough for who does not wait. */
static bool
waits (struct holder *h)
{
  static const struct timespec moment = { .tv_nsec = 20000000 };

  nanosleep (&moment, NULL);
  return !h->holds;
}

Test (cell, exclusive_ones_exclude_each_other)
{
  struct holder a, b;

  start (&a, 1, 3, true);
  cr_assert (EVENTUALLY (a.holds));
  start (&b, 2, 4, true);
  cr_expect (waits (&b));
  stop (&a);
  cr_expect (EVENTUALLY (b.holds));
  stop (&b);
}

Test (cell, shared_ones_do_not)
{
  struct holder a, b, c;

  start (&a, 1, 3, false);
  start (&b, 1, 3, false);
  cr_expect (EVENTUALLY (a.holds && b.holds));
  start (&c, 2, 3, true);
  cr_expect (waits (&c));
  stop (&a);
  cr_expect (waits (&c));
  stop (&b);
  cr_expect (EVENTUALLY (c.holds));
  stop (&c);
}

Test (cell, ranges_that_only_touch_do_not_conflict)
{
  struct holder a, b, c;

  start (&a, 1, 3, true);
  start (&b, 3, 4, true);
  start (&c, 0, 1, true);
  cr_expect (EVENTUALLY (a.holds && b.holds && c.holds));
  stop (&a);
  stop (&b);
  stop (&c);
}

Test (cell, nobody_overtakes_who_waits)
{
  struct holder a, b, c;

  start (&a, 1, 2, false);
  cr_assert (EVENTUALLY (a.holds));
  start (&b, 1, 2, true);
  start (&c, 1, 2, false);
  cr_expect (waits (&b) && waits (&c));
  stop (&a);
  cr_expect (EVENTUALLY (b.holds));
  cr_expect (waits (&c));
  stop (&b);
  cr_expect (EVENTUALLY (c.holds));
  stop (&c);
}

/* In nanoseconds, of all threads. */
static uint64_t
cpu_time (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &ts);
  return ts.tv_sec * UINT64_C (1000000000) + ts.tv_nsec;
}

Test (cell, who_waits_sleeps)
{
  static const struct timespec moment = { .tv_nsec = 200000000 };
  struct holder b[4];
  struct cell cell;
  uint64_t begin;
  unsigned i;

  cell_acquire (&cells, &cell, 1, 2, true);
  for (i = 0; i < 4; i++)
    start (&b[i], 1, 2, true);
  begin = cpu_time ();
  nanosleep (&moment, NULL);
  cr_expect_lt (cpu_time () - begin, 50000000);
  cell_release (&cells, &cell);
  for (i = 0; i < 4; i++)
    stop (&b[i]);
}

Test (cell, a_cell_of_several_ranges_leaves_the_gaps_free)
{
  static const struct cell_range ranges[] = { { 8, 9 }, { 1, 3 }, { 5, 6 } };
  struct holder between, inside;
  struct cell cell;

  cell_acquire_ranges (&cells, &cell, ranges, 3, true);
  start (&between, 3, 5, true);
  start (&inside, 4, 6, false);
  cr_expect (EVENTUALLY (between.holds));
  stop (&between);
  cr_expect (waits (&inside));
  cell_release (&cells, &cell);
  cr_expect (EVENTUALLY (inside.holds));
  stop (&inside);
}
