/* SPDX-License-Identifier: BSD-3-Clause */
/* Which minor numbers are given out. */

#ifndef NBDM_NUMBERS_H
#define NBDM_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* As many as a device number of 32 bits leaves for minors. */
#define NUMBERS_MAX (1u << 20)

/* 130 KiB, of which the system gives only what is used if it comes from calloc
 * or is static.  All zeroes: none is taken.  Every call is O(1).
 */
struct numbers {
  uint64_t taken[NUMBERS_MAX / 64];
  uint64_t full[NUMBERS_MAX / 64 / 64]; /* words of taken without a 0 bit */
};

/* The lowest that is free, or NUMBERS_MAX. */
uint32_t numbers_lowest (const struct numbers *n);

/* False if it is taken, or none at all. */
bool numbers_take (struct numbers *n, uint32_t number);

void numbers_give_back (struct numbers *n, uint32_t number);

#endif /* NBDM_NUMBERS_H */
