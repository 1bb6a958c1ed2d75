/* SPDX-License-Identifier: BSD-3-Clause */
/* B-trees against a sorted map; nesting, sharing, ranges, cursors. */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/memdev.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-pool.h"

#define NR_KEYS 6000 /* of the model */
#define MAX_VALUE BTREE_MAX_VALUE_BYTES

static struct memdev *dev;
static struct thin_pool pool;
static struct btree_info info; /* of plain values, one level */
static block_t root;

static void
set_up (void)
{
  dev = memdev_new ("metadata", 8192 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, 512), 0);
  info = (struct btree_info) {
    .tm = pool.tm, .levels = 1, .value_type.size = 8
  };
  srand (3);
}

static void
tear_down (void)
{
  pool_close (&pool);
  memdev_free (dev);
}

TestSuite (btree, .init = set_up, .fini = tear_down, .timeout = 120);

static block_t
used (void)
{
  struct space_map *sm = tm_metadata_sm (pool.tm);
  block_t b, n = 0;
  uint32_t count;

  for (b = 0; b < sm_nr_blocks (sm); b++) {
    cr_assert_eq (sm_get_count (sm, b, &count), 0);
    n += count > 0;
  }
  return n;
}

static bool
put (uint64_t key, uint64_t v)
{
  char value[MAX_VALUE] = { 0 };
  bool inserted;

  memcpy (value, &v, info.value_type.size < 8 ? 4 : 8);
  cr_assert_eq (btree_insert (&info, root, &key, value, &root, &inserted), 0);
  return inserted;
}

static int
take (uint64_t key)
{
  return btree_remove (&info, root, &key, &root);
}

/* What is there: 0 for nothing. */
static uint64_t
get (uint64_t key)
{
  char value[MAX_VALUE] = { 0 };
  uint64_t v;
  int r = btree_lookup (&info, root, &key, value);

  if (r == -ENODATA)
    return 0;
  cr_assert_eq (r, 0);
  memcpy (&v, value, sizeof v);
  return v;
}

Test (btree, an_empty_tree_has_nothing)
{
  uint64_t key = 0, value, n;

  cr_assert_eq (btree_empty (&info, &root), 0);
  cr_expect_eq (btree_lookup (&info, root, &key, &value), -ENODATA);
  cr_expect_eq (btree_lookup_next (&info, root, &key, &key, &value), -ENODATA);
  cr_expect_eq (btree_find_lowest_key (&info, root, &key), -ENODATA);
  cr_expect_eq (btree_find_highest_key (&info, root, &key), -ENODATA);
  cr_expect_eq (take (5), -ENODATA);
  cr_expect_eq (btree_overwrite (&info, root, 5, &value, &root), -ENODATA);
  cr_expect_eq (btree_remove_range (&info, root, &key, 100, &root, &n), 0);
  cr_expect_eq (n, 0);
}

/* The model: model[k] is the value of key k * 7, 0 if there is none. */
static uint64_t model[NR_KEYS];

static void
compare_all (void)
{
  uint64_t key = 0, next, value, i;

  for (i = 0; i < NR_KEYS; i++) {
    if (model[i] == 0)
      continue;
    cr_assert_eq (btree_lookup_next (&info, root, &key, &next, &value), 0);
    cr_assert_eq (next, i * 7);
    cr_assert_eq (value, model[i]);
    key = next + 1;
  }
  cr_assert_eq (btree_lookup_next (&info, root, &key, &next, &value),
                -ENODATA);
}

static void
random_step (unsigned i)
{
  uint64_t k = rand () % NR_KEYS, n, expected = 0, first = k * 7;
  unsigned len = rand () % 700, j;

  switch (rand () % 8) {
  case 0: case 1: case 2: case 3:
    cr_assert_eq (put (k * 7, i + 1), model[k] == 0);
    model[k] = i + 1;
    break;
  case 4: case 5: case 6:
    cr_assert_eq (take (k * 7), model[k] ? 0 : -ENODATA);
    model[k] = 0;
    break;
  default:
    if (rand () % 64 != 0)
      break;
    for (j = k; j < k + len && j < NR_KEYS; j++) {
      expected += model[j] != 0;
      model[j] = 0;
    }
    cr_assert_eq (btree_remove_range (&info, root, &first, (k + len) * 7,
                                      &root, &n), 0);
    cr_assert_eq (n, expected);
  }
}

Test (btree, random_operations_agree_with_a_map)
{
  block_t before = used ();
  unsigned i;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (i = 0; i < 40000; i++) {
    random_step (i);
    if (i % 4000 == 0) {
      compare_all ();
      cr_assert_eq (pool_commit (&pool), 0);
    }
  }
  compare_all ();
  cr_assert_eq (btree_del (&info, root), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (used (), before);
}

static struct criterion_test_params
sizes (void)
{
  static uint32_t all[] = { 4, 8, 16, 24, 100, 512 };

  return cr_make_param_array (uint32_t, all, sizeof all / sizeof all[0]);
}

ParameterizedTestParameters (btree, values_of_every_size)
{
  return sizes ();
}

ParameterizedTest (uint32_t *size, btree, values_of_every_size)
{
  uint64_t k;

  info.value_type.size = *size;
  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 1000; k++)
    cr_assert (put (k * 37 % 1000, k + 1));
  for (k = 0; k < 1000; k++)
    cr_assert_eq (get (k * 37 % 1000), k + 1);
  for (k = 0; k < 1000; k += 2)
    cr_assert_eq (take (k), 0);
  for (k = 0; k < 1000; k++)
    cr_assert_eq (get (k) != 0, k % 2);
  for (k = 999; k < 1000; k -= 2)
    cr_assert_eq (take (k), 0);
  cr_assert_eq (btree_find_lowest_key (&info, root, &k), -ENODATA);
}

