/* SPDX-License-Identifier: BSD-3-Clause */
/* Lookups by many threads while others change, commit and drop metadata. */

/* Usage: thin-lookups [SECONDS]; 3 s, or $NBDM_HAMMER_SECONDS.
 *
 * Device 1 does not change but for its sharing; device 2 is a snapshot of it
 * that takes writes and discards; others come and go.  Meant to be built with
 * a sanitizer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "tests/lib/thin-rig.h"

#define READERS 3
#define WRITERS 2
#define NR_STEADY 3000 /* mappings of device 1 */

static struct thin_rig rig;
static atomic_bool stop;
static pthread_rwlock_t work; /* nobody works on what is aborted */
static atomic_ulong nr_lookups, nr_changes, nr_wrong;
static block_t steady[NR_STEADY];

static void
check (const char *what, int r, int expected)
{
  if (r != expected && nr_wrong++ < 20)
    fprintf (stderr, "thin-lookups: %s: %s\n", what, strerror (-r));
}

static void
look_up (struct thin_device *td, block_t block)
{
  struct thin_mapping m;
  struct thin_range run;

  check ("find", thin_dev_find (td, block, &m), 0);
  if (m.data_block != steady[block])
    check ("mapping", -EILSEQ, 0);
  check ("range", thin_dev_find_range (td, block, block + 10, &run), 0);
  if (run.begin != block || run.data_begin != steady[block])
    check ("run", -EILSEQ, 0);
  nr_lookups++;
}

static void *
reader (void *arg)
{
  unsigned state = (uintptr_t) arg;
  struct thin_meta_usage usage;
  struct thin_device *td;

  check ("open", thin_dev_open (rig.md, 1, &td), 0);
  while (!stop) {
    look_up (td, rand_r (&state) % NR_STEADY);
    thin_meta_usage (rig.md, &usage);
    if (thin_meta_data_block_sectors (rig.md) != 128 ||
        usage.data_free > usage.data_blocks)
      check ("usage", -EILSEQ, 0);
    if (thin_dev_mapped_blocks (td) != NR_STEADY)
      check ("count", -EILSEQ, 0);
  }
  thin_dev_close (td);
  return NULL;
}

/* Other writers may have made or deleted the device, or taken the last block.
 */
static int
change (unsigned i, unsigned *state)
{
  block_t block = rand_r (state) % NR_STEADY;

  switch (i % 8) {
  case 0:
    return rig_remove (&rig, 2, block, block + 50);
  case 1:
    return i % 64 == 1 ? thin_meta_create_snap (rig.md, 100 + i % 5, 1) : 0;
  case 2:
    return i % 64 == 2 ? thin_meta_delete (rig.md, 100 + i % 5) : 0;
  case 3:
    return i % 32 == 3 ? thin_meta_commit (rig.md) : 0;
  default:
    return rig_provision (&rig, 2, block);
  }
}

static void *
writer (void *arg)
{
  unsigned state = (uintptr_t) arg, i;
  int r;

  for (i = 1; !stop; i++) {
    pthread_rwlock_rdlock (&work);
    r = change (i, &state);
    pthread_rwlock_unlock (&work);
    if (r != 0 && r != -ENOSPC && r != -EEXIST && r != -ENODATA)
      check ("change", r, 0);
    if (r == -ENOSPC || i % 1000 == 0) {
      pthread_rwlock_wrlock (&work);
      check ("abort", rig_abort (&rig), 0);
      pthread_rwlock_unlock (&work);
    }
    nr_changes++;
  }
  return NULL;
}

static void
prepare (void)
{
  struct thin_mapping m;
  block_t b;

  rig_start (&rig, 4096);
  rig_format (&rig, 4 * NR_STEADY);
  check ("create", thin_meta_create_thin (rig.md, 1), 0);
  for (b = 0; b < NR_STEADY; b++) {
    check ("provision", rig_provision (&rig, 1, b), 0);
    check ("find", rig_find (&rig, 1, b, &m), 0);
    steady[b] = m.data_block;
  }
  check ("snapshot", thin_meta_create_snap (rig.md, 2, 1), 0);
  check ("commit", thin_meta_commit (rig.md), 0);
}

static void
start (pthread_t *thread, void *(*fn) (void *), uintptr_t seed)
{
  if (pthread_create (thread, NULL, fn, (void *) seed) != 0)
    abort ();
}

int
main (int argc, char *argv[])
{
  const char *s = argc > 1 ? argv[1] : getenv ("NBDM_HAMMER_SECONDS");
  const struct timespec t = { .tv_sec = s ? atoi (s) : 3 };
  pthread_t threads[READERS + WRITERS];
  unsigned i;

  pthread_rwlock_init (&work, NULL);
  prepare ();
  for (i = 0; i < READERS + WRITERS; i++)
    start (&threads[i], i < READERS ? reader : writer, i + 1);
  nanosleep (&t, NULL);
  stop = true;
  for (i = 0; i < READERS + WRITERS; i++)
    pthread_join (threads[i], NULL);
  printf ("%lu lookups, %lu changes, %lu wrong\n", (unsigned long) nr_lookups,
          (unsigned long) nr_changes, (unsigned long) nr_wrong);
  check ("close", rig_close (&rig), 0);
  rig_stop (&rig);
  return nr_wrong != 0 || nr_lookups == 0;
}
