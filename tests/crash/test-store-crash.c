/* SPDX-License-Identifier: BSD-3-Clause */
/* An exception store crashes at every point of its work, and loads again. */

/* The writes and flushes of a workload are recorded, data chunks included.
 * For each point of the record images are made of what may be on disk then:
 * all of it, or of what was not flushed some sectors only.  The table of such
 * an image must be that of the last call that had returned, or what is
 * between it and the one under way; it has no hole, and every chunk in it has
 * its data.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/crashdev.h"
#include "tests/lib/store-rig.h"

#define SIZE 700 /* sectors */
#define SUBSETS 4

static struct crashdev crash;
static struct store_rig rig;
static char image[SIZE * SECTOR_SIZE];
static unsigned nr_points;

static void
setup (void)
{
  crashdev_init (&crash, SIZE);
  nr_points = 0;
}

static void
teardown (void)
{
  crashdev_destroy (&crash);
}

TestSuite (store_crash, .init = setup, .fini = teardown, .timeout = 120);

/* Start with garbage that would be taken for entries. */
static void
open_on_garbage (const char *words)
{
  memset (crash.base, 0x1, SIZE * SECTOR_SIZE);
  memset (crash.base, 0, 4);
  memcpy (crash.data, crash.base, SIZE * SECTOR_SIZE);
  cr_assert_eq (store_rig_open (&rig, &crash.bdev, words), 0, "%s",
                rig.msg.text);
}

/* Every sector of a chunk says which exception it belongs to. */
static void
write_chunk (const struct prepared *p)
{
  uint32_t cs = store_chunk_sectors (rig.store);
  chunk_t text[SECTOR_SIZE / sizeof (chunk_t)] = {
    p->old_chunk, p->new_chunk };
  struct bio bio = { .op = BIO_WRITE, .len = 1, .data = (char *) text };
  sector_t i;

  for (i = 0; i < cs; i++) {
    bio.sector = chunk_start (p->new_chunk, cs) + i;
    cr_assert_eq (bdev_submit (&crash.bdev, &bio), 0);
  }
}

static bool
chunk_is_written (uint32_t cs, const struct exception *e)
{
  chunk_t text[2];
  sector_t i;

  for (i = 0; i < cs; i++) {
    memcpy (text, image +
            sectors_to_bytes (chunk_start (e->new_chunk, cs) + i),
            sizeof text);
    if (text[0] != e->old_chunk || text[1] != e->new_chunk)
      return false;
  }
  return true;
}

/* Read the image's table as any reader would.  Returns how many entries. */
static uint64_t
check_image (uint32_t cs, size_t n)
{
  struct exception e;
  uint64_t i;

  for (i = 0;; i++) {
    cr_assert_lt (cow_entry_offset_bytes (cs, i) + 16, sizeof image);
    e = store_rig_entry (image, cs, i);
    if (e.new_chunk == 0)
      break;
    cr_assert_eq (e.new_chunk, cow_identity_chunk (cs, i),
                  "record %d: entry %d is at %d", (int) n, (int) i,
                  (int) e.new_chunk);
    cr_assert (chunk_is_written (cs, &e), "record %d: entry %d has no data",
               (int) n, (int) i);
  }
  return i;
}

/* One more exception on the image: none of what lies behind the end, such as
 * the rest of a torn write, comes to life.
 */
static void
check_append (uint64_t count)
{
  struct memdev *copy = memdev_new ("copy", SIZE);
  struct store_rig again;

  memcpy (copy->data, image, sizeof image);
  cr_assert_eq (store_rig_open (&again, &copy->bdev, "P 0"), 0, "%s",
                again.msg.text);
  cr_assert_eq (store_rig_count (&again), count);
  cr_assert_eq (store_rig_add (&again, 999999, 1), 0);
  cr_assert_eq (store_rig_reopen (&again), 0, "%s", again.msg.text);
  cr_assert_eq (store_rig_count (&again), count + 1);
  store_rig_close (&again);
  memdev_free (copy);
}

/* ------------------------------------------------------------------
 * One thread: appends, merges, at last invalidation.
 */

