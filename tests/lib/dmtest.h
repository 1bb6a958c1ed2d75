/* SPDX-License-Identifier: BSD-3-Clause */
/* A registry with memory devices below it, for tests of whole tables. */

#ifndef NBDM_DMTEST_H
#define NBDM_DMTEST_H

#include <stddef.h>

#include "server/dm-interface.h"
#include "tests/lib/memdev.h"

#define DMTEST_DEVICES 8

struct dmtest {
  struct registry *reg;
  struct memdev *mem[DMTEST_DEVICES]; /* named m1 … m8 in tables */
  struct message msg;                 /* of the last failing call */
};

/* Memory devices of the given size, none of which any table knows twice. */
void dmtest_init (struct dmtest *t, sector_t mem_sectors);
void dmtest_destroy (struct dmtest *t);

/* Take the n-th (from 0) memory device away, or give it back. */
void dmtest_hide (struct dmtest *t, unsigned n);
void dmtest_show (struct dmtest *t, unsigned n);

/* dm_table_load with text of the form `dmsetup create` takes. */
int dmtest_load (struct dmtest *t, const char *name, const char *table,
                 uint32_t flags);

/* create, load, resume; aborts unless all succeed. */
void dmtest_create (struct dmtest *t, const char *name, const char *table);

/* suspend (flags), load, resume; the first error. */
int dmtest_swap (struct dmtest *t, const char *name, const char *table,
                 uint32_t flags);

/* `dmsetup table`, malloc'ed; aborts if there is no such device. */
char *dmtest_table (struct dmtest *t, const char *name, uint32_t flags);

/* One bio on the device's front door. */
int dmtest_io (struct mapped_device *md, enum bio_op op, sector_t sector,
               sector_t len, void *data);

#endif /* NBDM_DMTEST_H */
