/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays on disk, packed into blocks, with copy on write. */

#include "pdata/array.h"

#include <errno.h>
#include <string.h>

#define ARRAY_SALT 595846735

struct array_block {
  le32 csum;
  le32 max_entries;
  le32 nr_entries;
  le32 value_size;
  le64 blocknr;
  char values[];
};

_Static_assert (sizeof (struct array_block) == 24, "array block");

static uint32_t
ablock_calc_max (uint32_t value_size)
{
  return (BM_BLOCK_BYTES - sizeof (struct array_block)) / value_size;
}

static int
ablock_check (const void *data)
{
  const struct array_block *ab = data;
  uint32_t size = from_le32 (ab->value_size), max = from_le32 (ab->max_entries);

  if (size == 0 || size > BM_BLOCK_BYTES || max != ablock_calc_max (size) ||
      from_le32 (ab->nr_entries) > max)
    return -EILSEQ;
  return 0;
}

static const struct bm_validator ablock_validator = {
  .salt = ARRAY_SALT,
  .nr_offset = offsetof (struct array_block, blocknr),
  .check = ablock_check,
};

static uint32_t
ablock_nr (const struct array_block *ab)
{
  return from_le32 (ab->nr_entries);
}

static void *
ablock_value (struct array_block *ab, uint32_t i)
{
  return ab->values + (size_t) i * from_le32 (ab->value_size);
}

/* Call one of the value type's functions for elements [begin, end). */
static int
ablock_count (const struct array_info *info,
              int (*fn) (void *, const void *, unsigned),
              struct array_block *ab, uint32_t begin, uint32_t end)
{
  if (fn == NULL || begin == end)
    return 0;
  return fn (info->value_type.context, ablock_value (ab, begin), end - begin);
}

static int
ablock_check_size (const struct array_info *info, struct bm_block *block)
{
  const struct array_block *ab = bm_data (block);

  return from_le32 (ab->value_size) == info->value_type.size ? 0 : -EILSEQ;
}

static int
ablock_read (const struct array_info *info, block_t nr,
             struct bm_block **block)
{
  int r = tm_read_lock (info->btree.tm, nr, &ablock_validator, block);

  if (r < 0)
    return r;
  r = ablock_check_size (info, *block);
  if (r < 0)
    bm_unlock (*block);
  return r;
}

/* Array blocks as values of the B-tree. */

static int
ablock_ref_inc (void *context, const void *values, unsigned count)
{
  const struct array_info *info = context;

  return tm_inc_values (info->btree.tm, values, count);
}

/* The elements go with the last reference to their block. */
static int
ablock_put (const struct array_info *info, block_t nr)
{
  struct bm_block *block;
  bool shared;
  int r;

  r = tm_is_shared (info->btree.tm, nr, &shared);
  if (r == 0 && !shared && info->value_type.dec) {
    r = ablock_read (info, nr, &block);
    if (r < 0)
      return r;
    r = ablock_count (info, info->value_type.dec, bm_data (block), 0,
                      ablock_nr (bm_data (block)));
    bm_unlock (block);
  }
  return r < 0 ? r : tm_dec (info->btree.tm, nr);
}

static int
ablock_ref_dec (void *context, const void *values, unsigned count)
{
  const le64 *nr = values;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && i < count; i++)
    r = ablock_put (context, from_le64 (nr[i]));
  return r;
}

static bool
ablock_ref_equal (void *context, const void *a, const void *b)
{
  return memcmp (a, b, sizeof (le64)) == 0;
}

void
array_info_init (struct array_info *info, struct transaction_manager *tm,
                 const struct btree_value_type *type)
{
  info->value_type = *type;
  info->btree = (struct btree_info) {
    .tm = tm,
    .levels = 1,
    .value_type = {
      .context = info,
      .size = sizeof (le64),
      .inc = ablock_ref_inc,
      .dec = ablock_ref_dec,
      .equal = ablock_ref_equal,
    },
  };
}

int
array_empty (const struct array_info *info, block_t *root)
{
  return btree_empty (&info->btree, root);
}

