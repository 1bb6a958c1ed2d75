/* SPDX-License-Identifier: BSD-3-Clause */
/* Which minor numbers are given out. */

#include "common/numbers.h"

#define BIT(i) (UINT64_C (1) << (i) % 64)

uint32_t
numbers_lowest (const struct numbers *n)
{
  uint32_t i, word;

  for (i = 0; i < NUMBERS_MAX / 64 / 64; i++)
    if (n->full[i] != UINT64_MAX) {
      word = i * 64 + __builtin_ctzll (~n->full[i]);
      return word * 64 + __builtin_ctzll (~n->taken[word]);
    }
  return NUMBERS_MAX;
}

bool
numbers_take (struct numbers *n, uint32_t number)
{
  uint32_t word = number / 64;

  if (number >= NUMBERS_MAX || (n->taken[word] & BIT (number)))
    return false;
  n->taken[word] |= BIT (number);
  if (n->taken[word] == UINT64_MAX)
    n->full[word / 64] |= BIT (word);
  return true;
}

void
numbers_give_back (struct numbers *n, uint32_t number)
{
  uint32_t word = number / 64;

  n->taken[word] &= ~BIT (number);
  n->full[word / 64] &= ~BIT (word);
}
