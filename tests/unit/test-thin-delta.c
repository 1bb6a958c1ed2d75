/* SPDX-License-Identifier: BSD-3-Clause */
/* The difference between two thins. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/pool-rig.h"

#define BLOCKS 16

static struct mapped_device *md;

static void
setup (void)
{
  pool_rig_start ();
  pool_rig_pool (1024, 256, 0, "");
  pool_rig_send ("create_thin 0");
  md = pool_rig_thin ("t", 0, BLOCKS);
}

TestSuite (thin_delta, .init = setup, .fini = pool_rig_stop);

/* A letter per block: c for changed, . for unchanged. */
struct listing {
  struct extent_sink sink;
  char text[BLOCKS + 1];
  sector_t at;
};

static int
listing_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct listing *l = (struct listing *) sink;

  cr_assert (flags == 0 || flags == EXTENT_HOLE);
  for (; len > 0 && l->at < BLOCKS * POOL_BLOCK; l->at++, len--)
    l->text[l->at / POOL_BLOCK] = flags ? '.' : 'c';
  return 0;
}

static void
expect (struct mapped_device *delta, const char *text)
{
  struct listing l = { .sink.add = listing_add };

  cr_expect_eq (bdev_extents (dm_block_device (delta), 0, BLOCKS * POOL_BLOCK,
                              &l.sink), 0);
  cr_expect_str_eq (l.text, text);
}

static struct mapped_device *
open_delta (unsigned id, unsigned base)
{
  char line[60];

  snprintf (line, sizeof line, "0 %u thin-delta pool %u %u",
            BLOCKS * POOL_BLOCK, id, base);
  cr_assert_eq (pool_rig_create ("d", line), 0, "%s", pool_rig.msg.text);
  return pool_rig_open ("d");
}

static void
write_block (unsigned block, char byte)
{
  cr_assert_eq (pool_rig_write (md, block * POOL_BLOCK, 8, byte), 0);
}

Test (thin_delta, what_was_written_since_is_data)
{
  struct mapped_device *delta;

  write_block (1, 'a');
  write_block (2, 'a');
  write_block (3, 'a');
  write_block (9, 'a');
  pool_rig_send ("create_snap 1 0");
  write_block (2, 'b');
  write_block (7, 'b');
  cr_assert_eq (dmtest_io (md, BIO_DISCARD, 9 * POOL_BLOCK, POOL_BLOCK, NULL),
                0);
  pool_rig_send ("create_snap 2 0");
  write_block (1, 'c');

  delta = open_delta (2, 1);
  expect (delta, "..c....c.c......");
  pool_rig_check (delta, 2 * POOL_BLOCK, 8, 'b');
  pool_rig_check (delta, POOL_BLOCK, 8, 'a');
  pool_rig_check (delta, 9 * POOL_BLOCK, 8, 0);
  pool_rig_close (delta, "d");
  delta = open_delta (0, 2);
  expect (delta, ".c..............");
  write_block (15, 'd');
  expect (delta, ".c.............c");
}

/* What a backup program does with two of them. */
Test (thin_delta, the_changes_make_the_one_of_the_other)
{
  static char old[BLOCKS * POOL_BLOCK_BYTES], now[sizeof old], part[sizeof old];
  struct listing l = { .sink.add = listing_add };
  struct mapped_device *delta, *snap;
  unsigned b;

  for (b = 0; b < BLOCKS; b += 2)
    write_block (b, 'a' + b);
  pool_rig_send ("create_snap 1 0");
  cr_assert_eq (dmtest_io (md, BIO_READ, 0, BLOCKS * POOL_BLOCK, old), 0);
  for (b = 0; b < BLOCKS; b += 3)
    write_block (b, 'A' + b);
  cr_assert_eq (dmtest_io (md, BIO_DISCARD, 4 * POOL_BLOCK, POOL_BLOCK, NULL),
                0);
  pool_rig_send ("create_snap 2 0");
  snap = pool_rig_thin ("s", 2, BLOCKS);
  delta = open_delta (2, 1);
  cr_assert_eq (bdev_extents (dm_block_device (delta), 0, BLOCKS * POOL_BLOCK,
                              &l.sink), 0);
  cr_assert_eq (dmtest_io (delta, BIO_READ, 0, BLOCKS * POOL_BLOCK, part), 0);
  for (b = 0; b < BLOCKS; b++)
    if (l.text[b] == 'c')
      memcpy (old + b * POOL_BLOCK_BYTES, part + b * POOL_BLOCK_BYTES,
              POOL_BLOCK_BYTES);
  cr_assert_eq (dmtest_io (snap, BIO_READ, 0, BLOCKS * POOL_BLOCK, now), 0);
  cr_expect_eq (memcmp (old, now, sizeof now), 0);
}

Test (thin_delta, it_is_only_read)
{
  struct mapped_device *delta;

  pool_rig_send ("create_snap 1 0");
  delta = open_delta (0, 1);
  cr_expect_eq (pool_rig_write (delta, 0, 8, 'x'), -EPERM);
  cr_expect_eq (dmtest_io (delta, BIO_DISCARD, 0, POOL_BLOCK, NULL),
                -EOPNOTSUPP);
  cr_expect_eq (pool_rig_message ("delete 1"), -EBUSY);
  cr_expect_eq (pool_rig_message ("delete 0"), -EBUSY);
}

Test (thin_delta, bad_lines)
{
  static const struct {
    const char *params;
    int error;
    const char *text;
  } lines[] = {
    { "pool 0", EINVAL, "Invalid argument count" },
    { "pool 0 1 2", EINVAL, "Invalid argument count" },
    { "pool 0 x", EINVAL, "Invalid device id" },
    { "pool 0 0", EINVAL, "Both device ids are 0" },
    { "pool 0 5", ENODATA, "Couldn't open thin internal device 5" },
    { "m3 0 1", EINVAL, "Couldn't get pool mapped device" },
  };
  char line[60];
  size_t i;

  for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    snprintf (line, sizeof line, "0 128 thin-delta %s", lines[i].params);
    cr_expect_eq (pool_rig_create ("d", line), -lines[i].error, "%s", line);
    cr_expect (strstr (pool_rig.msg.text, lines[i].text), "%s",
               pool_rig.msg.text);
  }
}

static void *
ask (void *arg)
{
  expect (arg, "c...............");
  return NULL;
}

/* It waits for a pool that is suspended, and holds nobody up. */
Test (thin_delta, a_suspended_pool)
{
  struct mapped_device *delta;
  pthread_t thread;

  pool_rig_send ("create_snap 1 0");
  write_block (0, 'x');
  delta = open_delta (0, 1);
  pool_rig_suspend ("pool", 0);
  cr_assert_eq (pthread_create (&thread, NULL, ask, delta), 0);
  usleep (50000);
  cr_expect_eq (pool_rig_resume ("pool"), 0);
  pthread_join (thread, NULL);
}
