/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots of a memory device, whose sectors tell who wrote them. */

#ifndef NBDM_SNAPTEST_H
#define NBDM_SNAPTEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/dmtest.h"

/* m1 is the origin, m2 … m8 are COW devices, zeroed.  Each sector holds its
 * number on m1 and a letter: 'b' in the beginning.  All functions fail the
 * running test if what they say does not come true.
 */
extern struct dmtest snap;

void snap_start (sector_t sectors); /* of each device */
void snap_stop (void);

/* Devices by name: create, load and resume; and the steps one by one. */
void snap_create (const char *name, const char *table);
int snap_try_load (const char *name, const char *table);
void snap_load (const char *name, const char *table); /* created if need be */
int snap_try_resume (const char *name);
void snap_resume (const char *name);
void snap_suspend (const char *name);
void snap_remove (const char *name);

/* Fails the test unless a device refuses the table, or a resume fails, with
 * this error and a message in which the text is.
 */
void snap_refuse (const char *table, int err, const char *text);
void snap_refuse_resume (const char *name, const char *text);

/* I/O on a device: writes of sectors with this letter.  The result. */
int snap_io (const char *name, enum bio_op op, sector_t sector, sector_t len,
             char letter);
void snap_write (const char *name, sector_t sector, sector_t len,
                 char letter);

/* The sectors of it have this letter; '0' means zeroes. */
void snap_expect (const char *name, sector_t sector, sector_t len,
                  char letter);
void snap_expect_mem (unsigned m, sector_t sector, sector_t len,
                      char letter);

/* The text behind the first target's type; of the inactive table if the name
 * begins with a '*'.
 */
void snap_expect_info (const char *name, const char *info);
void snap_expect_table (const char *name, const char *table);

unsigned snap_events (const char *name);

/* A write on a thread of its own. */
struct snap_writer {
  pthread_t thread;
  const char *name;
  enum bio_op op;
  sector_t sector, len;
  char letter;
  int result;
  atomic_bool done;
};

void snap_writer_start (struct snap_writer *w, const char *name,
                        enum bio_op op, sector_t sector, sector_t len,
                        char letter);
int snap_writer_join (struct snap_writer *w);

/* Until so many bios wait on a stalled device. */
void snap_wait_stalled (unsigned m, unsigned bios);

/* Long enough for what does not wait. */
bool snap_waits (const struct snap_writer *w);

#endif /* NBDM_SNAPTEST_H */
