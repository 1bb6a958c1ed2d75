/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks: checks, order of writing, budget, locks, failures. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "pdata/block-manager.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/memdev.h"

#define NR 1000
#define BUDGET 64

struct test_block {
  le32 csum;
  le32 odd; /* makes the block invalid */
  le64 nr;
  le64 payload;
};

static int
refuse_odd (const void *data)
{
  return from_le32 (((const struct test_block *) data)->odd) ? -EILSEQ : 0;
}

static const struct bm_validator kind = { 4711, 8, refuse_odd };
static const struct bm_validator other_kind = { 4712, 8, NULL };

static struct memdev *dev;
static struct faultdev fault;
static struct block_manager *bm;

static void
set_up (void)
{
  dev = memdev_new ("metadata", NR * BM_BLOCK_SECTORS);
  faultdev_init (&fault, &dev->bdev);
  cr_assert_eq (bm_open (&fault.bdev, BUDGET, &bm), 0);
}

static void
tear_down (void)
{
  if (bm)
    bm_close (bm);
  faultdev_reset (&fault);
  memdev_free (dev);
}

TestSuite (bm, .init = set_up, .fini = tear_down, .timeout = 60);

static void
put (block_t nr, uint64_t payload)
{
  struct bm_block *b;

  cr_assert_eq (bm_write_lock_zero (bm, nr, &kind, &b), 0);
  ((struct test_block *) bm_data (b))->payload = to_le64 (payload);
  bm_unlock (b);
}

static uint64_t
get (block_t nr)
{
  struct bm_block *b;
  uint64_t payload;

  cr_assert_eq (bm_read_lock (bm, nr, &kind, &b), 0);
  cr_assert_eq (bm_block_nr (b), nr);
  payload = from_le64 (((struct test_block *) bm_data (b))->payload);
  bm_unlock (b);
  return payload;
}

/* Blocks [begin, end) on disk, and nothing in the cache. */
static void
make_blocks (block_t begin, block_t end)
{
  for (; begin < end; begin++)
    put (begin, begin * 3);
  cr_assert_eq (bm_flush (bm), 0);
  bm_reset (bm);
}

static int
try_read (block_t nr, const struct bm_validator *v)
{
  struct bm_block *b;
  int r = bm_read_lock (bm, nr, v, &b);

  if (r == 0)
    bm_unlock (b);
  return r;
}

static char *
on_disk (block_t nr)
{
  return dev->data + nr * BM_BLOCK_BYTES;
}

Test (bm, what_is_flushed_is_read_after_reopening)
{
  make_blocks (0, 10);
  cr_assert_eq (get (7), 21);
}

Test (bm, damage_is_told_from_misplacement)
{
  make_blocks (0, 10);
  on_disk (3)[4000] ^= 1;
  cr_expect_eq (try_read (3, &kind), -EILSEQ);
  memcpy (on_disk (4), on_disk (5), BM_BLOCK_BYTES);
  cr_expect_eq (try_read (4, &kind), -ENOTBLK);
  cr_expect_eq (try_read (6, &other_kind), -EILSEQ);
  cr_expect_eq (try_read (99, &kind), -ENOTBLK); /* zeroes */
  cr_expect_eq (try_read (NR, &kind), -EIO);
  cr_expect_eq (try_read (UINT64_MAX, &kind), -EIO);
}

Test (bm, a_refused_block_is_read_again)
{
  make_blocks (0, 10);
  on_disk (3)[4000] ^= 1;
  cr_expect_eq (try_read (3, &kind), -EILSEQ);
  on_disk (3)[4000] ^= 1;
  cr_expect_eq (get (3), 9);
}

Test (bm, validators_have_the_last_word)
{
  struct bm_block *b;

  cr_assert_eq (bm_write_lock_zero (bm, 5, &kind, &b), 0);
  ((struct test_block *) bm_data (b))->odd = to_le32 (1);
  bm_unlock (b);
  cr_assert_eq (try_read (5, &kind), 0); /* ours: not checked */
  cr_assert_eq (bm_flush (bm), 0);
  bm_reset (bm);
  cr_assert_eq (try_read (5, &kind), -EILSEQ);
}

