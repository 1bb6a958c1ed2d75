/* SPDX-License-Identifier: BSD-3-Clause */
/* Checked, cached, locked blocks of 4 KiB on a block device. */

#include "pdata/block-manager.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pdata/block-manager-internal.h"

#define BM_MIN_CACHE 64

/* Locks of one thread: a spine, the siblings of a node, one each for maps. */
#define BM_MAX_HELD 32

enum bm_mode { BM_READ, BM_WRITE, BM_ZERO };

/* What this thread has locked.  A second lock of the same block would wait for
 * ever; metadata in which two pointers lead to one block may ask for it.
 */
static __thread struct {
  struct bm_block *block[BM_MAX_HELD];
  unsigned nr;
} bm_held;

static bool
bm_holds (const struct bm_block *b)
{
  unsigned i;

  for (i = 0; i < bm_held.nr; i++)
    if (bm_held.block[i] == b)
      return true;
  return false;
}

static void
bm_forget (const struct bm_block *b)
{
  unsigned i = bm_held.nr;

  while (i > 0 && bm_held.block[i - 1] != b)
    i--;
  assert (i > 0);
  bm_held.block[i - 1] = bm_held.block[--bm_held.nr];
}

/* Shards take the low digits of the number, buckets the rest: neighbours, which
 * are used together, spread over all latches.
 */
static struct bm_block **
bm_bucket (struct bm_shard *s, block_t nr)
{
  return &s->buckets[nr / BM_SHARDS % s->nr_buckets];
}

static struct bm_block *
bm_find (struct bm_shard *s, block_t nr)
{
  struct bm_block *b = *bm_bucket (s, nr);

  while (b && b->nr != nr)
    b = b->next;
  return b;
}

static void
bm_insert (struct bm_shard *s, struct bm_block *b)
{
  struct bm_block **bucket = bm_bucket (s, b->nr);

  b->next = *bucket;
  *bucket = b;
  list_add_tail (&s->clean, &b->lru);
  s->nr_blocks++;
}

/* Also of a block that has no data yet. */
static void
bm_free_block (struct bm_block *b)
{
  if (b)
    free (b->data);
  free (b);
}

static void
bm_drop (struct bm_shard *s, struct bm_block *b)
{
  struct bm_block **p = bm_bucket (s, b->nr);

  while (*p != b)
    p = &(*p)->next;
  *p = b->next;
  list_del (&b->lru);
  s->nr_blocks--;
  bm_free_block (b);
}

static struct bm_block *
bm_new_block (struct block_manager *bm, block_t nr)
{
  struct bm_block *b = calloc (1, sizeof *b);

  if (b == NULL)
    return NULL;
  b->data = aligned_alloc (BM_BLOCK_BYTES, BM_BLOCK_BYTES);
  if (b->data == NULL) {
    free (b);
    return NULL;
  }
  b->bm = bm;
  b->nr = nr;
  list_init (&b->lru);
  return b;
}

/* The block may be gone after this; who waited looks it up again. */
static void
bm_wait (struct bm_shard *s)
{
  s->waiting++;
  latch_wait (&s->latch, &s->unlocked);
  s->waiting--;
}

/* The cache. */

/* Drop clean blocks until there is room for one more; false if none is left
 * to drop.
 */
static bool
bm_evict (struct bm_shard *s)
{
  struct bm_block *b, *tmp;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  list_for_each_safe (b, tmp, &s->clean, lru) {
    if (s->nr_blocks < s->budget)
      break;
    if (!b->readers && !b->writer)
      bm_drop (s, b);
  }
  return s->nr_blocks < s->budget;
}

/* Write-outs are whole: the next blocks then find clean ones to drop for a long
 * time.  What cannot be written, because it is locked or nothing may be, stays
 * in memory beyond the budget.
 */
static int
bm_make_room (struct block_manager *bm, struct bm_shard *s)
{
  int r;

  if (bm_evict (s) || bm_may_write (bm) < 0)
    return 0;
  r = bm_write_out (bm, false);
  bm_evict (s);
  return r;
}

