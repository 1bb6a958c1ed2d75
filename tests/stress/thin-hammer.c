/* SPDX-License-Identifier: BSD-3-Clause */
/* Many threads on one thin, while snapshots come and go. */

/* Usage: thin-hammer [SECONDS]; 3 s, or $NBDM_HAMMER_SECONDS.
 *
 * Each worker owns a 4 KiB unit in each of some blocks that all share, so that
 * they provision and copy the same blocks, and some blocks alone, which it
 * also discards and zeroes.  What it reads must be what it wrote last.  A
 * snapshot must not change.  Meant to be built with a sanitizer.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "tests/lib/dmtest.h"

#define WORKERS 6
#define BLOCK 128
#define UNIT 8
#define COMMON 12 /* blocks that all share, the first ones */
#define OWN 4     /* blocks of each worker, after them */
#define BLOCKS (COMMON + WORKERS * OWN)

static struct dmtest t;
static struct mapped_device *thin;
static atomic_bool stop;
static atomic_ulong operations, snapshots, wrong;

static void
check (bool right, const char *what, unsigned long number)
{
  if (!right && wrong++ < 20)
    fprintf (stderr, "thin-hammer: %s %lu\n", what, number);
}

/* ------------------------------------------------------------------
 * Workers.
 */

struct worker {
  pthread_t thread;
  unsigned nr, state;
  unsigned char unit[COMMON]; /* what it has written there */
  unsigned char own[OWN * BLOCK / UNIT];
};

static unsigned
below (struct worker *w, unsigned n)
{
  return rand_r (&w->state) % n;
}

static void
work_on_unit (struct worker *w, sector_t sector, unsigned char *now)
{
  char data[UNIT * SECTOR_SIZE];
  unsigned i;

  if (below (w, 2)) {
    *now = below (w, 256);
    memset (data, *now, sizeof data);
    check (dmtest_io (thin, BIO_WRITE, sector, UNIT, data) == 0, "write",
           sector);
    return;
  }
  check (dmtest_io (thin, BIO_READ, sector, UNIT, data) == 0, "read", sector);
  for (i = 0; i < sizeof data; i++)
    if ((unsigned char) data[i] != *now)
      break;
  check (i == sizeof data, "contents of sector", sector);
}

static void
clear_own (struct worker *w, enum bio_op op, unsigned block)
{
  sector_t sector = (COMMON + w->nr * OWN + block) * BLOCK;

  check (dmtest_io (thin, op, sector, BLOCK, NULL) == 0, "clear", sector);
  memset (&w->own[block * BLOCK / UNIT], 0, BLOCK / UNIT);
}

static void *
worker_main (void *arg)
{
  struct worker *w = arg;
  unsigned i;

  for (; !stop; operations++) {
    switch (below (w, 8)) {
    case 0 ... 3:
      i = below (w, COMMON);
      work_on_unit (w, i * BLOCK + w->nr * UNIT, &w->unit[i]);
      break;
    case 4: case 5:
      i = below (w, OWN * BLOCK / UNIT);
      work_on_unit (w, (COMMON + w->nr * OWN) * BLOCK + i * UNIT, &w->own[i]);
      break;
    case 6:
      clear_own (w, below (w, 2) ? BIO_DISCARD : BIO_WRITE_ZEROES,
                 below (w, OWN));
      break;
    default:
      if (below (w, 4) == 0)
        check (dmtest_io (thin, BIO_FLUSH, 0, 0, NULL) == 0, "flush", 0);
    }
  }
  return NULL;
}

/* ------------------------------------------------------------------
 * The administrator.
 */

static void
send (const char *text)
{
  char words[40], *reply = NULL;
  int r;

  strcpy (words, text);
  r = dm_device_message (t.reg, DM_REF_NAME ("pool"), 0, words, &reply, NULL,
                         &t.msg);
  check (r == 0, text, -r);
  free (reply);
}

static uint32_t
sum (struct mapped_device *md)
{
  char *data = malloc (BLOCKS * BLOCK * SECTOR_SIZE);
  uint32_t s = 0;
  size_t i;

  check (dmtest_io (md, BIO_READ, 0, BLOCKS * BLOCK, data) == 0, "read all",
         0);
  for (i = 0; i < BLOCKS * BLOCK * SECTOR_SIZE; i += 97)
    s = s * 31 + (unsigned char) data[i];
  free (data);
  return s;
}

static void
swap_pool (uint32_t flags)
{
  check (dmtest_swap (&t, "pool", "0 65536 thin-pool m2 m1 128 0", flags) == 0,
         "swap", flags);
}

static void
take_a_snapshot (unsigned round)
{
  struct mapped_device *snap;
  char table[40];
  uint32_t before;

  send ("create_snap 1 0");
  snprintf (table, sizeof table, "0 %u thin pool 1", BLOCKS * BLOCK);
  dmtest_create (&t, "snap", table);
  if (dm_open (t.reg, "snap", &snap, NULL) < 0)
    abort ();
  before = sum (snap);
  if (round % 4 == 0)
    swap_pool (round % 8 ? DM_NOFLUSH_FLAG : 0);
  free (dmtest_table (&t, "snap", 0));
  check (sum (snap) == before, "a snapshot has changed, in round", round);
  check (dmtest_io (snap, BIO_DISCARD, (round % BLOCKS) * BLOCK, BLOCK, NULL)
         == 0, "discard of a snapshot, in round", round);
  dm_close (snap);
  check (dm_device_remove (t.reg, DM_REF_NAME ("snap"), 0, NULL, NULL) == 0,
         "remove", 0);
  send ("delete 1");
  snapshots++;
}

int
main (int argc, char *argv[])
{
  const char *s = argc > 1 ? argv[1] : getenv ("NBDM_HAMMER_SECONDS");
  uint64_t end = monotonic_ns () + (s ? atoi (s) : 3) * UINT64_C (1000000000);
  static struct worker workers[WORKERS];
  char table[40];
  unsigned i;

  dmtest_init (&t, 65536);
  dmtest_create (&t, "pool", "0 65536 thin-pool m2 m1 128 0");
  send ("create_thin 0");
  snprintf (table, sizeof table, "0 %u thin pool 0", BLOCKS * BLOCK);
  dmtest_create (&t, "thin", table);
  if (dm_open (t.reg, "thin", &thin, NULL) < 0)
    abort ();
  for (i = 0; i < WORKERS; i++) {
    workers[i].nr = workers[i].state = i;
    if (pthread_create (&workers[i].thread, NULL, worker_main, &workers[i]))
      abort ();
  }
  for (i = 0; monotonic_ns () < end; i++)
    take_a_snapshot (i);
  stop = true;
  for (i = 0; i < WORKERS; i++)
    pthread_join (workers[i].thread, NULL);
  printf ("%lu operations, %lu snapshots, %lu wrong\n",
          (unsigned long) operations, (unsigned long) snapshots,
          (unsigned long) wrong);
  dm_close (thin);
  dmtest_destroy (&t);
  return wrong != 0 || snapshots == 0;
}