Test (bm, a_cached_block_has_one_kind)
{
  struct bm_block *b;

  put (5, 1);
  cr_assert_eq (try_read (5, &other_kind), -EINVAL);
  cr_assert_eq (bm_write_lock_zero (bm, 5, &other_kind, &b), 0);
  bm_unlock (b);
  cr_assert_eq (try_read (5, &other_kind), 0);
}

Test (bm, superblock_is_written_last_and_neighbours_are_joined)
{
  fault.record = true;
  put (BM_SUPERBLOCK, 1);
  put (30, 1);
  put (11, 1);
  put (10, 1);
  put (12, 1);
  cr_assert_eq (bm_flush (bm), 0);
  cr_assert_eq (fault.log.len, 5);
  cr_expect_eq (fault.log.ptr[0].sector, 10 * BM_BLOCK_SECTORS);
  cr_expect_eq (fault.log.ptr[0].len, 3 * BM_BLOCK_SECTORS);
  cr_expect_eq (fault.log.ptr[1].sector, 30 * BM_BLOCK_SECTORS);
  cr_expect_null (fault.log.ptr[2].data);
  cr_expect_eq (fault.log.ptr[3].sector, 0);
  cr_expect_eq (fault.log.ptr[3].len, BM_BLOCK_SECTORS);
  cr_expect_null (fault.log.ptr[4].data);
}

Test (bm, nothing_dirty_means_no_flush)
{
  make_blocks (1, 3);
  get (1);
  cr_assert_eq (dev->counts[BIO_FLUSH], 1);
  cr_assert_eq (bm_flush (bm), 0);
  cr_assert_eq (dev->counts[BIO_FLUSH], 1);
}

Test (bm, cache_keeps_to_its_budget)
{
  block_t b;

  make_blocks (0, NR);
  for (b = 0; b < NR; b++) {
    cr_assert_eq (get (b), b * 3);
    cr_assert_leq (bm_nr_cached (bm), BUDGET);
  }
}

Test (bm, hot_blocks_stay)
{
  block_t b;

  make_blocks (0, NR);
  for (b = 1; b < NR; b++) {
    get (b);
    get (8); /* of the shard that has all multiples of 8 */
  }
  cr_assert_eq (dev->counts[BIO_READ], NR - 1);
}

Test (bm, dirty_blocks_are_written_early_but_never_the_superblock)
{
  block_t b;

  fault.record = true;
  for (b = 0; b < NR; b++)
    put (b, b);
  cr_assert_leq (bm_nr_cached (bm), BUDGET);
  cr_assert_gt (fault.log.len, 0);
  for (b = 0; b < fault.log.len; b++)
    cr_assert_gt (fault.log.ptr[b].sector, 0);
  for (b = 0; b < NR; b++)
    cr_assert_eq (get (b), b);
  cr_assert_eq (bm_flush (bm), 0);
  bm_reset (bm);
  cr_assert_eq (get (0), 0);
}

Test (bm, locked_blocks_exceed_the_budget)
{
  struct bm_block *held[30];
  unsigned i;

  make_blocks (0, NR);
  for (i = 0; i < 30; i++) /* all of one shard, which has room for 8 */
    cr_assert_eq (bm_read_lock (bm, i * 8, &kind, &held[i]), 0);
  for (i = 0; i < 30; i++)
    bm_unlock (held[i]);
  get (992);
  cr_assert_leq (bm_nr_cached (bm), BUDGET);
}

Test (bm, read_only_writes_nothing)
{
  struct bm_block *b;

  make_blocks (0, 10);
  put (3, 99);
  dev->counts[BIO_WRITE] = 0;
  bm_set_read_only (bm, true);
  cr_expect_eq (bm_write_lock (bm, 3, &kind, &b), -EPERM);
  cr_expect_eq (bm_write_lock_zero (bm, 3, &kind, &b), -EPERM);
  cr_expect_eq (bm_flush (bm), -EPERM);
  cr_expect_eq (dev->counts[BIO_WRITE], 0);
  cr_expect_eq (get (4), 12);
  bm_set_read_only (bm, false);
  cr_expect_eq (bm_flush (bm), 0);
}

Test (bm, reset_forgets_what_was_not_flushed)
{
  make_blocks (0, 10);
  put (3, 99);
  bm_reset (bm);
  cr_assert_eq (get (3), 9);
  cr_assert_eq (bm_nr_cached (bm), 1);
}

