/* SPDX-License-Identifier: BSD-3-Clause */
/* Commits: who waits for whom, what is written, what is shared. */

#include <criterion/criterion.h>

#include <stdlib.h>

#include "targets/snapshot/store-persistent.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/rig.h"
#include "tests/lib/store-rig.h"

static struct memdev *cow;
static struct store_rig rig;

static void
setup (void)
{
  cow = memdev_new ("cow", 8192);
}

static void
teardown (void)
{
  store_rig_close (&rig);
  memdev_free (cow);
}

TestSuite (store_commit, .init = setup, .fini = teardown, .timeout = 30);

static void
open_store (struct block_device *bdev, const char *words)
{
  cr_assert_eq (store_rig_open (&rig, bdev, words), 0, "%s", rig.msg.text);
}

/* ------------------------------------------------------------------
 * Commits on threads of their own.
 */
struct committer {
  pthread_t thread;
  struct prepared p;
  bool ok;
  unsigned delay_us;
  int result;
  atomic_bool done;
};

static void *
committer_thread (void *opaque)
{
  struct committer *c = opaque;
  struct timespec delay = { .tv_nsec = 1000 * c->delay_us };

  nanosleep (&delay, NULL);
  c->result = store_commit (rig.store, &c->p, 1, c->ok);
  c->done = true;
  return NULL;
}

static void
prepare (struct committer c[], unsigned n)
{
  unsigned i;

  for (i = 0; i < n; i++) {
    c[i] = (struct committer) { .p.old_chunk = 1000 + i, .ok = true };
    cr_assert_eq (store_prepare (rig.store, &c[i].p, 1), 0);
  }
}

static void
start (struct committer *c)
{
  cr_assert_eq (pthread_create (&c->thread, NULL, committer_thread, c), 0);
}

static int
join (struct committer *c)
{
  pthread_join (c->thread, NULL);
  return c->result;
}

/* How many commits wait and are not being written. */
static unsigned
nr_waiting (void)
{
  struct persistent *s = (struct persistent *) rig.store;
  struct list *l;
  unsigned n = 0;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  for (l = s->waiting.next; l != &s->waiting; l = l->next)
    n++;
  return n;
}

static void
expect_identity (unsigned n)
{
  uint32_t cs = store_chunk_sectors (rig.store);
  unsigned i;

  for (i = 0; i < n; i++) {
    cr_expect_eq (store_rig_entry (cow->data, cs, i).old_chunk, 1000 + i);
    cr_expect_eq (store_rig_entry (cow->data, cs, i).new_chunk,
                  cow_identity_chunk (cs, i));
  }
  cr_expect_eq (store_rig_entry (cow->data, cs, n).new_chunk, 0);
}

/* ------------------------------------------------------------------
 * Order.
 */

Test (store_commit, the_later_waits_for_the_earlier)
{
  struct committer c[3];

  open_store (&cow->bdev, "P 8");
  prepare (c, 3);
  start (&c[2]);
  start (&c[1]);
  cr_assert (EVENTUALLY (nr_waiting () == 2));
  expect_identity (0);
  start (&c[0]);
  cr_expect_eq (join (&c[0]) + join (&c[1]) + join (&c[2]), 0);
  expect_identity (3);
}

#define MANY 200

Test (store_commit, any_order_of_completion)
{
  static struct committer c[MANY];
  unsigned i;

  open_store (&cow->bdev, "P 1");
  prepare (c, MANY);
  srand (7);
  for (i = 0; i < MANY; i++) {
    c[i].delay_us = rand () % 3000;
    start (&c[i]);
  }
  for (i = 0; i < MANY; i++)
    cr_expect_eq (join (&c[i]), 0);
  expect_identity (MANY);
}

/* ------------------------------------------------------------------
 * What is written.
 */

