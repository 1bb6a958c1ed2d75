/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions that count: which areas, how often, how long. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk;
static struct mapped_device *md;
static char *reply;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_new ("disk", 1024);
  devices_add (&disk->bdev);
  md = rig_start (reg, "a", "0 64 linear disk 0\n64 64 linear disk 512");
}

static void
teardown (void)
{
  free (reply);
  if (md)
    rig_stop (md);
  rig_free (reg);
  devices_remove (&disk->bdev);
  memdev_free (disk);
}

TestSuite (stats, .init = setup, .fini = teardown, .timeout = 60);

/* The result; what was answered is in reply. */
static int
send_within (size_t room, const char *message)
{
  char text[256];
  int r;

  free (reply);
  reply = NULL;
  strcpy (text, message);
  r = dm_device_message_room (reg, DM_REF_NAME ("a"), 0, text, room, &reply,
                              NULL, NULL);
  return r;
}

#define SAYS(message, text)                                     \
  do {                                                          \
    cr_assert_eq (send_within (SIZE_MAX, message), 0, message); \
    cr_assert_str_eq (reply ? reply : "(none)", text, message); \
  } while (0)

#define FAILS(message, error) \
  cr_assert_eq (send_within (SIZE_MAX, message), -(error), "%s", message)

static int
io (enum bio_op op, sector_t sector, sector_t len)
{
  return io_run (dm_block_device (md), op, sector, len, 'x');
}

/* The counts of an area: reads, merged, sectors, writes, merged, sectors. */
static void
expect_counts (unsigned id, unsigned area, const char *expected)
{
  char message[64], got[128] = "";
  unsigned long n[6] = { 0 }, skip;

  snprintf (message, sizeof message, "@stats_print %u %u 1", id, area);
  cr_assert_eq (send_within (SIZE_MAX, message), 0);
  cr_assert_eq (sscanf (reply, "%*u+%*u %lu %lu %lu %lu %lu %lu %lu", &n[0],
                        &n[1], &n[2], &skip, &n[3], &n[4], &n[5]), 7, "%s",
                reply);
  snprintf (got, sizeof got, "%lu %lu %lu %lu %lu %lu", n[0], n[1], n[2],
            n[3], n[4], n[5]);
  cr_assert_str_eq (got, expected);
}

Test (stats, regions_get_the_lowest_free_id_and_are_listed)
{
  SAYS ("@stats_list", "");
  SAYS ("@stats_create - 64", "0");
  SAYS ("@stats_create 0+64 /4 prog aux", "1");
  SAYS ("@stats_create 10+64 64 2 precise_timestamps histogram:100,1000 p2",
        "2");
  SAYS ("@stats_list", "0: 0+128 64 - -\n1: 0+64 16 prog aux\n"
        "2: 10+64 64 p2 - precise_timestamps histogram:100,1000\n");
  SAYS ("@stats_delete 1", "(none)");
  SAYS ("@STATS_list p2",
        "2: 10+64 64 p2 - precise_timestamps histogram:100,1000\n");
  SAYS ("@stats_create 7+9 4 0 5", "1");
  SAYS ("@stats_set_aux 1 group", "(none)");
  SAYS ("@stats_list 5", "1: 7+9 4 5 group\n");
}

Test (stats, what_makes_no_sense_is_refused)
{
  static const char *const messages[] = {
    "@stats_create", "@stats_create -", "@stats_create 0 1",
    "@stats_create 0+0 1", "@stats_create 18446744073709551615+2 1",
    "@stats_create x+1 1", "@stats_create 0+8 0", "@stats_create 0+8 /0",
    "@stats_create 0+8 x", "@stats_create 0+8 8 1",
    "@stats_create 0+8 8 1 hello", "@stats_create 0+8 8 1 histogram:",
    "@stats_create 0+8 8 1 histogram:2,1", "@stats_create 0+8 8 1 histogram:0",
    "@stats_create 0+8 8 2 histogram:1 histogram:2", "@stats_create - 8 a b c",
    "@stats_list a b", "@stats_print", "@stats_print x", "@stats_print 0 1",
    "@stats_print 0 x 1", "@stats_print 0 1 x", "@stats_clear",
    "@stats_clear -1", "@stats_delete", "@stats_delete 0 1", "@stats_set_aux 0",
    "@stats_nosuch", "@nosuch",
  };
  unsigned i;

  SAYS ("@stats_create - 64", "0");
  for (i = 0; i < sizeof messages / sizeof messages[0]; i++)
    FAILS (messages[i], EINVAL);
  FAILS ("@stats_print 1", ENOENT);
  FAILS ("@stats_clear 1", ENOENT);
  FAILS ("@stats_delete 1", ENOENT);
  FAILS ("@stats_set_aux 1 x", ENOENT);
  FAILS ("@stats_create 0+18446744073709551615 1", EOVERFLOW);
  FAILS ("@stats_create 0+18014398509481984 1", ENOMEM);
  SAYS ("@stats_list", "0: 0+128 64 - -\n");
}

