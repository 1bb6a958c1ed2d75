/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays: every boundary of size, sharing, references of elements. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

#include "pdata/array.h"
#include "tests/lib/memdev.h"
#include "tests/lib/thin-pool.h"

#define MAX 509 /* elements of 8 bytes in a block */

static struct memdev *dev;
static struct thin_pool pool;
static struct array_info info;
static block_t root;

/* Elements are data blocks, counted in pool.data_sm. */
static int
element_inc (void *context, const void *values, unsigned n)
{
  return tm_for_each_run (pool.data_sm, sm_inc, values, n);
}

static int
element_dec (void *context, const void *values, unsigned n)
{
  return tm_for_each_run (pool.data_sm, sm_dec, values, n);
}

static void
set_up (void)
{
  const struct btree_value_type type = {
    .size = sizeof (le64), .inc = element_inc, .dec = element_dec
  };

  dev = memdev_new ("metadata", 2048 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, 256), 0);
  cr_assert_eq (sm_extend (pool.data_sm, 1000), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  array_info_init (&info, pool.tm, &type);
  cr_assert_eq (array_empty (&info, &root), 0);
}

static void
tear_down (void)
{
  pool_close (&pool);
  memdev_free (dev);
}

TestSuite (array, .init = set_up, .fini = tear_down, .timeout = 60);

static uint64_t
get (uint32_t i)
{
  le64 value;

  cr_assert_eq (array_get (&info, root, i, &value), 0, "%u", i);
  return from_le64 (value);
}

static void
set (uint32_t i, uint64_t v)
{
  le64 value = to_le64 (v);

  cr_assert_eq (array_set (&info, root, i, &value, &root), 0);
}

static void
resize (uint32_t from, uint32_t to, uint64_t v)
{
  le64 value = to_le64 (v);

  cr_assert_eq (array_resize (&info, root, from, to, &value, &root), 0);
}

static uint32_t
count (uint64_t element)
{
  uint32_t n;

  cr_assert_eq (sm_get_count (pool.data_sm, element, &n), 0);
  return n;
}

static void
expect_end (uint32_t size)
{
  le64 value;

  cr_assert_eq (array_get (&info, root, size, &value), -ENODATA);
  cr_assert_eq (array_set (&info, root, size, &value, &root), -ENODATA);
}

Test (array, every_element_is_there_after_growing_and_shrinking)
{
  static const uint32_t sizes[] = {
    0, 1, MAX - 1, MAX, MAX + 1, 2 * MAX - 1, 2 * MAX, 2 * MAX + 1, 5000
  };
  const unsigned n = sizeof sizes / sizeof sizes[0];
  uint32_t from, to, i, j, k;

  for (i = 0; i < n; i++)
    for (j = 0; j < n; j++) {
      from = sizes[i];
      to = sizes[j];
      resize (0, from, 1);
      resize (from, to, 2);
      for (k = 0; k < to; k++)
        cr_assert_eq (get (k), k < from ? 1 : 2);
      expect_end (to);
      cr_assert_eq (count (1), from < to ? from : to);
      cr_assert_eq (count (2), to > from ? to - from : 0);
      resize (to, 0, 0);
      cr_assert_eq (count (1) + count (2), 0);
    }
}

Test (array, elements_keep_what_was_set)
{
  uint32_t i;

  resize (0, 3000, 7);
  for (i = 0; i < 3000; i += 3)
    set (i, i % 900 + 10);
  cr_assert_eq (pool_commit (&pool), 0);
  for (i = 0; i < 3000; i++)
    cr_assert_eq (get (i), i % 3 ? 7 : i % 900 + 10);
  cr_assert_eq (count (7), 2000);
  cr_assert_eq (array_del (&info, root), 0);
  cr_assert_eq (count (7) + count (10), 0);
}

/* Whatever shares what, and whichever goes first. */
Test (array, copies_count_their_elements)
{
  block_t copy;
  uint32_t i;

  resize (0, 2000, 7);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (tm_inc (pool.tm, root), 0);
  copy = root;
  set (5, 8);
  cr_assert_eq (count (7), 2000 + MAX - 1); /* one block was copied */
  cr_assert_eq (count (8), 1);
  cr_assert_eq (get (5), 8);
  set (6, 8);
  cr_assert_eq (count (7), 2000 + MAX - 2);
  cr_assert_eq (array_del (&info, root), 0);
  cr_assert_eq (count (8), 0);
  cr_assert_eq (count (7), 2000);
  root = copy;
  for (i = 0; i < 2000; i++)
    cr_assert_eq (get (i), 7);
  cr_assert_eq (array_del (&info, root), 0);
  cr_assert_eq (count (7), 0);
}

Test (array, two_roots_set_at_once)
{
  block_t first, second;

  resize (0, 100, 7);
  cr_assert_eq (tm_inc (pool.tm, root), 0);
  first = second = root;
  root = first;
  set (1, 8);
  first = root;
  root = second;
  set (1, 9);
  second = root;
  cr_assert_eq (get (1), 9);
  root = first;
  cr_assert_eq (get (1), 8);
  cr_assert_eq (count (7), 2 * 99);
  cr_assert_eq (array_del (&info, first), 0);
  cr_assert_eq (array_del (&info, second), 0);
  cr_assert_eq (count (7) + count (8) + count (9), 0);
}

static int
check_order (void *context, uint64_t index, const void *value)
{
  uint64_t *expected = context;

  cr_assert_eq (index, *expected);
  cr_assert_eq (from_le64 (*(const le64 *) value), index % 2 + 1);
  return ++*expected == 1500 ? 42 : 0;
}

Test (array, walks_are_in_order_and_stop_when_told)
{
  uint64_t n = 0;
  uint32_t i;

  resize (0, 2000, 1);
  for (i = 1; i < 2000; i += 2)
    set (i, 2);
  cr_assert_eq (array_walk (&info, root, check_order, &n), 42);
  cr_assert_eq (n, 1500);
}

Test (array, size_of_values_is_checked)
{
  const struct btree_value_type small = { .size = 4 };
  struct array_info other;
  le32 value;

  resize (0, 10, 1);
  array_info_init (&other, pool.tm, &small);
  cr_assert_eq (array_get (&other, root, 0, &value), -EILSEQ);
}
