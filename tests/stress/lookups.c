/* SPDX-License-Identifier: BSD-3-Clause */
/* Lookups by many threads while one changes, commits and drops metadata. */

/* Usage: lookups [SECONDS]; 3 s, or $NBDM_HAMMER_SECONDS.
 *
 * The owner's gate is a rwlock, as pdata/btree.h asks for, but only around
 * changes of the trees: commits go on while others read.  Meant to be built
 * with a sanitizer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "tests/lib/memdev.h"
#include "tests/lib/thin-pool.h"

#define THREADS 4
#define NR_STEADY 3000 /* mappings of device 1, which do not change */

static struct thin_pool pool;
static pthread_rwlock_t gate;
static atomic_bool stop;
static atomic_ulong nr_lookups, nr_changes, nr_wrong;
static uint64_t steady[NR_STEADY];

static void
check (const char *what, int r, int expected)
{
  if (r != expected && nr_wrong++ < 20)
    fprintf (stderr, "lookups: %s: %s\n", what, strerror (-r));
}

static void
look_up (uint64_t block)
{
  const uint64_t keys[2] = { 1, block };
  le64 value;

  check ("lookup", btree_lookup (&pool.mappings, pool.mapping_root, keys,
                                 &value), 0);
  if (from_le64 (value) != steady[block])
    check ("value", -EILSEQ, 0);
  nr_lookups++;
}

static void *
reader (void *arg)
{
  unsigned state = (uintptr_t) arg, i;

  while (!stop) {
    pthread_rwlock_rdlock (&gate);
    for (i = 0; i < 20; i++)
      look_up (rand_r (&state) % NR_STEADY);
    pthread_rwlock_unlock (&gate);
  }
  return NULL;
}

/* Device 2 shares blocks with device 1 and takes all the changes. */
static void
change (unsigned i)
{
  uint64_t block = i * 37 % NR_STEADY, data, nr;
  int r;

  pthread_rwlock_wrlock (&gate);
  r = i % 3 ? pool_provision (&pool, 2, block, &data)
            : pool_unmap (&pool, 2, block, block + 50, &nr);
  if (r == -ENOSPC || i % 500 == 0)
    r = pool_rollback (&pool);
  check ("change", r, 0);
  pthread_rwlock_unlock (&gate);
  if (i % 20 == 0)
    check ("commit", pool_commit (&pool), 0);
  nr_changes++;
}

static int
prepare (struct memdev *dev)
{
  uint64_t b, data;
  int r = pool_format (&pool, &dev->bdev, 64);

  if (r == 0)
    r = sm_extend (pool.data_sm, 4 * NR_STEADY);
  if (r == 0)
    r = pool_commit (&pool);
  if (r == 0)
    r = pool_create (&pool, 1);
  for (b = 0; r == 0 && b < NR_STEADY; b++) {
    r = pool_provision (&pool, 1, b, &data);
    steady[b] = THIN_VALUE (data, 0);
  }
  if (r == 0)
    r = pool_snap (&pool, 2, 1);
  return r < 0 ? r : pool_commit (&pool);
}

int
main (int argc, char *argv[])
{
  const char *s = argc > 1 ? argv[1] : getenv ("NBDM_HAMMER_SECONDS");
  uint64_t end = monotonic_ns () + (s ? atoi (s) : 3) * UINT64_C (1000000000);
  struct memdev *dev = memdev_new ("metadata", 2048 * BM_BLOCK_SECTORS);
  pthread_rwlockattr_t attr;
  pthread_t threads[THREADS];
  uintptr_t i;

  /* Or the readers would never let the writer in. */
  pthread_rwlockattr_init (&attr);
  pthread_rwlockattr_setkind_np (
    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init (&gate, &attr);
  check ("prepare", prepare (dev), 0);
  for (i = 0; i < THREADS; i++)
    if (pthread_create (&threads[i], NULL, reader, (void *) (i + 1)) != 0)
      abort ();
  for (i = 1; monotonic_ns () < end; i++)
    change (i);
  stop = true;
  for (i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
  printf ("%lu lookups, %lu changes, %lu wrong\n", (unsigned long) nr_lookups,
          (unsigned long) nr_changes, (unsigned long) nr_wrong);
  pool_close (&pool);
  memdev_free (dev);
  return nr_wrong != 0 || nr_lookups == 0;
}