/* Between two calls: so many records, so many exceptions.  The n-th exception
 * ever made has the old chunk n; here those that there are then.
 */
struct state {
  size_t at;
  uint64_t count;
  chunk_t old_chunks[SIZE];
};

static VECTOR (struct state) states;

static void
note_state (struct state *state)
{
  state->at = crashdev_position (&crash);
  cr_assert_eq (vector_append (&states, *state), 0);
}

static void
append (struct state *state, unsigned n)
{
  static chunk_t next_old;
  struct prepared p[64] = { { 0 } };
  unsigned i;

  for (i = 0; i < n; i++)
    p[i].old_chunk = next_old++;
  if (store_prepare (rig.store, p, n) < 0)
    return;
  for (i = 0; i < n; i++) {
    write_chunk (&p[i]);
    state->old_chunks[state->count++] = p[i].old_chunk;
  }
  cr_assert_eq (store_commit (rig.store, p, n, true), 0);
  note_state (state);
}

static void
merge (struct state *state, unsigned max)
{
  struct exception_run run;

  if (store_merge_peek (rig.store, &run, 1) != 1)
    return;
  if (run.len > max)
    run.len = max;
  state->count -= run.len;
  cr_assert_eq (store_merge_clear (rig.store, run.len), 0);
  note_state (state);
}

/* What the image has, compared with the calls around point n. */
static void
check_point (uint32_t cs, size_t n, const struct state *before,
             const struct state *after)
{
  uint64_t count = check_image (cs, n), i;
  uint64_t low = before->count, high = before->count;
  const struct state *longer = before;

  if (after && after->count < low)
    low = after->count;
  if (after && after->count > high) {
    high = after->count;
    longer = after;
  }
  cr_assert (count >= low && count <= high,
             "record %d: %d exceptions instead of %d to %d", (int) n,
             (int) count, (int) low, (int) high);
  for (i = 0; i < count; i++)
    cr_assert_eq (store_rig_entry (image, cs, i).old_chunk,
                  longer->old_chunks[i]);
  check_append (count);
  nr_points++;
}

static void
check_all_points (uint32_t cs)
{
  const struct state *s = states.ptr, *end = states.ptr + states.len;
  size_t n;
  unsigned k;

  for (n = s->at; n <= crash.log.len; n++) {
    while (s + 1 < end && (s + 1)->at <= n)
      s++;
    for (k = 0; k < SUBSETS; k++) {
      crashdev_image (&crash, n, k ? 1000 * k + n : 0, image);
      check_point (cs, n, s, s->at == n || s + 1 == end ? NULL : s + 1);
    }
  }
  cr_assert_gt (nr_points, 500);
}

static struct state state;

static void
run_workload (uint32_t cs, unsigned most)
{
  unsigned i;

  note_state (&state);
  srand (cs);
  for (i = 0; i < 40; i++)
    if (rand () % 4)
      append (&state, 1 + rand () % most);
    else
      merge (&state, 1 + rand () % (2 * most));
  store_rig_close (&rig);
  check_all_points (cs);
  vector_reset (&states);
}

Test (store_crash, chunk_1)
{
  open_on_garbage ("P 1");
  run_workload (1, 40);
}

Test (store_crash, chunk_1_with_fua)
{
  crash.limits.fua = true;
  open_on_garbage ("P 1");
  run_workload (1, 40);
}

Test (store_crash, chunk_2)
{
  open_on_garbage ("P 2");
  run_workload (2, 20);
}

Test (store_crash, chunk_4)
{
  open_on_garbage ("P 4");
  run_workload (4, 8);
}

/* A store of 5 exceptions whose area has something else from entry 20 on. */
Test (store_crash, remains_behind_the_end)
{
  struct prepared p;
  unsigned i;

  cr_assert_eq (store_rig_open (&rig, &crash.bdev, "P 4"), 0);
  for (i = 0; i < 5; i++) {
    state.old_chunks[i] = p.old_chunk = 1000000 + i;
    p.new_chunk = cow_identity_chunk (4, i);
    write_chunk (&p);
    cr_assert_eq (store_rig_add (&rig, p.old_chunk, 1), 0);
  }
  state.count = 5;
  store_rig_close (&rig);
  memset (crash.data + cow_entry_offset_bytes (4, 20), 1, 108 * 16);
  crashdev_restart (&crash);
  cr_assert_eq (store_rig_open (&rig, &crash.bdev, "P 4"), 0);
  run_workload (4, 8);
}

