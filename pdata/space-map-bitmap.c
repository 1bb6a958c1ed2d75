/* SPDX-License-Identifier: BSD-3-Clause */
/* The bitmaps of space maps: two bits for each block. */

#include "pdata/space-map-common.h"

#define BITMAP_SALT 240779
#define SM_LOW_BITS UINT64_C (0x5555555555555555)

_Static_assert (sizeof (struct sm_bitmap) == BM_BLOCK_BYTES, "bitmap");

const struct bm_validator sm_bitmap_validator = {
  .salt = BITMAP_SALT,
  .nr_offset = offsetof (struct sm_bitmap, blocknr),
};

/* The lower bit of a pair on disk is the higher bit of the count. */
unsigned
bitmap_get (const struct sm_bitmap *bitmap, unsigned i)
{
  unsigned pair = from_le64 (bitmap->words[i / SM_ENTRIES_PER_WORD])
    >> i % SM_ENTRIES_PER_WORD * 2 & 3;

  return (pair & 1) << 1 | pair >> 1;
}

void
bitmap_set (struct sm_bitmap *bitmap, unsigned i, unsigned count)
{
  le64 *word = &bitmap->words[i / SM_ENTRIES_PER_WORD];
  unsigned shift = i % SM_ENTRIES_PER_WORD * 2;
  uint64_t pair = (count & 1) << 1 | count >> 1;

  *word = to_le64 ((from_le64 (*word) & ~(UINT64_C (3) << shift)) |
                   pair << shift);
}

/* The bits of entries that are in use, now or (if before) then. */
static uint64_t
bitmap_used (const struct sm_bitmap *bitmap, const uint64_t *before,
             unsigned word)
{
  uint64_t bits = from_le64 (bitmap->words[word]);

  if (before)
    bits |= before[word];
  return (bits | bits >> 1) & SM_LOW_BITS;
}

unsigned
bitmap_find_free (const struct sm_bitmap *bitmap, const uint64_t *before,
                  unsigned begin, unsigned end)
{
  unsigned i = begin;
  uint64_t free_bits;

  while (i < end) {
    free_bits = ~bitmap_used (bitmap, before, i / SM_ENTRIES_PER_WORD) &
      SM_LOW_BITS & ~UINT64_C (0) << i % SM_ENTRIES_PER_WORD * 2;
    i -= i % SM_ENTRIES_PER_WORD;
    if (free_bits) {
      i += __builtin_ctzll (free_bits) / 2;
      return i < end ? i : end;
    }
    i += SM_ENTRIES_PER_WORD;
  }
  return end;
}

unsigned
bitmap_count_used (const struct sm_bitmap *bitmap)
{
  unsigned word, n = 0;

  for (word = 0; word < SM_WORDS_PER_BITMAP; word++)
    n += __builtin_popcountll (bitmap_used (bitmap, NULL, word));
  return n;
}