int
array_del (const struct array_info *info, block_t root)
{
  return btree_del (&info->btree, root);
}

/* Changing a block. */

/* Have the B-tree name this block at place i instead of old, whose reference
 * has been moved to it: no function of the value type is to be called.
 */
static int
array_rename_block (const struct array_info *info, uint64_t i, block_t nr,
                    block_t *root)
{
  struct btree_info moved = info->btree;
  le64 value = to_le64 (nr);

  moved.value_type.dec = NULL;
  return btree_overwrite (&moved, *root, i, &value, root);
}

/* Shadow array block i.  The way to it is made our own first: only then the
 * count of the block tells whether another array has it as well.
 */
static int
array_shadow (const struct array_info *info, uint64_t i, block_t *root,
              struct bm_block **block)
{
  struct array_block *ab;
  le64 value;
  bool inc;
  int r;

  r = btree_lookup (&info->btree, *root, &i, &value);
  if (r == 0)
    r = btree_overwrite (&info->btree, *root, i, &value, root);
  if (r == 0)
    r = tm_shadow (info->btree.tm, from_le64 (value), &ablock_validator, block,
                   &inc);
  if (r < 0)
    return r;
  ab = bm_data (*block);
  r = ablock_check_size (info, *block);
  if (r == 0 && inc)
    r = ablock_count (info, info->value_type.inc, ab, 0, ablock_nr (ab));
  if (r == 0 && bm_block_nr (*block) != from_le64 (value))
    r = array_rename_block (info, i, bm_block_nr (*block), root);
  if (r < 0)
    bm_unlock (*block);
  return r;
}

static int
array_new_block (const struct array_info *info, uint64_t i, block_t *root,
                 struct bm_block **block)
{
  uint32_t size = info->value_type.size;
  struct array_block *ab;
  le64 value;
  int r;

  r = tm_new_block (info->btree.tm, &ablock_validator, block);
  if (r < 0)
    return r;
  ab = bm_data (*block);
  ab->max_entries = to_le32 (ablock_calc_max (size));
  ab->value_size = to_le32 (size);
  value = to_le64 (bm_block_nr (*block));
  r = btree_insert (&info->btree, *root, &i, &value, root, NULL);
  if (r < 0)
    bm_unlock (*block);
  return r;
}

static int
ablock_fill (const struct array_info *info, struct array_block *ab,
             uint32_t nr, const void *value)
{
  uint32_t old = ablock_nr (ab), i;

  if (nr <= old)
    return 0;
  for (i = old; i < nr; i++)
    memcpy (ablock_value (ab, i), value, info->value_type.size);
  ab->nr_entries = to_le32 (nr);
  return ablock_count (info, info->value_type.inc, ab, old, nr);
}

static int
ablock_trim (const struct array_info *info, struct array_block *ab,
             uint32_t nr)
{
  uint32_t old = ablock_nr (ab);

  if (old <= nr)
    return 0;
  ab->nr_entries = to_le32 (nr);
  return ablock_count (info, info->value_type.dec, ab, nr, old);
}

/* Resizing. */

/* A partly filled last block is filled up before blocks are added, so that all
 * but the last are full.
 */
static int
array_grow (const struct array_info *info, uint64_t old_size,
            uint64_t new_size, const void *value, block_t *root)
{
  uint32_t max = ablock_calc_max (info->value_type.size);
  uint64_t i, left;
  struct bm_block *block;
  int r = 0;

  for (i = old_size / max; r == 0 && i * max < new_size; i++) {
    if (i * max < old_size)
      r = array_shadow (info, i, root, &block);
    else
      r = array_new_block (info, i, root, &block);
    if (r < 0)
      break;
    left = new_size - i * max;
    r = ablock_fill (info, bm_data (block), left < max ? left : max, value);
    bm_unlock (block);
  }
  return r;
}

