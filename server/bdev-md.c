/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapped device as a block device: the way of a bio through the gate. */

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#include "common/shard.h"
#include "server/dm-core.h"

/* One bio, or one question for extents, on its way through the gate. */
struct visit {
  struct parked_bio place;  /* set only while parked, as is … */
  sem_t wake;               /* … this, if there is no wait */
  struct dm_wait *wait;     /* breaks it off while it is parked; or NULL */
  bool parked;              /* place is on md->parked */
  bool pushed_back;         /* a target returned it: it parks at the head */
};

static void
visit_init (struct visit *v)
{
  /* Not the whole struct: this is every bio's way. */
  v->parked = v->pushed_back = false;
  v->wait = NULL;
}

static struct md_shard *
md_shard (struct mapped_device *md)
{
  return &md->shards[shard_number () % MD_SHARDS];
}

long
md_in_flight (struct mapped_device *md)
{
  long n = 0;
  unsigned i;

  for (i = 0; i < MD_SHARDS; i++)
    n += atomic_load (&md->shards[i].in_flight);
  return n;
}

/* ------------------------------------------------------------------
 * Parking.
 */

static bool
parked_overlap (const struct parked_bio *a, const struct parked_bio *b)
{
  return (a->write || b->write) && a->sector < b->end && b->sector < a->end;
}

/* Let p run unless one that came before it has to run first. */
static void
md_release_one (struct mapped_device *md, struct parked_bio *p)
{
  struct parked_bio *earlier;

  if (p->running)
    return;
  list_for_each (earlier, &md->parked, link) {
    if (earlier == p)
      break;
    if (parked_overlap (earlier, p))
      return;
  }
  p->running = true;
  md->nr_parked--;
  sem_post (p->wake);
}

void
md_release_parked (struct mapped_device *md)
{
  struct parked_bio *p;

  assert_latch_held (&md->lock);
  list_for_each (p, &md->parked, link)
    md_release_one (md, p);
}

void
md_fail_parked (struct mapped_device *md, int error)
{
  struct parked_bio *p;

  assert_latch_held (&md->lock);
  list_for_each (p, &md->parked, link) {
    if (p->running)
      continue; /* finds out at the gate */
    p->error = error;
    p->running = true;
    md->nr_parked--;
    sem_post (p->wake);
  }
}

/* The bio that was parked is done: those that waited for it may run. */
static void
md_unpark (struct mapped_device *md, struct visit *v)
{
  struct parked_bio *p = &v->place, *later, *next;

  latch_acquire (&md->lock);
  later = container_of (p->link.next, struct parked_bio, link);
  list_del (&p->link);
  for (; !md->block_io && &later->link != &md->parked; later = next) {
    next = container_of (later->link.next, struct parked_bio, link);
    if (parked_overlap (p, later))
      md_release_one (md, later);
  }
  latch_release (&md->lock);
  if (v->wait == NULL)
    sem_destroy (&v->wake);
}

/* Whether the device as it is now takes the bio.  The caller is counted in
 * flight or holds md->lock; both keep table and limits as they are.
 */
static int
md_check_bio (struct mapped_device *md, const struct bio *bio)
{
  const struct queue_limits *limits = &md->queue_limits;

  if (md->live == NULL)
    return -EIO;
  if (bio->op == BIO_FLUSH)
    return 0;
  if (!sectors_in_range (bio->sector, bio->len, bdev_size (&md->bdev)))
    return -EIO;
  if ((bio->sector | bio->len) &
      (bytes_to_sectors (limits->logical_block_bytes) - 1))
    return -EINVAL;
  if (!bio_is_write (bio))
    return 0;
  if (md->readonly)
    return -EPERM;
  if ((bio->op == BIO_DISCARD && !limits->discard) ||
      (bio->op == BIO_WRITE_ZEROES && !limits->write_zeroes))
    return -EOPNOTSUPP;
  return 0;
}

