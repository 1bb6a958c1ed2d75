/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: regions of a device, and bios that count in them. */

#include "server/dm-stats.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/dm-core.h"

/* ------------------------------------------------------------------
 * Regions and sets.
 */

void
stats_init (struct md_stats *s)
{
  latch_init (&s->latch);
  s->last_end = UINT64_MAX;
}

static atomic_size_t stats_reserved;

bool
stats_reserve (struct stats_region *r, size_t bytes)
{
  size_t pages = sysconf (_SC_PHYS_PAGES);
  size_t max = pages / 4 * sysconf (_SC_PAGESIZE);

  if (bytes > max)
    return false;
  if (atomic_fetch_add (&stats_reserved, bytes) > max - bytes) {
    atomic_fetch_sub (&stats_reserved, bytes);
    return false;
  }
  r->bytes = bytes;
  return true;
}

void
stats_free_region (struct stats_region *r)
{
  if (r == NULL)
    return;
  atomic_fetch_sub (&stats_reserved, r->bytes);
  free (r->bounds);
  free (r->program_id);
  free (r->aux);
  free (r->areas);
  free (r->bins);
  free (r);
}

static void
stats_free_set (struct stats_set *set)
{
  size_t i;

  for (i = 0; i < set->nr; i++)
    stats_free_region (set->regions[i]);
  free (set);
}

/* Put a set; true if it is to be freed, with the regions that are in no other
 * one, which are all that it still has then.  Latch held.
 */
static bool
stats_unref (struct stats_set *set)
{
  size_t i;

  if (set == NULL || --set->refs > 0)
    return false;
  for (i = 0; i < set->nr; i++)
    if (--set->regions[i]->refs > 0)
      set->regions[i] = NULL;
  return true;
}

void
stats_put (struct md_stats *s, struct stats_set *set)
{
  bool last;

  latch_acquire (&s->latch);
  last = stats_unref (set);
  latch_release (&s->latch);
  if (last)
    stats_free_set (set);
}

struct stats_set *
stats_hold (struct md_stats *s)
{
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  if (s->set)
    s->set->refs++;
  return s->set;
}

void
stats_destroy (struct md_stats *s)
{
  stats_put (s, s->set);
  latch_destroy (&s->latch);
}

struct stats_region *
stats_find (const struct stats_set *set, unsigned id)
{
  size_t i;

  for (i = 0; set && i < set->nr; i++)
    if (set->regions[i]->id == id)
      return set->regions[i];
  return NULL;
}

/* Room for nr regions. */
static struct stats_set *
stats_new_set (size_t nr)
{
  return calloc (1, sizeof (struct stats_set) +
                 nr * sizeof (struct stats_region *));
}

static void
set_append (struct stats_set *set, struct stats_region *r)
{
  set->regions[set->nr++] = r;
  r->refs++;
}

/* Make set the current one unless another came in between.  Both sets are used
 * up: the old one has a hold of the caller's.
 */
static bool
stats_replace (struct md_stats *s, struct stats_set *old,
               struct stats_set *set)
{
  bool same, free_old, free_new = false;

  latch_acquire (&s->latch);
  same = s->set == old;
  if (same) {
    stats_unref (old);
    s->set = set;
    s->active = set->nr > 0;
  }
  else
    free_new = stats_unref (set);
  free_old = stats_unref (old);
  latch_release (&s->latch);
  if (free_old)
    stats_free_set (old);
  if (free_new)
    free (set);
  return same;
}

/* The old regions but for one, and r in its place by id. */
static struct stats_set *
stats_copy_set (struct md_stats *s, const struct stats_set *old,
                struct stats_region *r, const struct stats_region *without)
{
  size_t nr = old ? old->nr : 0, i;
  struct stats_set *set = stats_new_set (nr + 1);
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  if (set == NULL)
    return NULL;
  set->refs = 1;
  for (i = 0; r && i < nr && old->regions[i]->id == i; i++)
    set_append (set, old->regions[i]);
  if (r) {
    r->id = i;
    set_append (set, r);
  }
  for (i = r ? i : 0; i < nr; i++)
    if (old->regions[i] != without)
      set_append (set, old->regions[i]);
  return set;
}

