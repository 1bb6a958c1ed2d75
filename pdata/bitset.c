/* SPDX-License-Identifier: BSD-3-Clause */
/* Bitsets on disk: arrays of words of 64 bits. */

#include "pdata/bitset.h"

#define BITS_PER_WORD 64

void
bitset_info_init (struct bitset_info *info, struct transaction_manager *tm)
{
  const struct btree_value_type word = { .size = sizeof (le64) };

  array_info_init (&info->array, tm, &word);
}

int
bitset_empty (const struct bitset_info *info, block_t *root)
{
  return array_empty (&info->array, root);
}

static uint32_t
bitset_words (uint32_t bits)
{
  return bits / BITS_PER_WORD + (bits % BITS_PER_WORD != 0);
}

int
bitset_resize (const struct bitset_info *info, block_t root,
               uint32_t old_bits, uint32_t new_bits, bool value,
               block_t *new_root)
{
  le64 word = to_le64 (value ? UINT64_MAX : 0);

  return array_resize (&info->array, root, bitset_words (old_bits),
                       bitset_words (new_bits), &word, new_root);
}

int
bitset_del (const struct bitset_info *info, block_t root)
{
  return array_del (&info->array, root);
}

int
bitset_set (const struct bitset_info *info, block_t root, uint32_t bit,
            bool value, block_t *new_root)
{
  uint64_t mask = UINT64_C (1) << bit % BITS_PER_WORD, bits;
  le64 word;
  int r = array_get (&info->array, root, bit / BITS_PER_WORD, &word);

  if (r < 0)
    return r;
  bits = value ? from_le64 (word) | mask : from_le64 (word) & ~mask;
  word = to_le64 (bits);
  return array_set (&info->array, root, bit / BITS_PER_WORD, &word, new_root);
}

int
bitset_test (const struct bitset_info *info, block_t root, uint32_t bit,
             bool *value)
{
  le64 word;
  int r = array_get (&info->array, root, bit / BITS_PER_WORD, &word);

  if (r == 0)
    *value = from_le64 (word) >> bit % BITS_PER_WORD & 1;
  return r;
}
