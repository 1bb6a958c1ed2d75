/* SPDX-License-Identifier: BSD-3-Clause */
/* Bitsets on disk: arrays of words of 64 bits. */

#ifndef NBDM_BITSET_H
#define NBDM_BITSET_H

#include "pdata/array.h"

/* The format of Linux 6.1: bit n is bit n % 64 of element n / 64 of an array
 * (pdata/array.h), whose rules for roots, errors and threads hold here, too.
 * The number of bits is the user's to remember.
 */
struct bitset_info {
  struct array_info array;
};

/* info must stay where it is. */
void bitset_info_init (struct bitset_info *info,
                       struct transaction_manager *tm);

int bitset_empty (const struct bitset_info *info, block_t *root);

/* Change the number of bits; words that are new get value in all bits, also
 * in those beyond the end of the last.  Bits of an old last word that come
 * into use keep what they were, as in the kernel.
 */
int bitset_resize (const struct bitset_info *info, block_t root,
                   uint32_t old_bits, uint32_t new_bits, bool value,
                   block_t *new_root);

int bitset_del (const struct bitset_info *info, block_t root);

/* One bit.  -ENODATA: beyond the last word. */
int bitset_set (const struct bitset_info *info, block_t root, uint32_t bit,
                bool value, block_t *new_root);
int bitset_test (const struct bitset_info *info, block_t root, uint32_t bit,
                 bool *value);

#endif /* NBDM_BITSET_H */
