/* SPDX-License-Identifier: BSD-3-Clause */
/* Exception tables: runs, their ends, and a plain array beside them. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

#include "targets/snapshot/exception-table.h"

static struct exception_table *table;

static void
setup (void)
{
  table = exception_table_new ();
  cr_assert_not_null (table);
}

static void
teardown (void)
{
  exception_table_free (table);
}

TestSuite (exception_table, .init = setup, .fini = teardown);

static int
insert (chunk_t old_chunk, chunk_t new_chunk)
{
  cr_assert_eq (exception_table_reserve (table, old_chunk), 0);
  return exception_table_insert (table, old_chunk, new_chunk);
}

static int
take_out (chunk_t old_chunk, chunk_t new_chunk, uint64_t len)
{
  struct exception_run run = { old_chunk, new_chunk, len };

  return exception_table_remove (table, &run);
}

static void
expect_size (uint64_t exceptions, uint64_t runs)
{
  struct exception_table_size size;

  exception_table_size (table, &size);
  cr_expect_eq (size.exceptions, exceptions, "%d exceptions",
                (int) size.exceptions);
  cr_expect_eq (size.runs, runs, "%d runs", (int) size.runs);
}

/* new_chunk 0: not an exception. */
static void
expect_run (chunk_t chunk, chunk_t new_chunk, uint64_t len)
{
  struct exception_run run;
  bool found = exception_table_lookup (table, chunk, UINT64_MAX, &run);

  cr_expect_eq (found, new_chunk != 0);
  cr_expect_eq (run.old_chunk, chunk);
  cr_expect_eq (run.len, len, "%d chunks from %d on", (int) run.len,
                (int) chunk);
  if (found)
    cr_expect_eq (run.new_chunk, new_chunk);
}

Test (exception_table, neighbours_share_a_run)
{
  cr_expect_eq (insert (10, 100), 0);
  cr_expect_eq (insert (11, 101), 0);
  cr_expect_eq (insert (9, 99), 0);
  expect_size (3, 1);
  expect_run (9, 99, 3);
  expect_run (10, 100, 2);
  expect_run (0, 0, 9);
  expect_run (12, 0, 4096 - 12);
}

Test (exception_table, neighbours_elsewhere_do_not)
{
  insert (10, 100);
  insert (11, 103);
  insert (9, 98);
  expect_size (3, 3);
  expect_run (9, 98, 1);
  expect_run (10, 100, 1);
  expect_run (11, 103, 1);
}

Test (exception_table, the_first_of_two_stays)
{
  cr_expect_eq (insert (10, 100), 0);
  cr_expect_eq (insert (10, 200), -EEXIST);
  expect_size (1, 1);
  expect_run (10, 100, 1);
}

Test (exception_table, old_chunk_0_is_a_chunk)
{
  insert (0, 2);
  insert (1, 3);
  expect_run (0, 2, 2);
}

Test (exception_table, answers_are_no_longer_than_asked)
{
  struct exception_run run;

  insert (5, 50);
  insert (6, 51);
  cr_expect (exception_table_lookup (table, 5, 1, &run));
  cr_expect_eq (run.len, 1);
  cr_expect_not (exception_table_lookup (table, 1, 2, &run));
  cr_expect_eq (run.len, 2);
}

Test (exception_table, large_numbers)
{
  chunk_t last = UINT64_MAX;

  insert (last, 7);
  insert (last - 1, 6);
  expect_run (last - 1, 6, 2);
  expect_run (last - 4095, 0, 4094);
  cr_expect_eq (take_out (last - 1, 6, 2), 0);
  expect_size (0, 0);
}

Test (exception_table, walk_across_segments)
{
  chunk_t c;

  for (c = 4000; c < 9000; c++)
    insert (c, c + 1000);
  expect_size (5000, 3);
  expect_run (4000, 5000, 96);
  expect_run (4096, 5096, 4096);
  expect_run (8192, 9192, 808);
  cr_expect_eq (take_out (4000, 5000, 5000), 0);
  expect_size (0, 0);
}

Test (exception_table, what_is_elsewhere_is_left)
{
  insert (10, 100);
  insert (11, 101);
  cr_expect_eq (take_out (10, 200, 1), 0, "repeated by a later entry");
  cr_expect_eq (take_out (20, 120, 1), 0);
  expect_size (2, 1);
}

Test (exception_table, no_chunk_inside_a_run_is_taken_out)
{
  insert (10, 100);
  insert (11, 101);
  insert (12, 102);
  cr_expect_eq (take_out (11, 101, 1), -EINVAL);
  expect_size (3, 1);
  cr_expect_eq (take_out (10, 100, 1), 0);
  cr_expect_eq (take_out (12, 102, 1), 0);
  expect_run (11, 101, 1);
}

Test (exception_table, reservations_can_be_given_back)
{
  cr_expect_eq (exception_table_reserve (table, 1), 0);
  cr_expect_eq (exception_table_reserve (table, 2), 0);
  exception_table_unreserve (table, 1);
  cr_expect_eq (exception_table_insert (table, 2, 9), 0);
  expect_size (1, 1);
}

/* Many reservations first: none of the inserts may need memory. */
Test (exception_table, reserved_is_reserved)
{
  chunk_t c;

  for (c = 0; c < 8192; c += 2)
    cr_assert_eq (exception_table_reserve (table, c), 0);
  for (c = 0; c < 8192; c += 2)
    cr_assert_eq (exception_table_insert (table, c, 8192 - c), 0);
  expect_size (4096, 4096);
}

#define CHUNKS 20000
#define OPERATIONS 60000

/* A store's life: entries come in random places and go in reverse order. */
Test (exception_table, agrees_with_an_array)
{
  static chunk_t model[CHUNKS], order[CHUNKS];
  struct exception_run run;
  uint64_t n = 0, i, at, k;
  bool found;

  srand (1);
  for (i = 0; i < OPERATIONS; i++) {
    /* Now and then close to the last one, so that runs come about. */
    at = rand () % CHUNKS;
    if (n > 0 && rand () % 3)
      at = (order[n - 1] + 1) % CHUNKS;
    if (rand () % 100 < 70 && n < CHUNKS) {
      cr_assert_eq (insert (at, n + 2), model[at] ? -EEXIST : 0);
      if (model[at] == 0) {
        model[at] = n + 2;
        order[n++] = at;
      }
    }
    else if (n > 0) {
      at = order[--n];
      cr_assert_eq (take_out (at, model[at], 1), 0);
      model[at] = 0;
    }
  }
  cr_assert_gt (n, 1000);
  for (at = 0; at < CHUNKS; at += run.len) {
    found = exception_table_lookup (table, at, CHUNKS - at, &run);
    for (k = 0; k < run.len; k++)
      cr_assert_eq (model[at + k], found ? run.new_chunk + k : 0u);
  }
  for (; n > 0; n--)
    cr_assert_eq (take_out (order[n - 1], n + 1, 1), 0);
  expect_size (0, 0);
}
