/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O threads against suspend, load, resume, rename, remove, all at once. */

/* Usage: hammer [SECONDS [SEED]]; 5 s, or $NBDM_HAMMER_SECONDS.
 *
 * Two kinds of devices.  "steady" ones keep the same data under every table
 * they are given: their I/O threads verify every byte, and no request may
 * fail.  "churn" ones come and go: their requests may fail, but not with any
 * error.  Meant to be built with a sanitizer, which is the judge
 * of everything that this program cannot see.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/lock.h"
#include "server/dm-interface.h"
#include "tests/lib/dmtest.h"

#define STEADY 2
#define CHURN 3
#define SIZE 4096u /* sectors of each device */
#define IO_THREADS 4 /* per steady device */
#define SLICE (SIZE / IO_THREADS)

static struct dmtest t;
static atomic_bool stop, controls_ended;
static atomic_ulong nr_io, nr_verbs, nr_wrong;
static unsigned seed = 1;

static void
wrong (const char *what, int r)
{
  if (nr_wrong++ < 20)
    fprintf (stderr, "hammer: %s: %s\n", what,
             r ? strerror (-r) : "wrong data");
}

/* Tables of steady device i that all put its sectors in the same place of
 * memory device m(i+1).
 */
static void
steady_table (unsigned i, unsigned kind, char *out, size_t size)
{
  unsigned m = i + 1;

  switch (kind % 6) {
  case 0:
    snprintf (out, size, "0 4096 linear m%u 0", m);
    break;
  case 1:
    snprintf (out, size, "0 7 linear m%u 0\n7 4000 linear m%u 7\n"
              "4007 89 linear m%u 4007", m, m, m);
    break;
  case 2:
    snprintf (out, size, "0 4096 striped 1 8 m%u 0", m);
    break;
  case 3:
    snprintf (out, size, "0 2048 delay m%u 0 1\n2048 2048 linear m%u 2048",
              m, m);
    break;
  case 4:
    snprintf (out, size, "0 4096 flakey m%u 0 60 0", m);
    break;
  default:
    snprintf (out, size, "0 4096 linear low%u 0", i);
  }
}

struct rng {
  unsigned state;
};

static unsigned
rng_next (struct rng *r, unsigned below)
{
  return rand_r (&r->state) % below;
}

struct steady_io {
  struct mapped_device *md;
  sector_t start; /* of this thread's slice */
  struct rng rng;
};

/* One random write, discard or zeroing of the slice, noted in shadow, or a
 * flush.
 */
static int
steady_change (struct steady_io *io, char *shadow, sector_t at, sector_t n)
{
  char *s = shadow + sectors_to_bytes (at);
  size_t i, bytes = sectors_to_bytes (n);

  switch (rng_next (&io->rng, 8)) {
  case 0:
    return dmtest_io (io->md, BIO_FLUSH, 0, 0, NULL);
  case 1:
    if (dmtest_io (io->md, BIO_WRITE_ZEROES, io->start + at, n, NULL) == 0)
      memset (s, 0, bytes);
    return 0; /* -EOPNOTSUPP under some of the tables */
  default:
    for (i = 0; i < bytes; i += 64)
      memset (s + i, rng_next (&io->rng, 256), 64);
    return dmtest_io (io->md, BIO_WRITE, io->start + at, n, s);
  }
}

static void *
steady_io_thread (void *opaque)
{
  struct steady_io *io = opaque;
  CLEANUP_FREE char *shadow = calloc (SLICE, SECTOR_SIZE);
  CLEANUP_FREE char *buf = malloc (SLICE * SECTOR_SIZE);
  int r;

  while (!stop) {
    sector_t at = rng_next (&io->rng, SLICE);
    sector_t n = 1 + rng_next (&io->rng, SLICE - at < 64 ? SLICE - at : 64);

    r = steady_change (io, shadow, at, n);
    if (r < 0)
      wrong ("steady write", r);
    r = dmtest_io (io->md, BIO_READ, io->start + at, n, buf);
    if (r < 0 || memcmp (buf, shadow + sectors_to_bytes (at),
                         sectors_to_bytes (n)) != 0)
      wrong ("steady read", r);
    nr_io += 2;
  }
  return NULL;
}

/* Some message that every device understands: regions come, go and are read. */
static void
any_message (const char *name, struct rng *rng)
{
  static const char *const formats[] = {
    "@cancel_deferred_remove", "@stats_delete %u", "@stats_delete %u",
    "@stats_create - /4", "@stats_print %u", "@stats_print_clear %u",
    "@stats_create - 100 2 precise_timestamps histogram:1000,100000",
  };
  char text[80], *reply = NULL;

  snprintf (text, sizeof text, formats[rng_next (rng, 7)], rng_next (rng, 3));
  dm_device_message (t.reg, DM_REF_NAME (name), 0, text, &reply, NULL, NULL);
  free (reply);
}