/* The block, from the cache or newly made with writer set; *s is latched. */
static int
bm_get (struct block_manager *bm, struct bm_shard *s, block_t nr,
        struct bm_block **block, bool *made)
{
  struct bm_block *spare;
  int r;

  *made = false;
  latch_acquire (&s->latch);
  *block = bm_find (s, nr);
  if (*block)
    return 0;
  latch_release (&s->latch);

  r = bm_make_room (bm, s);
  spare = r == 0 ? bm_new_block (bm, nr) : NULL;
  latch_acquire (&s->latch);
  if (spare == NULL)
    return r < 0 ? r : -ENOMEM;
  *block = bm_find (s, nr);
  if (*block) {
    bm_free_block (spare);
    return 0;
  }
  spare->writer = *made = true;
  bm_insert (s, spare);
  *block = spare;
  return 0;
}

/* Fill a block that bm_get made; if that fails it is gone. */
static int
bm_fill (struct bm_block *b, const struct bm_validator *v, enum bm_mode mode)
{
  struct bm_shard *s = bm_shard (b->bm, b->nr);
  int r = 0;

  if (mode != BM_ZERO) {
    r = bm_submit (b->bm, BIO_READ, b->nr, 1, b->data);
    if (r == 0)
      r = bm_validate (b->data, b->nr, v);
  }
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);
  if (r < 0)
    bm_drop (s, b);
  else {
    b->validator = v;
    b->writer = mode != BM_READ;
    b->readers = mode == BM_READ;
  }
  bm_wake (s);
  return r;
}

/* Take a lock of a block of the cache.  Its shard is latched.  -EAGAIN after a
 * wait: the block may be another one, or gone.
 */
static int
bm_take (struct bm_shard *s, struct bm_block *b, const struct bm_validator *v,
         enum bm_mode mode)
{
  if (bm_holds (b) && (b->writer || mode != BM_READ))
    return -EILSEQ;
  if (b->writer || (b->readers && mode != BM_READ)) {
    bm_wait (s);
    return -EAGAIN;
  }
  if (mode == BM_ZERO)
    b->validator = v;
  else if (b->validator != v)
    return -EINVAL;
  if (mode == BM_READ)
    b->readers++;
  else
    b->writer = true;
  return 0;
}

/* One attempt.  A block that was not there is ours while it is being filled, so
 * that others wait for it instead of reading it, too.
 */
static int
bm_try_lock (struct block_manager *bm, block_t nr,
             const struct bm_validator *v, enum bm_mode mode,
             struct bm_block **block)
{
  struct bm_shard *s = bm_shard (bm, nr);
  bool made;
  int r;

  r = bm_get (bm, s, nr, block, &made);
  if (r == 0 && !made)
    r = bm_take (s, *block, v, mode);
  latch_release (&s->latch);
  return r == 0 && made ? bm_fill (*block, v, mode) : r;
}

static int
bm_lock (struct block_manager *bm, block_t nr, const struct bm_validator *v,
         enum bm_mode mode, struct bm_block **block)
{
  struct bm_block *b;
  int r;

  if (nr >= bm_nr_blocks (bm))
    return -EIO;
  if (bm_held.nr == BM_MAX_HELD)
    return -EILSEQ;
  if (mode != BM_READ && (r = bm_may_write (bm)) < 0)
    return r;
  do
    r = bm_try_lock (bm, nr, v, mode, &b);
  while (r == -EAGAIN);
  if (r < 0)
    return r;
  if (mode == BM_ZERO)
    memset (b->data, 0, BM_BLOCK_BYTES);
  bm_held.block[bm_held.nr++] = b;
  *block = b;
  return 0;
}

int
bm_read_lock (struct block_manager *bm, block_t nr,
              const struct bm_validator *v, struct bm_block **block)
{
  return bm_lock (bm, nr, v, BM_READ, block);
}

int
bm_write_lock (struct block_manager *bm, block_t nr,
               const struct bm_validator *v, struct bm_block **block)
{
  return bm_lock (bm, nr, v, BM_WRITE, block);
}