/* Whatever fails, reset brings back what was flushed before. */
Test (bm, after_any_failed_write_nothing_is_written_until_reset)
{
  const unsigned ops = 1 << BIO_WRITE | 1 << BIO_FLUSH;
  struct bm_block *b;
  unsigned n;

  make_blocks (0, 40);
  for (n = 1;; n++) {
    put (BM_SUPERBLOCK, 100 + n);
    put (30, n);
    put (35, n);
    faultdev_arm (&fault, ops, n, false);
    if (bm_flush (bm) == 0)
      break;
    cr_assert_eq (bm_flush (bm), -EIO);
    cr_assert_eq (bm_write_lock (bm, 5, &kind, &b), -EIO);
    cr_assert_eq (get (5), 15);
    faultdev_arm (&fault, 0, 0, false);
    bm_reset (bm);
    cr_assert (get (0) == 0 || n == 5, "%u", n);
  }
  cr_assert_eq (n, 6); /* two runs, a flush, the superblock, a flush */
}

Test (bm, failed_reads_leave_no_lock)
{
  make_blocks (0, 10);
  faultdev_arm (&fault, 1 << BIO_READ, 1, false);
  cr_assert_eq (try_read (3, &kind), -EIO);
  cr_assert_eq (get (3), 9);
}

Test (bm, a_second_lock_of_the_same_block_is_a_loop)
{
  struct bm_block *a, *b;

  make_blocks (0, 10);
  cr_assert_eq (bm_write_lock (bm, 3, &kind, &a), 0);
  cr_expect_eq (bm_write_lock (bm, 3, &kind, &b), -EILSEQ);
  cr_expect_eq (bm_write_lock_zero (bm, 3, &kind, &b), -EILSEQ);
  cr_expect_eq (bm_read_lock (bm, 3, &kind, &b), -EILSEQ);
  bm_unlock (a);
  cr_assert_eq (bm_read_lock (bm, 3, &kind, &a), 0);
  cr_expect_eq (bm_write_lock (bm, 3, &kind, &b), -EILSEQ);
  cr_expect_eq (bm_read_lock (bm, 3, &kind, &b), 0);
  bm_unlock (b);
  bm_unlock (a);
}

Test (bm, too_many_locks_are_a_loop)
{
  struct bm_block *held[64];
  unsigned i, n = 0;

  make_blocks (0, 64);
  while (n < 64 && bm_read_lock (bm, n, &kind, &held[n]) == 0)
    n++;
  cr_assert_eq (n, 32);
  cr_assert_eq (try_read (40, &kind), -EILSEQ);
  for (i = 0; i < n; i++)
    bm_unlock (held[i]);
}

static void *
read_three (void *arg)
{
  return (void *) (uintptr_t) get (3);
}

Test (bm, readers_wait_for_a_writer)
{
  struct bm_block *b;
  pthread_t thread;
  void *seen;

  make_blocks (0, 10);
  cr_assert_eq (bm_write_lock (bm, 3, &kind, &b), 0);
  cr_assert_eq (pthread_create (&thread, NULL, read_three, NULL), 0);
  ((struct test_block *) bm_data (b))->payload = to_le64 (77);
  bm_unlock (b);
  pthread_join (thread, &seen);
  cr_assert (seen == (void *) 77);
}

static void *
read_all (void *arg)
{
  unsigned seed = (uintptr_t) arg, i;
  block_t nr;

  for (i = 0; i < 20000; i++) {
    nr = rand_r (&seed) % NR;
    if (nr != 500) /* that one changes */
      cr_assert_eq (get (nr), nr * 3);
  }
  return NULL;
}

/* For ThreadSanitizer: readers that evict each other's blocks, while one
 * thread writes and flushes.
 */
Test (bm, many_threads_share_a_small_cache)
{
  pthread_t threads[4];
  uintptr_t i;

  make_blocks (0, NR);
  for (i = 0; i < 4; i++)
    pthread_create (&threads[i], NULL, read_all, (void *) (i + 1));
  for (i = 0; i < 200; i++) {
    put (500, i);
    cr_assert_eq (bm_flush (bm), 0);
  }
  for (i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  cr_assert_leq (bm_nr_cached (bm), BUDGET);
}