Test (btree, keys_reach_from_0_to_the_largest)
{
  const uint64_t keys[] = { 0, UINT64_MAX, 1, UINT64_MAX - 1 };
  struct btree_cursor cursor;
  uint64_t key = 1, n;
  unsigned i;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (i = 0; i < 4; i++)
    put (keys[i], i + 1);
  cr_assert_eq (btree_find_lowest_key (&info, root, &key), 0);
  cr_assert_eq (key, 0);
  cr_assert_eq (btree_find_highest_key (&info, root, &key), 0);
  cr_assert_eq (key, UINT64_MAX);
  cr_assert_eq (btree_cursor_begin (&cursor, &info, root, key), 0);
  cr_assert_eq (btree_cursor_next (&cursor), -ENODATA);
  btree_cursor_end (&cursor);
  key = 1;
  cr_assert_eq (btree_remove_range (&info, root, &key, UINT64_MAX, &root, &n),
                0);
  cr_assert_eq (n, 2);
  cr_assert_eq (take (UINT64_MAX), 0);
  cr_assert_eq (get (0), 1);
}

Test (btree, a_missing_key_changes_nothing)
{
  block_t old;
  uint64_t k;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 2000; k++)
    put (k * 2, k + 1);
  cr_assert_eq (pool_commit (&pool), 0);
  old = root;
  dev->counts[BIO_WRITE] = 0;
  cr_assert_eq (take (77), -ENODATA);
  cr_assert_eq (root, old);
  cr_assert_eq (bm_flush (pool.bm), 0);
  cr_assert_eq (dev->counts[BIO_WRITE], 0);
}

Test (btree, overwriting_does_not_split)
{
  uint64_t k, value;
  block_t before;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 252; k++) /* as many as one node holds */
    put (k, k + 1);
  before = used ();
  value = 99;
  cr_assert_eq (btree_overwrite (&info, root, 100, &value, &root), 0);
  put (101, 98);
  cr_assert_eq (used (), before);
  cr_assert_eq (get (100), 99);
  cr_assert_eq (get (101), 98);
}

Test (btree, cursors_see_every_entry_from_a_key_on)
{
  struct btree_cursor cursor;
  uint64_t k;
  int r;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 3000; k++)
    put (k * 2, k + 1);
  k = 1001;
  for (r = btree_cursor_begin (&cursor, &info, root, 2001); r == 0;
       r = btree_cursor_next (&cursor), k++) {
    cr_assert_eq (btree_cursor_key (&cursor), k * 2);
    cr_assert_eq (*(const uint64_t *) btree_cursor_value (&cursor), k + 1);
  }
  cr_assert_eq (r, -ENODATA);
  cr_assert_eq (k, 3000);
  btree_cursor_end (&cursor);
  cr_assert_eq (btree_cursor_begin (&cursor, &info, root, 6000), -ENODATA);
}

static int
stop_at_ten (void *context, const uint64_t *keys, const void *value)
{
  return ++*(unsigned *) context == 10 ? 42 : 0;
}

Test (btree, walks_stop_when_told)
{
  unsigned n = 0;
  uint64_t k;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 3000; k++)
    put (k, k);
  cr_assert_eq (btree_walk (&info, root, stop_at_ten, &n), 42);
  cr_assert_eq (n, 10);
}