/* Enter the bio into the list, at its old place if it still has one. */
static void
md_enlist (struct mapped_device *md, struct visit *v, const struct bio *bio)
{
  struct parked_bio *p = &v->place;

  if (!v->parked) {
    if (v->wait == NULL)
      sem_init (&v->wake, 0, 0);
    p->wake = v->wait ? &v->wait->sem : &v->wake;
    if (v->pushed_back)
      list_add_head (&md->parked, &p->link);
    else
      list_add_tail (&md->parked, &p->link);
    v->parked = true;
    md->nr_deferred++;
  }
  md->nr_parked++;
  p->sector = bio->sector;
  p->end = bio_end (bio);
  p->write = bio_is_write (bio);
  p->running = false;
  p->error = 0;
}

/* Sleep until the parked bio is released or failed, or, if it has a wait, that
 * is cancelled.
 */
static int
md_sleep (struct mapped_device *md, struct visit *v)
{
  struct parked_bio *p = &v->place;
  bool woken = false;

  while (!woken) {
    while (sem_wait (p->wake) < 0)
      assert (errno == EINTR);
    ACQUIRE_LATCH_FOR_SCOPE (&md->lock);
    if (!p->running && v->wait && v->wait->cancelled) {
      p->error = -EINTR;
      p->running = true;
      md->nr_parked--;
    }
    woken = p->running;
  }
  return p->error;
}

/* Wait for the gate to open.  0: try again; otherwise the bio's result.  A bio
 * that was pushed back while a noflush suspend has not closed the gate yet
 * waits too, or it would spin.
 */
static int
md_park (struct mapped_device *md, struct visit *v, const struct bio *bio)
{
  int r;

  {
    ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

    /* The count went down by us, whether it was our way in or out. */
    if (md->suspender)
      sem_post (&md->suspender->sem);
    if (md->state == MD_DYING)
      return md->registry->dying ? -ESHUTDOWN : -EIO;
    if (!md->block_io && !(v->pushed_back && md->noflush_suspending))
      return 0;
    r = md_check_bio (md, bio);
    if (r < 0)
      return r;
    md_enlist (md, v, bio);
  }
  return md_sleep (md, v);
}

/* ------------------------------------------------------------------
 * The gate.  Count first, then look at block_io; who closes the gate sets
 * block_io first, then looks at the counts.  All four are sequentially
 * consistent, so either the bio sees the gate closed or the closer sees the
 * bio.  docs/locks.md has the whole argument.
 */

/* Count the bio in, if need be after it was parked.  0, or its result. */
static int
md_enter (struct mapped_device *md, struct visit *v, const struct bio *bio)
{
  struct md_shard *shard = md_shard (md);
  int r;

  for (;;) {
    atomic_fetch_add (&shard->in_flight, 1);
    if (__builtin_expect (!md->block_io, true))
      break;
    atomic_fetch_sub (&shard->in_flight, 1);
    r = md_park (md, v, bio);
    if (r < 0)
      return r;
  }
  return 0;
}

/* A suspender that has counted this bio sleeps on its semaphore.  It set
 * block_io before it counted, so we see that here, and it takes itself out of
 * md->suspender under the lock before the semaphore goes.
 */
static void
md_wake_suspender (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  if (md->suspender)
    sem_post (&md->suspender->sem);
}

static void
md_leave (struct mapped_device *md)
{
  atomic_fetch_sub (&md_shard (md)->in_flight, 1);
  if (__builtin_expect (md->block_io, false))
    md_wake_suspender (md);
}

/* Not inlined: most devices have no regions. */
static __attribute__ ((noinline)) int
md_map_counted (struct mapped_device *md, struct bio *bio)
{
  struct stats_visit v;
  int r;

  stats_begin (&md->stats, md->live, bio, &v);
  r = table_map_bio (md->live, bio);
  stats_end (&md->stats, md->live, &v);
  return r;
}

static int
md_map (struct mapped_device *md, struct bio *bio)
{
  if (__builtin_expect (stats_active (&md->stats), false) && bio->len > 0)
    return md_map_counted (md, bio);
  return table_map_bio (md->live, bio);
}

