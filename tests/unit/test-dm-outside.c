/* SPDX-License-Identifier: BSD-3-Clause */
/* Every file and upstream that tables have open. */

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/dm-core.h"
#include "tests/lib/memdev.h"

static char path[] = "/tmp/nbdm-test-XXXXXX";

static void
setup (void)
{
  int fd = mkstemp (path);

  cr_assert (fd >= 0 && ftruncate (fd, 1 << 20) == 0);
  close (fd);
}

static void
teardown (void)
{
  unlink (path);
}

TestSuite (dm_outside, .init = setup, .fini = teardown);

static struct outside *
get (const struct outside_key *key)
{
  struct outside *o;
  struct message msg = { "" };

  cr_assert_eq (outside_get (key, &o, &msg), 0, "%s", msg.text);
  return o;
}

Test (dm_outside, the_same_key_is_the_same_device)
{
  struct outside_key key = { .name = path, .target = path };
  struct outside *o = get (&key), *again = get (&key);

  cr_expect_eq (o, again);
  cr_expect_str_eq (outside_bdev (o)->name, path);
  outside_put (o);
  outside_put (again);
}

Test (dm_outside, any_difference_makes_another_device)
{
  struct outside_key key = { .name = path, .target = path }, other;
  struct outside *o = get (&key), *p;
  unsigned i;

  for (i = 0; i < 5; i++) {
    other = key;
    if (i == 0)
      other.name = "backing";
    else if (i == 1)
      other.writable = true;
    else if (i == 2)
      other.options.offset_bytes = 4096;
    else if (i == 3)
      other.options.size_bytes = 4096;
    else
      other.options.readonly = true;
    p = get (&other);
    cr_expect_neq (o, p, "%u", i);
    outside_put (p);
  }
  outside_put (o);
}

Test (dm_outside, numbers_are_the_lowest_that_are_free)
{
  struct outside_key key = { .name = "x", .target = path };
  struct outside *first = get (&key), *second, *third;

  key.name = "y";
  second = get (&key);
  cr_expect_eq (outside_bdev (first)->number,
                DM_NUMBER (BACKING_BLOCK_MAJOR, 0));
  cr_expect_eq (outside_bdev (second)->number,
                DM_NUMBER (BACKING_BLOCK_MAJOR, 1));
  outside_put (first);
  key.name = "z";
  third = get (&key);
  cr_expect_eq (outside_bdev (third)->number,
                DM_NUMBER (BACKING_BLOCK_MAJOR, 0));
  outside_put (second);
  outside_put (third);
}

Test (dm_outside, a_number_finds_the_device_in_the_wanted_mode)
{
  struct outside_key key = { .name = path, .target = path };
  struct outside *o = get (&key), *same, *other;
  uint32_t number = outside_bdev (o)->number;

  cr_assert_eq (outside_get_number (number, false, &same, NULL), 0);
  cr_expect_eq (same, o);
  cr_assert_eq (outside_get_number (number, true, &other, NULL), 0);
  cr_expect_neq (other, o);
  cr_expect_not (outside_bdev (other)->readonly);
  outside_put (same);
  outside_put (other);
  outside_put (o);
  cr_assert_eq (outside_get_number (number, false, &o, NULL), -ENXIO);
}

Test (dm_outside, a_failure_is_not_remembered)
{
  struct outside_key key = { .name = "x", .target = "/nonexistent/x" };
  struct outside *o;
  struct message msg = { "" };

  cr_assert_lt (outside_get (&key, &o, &msg), 0);
  cr_assert (message_is_set (&msg));
  key.target = path;
  outside_put (get (&key));
}

static void *
get_in_thread (void *opaque)
{
  return get (opaque);
}

Test (dm_outside, threads_that_want_the_same_device_share_it)
{
  struct outside_key key = { .name = path, .target = path, .writable = true };
  pthread_t threads[8];
  void *o[8];
  unsigned i;

  for (i = 0; i < 8; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, get_in_thread, &key), 0);
  for (i = 0; i < 8; i++)
    pthread_join (threads[i], &o[i]);
  for (i = 0; i < 8; i++) {
    cr_expect_eq (o[i], o[0]);
    outside_put (o[i]);
  }
}

/* ------------------------------------------------------------------
 * Devices that are handed in; all devices at once.
 */

Test (dm_outside, what_is_handed_in_is_found_until_it_is_taken_away)
{
  struct memdev *m = memdev_new ("m", 8);
  struct outside *o;

  cr_assert_null (outside_find_handed_in ("m"));
  devices_add (&m->bdev);
  o = outside_find_handed_in ("m");
  cr_assert_eq (outside_bdev (o), &m->bdev);
  cr_assert_eq (m->bdev.number, DM_NUMBER (BACKING_BLOCK_MAJOR, 0));
  outside_put (o);
  devices_remove (&m->bdev);
  cr_assert_null (outside_find_handed_in ("m"));
  memdev_free (m);
}

Test (dm_outside, a_flush_reaches_every_device_even_if_one_fails)
{
  struct memdev *m = memdev_new ("m", 8), *n = memdev_new ("n", 8);

  devices_add (&m->bdev);
  devices_add (&n->bdev);
  m->fail_flush = true;
  cr_expect_eq (devices_flush (), -EIO);
  cr_expect_eq (m->counts[BIO_FLUSH], 1);
  cr_expect_eq (n->counts[BIO_FLUSH], 1);
  devices_remove (&m->bdev);
  devices_remove (&n->bdev);
  memdev_free (m);
  memdev_free (n);
}

static unsigned shutdowns;

static void
count_shutdown (struct block_device *bdev)
{
  shutdowns++;
}

Test (dm_outside, a_shutdown_reaches_every_device)
{
  struct memdev *m = memdev_new ("m", 8), *n = memdev_new ("n", 8);
  struct block_device_ops ops = *m->bdev.ops;

  ops.shutdown = count_shutdown;
  m->bdev.ops = &ops;
  devices_add (&n->bdev);
  devices_add (&m->bdev);
  devices_shutdown ();
  cr_expect_eq (shutdowns, 1);
  devices_remove (&m->bdev);
  devices_remove (&n->bdev);
  memdev_free (m);
  memdev_free (n);
}