/* Suspend, sometimes broken off; load; resume. */
static void
steady_swap (unsigned i, struct rng *rng)
{
  char name[16], table[256];
  struct dmtest mine = t; /* for a message of our own */
  struct dm_wait wait;
  uint32_t flags = rng_next (rng, 2) ? DM_NOFLUSH_FLAG : 0;
  int r;

  snprintf (name, sizeof name, "steady%u", i);
  any_message (name, rng);
  steady_table (i, rng_next (rng, 6), table, sizeof table);
  dm_wait_init (&wait);
  if (rng_next (rng, 4) == 0)
    dm_wait_cancel (&wait);
  r = dm_device_suspend (t.reg, DM_REF_NAME (name), flags | DM_SUSPEND_FLAG,
                         &wait, NULL, NULL);
  if (r < 0 && r != -EINTR)
    wrong ("suspend", r);
  dm_wait_destroy (&wait);
  r = dmtest_load (&mine, name, table, 0);
  if (r < 0)
    wrong ("load", r);
  r = dm_device_resume (t.reg, DM_REF_NAME (name), flags, NULL, NULL, NULL);
  if (r < 0)
    wrong ("resume", r);
  nr_verbs += 3;
}

static void *
steady_control_thread (void *opaque)
{
  unsigned i = (uintptr_t) opaque;
  struct rng rng = { seed * 100 + i };

  while (!stop) {
    steady_swap (i, &rng);
    usleep (rng_next (&rng, 2000));
  }
  return NULL;
}

static void *
churn_io_thread (void *opaque)
{
  uintptr_t id = (uintptr_t) opaque;
  struct rng rng = { seed * 1000 + id };
  char name[16], buf[8 * SECTOR_SIZE] = { 0 };
  struct mapped_device *md;
  int r, i;

  while (!stop) {
    snprintf (name, sizeof name, "churn%u", rng_next (&rng, CHURN));
    if (dm_open (t.reg, name, &md, NULL) < 0) {
      usleep (100);
      continue;
    }
    for (i = 0; i < 50; i++) {
      r = dmtest_io (md, rng_next (&rng, 2) ? BIO_READ : BIO_WRITE,
                     id * SLICE + rng_next (&rng, SLICE - 8), 8, buf);
      if (r < 0 && r != -EIO && r != -EPERM) /* a read-only table */
        wrong ("churn I/O", r);
      nr_io++;
    }
    dm_close (md);
  }
  return NULL;
}

/* Devices stand on one another, so a verb may have to wait for requests that
 * are parked at a device which nobody resumes any more.  As an impatient user
 * would, the watchdog breaks off what takes long.
 */
#define CHURN_THREADS 3

static struct {
  struct latch latch;
  struct dm_wait *wait; /* guarded by latch */
  uint64_t since_ns;
} watched[CHURN_THREADS];

static void
watch (unsigned id, struct dm_wait *wait)
{
  ACQUIRE_LATCH_FOR_SCOPE (&watched[id].latch);

  watched[id].wait = wait;
  watched[id].since_ns = monotonic_ns ();
}

static void *
watchdog_thread (void *opaque)
{
  unsigned i;

  for (; !controls_ended; usleep (5000))
    for (i = 0; i < CHURN_THREADS; i++) {
      ACQUIRE_LATCH_FOR_SCOPE (&watched[i].latch);
      if (watched[i].wait && monotonic_ns () - watched[i].since_ns > 20000000)
        dm_wait_cancel (watched[i].wait);
    }
  return NULL;
}

static void
churn_suspend_or_resume (const struct dm_ref *ref, unsigned id, bool suspend)
{
  struct dm_wait wait;

  dm_wait_init (&wait);
  watch (id, &wait);
  if (suspend)
    dm_device_suspend (t.reg, ref, DM_SUSPEND_FLAG, &wait, NULL, NULL);
  else
    dm_device_resume (t.reg, ref, 0, &wait, NULL, NULL);
  watch (id, NULL);
  dm_wait_destroy (&wait);
}

static int
churn_status (void *opaque, sector_t start, sector_t len, const char *type,
              const char *text)
{
  return len == 0 || *type == '\0'; /* neither can be */
}