/* Each record as W sector+len, or F. */
static void
expect_log (const struct faultdev *f, const char *expected)
{
  char text[256] = "";
  size_t i, at = 0;

  for (i = 0; i < f->log.len; i++)
    if (f->log.ptr[i].data)
      at += snprintf (text + at, sizeof text - at, "W%d+%d ",
                      (int) f->log.ptr[i].sector, (int) f->log.ptr[i].len);
    else
      at += snprintf (text + at, sizeof text - at, "F ");
  cr_expect_str_eq (text, expected);
}

Test (store_commit, only_sectors_that_change_are_written)
{
  struct faultdev f;

  faultdev_init (&f, &cow->bdev);
  open_store (&f.bdev, "P 64");
  f.record = true;
  cr_assert_eq (store_rig_add (&rig, 0, 1), 0);
  expect_log (&f, "F W64+1 F ");
  cr_assert_eq (store_rig_add (&rig, 1, 30), 0);
  expect_log (&f, "F W64+1 F F W64+1 F ");
  faultdev_reset (&f);
  cr_assert_eq (store_rig_add (&rig, 31, 2), 0);
  expect_log (&f, "F W64+2 F ");
  faultdev_reset (&f);
}

Test (store_commit, the_next_area_is_zeroed_before_one_is_full)
{
  struct faultdev f;

  faultdev_init (&f, &cow->bdev);
  open_store (&f.bdev, "P 1");
  cr_assert_eq (store_rig_add (&rig, 0, 30), 0);
  f.record = true;
  cr_assert_eq (store_rig_add (&rig, 30, 1), 0);
  expect_log (&f, "F W1+1 F ");
  faultdev_reset (&f);
  cr_assert_eq (store_rig_add (&rig, 31, 3), 0);
  expect_log (&f, "W34+1 F W1+1 F W34+1 F ");
  faultdev_reset (&f);
}

Test (store_commit, stale_entries_are_zeroed_before_anything_else)
{
  struct faultdev f;

  store_rig_format (cow->data, 8, 3);
  store_rig_set_entry (cow->data, 8, 200, (struct exception) { 7, 9 });
  faultdev_init (&f, &cow->bdev);
  open_store (&f.bdev, "P 8");
  f.record = true;
  cr_assert_eq (store_rig_add (&rig, 0, 1), 0);
  expect_log (&f, "W8+8 F F W8+1 F ");
  cr_expect_eq (store_rig_entry (cow->data, 8, 200).new_chunk, 0);
  faultdev_reset (&f);
}

Test (store_commit, fua_saves_the_flush_after)
{
  cow->limits.fua = true;
  open_store (&cow->bdev, "P 8");
  cow->counts[BIO_FLUSH] = 0;
  cr_assert_eq (store_rig_add (&rig, 0, 1), 0);
  cr_expect_eq (cow->counts[BIO_FLUSH], 1, "for the data");
  cr_expect_eq (cow->fua, 1);
}

/* ------------------------------------------------------------------
 * Sharing.
 */

/* The first is being written when nine others come: one write for them all,
 * and no flush for their data, which that of the first has covered.
 */
static void
commit_ten (struct committer c[])
{
  unsigned i;

  cow->counts[BIO_WRITE] = cow->counts[BIO_FLUSH] = cow->fua = 0;
  cow->stalled = true;
  start (&c[0]);
  cr_assert (EVENTUALLY (cow->waiting == 1));
  for (i = 9; i > 0; i--)
    start (&c[i]);
  cr_assert (EVENTUALLY (nr_waiting () == 9));
  cow->stalled = false;
  for (i = 0; i < 10; i++)
    cr_expect_eq (join (&c[i]), 0);
}

Test (store_commit, many_share_a_write_and_a_flush)
{
  struct committer c[10];

  open_store (&cow->bdev, "P 8");
  prepare (c, 10);
  commit_ten (c);
  expect_identity (10);
  cr_expect_eq (cow->counts[BIO_WRITE], 2);
  cr_expect_eq (cow->counts[BIO_FLUSH], 3);
}

