/* SPDX-License-Identifier: BSD-3-Clause */
/* Changing the counts of a space map. */

#include <errno.h>
#include <stdlib.h>

#include "pdata/space-map-common.h"

/* The bitmap that is being changed, shadowed and locked; kept open for as many
 * entries as possible.  It must be closed while the tree of large counts is
 * changed, for that may allocate blocks, which needs the bitmaps.
 */
struct ll_edit {
  struct sm_ll *ll;
  uint64_t i;
  struct sm_slot *slot;
  struct bm_block *block; /* NULL: closed */
};

static void
edit_close (struct ll_edit *edit)
{
  if (edit->block)
    bm_unlock (edit->block);
  edit->block = NULL;
}

/* The first change in a transaction finds the bitmap as it was committed. */
static int
slot_note_before (struct sm_slot *slot, const struct sm_bitmap *bitmap)
{
  size_t i, n = SM_WORDS_PER_BITMAP;

  if (slot->before)
    return 0;
  slot->before = calloc (n, sizeof slot->before[0]);
  if (slot->before == NULL)
    return -ENOMEM;
  for (i = 0; i < n; i++)
    slot->before[i] = from_le64 (bitmap->words[i]);
  return 0;
}

static int
edit_open (struct ll_edit *edit, block_t b)
{
  uint64_t i = b / SM_ENTRIES_PER_BITMAP;
  struct sm_slot *slot;
  bool inc;
  int r;

  if (edit->block && edit->i == i)
    return 0;
  edit_close (edit);
  edit->i = i;
  r = sm_ll_slot (edit->ll, i, &edit->slot);
  if (r < 0)
    return r;
  slot = edit->slot;
  r = tm_shadow (edit->ll->tm, slot->block, &sm_bitmap_validator, &edit->block,
                 &inc);
  if (r < 0) {
    edit->block = NULL;
    return r;
  }
  slot->block = bm_block_nr (edit->block);
  sm_ll_touch (edit->ll, slot);
  return slot_note_before (slot, bm_data (edit->block));
}

static unsigned
edit_get (struct ll_edit *edit, block_t b)
{
  return bitmap_get (bm_data (edit->block), b % SM_ENTRIES_PER_BITMAP);
}

/* Set the two bits, and count what that makes free or not. */
static int
edit_set (struct ll_edit *edit, block_t b, unsigned count)
{
  struct sm_slot *slot;
  unsigned bit = b % SM_ENTRIES_PER_BITMAP, old;
  int r = edit_open (edit, b);

  if (r < 0)
    return r;
  slot = edit->slot;
  old = edit_get (edit, b);
  bitmap_set (bm_data (edit->block), bit, count);
  if (count && !old) {
    edit->ll->nr_allocated++;
    slot->nr_free -= slot->nr_free > 0;
    slot->none_free_before += slot->none_free_before == bit;
  } else if (!count && old) {
    edit->ll->nr_allocated -= edit->ll->nr_allocated > 0;
    slot->nr_free += slot->nr_free < SM_ENTRIES_PER_BITMAP;
    if (bit < slot->none_free_before)
      slot->none_free_before = bit;
  }
  return 0;
}

/* 2 becomes 3, or any count a large one. */
static int
edit_insert_large (struct ll_edit *edit, block_t b, uint32_t count)
{
  struct sm_ll *ll = edit->ll;
  le32 value = to_le32 (count);
  int r = edit_set (edit, b, 3);

  edit_close (edit);
  if (r < 0)
    return r;
  return btree_insert (&ll->ref_counts, ll->ref_count_root, &b, &value,
                       &ll->ref_count_root, NULL);
}

static int
edit_replace_large (struct ll_edit *edit, block_t b, uint32_t count)
{
  struct sm_ll *ll = edit->ll;
  le32 value = to_le32 (count);

  edit_close (edit);
  return btree_overwrite (&ll->ref_counts, ll->ref_count_root, b, &value,
                          &ll->ref_count_root);
}

/* The tree first: the bitmap must stay closed while it changes. */
static int
edit_remove_large (struct ll_edit *edit, block_t b, unsigned count)
{
  struct sm_ll *ll = edit->ll;
  int r;

  edit_close (edit);
  r = btree_remove (&ll->ref_counts, ll->ref_count_root, &b,
                    &ll->ref_count_root);
  if (r < 0)
    return r == -ENODATA ? -EILSEQ : r;
  return edit_set (edit, b, count);
}

static int
edit_inc (struct ll_edit *edit, block_t b)
{
  uint32_t count;
  int r = edit_open (edit, b);

  if (r < 0)
    return r;
  count = edit_get (edit, b);
  if (count < 2)
    return edit_set (edit, b, count + 1);
  if (count == 2)
    return edit_insert_large (edit, b, 3);
  edit_close (edit);
  r = sm_ll_get_large_count (edit->ll, b, &count);
  if (r == 0 && count == UINT32_MAX)
    r = -EINVAL;
  return r < 0 ? r : edit_replace_large (edit, b, count + 1);
}

static int
edit_dec (struct ll_edit *edit, block_t b)
{
  uint32_t count;
  int r = edit_open (edit, b);

  if (r < 0)
    return r;
  count = edit_get (edit, b);
  if (count == 0)
    return -EINVAL;
  if (count < 3)
    return edit_set (edit, b, count - 1);
  edit_close (edit);
  r = sm_ll_get_large_count (edit->ll, b, &count);
  if (r < 0)
    return r;
  return count == 3 ? edit_remove_large (edit, b, 2)
                    : edit_replace_large (edit, b, count - 1);
}

static int
ll_for_range (struct sm_ll *ll, block_t begin, block_t end,
              int (*fn) (struct ll_edit *, block_t))
{
  struct ll_edit edit = { .ll = ll };
  int r = 0;

  if (begin > end || end > ll->nr_blocks)
    return -EINVAL;
  for (; r == 0 && begin < end; begin++)
    r = fn (&edit, begin);
  edit_close (&edit);
  return r;
}

int
sm_ll_inc (struct sm_ll *ll, block_t begin, block_t end)
{
  return ll_for_range (ll, begin, end, edit_inc);
}

int
sm_ll_dec (struct sm_ll *ll, block_t begin, block_t end)
{
  return ll_for_range (ll, begin, end, edit_dec);
}

int
sm_ll_set_count (struct sm_ll *ll, block_t b, uint32_t count)
{
  struct ll_edit edit = { .ll = ll };
  uint32_t old;
  int r;

  r = sm_ll_get_count_2bit (ll, b, &old);
  if (r < 0)
    return r;
  if (count > 2)
    r = edit_insert_large (&edit, b, count);
  else if (old == 3)
    r = edit_remove_large (&edit, b, count);
  else
    r = edit_set (&edit, b, count);
  edit_close (&edit);
  return r;
}
