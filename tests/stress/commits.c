/* SPDX-License-Identifier: BSD-3-Clause */
/* Exceptions made by many threads, looked up by others, merged, lost. */

/* Usage: commits [SECONDS]; 3 s, or $NBDM_HAMMER_SECONDS.
 *
 * Rounds: a new store, threads that make exceptions until it is full (or, in
 * some rounds, until one of them invalidates it), threads that look them up;
 * then what is on disk is compared, and merged or not.  Meant to be built with
 * a sanitizer.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "tests/lib/store-rig.h"

#define WRITERS 8
#define READERS 2
#define CHUNKS 3000 /* of the COW device, one sector each */

static struct memdev *cow;
static struct store_rig rig;
static atomic_uint next_old, finished;
static bool lose; /* this round */
static unsigned long nr_rounds, nr_exceptions, nr_lost;
static atomic_ulong nr_lookups, nr_wrong;

static void
check (bool ok, const char *what, uint64_t value)
{
  if (!ok && nr_wrong++ < 20)
    fprintf (stderr, "commits: %s: %" PRIu64 "\n", what, value);
}

static void
insert (const struct prepared *p, unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++)
    check (exception_table_insert (rig.table, p[i].old_chunk,
                                   p[i].new_chunk) == 0,
           "insert", p[i].old_chunk);
}

/* 0, or -errno when there is an end to it. */
static int
make_exceptions (unsigned *state)
{
  struct prepared p[4];
  unsigned n = 1 + rand_r (state) % 4, i;
  bool ok = !lose || rand_r (state) % 200;
  int r;

  for (i = 0; i < n; i++) {
    p[i].old_chunk = next_old++ * UINT64_C (7919) % 100003;
    if (exception_table_reserve (rig.table, p[i].old_chunk) < 0)
      abort ();
  }
  r = store_prepare (rig.store, p, n);
  if (r == 0)
    r = store_commit (rig.store, p, n, ok);
  if (r == 0)
    insert (p, n);
  for (i = 0; r < 0 && i < n; i++)
    exception_table_unreserve (rig.table, p[i].old_chunk);
  return r;
}

static void *
writer (void *arg)
{
  unsigned state = (uintptr_t) arg;
  int r;

  do
    r = make_exceptions (&state);
  while (r == 0);
  check (r == -ENOSPC || (lose && r == -EIO), "writer", -r);
  if (r == -EIO)
    check (store_invalidate (rig.store) == 0, "invalidate", 0);
  finished++;
  return NULL;
}

static void *
reader (void *arg)
{
  unsigned state = (uintptr_t) arg;
  struct exception_run run;
  struct store_usage usage;

  while (finished < WRITERS) {
    if (exception_table_lookup (rig.table, rand_r (&state) % 100003, 1, &run))
      check (!cow_is_metadata (1, run.new_chunk), "lookup", run.new_chunk);
    store_usage (rig.store, &usage);
    check (usage.metadata < usage.allocated + 2 &&
           usage.allocated <= CHUNKS + 1, "usage", usage.allocated);
    nr_lookups++;
  }
  return NULL;
}

static void
run_threads (void)
{
  pthread_t threads[WRITERS + READERS];
  uintptr_t i;

  for (i = 0; i < WRITERS + READERS; i++)
    if (pthread_create (&threads[i], NULL, i < WRITERS ? writer : reader,
                        (void *) (nr_rounds * 100 + i)) != 0)
      abort ();
  for (i = 0; i < WRITERS + READERS; i++)
    pthread_join (threads[i], NULL);
}

/* Every entry of the disk is in the table, and no hole is between them. */
static void
compare (void)
{
  struct exception_run run;
  struct exception e;
  uint64_t n = store_rig_count (&rig), i;

  for (i = 0; i < n; i++) {
    e = store_rig_entry (cow->data, 1, i);
    check (e.new_chunk == cow_identity_chunk (1, i), "place", i);
    check (exception_table_lookup (rig.table, e.old_chunk, 1, &run) &&
           run.new_chunk == e.new_chunk, "entry", i);
  }
  check (store_rig_entry (cow->data, 1, n).new_chunk == 0, "end", n);
  nr_exceptions += n;
}

static void
merge (void)
{
  struct exception_run runs[8];
  uint64_t sum;
  int n, i;

  while ((n = store_merge_peek (rig.store, runs, 8)) > 0) {
    for (sum = i = 0; i < n; i++)
      sum += runs[i].len;
    check (store_merge_clear (rig.store, sum) == 0, "clear", sum);
    for (i = 0; i < n; i++)
      check (exception_table_remove (rig.table, &runs[i]) == 0, "remove",
             runs[i].old_chunk);
  }
  check (n == 0, "peek", -n);
  check (store_rig_count (&rig) == 0, "left", store_rig_count (&rig));
}

static void
run_round (void)
{
  lose = nr_rounds % 3 == 2;
  next_old = finished = 0;
  memset (cow->data, 0, 4);
  cow->limits.fua = nr_rounds % 2;
  if (store_rig_open (&rig, &cow->bdev, "P 1") < 0)
    abort ();
  run_threads ();
  if (store_is_valid (rig.store)) {
    compare ();
    merge ();
  }
  else
    nr_lost++;
  check (store_rig_reopen (&rig) == 0, "reopen", 0);
  check (store_rig_count (&rig) == 0, "reopened", store_rig_count (&rig));
  store_rig_close (&rig);
  nr_rounds++;
}

int
main (int argc, char *argv[])
{
  const char *s = argc > 1 ? argv[1] : getenv ("NBDM_HAMMER_SECONDS");
  uint64_t end = monotonic_ns () + (s ? atoi (s) : 3) * UINT64_C (1000000000);

  cow = memdev_new ("cow", CHUNKS);
  do
    run_round ();
  while (monotonic_ns () < end || nr_rounds < 3);
  printf ("%lu rounds, %lu lost, %lu exceptions, %lu lookups, %lu wrong\n",
          nr_rounds, nr_lost, nr_exceptions, (unsigned long) nr_lookups,
          (unsigned long) nr_wrong);
  memdev_free (cow);
  return nr_wrong != 0 || nr_exceptions == 0 || nr_lost == 0;
}
