/* SPDX-License-Identifier: BSD-3-Clause */
/* An exception store on devices in memory. */

#ifndef NBDM_STORE_RIG_H
#define NBDM_STORE_RIG_H

#include "targets/snapshot/exception-store.h"
#include "tests/lib/memdev.h"

/* Functions abort without memory, and when something fails that cannot. */
struct store_rig {
  struct memdev *origin;
  struct block_device *cow; /* not owned */
  struct exception_store *store;
  struct exception_table *table;
  struct message msg; /* of the last call that failed */
};

/* Make and load a store of "P 8" or the like.  0, or -errno and nothing to
 * close.
 */
int store_rig_open (struct store_rig *rig, struct block_device *cow,
                    const char *words);
void store_rig_close (struct store_rig *rig);

/* Close it and load it again. */
int store_rig_reopen (struct store_rig *rig);

/* Prepare, commit and enter n exceptions, of old chunk old and up. */
int store_rig_add (struct store_rig *rig, chunk_t old_chunk, unsigned n);

uint64_t store_rig_count (struct store_rig *rig); /* exceptions in the table */

/* The entry on disk. */
struct exception store_rig_entry (const char *data, uint32_t chunk_sectors,
                                  uint64_t nr);
void store_rig_set_entry (char *data, uint32_t chunk_sectors, uint64_t nr,
                          struct exception e);

/* Write a valid header and n exceptions of chunks 100 and up, as they lie in a
 * store that was never merged.
 */
void store_rig_format (char *data, uint32_t chunk_sectors, uint64_t n);

/* The status line, as the kernel prints it; the caller frees. */
char *store_rig_status (struct store_rig *rig);

#endif /* NBDM_STORE_RIG_H */
