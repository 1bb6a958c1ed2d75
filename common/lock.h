/* SPDX-License-Identifier: BSD-3-Clause */
/* Gates and latches: the two kinds of lock, with their ranks. */

#ifndef NBDM_LOCK_H
#define NBDM_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A gate may be held while its holder waits for I/O or calls into a target.
 * A latch guards fields only: it is held for a few instructions, never across
 * I/O, a callback or another latch.  Both are plain mutexes; what differs is
 * what debug builds (configure --enable-lock-checks) verify:
 *
 *  - a gate is taken only while the thread holds no latch and no gate of the
 *    same or a higher rank on the same storey;
 *  - a latch is taken only while the thread holds no other latch.
 *
 * Each mapped device below another is one storey: lock_descend marks the step
 * down (ranks start afresh), lock_ascend the step back.
 *
 * Ranks, low first.  What has no rank of its own here is a latch.
 */
enum gate_rank {
  GATE_RELOAD = 1,  /* one reload of the table files at a time */
  GATE_LOAD,        /* struct mapped_device.load_gate */
  GATE_SUSPEND,     /* struct mapped_device.suspend_gate */
  GATE_CELL,        /* targets: one chunk or block of a device */
  GATE_COMMIT,      /* targets: one metadata commit at a time */
  GATE_THIN_CHANGE, /* struct thin_metadata.change */
  GATE_THIN_ROOT,   /* struct thin_metadata.root */
  GATE_METADATA,    /* pdata: one write-out of dirty blocks at a time */
  GATE_DEVICE,      /* inside a bdev-*.c: reopening, reconnecting */
};

struct gate {
  pthread_mutex_t mutex;
  enum gate_rank rank;
};

/* A gate that many threads may hold at once, shared, or one, exclusively.  Who
 * waits for it exclusively keeps later ones out, so a thread must not take it
 * twice.
 */
struct shared_gate {
  pthread_rwlock_t rwlock;
  enum gate_rank rank;
};

struct latch {
  pthread_mutex_t mutex;
};

#define LATCH_INIT { PTHREAD_MUTEX_INITIALIZER }

void gate_init (struct gate *gate, enum gate_rank rank);
void gate_destroy (struct gate *gate);
void gate_acquire (struct gate *gate); /* blocks */
void gate_release (struct gate *gate);

void shared_gate_init (struct shared_gate *gate, enum gate_rank rank);
void shared_gate_destroy (struct shared_gate *gate);
void shared_gate_enter (struct shared_gate *gate);   /* shared; blocks */
void shared_gate_acquire (struct shared_gate *gate); /* exclusive; blocks */
void shared_gate_release (struct shared_gate *gate); /* either */

void latch_init (struct latch *latch);
void latch_destroy (struct latch *latch);
void latch_acquire (struct latch *latch);
void latch_release (struct latch *latch);

/* Tell the checks about something that is held like a gate, but has its own way
 * of waiting.
 */
void gate_note (const void *gate, enum gate_rank rank);
void gate_forget (const void *gate);

/* Wait on cond with the latch released meanwhile; like all condition waits it
 * may return early.  The timed form takes a CLOCK_MONOTONIC deadline in
 * nanoseconds (the condition must come from latch_cond_init) and returns
 * false once that has passed.
 */
void latch_cond_init (pthread_cond_t *cond);
void latch_wait (struct latch *latch, pthread_cond_t *cond);
bool latch_timedwait (struct latch *latch, pthread_cond_t *cond,
                      uint64_t deadline_ns);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_ns (void);

/* Debug builds abort if the calling thread does not hold it, or holds any
 * latch at all (the first line of whatever does I/O or calls a target).
 */
void assert_latch_held (struct latch *latch);
void assert_no_latch_held (void);

void lock_descend (void);
void lock_ascend (void);

static inline void
cleanup_latch (struct latch **latch)
{
  latch_release (*latch);
}

static inline void
cleanup_gate (struct gate **gate)
{
  gate_release (*gate);
}

static inline void
cleanup_shared_gate (struct shared_gate **gate)
{
  shared_gate_release (*gate);
}

#define LOCK_CAT2(a, b) a##b
#define LOCK_CAT(a, b) LOCK_CAT2 (a, b)

/* Acquire now, release at the end of the enclosing block. */
#define ACQUIRE_LATCH_FOR_SCOPE(l)                                      \
  __attribute__ ((cleanup (cleanup_latch), unused))                     \
  struct latch *LOCK_CAT (scope_latch_, __LINE__) = (l);                \
  latch_acquire (LOCK_CAT (scope_latch_, __LINE__))

#define ACQUIRE_GATE_FOR_SCOPE(g)                                       \
  __attribute__ ((cleanup (cleanup_gate), unused))                      \
  struct gate *LOCK_CAT (scope_gate_, __LINE__) = (g);                  \
  gate_acquire (LOCK_CAT (scope_gate_, __LINE__))

#define ENTER_SHARED_GATE_FOR_SCOPE(g)                                  \
  __attribute__ ((cleanup (cleanup_shared_gate), unused))               \
  struct shared_gate *LOCK_CAT (scope_gate_, __LINE__) = (g);           \
  shared_gate_enter (LOCK_CAT (scope_gate_, __LINE__))

#define ACQUIRE_SHARED_GATE_FOR_SCOPE(g)                                \
  __attribute__ ((cleanup (cleanup_shared_gate), unused))               \
  struct shared_gate *LOCK_CAT (scope_gate_, __LINE__) = (g);           \
  shared_gate_acquire (LOCK_CAT (scope_gate_, __LINE__))

#endif /* NBDM_LOCK_H */