/* One random verb; whatever it answers, it must not harm. */
static void
churn_verb (struct rng *rng, unsigned id)
{
  char name[16], other[16], text[64];
  const struct dm_ref ref = { .name = name };
  struct dmtest mine = t; /* for a message of our own */

  snprintf (name, sizeof name, "churn%u", rng_next (rng, CHURN));
  snprintf (other, sizeof other, "churn%u", rng_next (rng, CHURN));
  switch (rng_next (rng, 12)) {
  case 0:
    dm_device_create (t.reg, name, "", 0, 0, NULL, NULL);
    break;
  case 1:
    dm_device_remove (t.reg, &ref, rng_next (rng, 2) ? DM_DEFERRED_REMOVE : 0,
                      NULL, NULL);
    break;
  case 2:
    dm_device_rename (t.reg, name, other, 0, NULL, NULL);
    break;
  case 3:
    churn_suspend_or_resume (&ref, id, true);
    break;
  case 4:
    dm_table_status (t.reg, &ref, DM_STATUS_TABLE_FLAG, churn_status, NULL,
                     NULL, NULL);
    break;
  case 5:
    dm_table_clear (t.reg, &ref, NULL, NULL);
    break;
  case 6:
    any_message (name, rng);
    break;
  case 7:
    snprintf (text, sizeof text, "0 %u linear %s 0", SIZE, other);
    dmtest_load (&mine, name, text, 0); /* stacks, and cycles to be refused */
    break;
  case 8:
    snprintf (text, sizeof text, "0 %u linear m5 0", SIZE);
    dmtest_load (&mine, name, text, rng_next (rng, 2) ? DM_READONLY_FLAG : 0);
    break;
  default:
    churn_suspend_or_resume (&ref, id, false);
  }
  nr_verbs++;
}

static void *
churn_control_thread (void *opaque)
{
  uintptr_t id = (uintptr_t) opaque;
  struct rng rng = { seed * 10000 + id };

  while (!stop) {
    churn_verb (&rng, id);
    usleep (rng_next (&rng, 200));
  }
  return NULL;
}

struct crew {
  pthread_t threads[32];
  unsigned n;
};

static struct crew controls, others;

static void
start (struct crew *crew, void *(*fn) (void *), void *arg)
{
  if (pthread_create (&crew->threads[crew->n++], NULL, fn, arg) != 0)
    abort ();
}

static void
join (struct crew *crew)
{
  unsigned i;

  for (i = 0; i < crew->n; i++)
    pthread_join (crew->threads[i], NULL);
}

/* Nobody may stay parked at a device that nobody suspends or resumes any more.
 */
static void
release_all (void)
{
  char name[16];
  unsigned i;

  for (i = 0; i < CHURN; i++) {
    snprintf (name, sizeof name, "churn%u", i);
    dm_device_resume (t.reg, DM_REF_NAME (name), DM_RESUME_ONLY, NULL, NULL,
                      NULL);
  }
}

int
main (int argc, char *argv[])
{
  const char *env = getenv ("NBDM_HAMMER_SECONDS");
  unsigned i, j, seconds = argc > 1 ? atoi (argv[1]) : env ? atoi (env) : 5;
  static struct steady_io ios[STEADY][IO_THREADS];
  char name[16], table[64];

  if (argc > 2)
    seed = atoi (argv[2]);
  dmtest_init (&t, SIZE);
  for (i = 0; i < STEADY; i++) {
    snprintf (name, sizeof name, "low%u", i);
    snprintf (table, sizeof table, "0 %u linear m%u 0", SIZE, i + 1);
    dmtest_create (&t, name, table);
    snprintf (name, sizeof name, "steady%u", i);
    dmtest_create (&t, name, table);
    for (j = 0; j < IO_THREADS; j++) {
      struct steady_io *io = &ios[i][j];

      *io = (struct steady_io) { .start = j * SLICE,
                                 .rng = { seed + i * IO_THREADS + j } };
      if (dm_open (t.reg, name, &io->md, NULL) < 0)
        abort ();
      start (&others, steady_io_thread, io);
    }
    start (&controls, steady_control_thread, (void *) (uintptr_t) i);
  }
  for (i = 0; i < IO_THREADS; i++)
    start (&others, churn_io_thread, (void *) (uintptr_t) i);
  for (i = 0; i < CHURN_THREADS; i++) {
    latch_init (&watched[i].latch);
    start (&controls, churn_control_thread, (void *) (uintptr_t) i);
  }
  start (&others, watchdog_thread, NULL);

  sleep (seconds);
  stop = true;
  join (&controls);
  controls_ended = true;
  release_all ();
  join (&others);
  for (i = 0; i < STEADY; i++)
    for (j = 0; j < IO_THREADS; j++)
      dm_close (ios[i][j].md);
  dmtest_destroy (&t);
  printf ("hammer: %u s, seed %u: %lu requests, %lu verbs, %lu wrong\n",
          seconds, seed, nr_io, nr_verbs, nr_wrong);
  return nr_wrong ? 1 : 0;
}
