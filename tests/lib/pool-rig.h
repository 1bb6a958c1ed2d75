/* SPDX-License-Identifier: BSD-3-Clause */
/* A thin pool on memory devices, and thins in it. */

#ifndef NBDM_POOL_RIG_H
#define NBDM_POOL_RIG_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/dmtest.h"
#include "tests/lib/rig.h" /* EVENTUALLY */

/* dmtest's devices: the data are on m1, the metadata on m2, m3 is for an
 * external origin.  Blocks are of 128 sectors.  All that has no result fails
 * the running test if it does not succeed.
 */
#define POOL_BLOCK 128
#define POOL_BLOCK_BYTES (POOL_BLOCK * SECTOR_SIZE)

extern struct dmtest pool_rig;

void pool_rig_start (void);
void pool_rig_stop (void); /* removes every device */

/* The device pool, with so many metadata and data blocks, a low water mark,
 * and features ("", "1 read_only", ...).
 */
void pool_rig_pool (unsigned metadata_blocks, unsigned data_blocks,
                    unsigned low_water, const char *features);

/* Load such a line, and resume.  The first error. */
int pool_rig_reload (unsigned metadata_blocks, unsigned data_blocks,
                     unsigned low_water, const char *features);

/* create, load, resume; what fails first, then there is no such device. */
int pool_rig_create (const char *name, const char *table);
void pool_rig_remove (const char *name);
void pool_rig_suspend (const char *name, uint32_t flags);
int pool_rig_resume (const char *name);

/* Open a device; or a thin of so many blocks, made for it.  What is still open
 * in the end is closed then; pool_rig_close removes it, too.
 */
struct mapped_device *pool_rig_open (const char *name);
struct mapped_device *pool_rig_thin (const char *name, unsigned id,
                                     unsigned blocks);
void pool_rig_close (struct mapped_device *md, const char *name);

int pool_rig_message (const char *words);
void pool_rig_send (const char *words); /* must succeed */

/* Status INFO text; flags: DM_NOFLUSH_FLAG, DM_STATUS_TABLE_FLAG.  malloc'ed.
 */
char *pool_rig_text (const char *name, uint32_t flags);
void pool_rig_expect (const char *name, const char *status);
uint32_t pool_rig_events (const char *name);

/* A write of this byte, or a read that must find nothing else.  Sectors. */
int pool_rig_write (struct mapped_device *md, sector_t sector, sector_t len,
                    char byte);
void pool_rig_check (struct mapped_device *md, sector_t sector, sector_t len,
                     char byte);

/* One bio on a thread of its own; a write of this byte. */
struct pool_io {
  pthread_t thread;
  struct mapped_device *md;
  enum bio_op op;
  sector_t sector, len;
  char byte;
  int result;
  atomic_bool done;
};

void pool_rig_start_io (struct pool_io *io, struct mapped_device *md,
                        enum bio_op op, sector_t sector, sector_t len,
                        char byte);
int pool_rig_join (struct pool_io *io); /* its result; waits for ten seconds */

/* thin_check's exit status on the metadata as they are on m2; -1: there is no
 * such program.
 */
int pool_rig_thin_check (void);

#endif /* NBDM_POOL_RIG_H */
