/* SPDX-License-Identifier: BSD-3-Clause */
/* Bitsets: bits, sizes, the layout on disk. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

#include "pdata/bitset.h"
#include "tests/lib/memdev.h"
#include "tests/lib/thin-pool.h"

static struct memdev *dev;
static struct thin_pool pool;
static struct bitset_info info;
static block_t root;

static void
set_up (void)
{
  dev = memdev_new ("metadata", 2048 * BM_BLOCK_SECTORS);
  cr_assert_eq (pool_format (&pool, &dev->bdev, 256), 0);
  bitset_info_init (&info, pool.tm);
  cr_assert_eq (bitset_empty (&info, &root), 0);
}

static void
tear_down (void)
{
  pool_close (&pool);
  memdev_free (dev);
}

TestSuite (bitset, .init = set_up, .fini = tear_down, .timeout = 60);

static bool
test (uint32_t bit)
{
  bool value;

  cr_assert_eq (bitset_test (&info, root, bit, &value), 0);
  return value;
}

Test (bitset, bits_are_independent)
{
  static bool model[5000];
  uint32_t i, bit;

  srand (1);
  cr_assert_eq (bitset_resize (&info, root, 0, 5000, false, &root), 0);
  for (i = 0; i < 5000; i++) {
    bit = rand () % 5000;
    model[bit] = rand () % 2;
    cr_assert_eq (bitset_set (&info, root, bit, model[bit], &root), 0);
  }
  for (i = 0; i < 5000; i++)
    cr_assert_eq (test (i), model[i]);
}

Test (bitset, growth_has_the_default_in_new_words)
{
  uint32_t i;
  bool value;

  cr_assert_eq (bitset_resize (&info, root, 0, 70, true, &root), 0);
  cr_assert_eq (bitset_resize (&info, root, 70, 40000, false, &root), 0);
  for (i = 0; i < 40000; i++)
    cr_assert_eq (test (i), i < 128);
  cr_assert_eq (bitset_test (&info, root, 40000, &value), -ENODATA);
  cr_assert_eq (bitset_set (&info, root, 40000, true, &root), -ENODATA);
}

Test (bitset, shrinking_drops_words)
{
  bool value;

  cr_assert_eq (bitset_resize (&info, root, 0, 40000, true, &root), 0);
  cr_assert_eq (bitset_resize (&info, root, 40000, 64, true, &root), 0);
  cr_assert (test (63));
  cr_assert_eq (bitset_test (&info, root, 64, &value), -ENODATA);
  cr_assert_eq (bitset_del (&info, root), 0);
}

Test (bitset, layout_is_an_array_of_words)
{
  le64 word;

  cr_assert_eq (bitset_resize (&info, root, 0, 200, false, &root), 0);
  cr_assert_eq (bitset_set (&info, root, 64 + 3, true, &root), 0);
  cr_assert_eq (array_get (&info.array, root, 1, &word), 0);
  cr_assert_eq (from_le64 (word), 8);
}
