/* SPDX-License-Identifier: BSD-3-Clause */
/* What two B-trees that share nodes do not agree on. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/memdev.h"
#include "tests/lib/thin-pool.h"

#define NR_KEYS 20000

static struct memdev *dev;
static struct thin_pool pool;
static struct btree_info info; /* of plain values, one level */
static block_t roots[2];
static uint64_t models[2][NR_KEYS]; /* value + 1; 0: no such key */

static void
set_up (void)
{
  dev = memdev_new ("metadata", 8192 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, 64), 0);
  info = (struct btree_info) {
    .tm = pool.tm, .levels = 1, .value_type.size = 8
  };
  cr_assert_eq (btree_empty (&info, &roots[0]), 0);
  srand (5);
}

static void
tear_down (void)
{
  pool_close (&pool);
  memdev_free (dev);
}

TestSuite (difference, .init = set_up, .fini = tear_down, .timeout = 120);

static void
put (unsigned side, uint64_t key, uint64_t v)
{
  le64 value = to_le64 (v);

  cr_assert_eq (btree_insert (&info, roots[side], &key, &value, &roots[side],
                              NULL), 0);
  models[side][key] = v + 1;
}

static void
take (unsigned side, uint64_t key)
{
  int r = btree_remove (&info, roots[side], &key, &roots[side]);

  cr_assert_eq (r, models[side][key] ? 0 : -ENODATA);
  models[side][key] = 0;
}

/* The second tree begins as a copy of the first. */
static void
copy (void)
{
  cr_assert_eq (tm_inc (pool.tm, roots[0]), 0);
  roots[1] = roots[0];
  memcpy (models[1], models[0], sizeof models[0]);
}

static bool
differs (uint64_t key)
{
  return models[0][key] != models[1][key];
}

/* All runs of [begin, end), against the models. */
static void
compare (uint64_t begin, uint64_t end)
{
  uint64_t at = begin, from, to, key;
  int r;

  while ((r = btree_find_difference (&info, roots[0], roots[1], at, end, &from,
                                     &to)) == 0) {
    cr_assert (from >= at && from < to && to <= end);
    for (key = at; key < from; key++)
      cr_assert_not (differs (key), "%lu is overlooked", (unsigned long) key);
    for (; key < to; key++)
      cr_assert (differs (key), "%lu is the same", (unsigned long) key);
    at = to;
  }
  cr_assert_eq (r, -ENODATA);
  for (key = at; key < end && key < NR_KEYS; key++)
    cr_assert_not (differs (key), "%lu is overlooked", (unsigned long) key);
}

Test (difference, a_copy_agrees)
{
  uint64_t key, from, to;

  copy ();
  cr_assert_eq (btree_find_difference (&info, roots[0], roots[1], 0,
                                       UINT64_MAX, &from, &to), -ENODATA);
  for (key = 0; key < 5000; key++)
    put (0, key, key);
  cr_assert_eq (tm_inc (pool.tm, roots[0]), 0);
  cr_assert_eq (btree_find_difference (&info, roots[0], roots[0], 0,
                                       UINT64_MAX, &from, &to), -ENODATA);
}

Test (difference, an_empty_tree_differs_in_all_there_is)
{
  uint64_t key;

  cr_assert_eq (btree_empty (&info, &roots[1]), 0);
  for (key = 7; key < 3000; key += 1 + key % 5)
    put (0, key, key);
  compare (0, NR_KEYS);
  compare (100, 101);
}

Test (difference, changes_of_all_kinds_are_found)
{
  uint64_t key;
  unsigned i;

  for (i = 0; i < 8000; i++)
    put (0, rand () % NR_KEYS, rand ());
  copy ();
  compare (0, UINT64_MAX);
  for (i = 0; i < 300; i++) {
    key = rand () % NR_KEYS;
    switch (rand () % 4) {
    case 0:
      take (rand () % 2, key);
      break;
    case 1:
      put (rand () % 2, key, rand ());
      break;
    default: /* near by, so that runs come about */
      put (1, NR_KEYS / 2 + i, i);
    }
    if (i % 20 == 0) {
      compare (0, NR_KEYS);
      compare (key, key + 500);
    }
  }
  compare (0, NR_KEYS);
}

/* So many that the trees no longer have the same depth. */
Test (difference, trees_of_other_shape_are_compared)
{
  uint64_t key;

  for (key = 0; key < 600; key++)
    put (0, key * 3, key);
  copy ();
  for (key = 700; key < NR_KEYS; key++)
    put (1, key, key);
  compare (0, NR_KEYS);
  for (key = 50; key < 600; key++)
    take (0, key * 3);
  compare (0, NR_KEYS);
}

Test (difference, what_is_shared_is_not_read)
{
  uint64_t from, to;
  unsigned key;

  for (key = 0; key < NR_KEYS; key++)
    put (0, key, key);
  copy ();
  put (1, 12345, 0);
  cr_assert_eq (pool_commit (&pool), 0);
  bm_reset (pool.bm);
  dev->counts[BIO_READ] = 0;
  cr_assert_eq (btree_find_difference (&info, roots[0], roots[1], 0,
                                       UINT64_MAX, &from, &to), 0);
  cr_assert (from == 12345 && to == 12346);
  cr_assert_eq (btree_find_difference (&info, roots[0], roots[1], to,
                                       UINT64_MAX, &from, &to), -ENODATA);
  cr_assert_lt (dev->counts[BIO_READ], 12, "%u of %u", dev->counts[BIO_READ],
                NR_KEYS / 124);
}
