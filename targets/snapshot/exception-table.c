/* SPDX-License-Identifier: BSD-3-Clause */
/* Which chunks are exceptions, and where they are: a map in memory. */

#include "targets/snapshot/exception-table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"

/* A hash of segments, each of them a sorted array: entering a run in the
 * middle moves 64 KiB at worst, and who looks for the next exception steps
 * over many chunks at once.
 */
#define SEGMENT_CHUNKS 4096
#define STRIPES 64 /* of the hash, each under a latch of its own */

struct run {
  chunk_t new_chunk;
  uint32_t first; /* in the segment */
  uint32_t len;
};

struct segment {
  struct segment *next; /* in the same bucket */
  uint64_t nr;
  struct run *runs;     /* ascending */
  uint32_t nr_runs, cap;
  uint32_t reserved;    /* of the cap - nr_runs */
};

struct stripe {
  struct latch latch;
  /* Guarded by latch. */
  struct segment **buckets;
  size_t nr_buckets, nr_segments; /* nr_buckets: 0 or a power of two */
  uint64_t exceptions, runs;
} __attribute__ ((aligned (64)));

struct exception_table {
  struct stripe stripes[STRIPES];
};

struct exception_table *
exception_table_new (void)
{
  struct exception_table *table = aligned_alloc (64, sizeof *table);
  unsigned i;

  if (table == NULL)
    return NULL;
  memset (table, 0, sizeof *table);
  for (i = 0; i < STRIPES; i++)
    latch_init (&table->stripes[i].latch);
  return table;
}

static void
segment_free (struct segment *segment)
{
  free (segment->runs);
  free (segment);
}

static void
stripe_free (struct stripe *stripe)
{
  struct segment *segment, *next;
  size_t i;

  for (i = 0; i < stripe->nr_buckets; i++)
    for (segment = stripe->buckets[i]; segment; segment = next) {
      next = segment->next;
      segment_free (segment);
    }
  free (stripe->buckets);
  latch_destroy (&stripe->latch);
}

void
exception_table_free (struct exception_table *table)
{
  unsigned i;

  if (table == NULL)
    return;
  for (i = 0; i < STRIPES; i++)
    stripe_free (&table->stripes[i]);
  free (table);
}

/* ------------------------------------------------------------------
 * Segments of a stripe.  All of it under the stripe's latch.
 */

static struct stripe *
stripe_of (struct exception_table *table, chunk_t chunk)
{
  return &table->stripes[chunk / SEGMENT_CHUNKS % STRIPES];
}

static struct segment **
stripe_bucket (struct stripe *stripe, uint64_t nr)
{
  return &stripe->buckets[nr / STRIPES & (stripe->nr_buckets - 1)];
}

/* Where the pointer to the segment is; it points to NULL if there is none. */
static struct segment **
stripe_find (struct stripe *stripe, uint64_t nr)
{
  struct segment **link = stripe_bucket (stripe, nr);

  while (*link && (*link)->nr != nr)
    link = &(*link)->next;
  return link;
}

static struct segment *
stripe_segment (struct stripe *stripe, chunk_t chunk)
{
  if (stripe->nr_buckets == 0)
    return NULL;
  return *stripe_find (stripe, chunk / SEGMENT_CHUNKS);
}

static void
stripe_move_all (struct stripe *to, struct stripe *from)
{
  struct segment *segment, *next, **bucket;
  size_t i;

  for (i = 0; i < from->nr_buckets; i++)
    for (segment = from->buckets[i]; segment; segment = next) {
      next = segment->next;
      bucket = stripe_bucket (to, segment->nr);
      segment->next = *bucket;
      *bucket = segment;
    }
}

/* Without memory the buckets just become fuller. */
static int
stripe_grow (struct stripe *stripe)
{
  struct stripe bigger = {
    .nr_buckets = stripe->nr_buckets ? 2 * stripe->nr_buckets : 4 };

  if (stripe->nr_segments < stripe->nr_buckets)
    return 0;
  bigger.buckets = calloc (bigger.nr_buckets, sizeof *bigger.buckets);
  if (bigger.buckets == NULL)
    return stripe->nr_buckets ? 0 : -ENOMEM;
  stripe_move_all (&bigger, stripe);
  free (stripe->buckets);
  stripe->buckets = bigger.buckets;
  stripe->nr_buckets = bigger.nr_buckets;
  return 0;
}