Test (store_commit, the_zeroes_of_an_area_have_a_flush_of_their_own)
{
  struct committer c[10];
  struct faultdev f;

  faultdev_init (&f, &cow->bdev);
  open_store (&f.bdev, "P 1");
  cr_assert_eq (store_rig_add (&rig, 0, 25), 0);
  prepare (c, 10);
  f.record = true;
  commit_ten (c);
  expect_log (&f, "F W1+1 F W34+1 F W1+1 F W34+1 F ");
  faultdev_reset (&f);
}

Test (store_commit, fua_is_not_used_while_others_need_the_flush)
{
  struct committer c[10];

  cow->limits.fua = true;
  open_store (&cow->bdev, "P 8");
  prepare (c, 10);
  commit_ten (c);
  cr_expect_eq (cow->counts[BIO_FLUSH], 2);
  cr_expect_eq (cow->fua, 1, "by the last");
}

/* ------------------------------------------------------------------
 * Failures.
 */

Test (store_commit, a_failed_copy_fails_all_that_wait)
{
  struct committer c[4];

  open_store (&cow->bdev, "P 8");
  prepare (c, 4);
  start (&c[1]);
  start (&c[3]);
  cr_assert (EVENTUALLY (nr_waiting () == 2));
  c[2].ok = false;
  start (&c[2]);
  cr_expect_eq (join (&c[1]), -EIO);
  cr_expect_eq (join (&c[2]), -EIO);
  cr_expect_eq (join (&c[3]), -EIO);
  cr_expect_not (store_is_valid (rig.store));
  start (&c[0]);
  cr_expect_eq (join (&c[0]), -EIO);
  expect_identity (0);
}

Test (store_commit, a_failed_flush_is_not_tried_again)
{
  struct committer c[2];

  open_store (&cow->bdev, "P 8");
  prepare (c, 2);
  cow->fail_flush = true;
  start (&c[0]);
  cr_expect_eq (join (&c[0]), -EIO);
  cow->fail_flush = false;
  cow->counts[BIO_WRITE] = cow->counts[BIO_FLUSH] = 0;
  start (&c[1]);
  cr_expect_eq (join (&c[1]), -EIO);
  cr_expect_eq (cow->counts[BIO_WRITE] + cow->counts[BIO_FLUSH], 0);
}

Test (store_commit, invalidation_sends_home_all_that_wait)
{
  struct committer c[2];

  open_store (&cow->bdev, "P 8");
  prepare (c, 2);
  start (&c[1]);
  cr_assert (EVENTUALLY (nr_waiting () == 1));
  cr_expect_eq (store_invalidate (rig.store), 0);
  cr_expect_eq (join (&c[1]), -EIO);
}

static void *
invalidate_thread (void *opaque)
{
  cr_expect_eq (store_invalidate (rig.store), 0);
  return NULL;
}

/* The one who writes finishes; its entries and the header do not mix. */
Test (store_commit, invalidation_waits_for_the_write_under_way)
{
  static const struct timespec moment = { .tv_nsec = 30000000 };
  struct committer c[1];
  struct cow_disk_header h;
  struct cow_header header;
  pthread_t thread;

  open_store (&cow->bdev, "P 8");
  prepare (c, 1);
  cow->stalled = true;
  start (&c[0]);
  cr_assert (EVENTUALLY (cow->waiting == 1));
  cr_assert_eq (pthread_create (&thread, NULL, invalidate_thread, NULL), 0);
  nanosleep (&moment, NULL);
  cr_expect_eq (cow->waiting, 1);
  cow->stalled = false;
  pthread_join (thread, NULL);
  join (&c[0]);
  expect_identity (1);
  memcpy (&h, cow->data, sizeof h);
  cr_expect_eq (cow_header_get (&h, &header), COW_HEADER_OK);
  cr_expect_not (header.valid);
  cr_expect_eq (header.chunk_sectors, 8);
}
