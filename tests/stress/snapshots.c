/* SPDX-License-Identifier: BSD-3-Clause */
/* An origin, three snapshots and merges, against a model of their contents. */

/* Usage: snapshots [OPERATIONS [SEED]]; 20000, or $NBDM_SNAPSHOT_OPERATIONS.
 *
 * Eight threads write, zero, read and verify, each its own stripes of 16
 * sectors: they share chunks, but no sector, so each knows what its sectors
 * hold.  Meanwhile the main thread suspends, resumes, hands stores over; while
 * the others pause it takes new snapshots, begins merges and calls them off.
 *
 * The COW devices copy without a lock: under ThreadSanitizer two requests that
 * should have waited for one another are a report.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "server/dm-interface.h"
#include "tests/lib/dmtest.h"

#define SECTORS 4096u
#define COW_SECTORS 16384u
#define THREADS 8
#define STRIPE 16
#define SNAPSHOTS 3
#define ORIGIN SNAPSHOTS /* index of the origin among the views */

static const unsigned chunk_sectors[SNAPSHOTS] = { 2, 8, 64 };

static struct dmtest t;
static struct mapped_device *devices[SNAPSHOTS + 1];
static pthread_rwlock_t pause_lock = /* or nobody ever pauses */
  PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static atomic_uint next_value = 1;
static atomic_long operations_left;
static atomic_uint nr_wrong;

/* What each sector of a view holds; 0 is zeroes.  Each entry belongs to one
 * thread, all of them to who has paused the threads.
 */
static uint32_t model[SNAPSHOTS + 1][SECTORS];
static bool exists[SNAPSHOTS]; /* changes while paused */
static int merging = -1;       /* the main thread's */

static void
wrong (const char *what, unsigned view, unsigned sector, int r)
{
  if (nr_wrong++ < 20)
    fprintf (stderr, "snapshots: %s, view %u, sector %u: %s\n", what, view,
             sector, r ? strerror (-r) : "wrong data");
}

static void
must (int r, const char *what)
{
  if (r == 0)
    return;
  fprintf (stderr, "snapshots: %s: %s (%s)\n", what, strerror (-r),
           t.msg.text);
  abort ();
}

/* ------------------------------------------------------------------
 * The threads.
 */

static void
fill (char *data, uint32_t sector, uint32_t value)
{
  uint32_t i, words[SECTOR_SIZE / 4];

  for (i = 0; i < SECTOR_SIZE / 4; i += 2) {
    words[i] = value ? sector : 0;
    words[i + 1] = value;
  }
  memcpy (data, words, sizeof words);
}

static void
verify (unsigned view, unsigned sector, unsigned len)
{
  char data[STRIPE * SECTOR_SIZE], expected[SECTOR_SIZE];
  unsigned i;
  int r = dmtest_io (devices[view], BIO_READ, sector, len, data);

  if (r < 0)
    wrong ("read", view, sector, r);
  for (i = 0; i < len && r == 0; i++) {
    fill (expected, sector + i, model[view][sector + i]);
    if (memcmp (data + i * SECTOR_SIZE, expected, SECTOR_SIZE) != 0)
      wrong ("read", view, sector + i, 0);
  }
}

static void
change (unsigned view, unsigned sector, unsigned len, bool zero)
{
  char data[STRIPE * SECTOR_SIZE];
  uint32_t value = zero ? 0 : next_value++;
  unsigned i;
  int r;

  for (i = 0; i < len; i++) {
    fill (data + i * SECTOR_SIZE, sector + i, value);
    model[view][sector + i] = value;
  }
  r = dmtest_io (devices[view], zero ? BIO_WRITE_ZEROES : BIO_WRITE, sector,
                 len, zero ? NULL : data);
  if (r < 0)
    wrong ("write", view, sector, r);
}

