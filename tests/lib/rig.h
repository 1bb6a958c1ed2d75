/* SPDX-License-Identifier: BSD-3-Clause */
/* A registry on memory devices, a target that tells what it is asked, I/O on
 * threads of its own.
 */

#ifndef NBDM_RIG_H
#define NBDM_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "server/dm-core.h"
#include "tests/lib/memdev.h"

/* Linking this file replaces targets/registry.c: the types are linear, zero,
 * error, delay and
 *
 *   probe <device> <offset> [<tag>]   as linear, with a log of the calls
 *   frozen <device> <offset> [<tag>]  the same, of an immutable type
 */

/* What probe targets do; atomic, so a test may change it at any time. */
extern struct probe {
  atomic_int preresume_error; /* returned by preresume */
  atomic_bool push_back;      /* map answers DM_MAPIO_REQUEUE */
  atomic_bool hold;           /* presuspend does not return */
  atomic_bool stalled;        /* map does not return */
  atomic_uint waiting;        /* how many maps */
  atomic_int constructed;     /* instances that exist */
} probe;

/* The calls so far, each " what:tag"; starts a new log.  The caller frees. */
char *probe_log (void);

/* ------------------------------------------------------------------
 * Verbs on devices by name; all abort the test if they fail.
 */
struct registry *rig_new (void);
void rig_free (struct registry *reg); /* all of it must be closed */

void rig_create (struct registry *reg, const char *name);
void rig_resume (struct registry *reg, const char *name);
void rig_suspend (struct registry *reg, const char *name);
void rig_remove (struct registry *reg, const char *name);

/* Load lines "START LEN TYPE PARAMS", separated by newlines. */
int rig_try_load (struct registry *reg, const char *name, const char *text,
                  uint32_t flags, struct message *msg);
void rig_load (struct registry *reg, const char *name, const char *text);

/* create + load + resume + open for I/O, and the reverse of it. */
struct mapped_device *rig_start (struct registry *reg, const char *name,
                                 const char *text);
void rig_stop (struct mapped_device *md);

struct dm_info rig_info (struct registry *reg, const char *name);

/* ------------------------------------------------------------------
 * A suspend or resume on a thread of its own.
 */
struct rig_verb {
  pthread_t thread;
  struct registry *reg;
  bool suspend;
  const char *name;
  unsigned flags;
  struct dm_wait wait;
  int result;
  atomic_bool done;
};

void rig_verb_start (struct rig_verb *v, struct registry *reg, bool suspend,
                     const char *name, unsigned flags);
int rig_verb_join (struct rig_verb *v); /* its result */

/* ------------------------------------------------------------------
 * One bio on a thread of its own.
 */
struct io {
  pthread_t thread;
  struct block_device *bdev;
  struct bio bio;
  char data[SECTOR_SIZE * 16];
  int result;
  atomic_bool done;
};

/* Fills in the bio, of at most 16 sectors of the byte fill, and starts it. */
void io_start (struct io *io, struct block_device *bdev, enum bio_op op,
               sector_t sector, sector_t len, char fill);
int io_join (struct io *io); /* its result */

/* The same on this thread. */
int io_run (struct block_device *bdev, enum bio_op op, sector_t sector,
            sector_t len, char fill);

/* Ten seconds for the condition to come true; false if it did not. */
#define EVENTUALLY(condition)                                           \
  ({                                                                    \
    const struct timespec tick = { .tv_nsec = 1000000 };                \
    unsigned ticks;                                                     \
                                                                        \
    for (ticks = 0; ticks < 10000 && !(condition); ticks++)             \
      nanosleep (&tick, NULL);                                          \
    ticks < 10000;                                                      \
  })

/* How many bios are parked on md. */
unsigned rig_parked (struct mapped_device *md);

enum md_state rig_state (struct mapped_device *md);

#endif /* NBDM_RIG_H */