int
stats_add (struct md_stats *s, struct stats_region *r, unsigned *id)
{
  struct stats_set *old, *set;

  do {
    old = stats_hold (s);
    set = stats_copy_set (s, old, r, NULL);
    if (set == NULL) {
      stats_put (s, old);
      return -ENOMEM;
    }
    *id = r->id;
  } while (!stats_replace (s, old, set));
  return 0;
}

int
stats_remove (struct md_stats *s, unsigned id)
{
  struct stats_set *old, *set;
  struct stats_region *r;

  do {
    old = stats_hold (s);
    r = stats_find (old, id);
    set = r ? stats_copy_set (s, old, NULL, r) : NULL;
    if (set == NULL) {
      stats_put (s, old);
      return r ? -ENOMEM : -ENOENT;
    }
  } while (!stats_replace (s, old, set));
  return 0;
}

/* ------------------------------------------------------------------
 * Counting.  The latch is held.
 */

/* Add the time since the last look.  Clocks are read outside the latch, so it
 * may be that this one is behind.
 */
static void
area_advance (struct stats_area *a, uint64_t now_ns)
{
  uint64_t spent = now_ns - a->stamp_ns;
  uint32_t n = a->in_flight[0] + a->in_flight[1];

  if (now_ns <= a->stamp_ns)
    return;
  a->stamp_ns = now_ns;
  if (n == 0)
    return;
  a->busy_any_ns += spent;
  a->queue_ns += n * spent;
  if (a->in_flight[0] > 0)
    a->busy_ns[0] += spent;
  if (a->in_flight[1] > 0)
    a->busy_ns[1] += spent;
}

/* What a region shows its times in. */
static uint64_t
region_time (const struct stats_region *r, uint64_t ns)
{
  return r->precise ? ns : ns / 1000000;
}

/* Bin i has what is below bound i and not in a bin before. */
static void
region_add_to_bin (struct stats_region *r, size_t area, uint64_t ns)
{
  uint64_t time = region_time (r, ns);
  unsigned low = 0, high = r->nr_bounds;

  while (low < high) {
    unsigned mid = low + (high - low) / 2;

    if (time < r->bounds[mid])
      high = mid;
    else
      low = mid + 1;
  }
  r->bins[area * (r->nr_bounds + 1) + low]++;
}

/* A piece of a bio that begins, or ends. */
struct stats_piece {
  sector_t begin, end;
  bool write, merged, ends;
  uint64_t now_ns, spent_ns;
};

static inline void
region_count_area (struct stats_region *r, size_t i,
                   const struct stats_piece *p, sector_t len)
{
  struct stats_area *a = &r->areas[i];

  area_advance (a, p->now_ns);
  if (!p->ends) {
    a->in_flight[p->write]++;
    return;
  }
  a->in_flight[p->write]--;
  a->ios[p->write]++;
  a->merges[p->write] += p->merged;
  a->sectors[p->write] += len;
  a->ns[p->write] += p->spent_ns;
  if (r->nr_bounds > 0)
    region_add_to_bin (r, i, p->spent_ns);
}

/* Most steps are powers of two, and divisions are slow. */
static inline size_t
region_area (const struct stats_region *r, sector_t offset)
{
  if ((r->step & (r->step - 1)) == 0)
    return offset >> __builtin_ctzll (r->step);
  return offset / r->step;
}

static void
region_count (struct stats_region *r, const struct stats_piece *p)
{
  sector_t begin = p->begin > r->start ? p->begin : r->start;
  sector_t end = p->end < r->start + r->len ? p->end : r->start + r->len;
  sector_t left;
  size_t i;

  if (begin >= end)
    return;
  i = region_area (r, begin - r->start);
  left = r->step - (begin - r->start - i * r->step);
  for (; begin < end; i++, begin += left, left = r->step) {
    if (left > end - begin)
      left = end - begin;
    region_count_area (r, i, p, left);
  }
}