static void
operate (unsigned id, unsigned *seed)
{
  unsigned stripe = rand_r (seed) % (SECTORS / STRIPE / THREADS);
  unsigned first = rand_r (seed) % STRIPE;
  unsigned len = 1 + rand_r (seed) % (STRIPE - first);
  unsigned sector = (stripe * THREADS + id) * STRIPE + first;
  unsigned view = rand_r (seed) % (SNAPSHOTS + 1);

  if (view != ORIGIN && !exists[view])
    view = ORIGIN;
  switch (rand_r (seed) % 8) {
  case 0: case 1: case 2:
    change (view, sector, len, false);
    break;
  case 3:
    change (view, sector, len, true);
    break;
  case 4:
    if (dmtest_io (devices[view], BIO_FLUSH, 0, 0, NULL) < 0)
      wrong ("flush", view, 0, -EIO);
    break;
  default:
    verify (view, sector, len);
  }
}

static void *
operating_thread (void *opaque)
{
  uintptr_t id = (uintptr_t) opaque;
  unsigned seed = id;

  while (operations_left-- > 0) {
    pthread_rwlock_rdlock (&pause_lock);
    operate (id % THREADS, &seed);
    pthread_rwlock_unlock (&pause_lock);
  }
  return NULL;
}

/* ------------------------------------------------------------------
 * The main thread.
 */

static const char *
name_of (unsigned view, char name[8])
{
  snprintf (name, 8, view == ORIGIN ? "o" : "s%u", view);
  return name;
}

static void
suspend (unsigned view)
{
  char name[8];

  must (dm_device_suspend (t.reg, DM_REF_NAME (name_of (view, name)),
                           DM_SUSPEND_FLAG, NULL, NULL, &t.msg), "suspend");
}

static void
resume (unsigned view)
{
  char name[8];

  must (dm_device_resume (t.reg, DM_REF_NAME (name_of (view, name)), 0, NULL,
                          NULL, &t.msg), "resume");
}

static void
load (unsigned view, const char *type, unsigned store)
{
  char name[8], table[64];

  if (store == ORIGIN)
    snprintf (table, sizeof table, "0 %u %s", SECTORS, type);
  else
    snprintf (table, sizeof table, "0 %u %s m1 m%u P %u", SECTORS, type,
              store + 2, chunk_sectors[store]);
  must (dmtest_load (&t, name_of (view, name), table, 0), "load");
}

/* The device stays, without a snapshot behind it. */
static void
empty (unsigned view)
{
  load (view, "error", ORIGIN);
  resume (view);
}

static void
take_snapshot (unsigned s)
{
  memset (t.mem[s + 1]->data, 0, SECTOR_SIZE);
  load (s, "snapshot", s);
  resume (s);
  memcpy (model[s], model[ORIGIN], sizeof model[s]);
  exists[s] = true;
}

static void
replace_snapshot (unsigned s)
{
  if (exists[s])
    empty (s);
  take_snapshot (s);
}

/* From the device itself: half-merged, after a merge was called off. */
static void
read_origin (void)
{
  CLEANUP_FREE uint32_t *data = malloc (SECTORS * SECTOR_SIZE);
  unsigned i;

  must (dmtest_io (devices[ORIGIN], BIO_READ, 0, SECTORS, data), "read");
  for (i = 0; i < SECTORS; i++)
    model[ORIGIN][i] = data[i * (SECTOR_SIZE / 4) + 1];
}

static void
begin_merge (unsigned s)
{
  suspend (s);
  load (ORIGIN, "snapshot-merge", s);
  resume (ORIGIN);
  empty (s);
  memcpy (model[ORIGIN], model[s], sizeof model[s]);
  exists[s] = false;
  merging = s;
}

static void
call_merge_off (void)
{
  unsigned s = merging;

  suspend (ORIGIN);
  memcpy (model[s], model[ORIGIN], sizeof model[s]);
  load (s, "snapshot", s);
  resume (s);
  exists[s] = true;
  load (ORIGIN, "snapshot-origin m1", ORIGIN);
  resume (ORIGIN);
  read_origin ();
  merging = -1;
}

static int
note_if_merged (void *opaque, sector_t start, sector_t len, const char *type,
                const char *text)
{
  unsigned allocated, total, metadata;

  *(bool *) opaque = sscanf (text, "%u/%u %u", &allocated, &total,
                             &metadata) == 3 && allocated == metadata;
  return 0;
}

