/* SPDX-License-Identifier: BSD-3-Clause */
/* Gates and latches: the two kinds of lock, with their ranks. */

#include "common/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef NBDM_LOCK_CHECKS

/* What this thread holds.  A thread holds few locks, so the array is small;
 * running out of it is itself a mistake worth stopping for.
 */
#define LOCK_MAX_HELD 64

static __thread struct {
  struct latch *latch;
  struct {
    const void *gate;
    enum gate_rank rank;
    unsigned storey;
  } gates[LOCK_MAX_HELD];
  unsigned nr_gates;
  unsigned storey;
} held;

static void
lock_fail (const char *what)
{
  fprintf (stderr, "nbdm: lock check failed: %s\n", what);
  abort ();
}

static void
lock_note_gate (const void *gate, enum gate_rank rank)
{
  unsigned i;

  if (held.latch)
    lock_fail ("gate taken under a latch");
  for (i = 0; i < held.nr_gates; i++)
    if (held.gates[i].storey == held.storey &&
        held.gates[i].rank >= rank)
      lock_fail ("gate taken out of rank");
  if (held.nr_gates == LOCK_MAX_HELD)
    lock_fail ("too many gates");
  held.gates[held.nr_gates].gate = gate;
  held.gates[held.nr_gates].rank = rank;
  held.gates[held.nr_gates++].storey = held.storey;
}

static void
lock_forget_gate (const void *gate)
{
  unsigned i;

  for (i = held.nr_gates; i > 0; i--)
    if (held.gates[i - 1].gate == gate) {
      held.gates[i - 1] = held.gates[--held.nr_gates];
      return;
    }
  lock_fail ("gate released by a thread that does not hold it");
}

static void
lock_note_latch (struct latch *latch)
{
  if (held.latch)
    lock_fail ("latch taken under a latch");
  held.latch = latch;
}

static void
lock_forget_latch (struct latch *latch)
{
  assert_latch_held (latch);
  held.latch = NULL;
}

void
assert_latch_held (struct latch *latch)
{
  if (held.latch != latch)
    lock_fail ("latch not held");
}

void
assert_no_latch_held (void)
{
  if (held.latch)
    lock_fail ("I/O or callback under a latch");
}

void
lock_descend (void)
{
  held.storey++;
}

void
lock_ascend (void)
{
  held.storey--;
}

#else /* !NBDM_LOCK_CHECKS */

#define lock_note_gate(gate, rank) ((void) 0)
#define lock_forget_gate(gate) ((void) 0)
#define lock_note_latch(latch) ((void) 0)
#define lock_forget_latch(latch) ((void) 0)

void
assert_latch_held (struct latch *latch)
{
}

void
assert_no_latch_held (void)
{
}

void
lock_descend (void)
{
}

void
lock_ascend (void)
{
}

#endif

/* A mutex that cannot be taken or released is our own mistake. */
static void
lock_check (int err)
{
  assert (err == 0);
  (void) err;
}

void
gate_init (struct gate *gate, enum gate_rank rank)
{
  lock_check (pthread_mutex_init (&gate->mutex, NULL));
  gate->rank = rank;
}

void
gate_destroy (struct gate *gate)
{
  lock_check (pthread_mutex_destroy (&gate->mutex));
}

void
gate_acquire (struct gate *gate)
{
  lock_note_gate (gate, gate->rank);
  lock_check (pthread_mutex_lock (&gate->mutex));
}

void
gate_release (struct gate *gate)
{
  lock_forget_gate (gate);
  lock_check (pthread_mutex_unlock (&gate->mutex));
}

void
gate_note (const void *gate, enum gate_rank rank)
{
  lock_note_gate (gate, rank);
}

void
gate_forget (const void *gate)
{
  lock_forget_gate (gate);
}

/* Or the many would never let the one in. */
void
shared_gate_init (struct shared_gate *gate, enum gate_rank rank)
{
  pthread_rwlockattr_t attr;

  lock_check (pthread_rwlockattr_init (&attr));
  lock_check (pthread_rwlockattr_setkind_np (
    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
  lock_check (pthread_rwlock_init (&gate->rwlock, &attr));
  pthread_rwlockattr_destroy (&attr);
  gate->rank = rank;
}

void
shared_gate_destroy (struct shared_gate *gate)
{
  lock_check (pthread_rwlock_destroy (&gate->rwlock));
}

void
shared_gate_enter (struct shared_gate *gate)
{
  lock_note_gate (gate, gate->rank);
  lock_check (pthread_rwlock_rdlock (&gate->rwlock));
}

void
shared_gate_acquire (struct shared_gate *gate)
{
  lock_note_gate (gate, gate->rank);
  lock_check (pthread_rwlock_wrlock (&gate->rwlock));
}

void
shared_gate_release (struct shared_gate *gate)
{
  lock_forget_gate (gate);
  lock_check (pthread_rwlock_unlock (&gate->rwlock));
}

void
latch_init (struct latch *latch)
{
  lock_check (pthread_mutex_init (&latch->mutex, NULL));
}

void
latch_destroy (struct latch *latch)
{
  lock_check (pthread_mutex_destroy (&latch->mutex));
}

void
latch_acquire (struct latch *latch)
{
  lock_note_latch (latch);
  lock_check (pthread_mutex_lock (&latch->mutex));
}

void
latch_release (struct latch *latch)
{
  lock_forget_latch (latch);
  lock_check (pthread_mutex_unlock (&latch->mutex));
}

void
latch_cond_init (pthread_cond_t *cond)
{
  pthread_condattr_t attr;

  lock_check (pthread_condattr_init (&attr));
  lock_check (pthread_condattr_setclock (&attr, CLOCK_MONOTONIC));
  lock_check (pthread_cond_init (cond, &attr));
  pthread_condattr_destroy (&attr);
}

void
latch_wait (struct latch *latch, pthread_cond_t *cond)
{
  assert_latch_held (latch);
  lock_check (pthread_cond_wait (cond, &latch->mutex));
}

bool
latch_timedwait (struct latch *latch, pthread_cond_t *cond,
                 uint64_t deadline_ns)
{
  struct timespec ts = { .tv_sec = deadline_ns / 1000000000,
                         .tv_nsec = deadline_ns % 1000000000 };
  int err;

  assert_latch_held (latch);
  err = pthread_cond_timedwait (cond, &latch->mutex, &ts);
  if (err == ETIMEDOUT)
    return false;
  lock_check (err);
  return true;
}

uint64_t
monotonic_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}