Test (stats, an_area_counts_its_own_sectors)
{
  SAYS ("@stats_create 0+16 8", "0");
  cr_assert_eq (io (BIO_READ, 4, 8), 0);
  cr_assert_eq (io (BIO_WRITE, 14, 8), 0);
  cr_assert_eq (io (BIO_READ, 16, 8), 0);
  cr_assert_eq (io (BIO_DISCARD, 0, 2), 0);
  cr_assert_eq (io (BIO_FLUSH, 0, 0), 0);
  expect_counts (0, 0, "1 0 4 1 0 2");
  expect_counts (0, 1, "1 0 4 1 0 2");
}

Test (stats, what_goes_on_where_the_last_one_ended_is_merged)
{
  SAYS ("@stats_create - 128", "0");
  cr_assert_eq (io (BIO_READ, 8, 8), 0);
  cr_assert_eq (io (BIO_READ, 16, 8), 0);
  cr_assert_eq (io (BIO_WRITE, 24, 8), 0);
  cr_assert_eq (io (BIO_READ, 32, 8), 0);
  cr_assert_eq (io (BIO_READ, 0, 8), 0);
  expect_counts (0, 0, "4 1 32 1 0 8");
}

Test (stats, pieces_count_each)
{
  SAYS ("@stats_create - 128", "0");
  cr_assert_eq (io (BIO_READ, 60, 8), 0);
  expect_counts (0, 0, "2 1 8 0 0 0");
}

