/* SPDX-License-Identifier: BSD-3-Clause */
/* What thin_dump says about a pool, read back. */

#ifndef NBDM_THIN_DUMP_H
#define NBDM_THIN_DUMP_H

#include <stdint.h>
#include <stdio.h>

/* The devices and mappings of a dump, one at a time, in its order, which is
 * the trees'.  Begin with all zeroes but fp, which stays the caller's.
 */
struct dump {
  FILE *fp;
  char line[256];
  uint64_t dev, mapped, trans, ctime, stime; /* the device reached */
  uint64_t block, data, left, time;          /* the mapping reached */
};

/* 1: a device; 2: a mapping; 0: the end. */
int dump_next (struct dump *d);

/* The number in NAME="…" of a line; fails the running test if there is none. */
uint64_t dump_attribute (const char *line, const char *name);

#endif /* NBDM_THIN_DUMP_H */