/* Find or make it.  NULL without memory. */
static struct segment *
stripe_make_segment (struct stripe *stripe, chunk_t chunk)
{
  struct segment *segment = stripe_segment (stripe, chunk);

  if (segment)
    return segment;
  if (stripe_grow (stripe) < 0)
    return NULL;
  segment = calloc (1, sizeof *segment);
  if (segment == NULL)
    return NULL;
  segment->nr = chunk / SEGMENT_CHUNKS;
  *stripe_find (stripe, segment->nr) = segment;
  stripe->nr_segments++;
  return segment;
}

static void
stripe_drop_if_empty (struct stripe *stripe, struct segment *segment)
{
  if (segment->nr_runs > 0 || segment->reserved > 0)
    return;
  *stripe_find (stripe, segment->nr) = segment->next;
  stripe->nr_segments--;
  segment_free (segment);
}

/* ------------------------------------------------------------------
 * Runs of a segment.
 */

/* The index of the first run that starts behind at. */
static uint32_t
segment_after (const struct segment *segment, uint32_t at)
{
  uint32_t low = 0, high = segment->nr_runs, mid;

  while (low < high) {
    mid = low + (high - low) / 2;
    if (segment->runs[mid].first <= at)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool
run_holds (const struct run *run, uint32_t at)
{
  return at >= run->first && at - run->first < run->len;
}

static void
segment_add_run (struct segment *segment, uint32_t i, struct run run)
{
  assert (segment->nr_runs < segment->cap);
  memmove (&segment->runs[i + 1], &segment->runs[i],
           (segment->nr_runs - i) * sizeof run);
  segment->runs[i] = run;
  segment->nr_runs++;
}

static void
segment_remove_run (struct segment *segment, uint32_t i)
{
  segment->nr_runs--;
  memmove (&segment->runs[i], &segment->runs[i + 1],
           (segment->nr_runs - i) * sizeof segment->runs[0]);
}

/* Two runs are never joined, so that taking out what came last always cuts a
 * run at its end or start.
 */
static int
segment_insert (struct segment *segment, uint32_t at, chunk_t new_chunk)
{
  uint32_t i = segment_after (segment, at);
  struct run *before = i > 0 ? &segment->runs[i - 1] : NULL;
  struct run *after = i < segment->nr_runs ? &segment->runs[i] : NULL;

  if (before && run_holds (before, at))
    return -EEXIST;
  if (before && before->first + before->len == at &&
      before->new_chunk + before->len == new_chunk)
    before->len++;
  else if (after && after->first == at + 1 &&
           after->new_chunk == new_chunk + 1) {
    after->first--;
    after->new_chunk--;
    after->len++;
  }
  else
    segment_add_run (segment, i, (struct run) { new_chunk, at, 1 });
  return 0;
}

/* 1 if the chunk was there and is gone, 0 if it was not, -EINVAL. */
static int
segment_remove (struct segment *segment, uint32_t at, chunk_t new_chunk)
{
  uint32_t i = segment_after (segment, at);
  struct run *run = i > 0 ? &segment->runs[i - 1] : NULL;

  if (run == NULL || !run_holds (run, at) ||
      run->new_chunk + (at - run->first) != new_chunk)
    return 0;
  if (run->first == at) {
    run->first++;
    run->new_chunk++;
  }
  else if (at - run->first != run->len - 1)
    return -EINVAL;
  if (--run->len == 0)
    segment_remove_run (segment, i - 1);
  return 1;
}

/* ------------------------------------------------------------------
 * The table.
 */

static bool
segment_lookup (const struct segment *segment, uint32_t at,
                struct exception_run *run)
{
  uint32_t i = segment_after (segment, at), end = SEGMENT_CHUNKS;
  const struct run *before = i > 0 ? &segment->runs[i - 1] : NULL;

  if (before && run_holds (before, at)) {
    run->new_chunk = before->new_chunk + (at - before->first);
    run->len = before->first + before->len - at;
    return true;
  }
  if (i < segment->nr_runs)
    end = segment->runs[i].first;
  run->len = end - at;
  return false;
}

bool
exception_table_lookup (struct exception_table *table, chunk_t chunk,
                        uint64_t max, struct exception_run *run)
{
  struct stripe *stripe = stripe_of (table, chunk);
  uint32_t at = chunk % SEGMENT_CHUNKS;
  struct segment *segment;
  bool found = false;

  *run = (struct exception_run) { .old_chunk = chunk,
                                  .len = SEGMENT_CHUNKS - at };
  latch_acquire (&stripe->latch);
  segment = stripe_segment (stripe, chunk);
  if (segment)
    found = segment_lookup (segment, at, run);
  latch_release (&stripe->latch);
  if (run->len > max)
    run->len = max;
  return found;
}

static int
segment_reserve (struct segment *segment)
{
  uint32_t cap = segment->cap ? 2 * segment->cap : 2;
  struct run *runs;

  if (segment->nr_runs + segment->reserved == segment->cap) {
    runs = reallocarray (segment->runs, cap, sizeof *runs);
    if (runs == NULL)
      return -ENOMEM;
    segment->runs = runs;
    segment->cap = cap;
  }
  segment->reserved++;
  return 0;
}

int
exception_table_reserve (struct exception_table *table, chunk_t old_chunk)
{
  struct stripe *stripe = stripe_of (table, old_chunk);
  ACQUIRE_LATCH_FOR_SCOPE (&stripe->latch);
  struct segment *segment = stripe_make_segment (stripe, old_chunk);
  int r;

  if (segment == NULL)
    return -ENOMEM;
  r = segment_reserve (segment);
  if (r < 0)
    stripe_drop_if_empty (stripe, segment);
  return r;
}

void
exception_table_unreserve (struct exception_table *table, chunk_t old_chunk)
{
  struct stripe *stripe = stripe_of (table, old_chunk);
  ACQUIRE_LATCH_FOR_SCOPE (&stripe->latch);
  struct segment *segment = stripe_segment (stripe, old_chunk);

  assert (segment && segment->reserved > 0);
  segment->reserved--;
  stripe_drop_if_empty (stripe, segment);
}

int
exception_table_insert (struct exception_table *table, chunk_t old_chunk,
                        chunk_t new_chunk)
{
  struct stripe *stripe = stripe_of (table, old_chunk);
  ACQUIRE_LATCH_FOR_SCOPE (&stripe->latch);
  struct segment *segment = stripe_segment (stripe, old_chunk);
  uint32_t runs;
  int r;

  assert (segment && segment->reserved > 0);
  runs = segment->nr_runs;
  segment->reserved--;
  r = segment_insert (segment, old_chunk % SEGMENT_CHUNKS, new_chunk);
  if (r == 0)
    stripe->exceptions++;
  stripe->runs += segment->nr_runs - runs;
  return r;
}

static int
exception_table_remove_chunk (struct exception_table *table,
                              chunk_t old_chunk, chunk_t new_chunk)
{
  struct stripe *stripe = stripe_of (table, old_chunk);
  ACQUIRE_LATCH_FOR_SCOPE (&stripe->latch);
  struct segment *segment = stripe_segment (stripe, old_chunk);
  uint32_t runs;
  int r;

  if (segment == NULL)
    return 0;
  runs = segment->nr_runs;
  r = segment_remove (segment, old_chunk % SEGMENT_CHUNKS, new_chunk);
  stripe->runs -= runs - segment->nr_runs;
  if (r > 0) {
    stripe->exceptions--;
    stripe_drop_if_empty (stripe, segment);
  }
  return r < 0 ? r : 0;
}

int
exception_table_remove (struct exception_table *table,
                        const struct exception_run *run)
{
  uint64_t i;
  int r = 0;

  for (i = run->len; r == 0 && i > 0; i--)
    r = exception_table_remove_chunk (table, run->old_chunk + i - 1,
                                      run->new_chunk + i - 1);
  return r;
}

void
exception_table_size (struct exception_table *table,
                      struct exception_table_size *size)
{
  struct stripe *stripe;

  *size = (struct exception_table_size) { 0 };
  for (stripe = table->stripes; stripe < table->stripes + STRIPES; stripe++) {
    ACQUIRE_LATCH_FOR_SCOPE (&stripe->latch);
    size->exceptions += stripe->exceptions;
    size->runs += stripe->runs;
  }
}