/* Two roots of one tree are two trees. */
Test (btree, copies_go_their_own_ways)
{
  block_t before = used (), copy;
  uint64_t k;

  cr_assert_eq (btree_empty (&info, &root), 0);
  for (k = 0; k < 3000; k++)
    put (k, 1);
  cr_assert_eq (tm_inc (pool.tm, root), 0);
  copy = root;
  for (k = 0; k < 3000; k += 3)
    put (k, 2);
  for (k = 1; k < 3000; k += 3)
    cr_assert_eq (take (k), 0);
  for (k = 0; k < 3000; k++)
    cr_assert_eq (get (k), k % 3 == 0 ? 2 : k % 3 == 1 ? 0 : 1);
  cr_assert_eq (btree_del (&info, root), 0);
  root = copy;
  for (k = 0; k < 3000; k++)
    cr_assert_eq (get (k), 1);
  cr_assert_eq (btree_del (&info, root), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (used (), before);
}

/* The pool's two-level tree, checked by walking the image. */
static void
check_image (const char *where)
{
  cr_assert_eq (pool_commit (&pool), 0);
  metacheck_assert (dev->data, sectors_to_bytes (dev->bdev.size), where);
}

Test (btree, nested_trees_share_and_count_their_values)
{
  uint64_t b, data, nr;

  cr_assert_eq (sm_extend (pool.data_sm, 20000), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (pool_create (&pool, 1), 0);
  for (b = 0; b < 3000; b++)
    cr_assert_eq (pool_provision (&pool, 1, b * 5 % 3000 + b / 600, &data), 0);
  cr_assert_eq (pool_snap (&pool, 2, 1), 0);
  cr_assert_eq (pool_snap (&pool, 3, 1), 0);
  check_image ("snapshots");
  for (b = 0; b < 3000; b += 100)
    cr_assert_eq (pool_provision (&pool, 2, b, &data), 0);
  check_image ("sharing broken");
  cr_assert_eq (pool_unmap (&pool, 3, 500, 2000, &nr), 0);
  cr_assert_eq (nr, 1500);
  check_image ("range removed");
  cr_assert_eq (pool_delete (&pool, 1), 0);
  check_image ("origin deleted");
  cr_assert_eq (pool_delete (&pool, 2), 0);
  cr_assert_eq (pool_delete (&pool, 3), 0);
  check_image ("all deleted");
  cr_assert_eq (sm_nr_free (pool.data_sm), 20000);
}

Test (btree, missing_levels_are_made)
{
  const uint64_t keys[2] = { 7, 9 };
  uint64_t found[2];
  le64 value;
  block_t data;

  cr_assert_eq (sm_extend (pool.data_sm, 10), 0);
  cr_assert_eq (pool_commit (&pool), 0);
  cr_assert_eq (sm_new_block (pool.data_sm, &data), 0);
  value = to_le64 (THIN_VALUE (data, 3));
  cr_assert_eq (btree_insert (&pool.mappings, pool.mapping_root, keys, &value,
                              &pool.mapping_root, NULL), 0);
  cr_assert_eq (btree_find_highest_key (&pool.mappings, pool.mapping_root,
                                        found), 0);
  cr_assert (found[0] == 7 && found[1] == 9);
  cr_assert_eq (btree_del (&pool.mappings, pool.mapping_root), 0);
  cr_assert_eq (sm_nr_free (pool.data_sm), 10);
}

/* K1 of the format's notes: a root with one child, which a metadata snapshot
 * has as well, takes the child's place.
 */
Test (btree, collapsing_onto_a_shared_child_counts_the_grandchildren)
{
  uint64_t d;

  for (d = 0; d < 253; d++)
    cr_assert_eq (pool_create (&pool, d), 0);
  for (d = 252; d >= 168; d--)
    cr_assert_eq (pool_delete (&pool, d), 0);
  cr_assert_eq (pool_reserve_snap (&pool), 0);
  cr_assert_eq (pool_delete (&pool, 167), 0);
  check_image ("snapshot held");
  cr_assert_eq (pool_delete (&pool, 100), 0);
  check_image ("another one");
  cr_assert_eq (pool_release_snap (&pool), 0);
  check_image ("snapshot released");
  for (d = 0; d < 167; d++)
    if (d != 100)
      cr_assert_eq (pool_delete (&pool, d), 0);
  check_image ("nothing left");
}

static int
refuse (void *context, const void *values, unsigned count)
{
  return -EDOM;
}

Test (btree, errors_of_the_value_type_come_through)
{
  block_t old, copy;

  cr_assert_eq (btree_empty (&info, &root), 0);
  put (5, 1);
  info.value_type.dec = refuse;
  info.value_type.inc = refuse;
  old = root;
  cr_assert_eq (take (5), -EDOM);
  cr_assert_eq (root, old);
  cr_assert_eq (btree_del (&info, root), -EDOM);
  cr_assert_eq (pool_rollback (&pool), 0);

  info = (struct btree_info) {
    .tm = pool.tm, .levels = 1, .value_type.size = 8
  };
  cr_assert_eq (btree_empty (&info, &root), 0);
  put (5, 1);
  cr_assert_eq (tm_inc (pool.tm, root), 0);
  info.value_type.inc = refuse;
  copy = root;
  cr_assert_eq (btree_overwrite (&info, root, 5, &copy, &root), -EDOM);
}

/* The nodes are of an earlier transaction, so a change would move the root. */
Test (btree, a_failed_change_names_no_new_root)
{
  uint64_t key = 5, value = 2;
  block_t old;
  int r, i;

  cr_assert_eq (btree_empty (&info, &root), 0);
  put (key, 1);
  cr_assert_eq (pool_commit (&pool), 0);
  old = root;
  for (i = 0; i < 3; i++) {
    info.tm = pool.tm;
    info.value_type.dec = refuse;
    if (i == 0)
      r = btree_remove (&info, root, &key, &root);
    else if (i == 1)
      r = btree_insert (&info, root, &key, &value, &root, NULL);
    else
      r = btree_overwrite (&info, root, key, &value, &root);
    cr_assert_eq (r, -EDOM);
    cr_assert_eq (root, old);
    cr_assert_eq (pool_rollback (&pool), 0);
  }
}