/* Making a store: there is none, or there is an empty one. */
Test (store_crash, a_new_store)
{
  size_t n;
  unsigned k;

  open_on_garbage ("P 1");
  store_rig_close (&rig);
  for (n = 0; n <= crash.log.len; n++)
    for (k = 0; k < SUBSETS; k++) {
      crashdev_image (&crash, n, k ? 77 * k + n : 0, image);
      if (image[0] == 0)
        continue;
      cr_assert_eq (check_image (1, n), 0);
      check_append (0);
    }
  cr_assert_neq (image[0], 0);
}

/* When store_invalidate returns the disk says so, whatever was under way. */
Test (store_crash, invalidation)
{
  struct prepared p = { .old_chunk = 5 };
  size_t at, n;
  unsigned k;

  open_on_garbage ("P 1");
  cr_assert_eq (store_rig_add (&rig, 1, 4), 0);
  cr_assert_eq (store_prepare (rig.store, &p, 1), 0);
  cr_expect_eq (store_commit (rig.store, &p, 1, false), -EIO);
  cr_assert_eq (store_invalidate (rig.store), 0);
  at = crashdev_position (&crash);
  store_rig_close (&rig);
  for (n = at; n <= crash.log.len; n++)
    for (k = 0; k < 8 * SUBSETS; k++) {
      struct cow_header header;
      struct cow_disk_header disk;

      crashdev_image (&crash, n, k ? 77 * k + n : 0, image);
      memcpy (&disk, image, sizeof disk);
      cr_assert_eq (cow_header_get (&disk, &header), COW_HEADER_OK);
      cr_assert_not (header.valid);
    }
}

/* ------------------------------------------------------------------
 * Many threads.
 */

#define THREADS 6
#define COMMITS 30 /* of each */

static struct done {
  struct prepared p[3];
  unsigned n;
  size_t at; /* when store_commit had returned */
} done[THREADS][COMMITS];

/* Some are slow to copy. */
static void
dawdle (unsigned *seed)
{
  struct timespec ts = { .tv_nsec = rand_r (seed) % 300000 };

  nanosleep (&ts, NULL);
}

static void *
committer (void *opaque)
{
  struct done *d = opaque;
  unsigned i, k, seed = d - done[0];

  for (i = 0; i < COMMITS; i++, d++) {
    d->n = 1 + rand_r (&seed) % 3;
    for (k = 0; k < d->n; k++)
      d->p[k].old_chunk = seed + k;
    cr_assert_eq (store_prepare (rig.store, d->p, d->n), 0);
    for (k = 0; k < d->n; k++)
      write_chunk (&d->p[k]);
    dawdle (&seed);
    cr_assert_eq (store_commit (rig.store, d->p, d->n, true), 0);
    d->at = crashdev_position (&crash);
  }
  return NULL;
}

/* All that was committed by record n is in the first count entries: there is
 * no hole, so its number tells.
 */
static void
check_committed (size_t n, uint64_t count)
{
  const struct done *d = done[0];

  for (; d < done[THREADS]; d++)
    if (d->at <= n)
      cr_assert_lt (d->p[d->n - 1].sequence, count, "record %d", (int) n);
}

Test (store_crash, many_threads)
{
  pthread_t threads[THREADS];
  uint64_t count;
  unsigned i, k;
  size_t n, start;

  open_on_garbage ("P 1");
  start = crashdev_position (&crash);
  for (i = 0; i < THREADS; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, committer, done[i]), 0);
  for (i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
  store_rig_close (&rig);
  for (n = start; n <= crash.log.len; n++)
    for (k = 0; k < SUBSETS; k++) {
      crashdev_image (&crash, n, k ? 1000 * k + n : 0, image);
      count = check_image (1, n);
      check_committed (n, count);
      check_append (count);
      nr_points++;
    }
  cr_assert_gt (nr_points, 500);
}
