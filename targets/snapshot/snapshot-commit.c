/* SPDX-License-Identifier: BSD-3-Clause */
/* When the exceptions of a snapshot come to disk. */

#include "targets/snapshot/snapshot-core.h"

#include <errno.h>
#include <stdlib.h>

/* So many exceptions may wait for a flush: a matter of memory. */
#define DEFERRED_MAX 2048

void
deferred_init (struct deferred *d)
{
  latch_init (&d->latch);
  latch_cond_init (&d->changed);
}

void
deferred_destroy (struct deferred *d)
{
  vector_reset (&d->waiting);
  pthread_cond_destroy (&d->changed);
  latch_destroy (&d->latch);
}

/* ------------------------------------------------------------------
 * Committing what waits, in the order in which it was prepared: a store does
 * not commit anything before what was prepared earlier.
 */

static int
deferred_compare (const void *a, const void *b)
{
  const struct prepared *p = a, *q = b;

  return p->sequence < q->sequence ? -1 : p->sequence > q->sequence;
}

/* Between neighbours that are none somebody is still copying; commit_end keeps
 * him from deferring.
 */
static int
commit_runs (struct snapshot *s, const struct prepared *p, size_t n)
{
  size_t i, first;
  int r = 0;

  for (first = 0; first < n; first = i) {
    for (i = first + 1; i < n && p[i].sequence == p[i - 1].sequence + 1; i++)
      ;
    if (store_commit (s->store, p + first, i - first, true) < 0)
      r = -EIO;
  }
  return r;
}

/* What was deferred and p[0..n-1], which has one place between the others. */
static int
commit_all (struct snapshot *s, struct prepared *waiting, size_t nr_waiting,
            const struct prepared *p, unsigned n)
{
  size_t before = 0;
  int r;

  if (nr_waiting > 0)
    qsort (waiting, nr_waiting, sizeof *waiting, deferred_compare);
  while (n > 0 && before < nr_waiting &&
         waiting[before].sequence < p[0].sequence)
    before++;
  r = commit_runs (s, waiting, before);
  if (n > 0 && store_commit (s->store, p, n, true) < 0)
    r = -EIO;
  if (commit_runs (s, waiting + before, nr_waiting - before) < 0)
    r = -EIO;
  return r;
}

static uint64_t
later (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

/* All before end is on disk, if r is 0.  What was deferred and taken by others
 * will be in a moment, unless the store fails.
 */
static int
deferred_settle (struct snapshot *s, int r, uint64_t end,
                 uint64_t deferred_end)
{
  struct deferred *d = &s->deferred;
  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);

  d->failed |= r < 0;
  if (r == 0)
    d->safe_end = later (d->safe_end, end);
  pthread_cond_broadcast (&d->changed);
  while (d->safe_end < deferred_end && !d->failed)
    latch_wait (&d->latch, &d->changed);
  return d->failed ? -EIO : 0;
}

int
snapshot_commit (struct snapshot *s, const struct prepared p[], unsigned n)
{
  struct deferred *d = &s->deferred;
  uint64_t deferred_end, end;
  struct prepared *waiting;
  size_t nr_waiting;
  int r;

  latch_acquire (&d->latch);
  waiting = d->waiting.ptr;
  nr_waiting = d->waiting.len;
  d->waiting.ptr = NULL;
  d->waiting.len = d->waiting.cap = 0;
  deferred_end = d->deferred_end;
  end = nr_waiting ? deferred_end : 0;
  if (n > 0)
    end = later (end, p[n - 1].sequence + 1);
  d->commit_end = later (d->commit_end, end);
  latch_release (&d->latch);

  r = commit_all (s, waiting, nr_waiting, p, n);
  free (waiting);
  return deferred_settle (s, r, end, deferred_end);
}

/* ------------------------------------------------------------------
 * Deferring.
 */

static bool
deferred_add (struct deferred *d, const struct prepared p[], unsigned n)
{
  unsigned i;
  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);

  if (p[0].sequence < d->commit_end || d->waiting.len + n > DEFERRED_MAX)
    return false;
  for (i = 0; i < n; i++)
    if (vector_append (&d->waiting, p[i]) < 0) {
      d->waiting.len -= i;
      return false;
    }
  d->deferred_end = later (d->deferred_end, p[n - 1].sequence + 1);
  return true;
}

int
snapshot_defer (struct snapshot *s, const struct prepared p[], unsigned n)
{
  return deferred_add (&s->deferred, p, n) ? 0 : snapshot_commit (s, p, n);
}

int
snapshot_sync (struct snapshot *s)
{
  const struct deferred *d = &s->deferred;
  int r = d->safe_end < d->deferred_end ? snapshot_commit (s, NULL, 0) : 0;

  if (r < 0)
    snapshot_invalidate (s, SNAPSHOT_IO_ERROR);
  return r;
}