int
bm_write_lock_zero (struct block_manager *bm, block_t nr,
                    const struct bm_validator *v, struct bm_block **block)
{
  return bm_lock (bm, nr, v, BM_ZERO, block);
}

void
bm_unlock (struct bm_block *b)
{
  struct bm_shard *s = bm_shard (b->bm, b->nr);

  bm_forget (b);
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);
  if (b->writer) {
    b->writer = false;
    b->dirty = true;
  } else
    b->readers--;
  list_del (&b->lru);
  list_add_tail (b->dirty ? &s->dirty : &s->clean, &b->lru);
  bm_wake (s);
}

void *
bm_data (struct bm_block *block)
{
  return block->data;
}

block_t
bm_block_nr (struct bm_block *block)
{
  return block->nr;
}

/* Birth, death, settings. */

static int
bm_shard_init (struct bm_shard *s, size_t budget)
{
  latch_init (&s->latch);
  latch_cond_init (&s->unlocked);
  list_init (&s->clean);
  list_init (&s->dirty);
  s->budget = budget;
  s->nr_buckets = budget * 2;
  s->buckets = calloc (s->nr_buckets, sizeof s->buckets[0]);
  return s->buckets ? 0 : -ENOMEM;
}

/* All, dirty or not. */
static void
bm_shard_drop_all (struct bm_shard *s)
{
  struct list *const lists[] = { &s->clean, &s->dirty };
  struct bm_block *b, *tmp;
  unsigned i;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  for (i = 0; i < 2; i++)
    list_for_each_safe (b, tmp, lists[i], lru) {
      assert (!b->readers && !b->writer);
      bm_drop (s, b);
    }
}

void
bm_reset (struct block_manager *bm)
{
  unsigned i;

  for (i = 0; i < BM_SHARDS; i++)
    bm_shard_drop_all (&bm->shards[i]);
  bm->error = 0;
}

void
bm_close (struct block_manager *bm)
{
  unsigned i;

  bm_reset (bm);
  for (i = 0; i < BM_SHARDS; i++) {
    free (bm->shards[i].buckets);
    pthread_cond_destroy (&bm->shards[i].unlocked);
    latch_destroy (&bm->shards[i].latch);
  }
  gate_destroy (&bm->writing);
  free (bm->batch);
  free (bm->run);
  free (bm);
}

int
bm_open (struct block_device *bdev, size_t cache_blocks,
         struct block_manager **out)
{
  size_t budget = cache_blocks < BM_MIN_CACHE ? BM_MIN_CACHE : cache_blocks;
  struct block_manager *bm = calloc (1, sizeof *bm);
  unsigned i;
  int r = 0;

  if (bm == NULL)
    return -ENOMEM;
  bm->bdev = bdev;
  gate_init (&bm->writing, GATE_METADATA);
  for (i = 0; i < BM_SHARDS; i++)
    r |= bm_shard_init (&bm->shards[i], budget / BM_SHARDS);
  bm->run = aligned_alloc (BM_BLOCK_BYTES, BM_RUN * BM_BLOCK_BYTES);
  bm->batch = calloc (BM_BATCH, sizeof bm->batch[0]);
  if (r < 0 || bm->run == NULL || bm->batch == NULL) {
    bm_close (bm);
    return -ENOMEM;
  }
  *out = bm;
  return 0;
}

block_t
bm_nr_blocks (struct block_manager *bm)
{
  return bdev_size (bm->bdev) / BM_BLOCK_SECTORS;
}

void
bm_set_read_only (struct block_manager *bm, bool read_only)
{
  bm->read_only = read_only;
}

bool
bm_is_read_only (struct block_manager *bm)
{
  return bm->read_only || bm->bdev->readonly;
}

size_t
bm_nr_cached (struct block_manager *bm)
{
  size_t n = 0;
  unsigned i;

  for (i = 0; i < BM_SHARDS; i++) {
    ACQUIRE_LATCH_FOR_SCOPE (&bm->shards[i].latch);
    n += bm->shards[i].nr_blocks;
  }
  return n;
}
