/* SPDX-License-Identifier: BSD-3-Clause */
/* Commits to a persistent exception store: many threads, one writer. */

#include <errno.h>
#include <string.h>

#include "targets/snapshot/store-persistent.h"

/* One call of store_commit, on its thread's stack.  All but p and n under
 * latch.
 */
struct commit {
  struct list link; /* on s->waiting, then on the leader's batch */
  const struct prepared *p;
  unsigned n;
  bool flushed; /* a flush began after the data was written */
  bool done;
  int result;
  pthread_cond_t wake;
};

static void
commit_done (struct commit *c, int result)
{
  list_del (&c->link);
  c->done = true;
  c->result = result;
  pthread_cond_signal (&c->wake);
}

void
persistent_fail (struct persistent *s)
{
  assert_latch_held (&s->latch);
  s->valid = false;
  while (!list_empty (&s->waiting))
    commit_done (list_first (&s->waiting, struct commit, link), -EIO);
}

/* Most come in order, so the search begins at the end. */
static void
commit_enter (struct persistent *s, struct commit *c)
{
  struct list *after = s->waiting.prev;

  while (after != &s->waiting &&
         container_of (after, struct commit, link)->p[0].sequence >
         c->p[0].sequence)
    after = after->prev;
  list_add_head (after, &c->link);
}

/* The commit that is next, if it is here. */
static struct commit *
commit_next (struct persistent *s)
{
  struct commit *c;

  if (list_empty (&s->waiting))
    return NULL;
  c = list_first (&s->waiting, struct commit, link);
  return c->p[0].sequence == s->next_commit ? c : NULL;
}

/* ------------------------------------------------------------------
 * Writing.  By the leader, under gate.
 */

/* Between the flush that ends one batch and the next batch no other is needed
 * for the data of those who came before it.
 */
struct batch {
  struct list commits;
  uint64_t nr_entries; /* after the entries that are in the page */
  uint64_t first;      /* of those that are not on disk */
  bool flushed;
};

/* From here on a flush covers the data of those who wait.  Returns whether
 * there are any.
 */
static bool
batch_mark_waiting (struct persistent *s)
{
  struct commit *c;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  list_for_each (c, &s->waiting, link)
    c->flushed = true;
  return !list_empty (&s->waiting);
}

/* Write the blocks of the page that hold entries [first, end). */
static int
batch_write_blocks (struct persistent *s, uint64_t first, uint64_t end,
                    unsigned flags)
{
  first = persistent_block_start (s, first);
  end = persistent_block_end (s, end);
  return cow_write_entries (s->store.cow, s->store.chunk_sectors, first,
                            s->page + first % s->page_entries, end - first,
                            flags);
}

/* Data and whatever else the entries rely on. */
static int
batch_flush_before (struct persistent *s, struct batch *b)
{
  uint32_t per_area = cow_entries_per_area (s->store.chunk_sectors);
  int r;

  if (b->nr_entries % per_area == 0) {
    r = cow_zero_area_from (s->store.cow, s->store.chunk_sectors,
                            b->nr_entries);
    if (r < 0)
      return r;
    b->flushed = false;
  }
  if (b->flushed)
    return 0;
  b->flushed = true;
  return bdev_flush (s->store.cow);
}

/* Where FUA is cheap it is used if the flush would serve nobody else. */
static int
batch_write_durably (struct persistent *s, const struct batch *b)
{
  struct queue_limits limits;
  int r;

  bdev_limits (s->store.cow, &limits);
  if (limits.fua && !batch_mark_waiting (s))
    return batch_write_blocks (s, b->first, b->nr_entries, BIO_FUA);
  r = batch_write_blocks (s, b->first, b->nr_entries, 0);
  if (r < 0)
    return r;
  batch_mark_waiting (s);
  return bdev_flush (s->store.cow);
}

static int
batch_write_page (struct persistent *s, struct batch *b)
{
  int r = batch_flush_before (s, b);

  if (r == 0)
    r = batch_write_durably (s, b);
  if (r < 0)
    return r;
  b->first = b->nr_entries;
  if (b->nr_entries % s->page_entries == 0) {
    s->page_nr++;
    memset (s->page, 0, s->page_entries * sizeof *s->page);
  }
  return 0;
}

static int
batch_add (struct persistent *s, struct batch *b, const struct prepared *p)
{
  struct exception e = { p->old_chunk, p->new_chunk };

  s->page[b->nr_entries % s->page_entries] = cow_exception_put (e);
  b->nr_entries++;
  return b->nr_entries % s->page_entries == 0 ? batch_write_page (s, b) : 0;
}

static int
batch_write (struct persistent *s, struct batch *b)
{
  struct commit *c;
  unsigned i;
  int r = s->stale ? persistent_repair (s) : 0;

  if (r == 0)
    r = persistent_select_page (s, s->nr_entries);
  list_for_each (c, &b->commits, link)
    for (i = 0; r == 0 && i < c->n; i++)
      r = batch_add (s, b, &c->p[i]);
  if (r == 0 && b->first < b->nr_entries)
    r = batch_write_page (s, b);
  return r;
}

/* ------------------------------------------------------------------
 * Leading.  Under latch, but for the writing itself.
 */

/* If the data of the first was flushed, then only such go along: together they
 * save a flush, and the others are the next batch.
 */
static void
batch_take (struct persistent *s, struct batch *b)
{
  struct commit *c = commit_next (s);

  *b = (struct batch) { .nr_entries = s->nr_entries, .first = s->nr_entries,
                        .flushed = c && c->flushed };
  list_init (&b->commits);
  for (; c && (!b->flushed || c->flushed); c = commit_next (s)) {
    list_del (&c->link);
    list_add_tail (&b->commits, &c->link);
    s->next_commit += c->n;
  }
}

static void
batch_finish (struct persistent *s, struct batch *b, int r)
{
  struct commit *next;

  s->leading = false;
  if (r < 0)
    persistent_fail (s);
  while (!list_empty (&b->commits))
    commit_done (list_first (&b->commits, struct commit, link),
                 r < 0 ? -EIO : 0);
  next = commit_next (s);
  if (next)
    pthread_cond_signal (&next->wake);
}

static void
commit_lead (struct persistent *s)
{
  struct batch b;
  int r;

  s->leading = true;
  latch_release (&s->latch);

  gate_acquire (&s->gate);
  latch_acquire (&s->latch);
  batch_take (s, &b);
  latch_release (&s->latch);
  r = batch_write (s, &b);
  latch_acquire (&s->latch);
  if (r == 0)
    s->nr_entries = b.nr_entries;
  latch_release (&s->latch);
  gate_release (&s->gate);

  latch_acquire (&s->latch);
  batch_finish (s, &b, r);
}

int
persistent_commit (struct exception_store *store, const struct prepared p[],
                   unsigned n, bool ok)
{
  struct persistent *s = (struct persistent *) store;
  struct commit c = { .p = p, .n = n, .result = -EIO };

  if (n == 0)
    return 0;
  latch_cond_init (&c.wake);
  latch_acquire (&s->latch);
  if (!ok)
    persistent_fail (s);
  if (s->valid)
    commit_enter (s, &c);
  else
    c.done = true;
  while (!c.done)
    if (!s->leading && commit_next (s) == &c)
      commit_lead (s);
    else
      latch_wait (&s->latch, &c.wake);
  latch_release (&s->latch);
  pthread_cond_destroy (&c.wake);
  return c.result;
}