/* Whole blocks go from the end, then the last one is cut. */
static int
array_shrink (const struct array_info *info, uint64_t old_size,
              uint64_t new_size, block_t *root)
{
  uint32_t max = ablock_calc_max (info->value_type.size);
  uint64_t i = (old_size + max - 1) / max;
  struct bm_block *block;
  int r = 0;

  while (r == 0 && i > 0 && (i - 1) * max >= new_size) {
    i--;
    r = btree_remove (&info->btree, *root, &i, root);
  }
  if (r < 0 || new_size % max == 0)
    return r;
  i = new_size / max;
  r = array_shadow (info, i, root, &block);
  if (r < 0)
    return r;
  r = ablock_trim (info, bm_data (block), new_size % max);
  bm_unlock (block);
  return r;
}

int
array_resize (const struct array_info *info, block_t root, uint32_t old_size,
              uint32_t new_size, const void *value, block_t *new_root)
{
  int r = 0;

  if (new_size > old_size)
    r = array_grow (info, old_size, new_size, value, &root);
  else if (new_size < old_size)
    r = array_shrink (info, old_size, new_size, &root);
  if (r == 0)
    *new_root = root;
  return r;
}

/* Elements. */

/* The block that holds element index, read-locked. */
static int
array_find (const struct array_info *info, block_t root, uint32_t index,
            struct bm_block **block)
{
  uint32_t max = ablock_calc_max (info->value_type.size);
  uint64_t i = index / max;
  le64 nr;
  int r;

  r = btree_lookup (&info->btree, root, &i, &nr);
  if (r == 0)
    r = ablock_read (info, from_le64 (nr), block);
  if (r < 0 || index % max < ablock_nr (bm_data (*block)))
    return r;
  bm_unlock (*block);
  return -ENODATA;
}

int
array_get (const struct array_info *info, block_t root, uint32_t index,
           void *value)
{
  uint32_t size = info->value_type.size, max = ablock_calc_max (size);
  struct bm_block *block;
  int r = array_find (info, root, index, &block);

  if (r < 0)
    return r;
  memcpy (value, ablock_value (bm_data (block), index % max), size);
  bm_unlock (block);
  return 0;
}

/* Up before down: old and new may be the same thing, with a type that cannot
 * tell.
 */
static int
ablock_replace (const struct array_info *info, struct array_block *ab,
                uint32_t i, const void *value)
{
  const struct btree_value_type *type = &info->value_type;
  void *old = ablock_value (ab, i);
  bool equal = type->equal && type->equal (type->context, old, value);
  int r = 0;

  if (!equal && type->inc)
    r = type->inc (type->context, value, 1);
  if (r == 0 && !equal)
    r = ablock_count (info, type->dec, ab, i, i + 1);
  if (r == 0)
    memcpy (old, value, type->size);
  return r;
}

int
array_set (const struct array_info *info, block_t root, uint32_t index,
           const void *value, block_t *new_root)
{
  uint32_t max = ablock_calc_max (info->value_type.size);
  struct bm_block *block;
  int r;

  r = array_find (info, root, index, &block);
  if (r < 0)
    return r;
  bm_unlock (block);
  r = array_shadow (info, index / max, &root, &block);
  if (r < 0)
    return r;
  r = ablock_replace (info, bm_data (block), index % max, value);
  bm_unlock (block);
  if (r == 0)
    *new_root = root;
  return r;
}

struct array_walk {
  const struct array_info *info;
  array_walk_fn fn;
  void *context;
};

static int
array_walk_block (void *context, const uint64_t *keys, const void *value)
{
  struct array_walk *w = context;
  uint64_t first = keys[0] * ablock_calc_max (w->info->value_type.size);
  struct bm_block *block;
  le64 nr;
  uint32_t i;
  int r;

  memcpy (&nr, value, sizeof nr);
  r = ablock_read (w->info, from_le64 (nr), &block);
  if (r < 0)
    return r;
  for (i = 0; r == 0 && i < ablock_nr (bm_data (block)); i++)
    r = w->fn (w->context, first + i, ablock_value (bm_data (block), i));
  bm_unlock (block);
  return r;
}

int
array_walk (const struct array_info *info, block_t root, array_walk_fn fn,
            void *context)
{
  struct array_walk walk = { .info = info, .fn = fn, .context = context };

  return btree_walk (&info->btree, root, array_walk_block, &walk);
}