/* While the threads are at work. */
static void
end_merge (void)
{
  bool merged = false;

  dm_table_status (t.reg, DM_REF_NAME ("o"), 0, note_if_merged, &merged, NULL,
                   NULL);
  if (!merged)
    return;
  load (ORIGIN, "snapshot-origin m1", ORIGIN);
  resume (ORIGIN);
  merging = -1;
}

static void
control_paused (unsigned *seed)
{
  unsigned s = rand_r (seed) % SNAPSHOTS;

  if (merging >= 0) {
    if (rand_r (seed) % 4 == 0)
      call_merge_off ();
  }
  else if (exists[s] && rand_r (seed) % 2)
    begin_merge (s);
  else
    replace_snapshot (s);
}

/* The figures are of one moment. */
static int
check_usage (void *opaque, sector_t start, sector_t len, const char *type,
             const char *text)
{
  unsigned allocated, total, metadata, *view = opaque;

  if (sscanf (text, "%u/%u %u", &allocated, &total, &metadata) != 3 ||
      total != COW_SECTORS || allocated > total || metadata > allocated ||
      (allocated - metadata) % chunk_sectors[*view] != 0)
    wrong (text, *view, 0, 0);
  return 0;
}

static void
control_running (unsigned *seed)
{
  unsigned view = rand_r (seed) % (SNAPSHOTS + 1);
  char name[8];

  if (view != ORIGIN && exists[view])
    dm_table_status (t.reg, DM_REF_NAME (name_of (view, name)),
                     rand_r (seed) % 2 ? DM_NOFLUSH_FLAG : 0, check_usage,
                     &view, NULL, NULL);
  if (merging >= 0)
    end_merge ();
  if (view != ORIGIN && !exists[view])
    return;
  if (view != ORIGIN && rand_r (seed) % 2)
    load (view, "snapshot", view);
  suspend (view);
  usleep (rand_r (seed) % 100);
  resume (view);
}

static void
control (unsigned seed)
{
  while (operations_left > 0) {
    usleep (rand_r (&seed) % 300);
    control_running (&seed);
    if (rand_r (&seed) % 3)
      continue;
    pthread_rwlock_wrlock (&pause_lock);
    control_paused (&seed);
    pthread_rwlock_unlock (&pause_lock);
  }
}

/* Everything once more, at rest. */
static void
verify_all (void)
{
  unsigned view, sector;

  for (view = 0; view <= ORIGIN; view++)
    for (sector = 0; sector < SECTORS; sector += STRIPE)
      if (view == ORIGIN || exists[view])
        verify (view, sector, STRIPE);
}

static void
start_devices (void)
{
  char name[8];
  unsigned i;

  dmtest_init (&t, COW_SECTORS);
  t.mem[0]->may_tear = true; /* reads of old data are looked at afterwards */
  for (i = 0; i <= ORIGIN; i++) {
    must (dm_device_create (t.reg, name_of (i, name), "", 0, 0, NULL, &t.msg),
          "create");
    load (i, i == ORIGIN ? "snapshot-origin m1" : "error", ORIGIN);
    resume (i);
    must (dm_open (t.reg, name, &devices[i], &t.msg), "open");
  }
  for (i = 0; i < SNAPSHOTS; i++)
    take_snapshot (i);
}

static void
stop_devices (void)
{
  char name[8];
  unsigned i;

  for (i = 0; i <= ORIGIN; i++) {
    dm_close (devices[i]);
    must (dm_device_remove (t.reg, DM_REF_NAME (name_of (i, name)), 0, NULL,
                            &t.msg), "remove");
  }
  dmtest_destroy (&t);
}

int
main (int argc, char *argv[])
{
  const char *env = getenv ("NBDM_SNAPSHOT_OPERATIONS");
  unsigned seed = argc > 2 ? atoi (argv[2]) : 1;
  pthread_t threads[THREADS];
  uintptr_t i;

  operations_left = argc > 1 ? atol (argv[1]) : env ? atol (env) : 20000;
  start_devices ();
  for (i = 0; i < THREADS; i++)
    if (pthread_create (&threads[i], NULL, operating_thread,
                        (void *) (seed * THREADS + i)) != 0)
      abort ();
  control (seed);
  for (i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
  verify_all ();
  stop_devices ();
  printf ("snapshots: %u wrong\n", nr_wrong);
  return nr_wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