static inline void
set_count (const struct stats_set *set, struct stats_piece *p, sector_t begin,
           sector_t len)
{
  size_t i;

  p->begin = begin;
  p->end = begin + len;
  for (i = 0; i < set->nr; i++)
    region_count (set->regions[i], p);
}

/* The pieces after the first: they go on where another ended. */
static __attribute__ ((noinline)) void
visit_count_rest (const struct stats_visit *v, const struct dm_table *t,
                  struct stats_piece *p)
{
  struct bio rest = { .op = v->op, .sector = v->sector + v->first,
                      .len = v->len - v->first };

  p->merged = true;
  while (rest.len > 0) {
    sector_t len = table_room (t, &rest);

    set_count (v->set, p, rest.sector, len);
    rest = bio_slice (&rest, len, rest.len - len);
  }
}

/* In the pieces that the kernel would make of it, which it counts one by one.
 * Most bios are one.
 */
static inline void
visit_count (const struct stats_visit *v, const struct dm_table *t,
             struct stats_piece *p)
{
  p->write = v->write;
  p->merged = v->merged;
  set_count (v->set, p, v->sector, v->first);
  if (v->first < v->len)
    visit_count_rest (v, t, p);
}

void
stats_begin (struct md_stats *s, const struct dm_table *t,
             const struct bio *bio, struct stats_visit *v)
{
  struct stats_piece p = { .now_ns = monotonic_ns () };

  v->op = bio->op;
  v->write = bio_is_write (bio);
  v->sector = bio->sector;
  v->len = bio->len;
  v->first = table_room (t, bio);
  v->begin_ns = p.now_ns;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);
  v->set = s->set;
  if (v->set == NULL)
    return;
  v->set->refs++;
  v->merged = s->last_end == v->sector && s->last_write == v->write;
  s->last_end = v->sector + v->len;
  s->last_write = v->write;
  visit_count (v, t, &p);
}

void
stats_end (struct md_stats *s, const struct dm_table *t,
           struct stats_visit *v)
{
  struct stats_piece p = { .now_ns = monotonic_ns (), .ends = true };
  bool last;

  if (v->set == NULL)
    return;
  p.spent_ns = p.now_ns - v->begin_ns;
  latch_acquire (&s->latch);
  visit_count (v, t, &p);
  last = stats_unref (v->set);
  latch_release (&s->latch);
  if (last)
    stats_free_set (v->set);
}

/* ------------------------------------------------------------------
 * Reading and clearing.
 */

void
stats_read (struct md_stats *s, struct stats_region *r, size_t i,
            struct stats_area *area, uint64_t *bins)
{
  size_t nr_bins = r->nr_bounds + 1;
  uint64_t now_ns = monotonic_ns ();
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  area_advance (&r->areas[i], now_ns);
  *area = r->areas[i];
  if (r->nr_bounds > 0 && bins)
    memcpy (bins, &r->bins[i * nr_bins], nr_bins * sizeof bins[0]);
}

static void
area_clear (struct md_stats *s, struct stats_region *r, size_t i,
            uint64_t now_ns)
{
  size_t nr_bins = r->nr_bounds + 1;
  struct stats_area *a = &r->areas[i], was;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  area_advance (a, now_ns);
  was = *a;
  *a = (struct stats_area) {
    .stamp_ns = was.stamp_ns,
    .in_flight = { was.in_flight[0], was.in_flight[1] },
  };
  if (r->nr_bounds > 0)
    memset (&r->bins[i * nr_bins], 0, nr_bins * sizeof r->bins[0]);
}

void
stats_clear (struct md_stats *s, struct stats_region *r, size_t begin,
             size_t end)
{
  uint64_t now_ns = monotonic_ns ();

  for (; begin < end; begin++)
    area_clear (s, r, begin, now_ns);
}