Test (stats, the_length_shown_is_that_of_a_whole_area)
{
  SAYS ("@stats_create 0+10 4", "0");
  SAYS ("@stats_print 0", "0+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        "4+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n8+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  SAYS ("@stats_print 0 1 1", "4+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  SAYS ("@stats_print 0 2 -", "8+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  SAYS ("@stats_print 0 - 99", "0+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        "4+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n8+4 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
  SAYS ("@stats_print 0 3 1", "");
}

Test (stats, time_is_counted_while_something_is_in_flight)
{
  unsigned long n[13] = { 0 }, *p = n;
  unsigned bins[3];
  struct io slow;
  const char *at;
  int used;

  SAYS ("@stats_create - 128 1 histogram:5,5000", "0");
  disk->stalled = true;
  io_start (&slow, dm_block_device (md), BIO_WRITE, 0, 8, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  nanosleep (&(struct timespec) { .tv_nsec = 20000000 }, NULL);
  SAYS ("@stats_clear 0", "");
  cr_assert_eq (send_within (SIZE_MAX, "@stats_print 0"), 0);
  cr_assert (strstr (reply, "0+128 0 0 0 0 0 0 0 0 1 "), "%s", reply);
  nanosleep (&(struct timespec) { .tv_nsec = 20000000 }, NULL);
  disk->stalled = false;
  cr_assert_eq (io_join (&slow), 0);
  cr_assert_eq (send_within (SIZE_MAX, "@stats_print 0"), 0);
  at = strchr (reply, ' ');
  for (p = n; p < n + 13; p++, at += used)
    cr_assert_eq (sscanf (at, "%lu%n", p, &used), 1);
  cr_assert_eq (sscanf (at, "%u:%u:%u", &bins[0], &bins[1], &bins[2]), 3);
  cr_assert_eq (n[4], 1);
  cr_assert_geq (n[7], 40);       /* from its beginning */
  cr_assert_eq (n[8], 0);         /* in flight */
  cr_assert (n[9] >= 20 && n[9] < n[7], "%s", reply); /* since the clearing */
  cr_assert (n[10] == n[9] && n[11] == 0 && n[12] == n[9], "%s", reply);
  cr_assert (bins[0] == 0 && bins[1] == 1 && bins[2] == 0);
}

Test (stats, who_began_without_a_region_ends_without)
{
  struct io slow;

  disk->stalled = true;
  io_start (&slow, dm_block_device (md), BIO_READ, 0, 8, 0);
  cr_assert (EVENTUALLY (disk->waiting == 1));
  SAYS ("@stats_create - 128", "0");
  disk->stalled = false;
  cr_assert_eq (io_join (&slow), 0);
  SAYS ("@stats_print 0", "0+128 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
}

Test (stats, a_region_may_go_under_what_counts_in_it)
{
  struct io slow;

  SAYS ("@stats_create - 128", "0");
  disk->stalled = true;
  io_start (&slow, dm_block_device (md), BIO_READ, 0, 8, 0);
  cr_assert (EVENTUALLY (disk->waiting == 1));
  SAYS ("@stats_delete 0", "(none)");
  disk->stalled = false;
  cr_assert_eq (io_join (&slow), 0);
  SAYS ("@stats_list", "");
}

Test (stats, what_does_not_fit_is_not_cleared)
{
  SAYS ("@stats_create - 128", "0");
  cr_assert_eq (io (BIO_READ, 0, 8), 0);
  cr_assert_eq (send_within (20, "@stats_print_clear 0"), 0);
  expect_counts (0, 0, "1 0 8 0 0 0");
  cr_assert_eq (send_within (200, "@stats_print_clear 0"), 0);
  expect_counts (0, 0, "0 0 0 0 0 0");
}

Test (stats, what_does_not_fit_is_not_made)
{
  SAYS ("@stats_create - 1", "0");
  cr_assert_eq (send_within (100, "@stats_print 0"), 0);
  cr_assert_geq (strlen (reply), 100);
  cr_assert_lt (strlen (reply), 200);
}

Test (stats, all_regions_share_a_quarter_of_the_memory)
{
  size_t half = (size_t) sysconf (_SC_PHYS_PAGES) / 8 *
    sysconf (_SC_PAGESIZE) + sysconf (_SC_PAGESIZE);
  struct stats_region *a = calloc (1, sizeof *a), *b = calloc (1, sizeof *b);

  cr_assert (stats_reserve (a, half));
  cr_expect_not (stats_reserve (b, half));
  stats_free_region (a);
  cr_expect (stats_reserve (b, half));
  stats_free_region (b);
}

Test (stats, regions_stay_when_the_table_goes)
{
  SAYS ("@stats_create 0+8 8", "0");
  rig_suspend (reg, "a");
  SAYS ("@stats_create 0+8 8", "1");
  rig_load (reg, "a", "0 8 zero");
  rig_resume (reg, "a");
  cr_assert_eq (io (BIO_READ, 0, 8), 0);
  expect_counts (0, 0, "1 0 8 0 0 0");
  expect_counts (1, 0, "1 0 8 0 0 0");
}

static void *
change_regions (void *opaque)
{
  atomic_bool *stop = opaque;

  while (!*stop) {
    SAYS ("@stats_create - /16", "0");
    SAYS ("@stats_create - /3 1 histogram:1", "1");
    send_within (SIZE_MAX, "@stats_print_clear 0");
    SAYS ("@stats_delete 0", "(none)");
    SAYS ("@stats_delete 1", "(none)");
  }
  return NULL;
}

Test (stats, regions_come_and_go_under_load)
{
  atomic_bool stop = false;
  pthread_t changer;
  struct io ios[4];
  unsigned i, j;

  pthread_create (&changer, NULL, change_regions, &stop);
  for (i = 0; i < 300; i++) {
    for (j = 0; j < 4; j++)
      io_start (&ios[j], dm_block_device (md), BIO_WRITE, j * 16, 16, 'x');
    for (j = 0; j < 4; j++)
      cr_assert_eq (io_join (&ios[j]), 0);
  }
  stop = true;
  pthread_join (changer, NULL);
}