/* Once through the gate; DM_ENDIO_REQUEUE: again, with what is left of *bio. */
static int
md_pass (struct mapped_device *md, struct visit *v, struct bio *bio)
{
  int r;

  r = md_enter (md, v, bio);
  if (r < 0)
    return r;
  r = md_check_bio (md, bio);
  if (r == 0)
    r = md_map (md, bio);
  md_leave (md);
  if (r != DM_ENDIO_REQUEUE)
    return r;
  /* The table has seen that a noflush suspend is under way.  Should that have
   * been broken off since, md_park does not wait.
   */
  v->pushed_back = true;
  r = md_park (md, v, bio);
  return r < 0 ? r : DM_ENDIO_REQUEUE;
}

static const enum md_kind md_kinds[BIO_PREFETCH + 1] = {
  [BIO_READ] = MD_READS, [BIO_WRITE] = MD_WRITES, [BIO_FLUSH] = MD_FLUSHES,
  [BIO_DISCARD] = MD_DISCARDS, [BIO_WRITE_ZEROES] = MD_DISCARDS,
};

/* For metrics: nobody is ordered by it. */
static inline void
md_count (struct mapped_device *md, enum bio_op op, sector_t len, int r)
{
  struct md_shard *shard = md_shard (md);
  enum md_kind kind = md_kinds[op];

  if (__builtin_expect (r < 0, false))
    atomic_fetch_add_explicit (&shard->errors, 1, memory_order_relaxed);
  if (op == BIO_PREFETCH)
    return;
  atomic_fetch_add_explicit (&shard->ios[kind], 1, memory_order_relaxed);
  atomic_fetch_add_explicit (&shard->sectors[kind], len,
                             memory_order_relaxed);
}

/* The bio is counted once and keeps one table to its end; the kernel counts
 * each piece and lets the rest of a split bio come in again, where it can meet
 * a suspend or a newer table (Linux 6.1).
 */
static int
md_submit (struct block_device *bdev, struct bio *bio)
{
  struct mapped_device *md = container_of (bdev, struct mapped_device, bdev);
  const enum bio_op op = bio->op;
  const sector_t len = bio->len;
  struct visit v;
  int r;

  lock_descend ();
  visit_init (&v);
  do
    r = md_pass (md, &v, bio);
  while (r == DM_ENDIO_REQUEUE);
  if (__builtin_expect (v.parked, false))
    md_unpark (md, &v);
  md_count (md, op, len, r);
  lock_ascend ();
  return r;
}

/* What breaks off the questions of this thread. */
static __thread struct dm_wait *asker_wait;

void
md_ask_with (struct dm_wait *wait)
{
  asker_wait = wait;
}

static int
md_extents (struct block_device *bdev, sector_t sector, sector_t len,
            struct extent_sink *sink)
{
  struct mapped_device *md = container_of (bdev, struct mapped_device, bdev);
  /* It parks as a flush does: there is nothing it has to wait for. */
  const struct bio probe = { .op = BIO_FLUSH };
  struct visit v;
  int r;

  lock_descend ();
  visit_init (&v);
  v.wait = asker_wait;
  r = md_enter (md, &v, &probe);
  if (r == 0) {
    if (md->live && sectors_in_range (sector, len, bdev_size (bdev)))
      r = table_extents (md->live, sector, len, sink);
    else
      r = -EIO;
    md_leave (md);
  }
  if (v.parked)
    md_unpark (md, &v);
  lock_ascend ();
  return r;
}

static void
md_limits (struct block_device *bdev, struct queue_limits *limits)
{
  struct mapped_device *md = container_of (bdev, struct mapped_device, bdev);
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  *limits = md->queue_limits;
}

static void
md_close (struct block_device *bdev)
{
  /* Openers end by registry_close; the device lives on. */
}

const struct block_device_ops md_ops = {
  .submit = md_submit,
  .extents = md_extents,
  .limits = md_limits,
  .close = md_close,
};
