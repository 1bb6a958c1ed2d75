/* SPDX-License-Identifier: BSD-3-Clause */
/* What each device counts, and how monitoring reads it. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control.h"
#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk;
static struct mapped_device *md;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
  md = rig_start (reg, "a", "0 64 linear disk 0");
}

static void
teardown (void)
{
  rig_stop (md);
  rig_free (reg);
  memdev_remove (disk);
}

TestSuite (counters, .init = setup, .fini = teardown, .timeout = 60);

/* Those of the first device by name. */
static struct nbdm_counters
counters (void)
{
  struct nbdm_counters *list, c;
  size_t n;

  cr_assert_eq (dm_counters (reg, &list, &n), 0);
  cr_assert_geq (n, 1);
  c = list[0];
  free (list);
  return c;
}

static int
io (enum bio_op op, sector_t sector, sector_t len)
{
  return io_run (dm_block_device (md), op, sector, len, 'x');
}

Test (counters, each_kind_of_request_counts_apart)
{
  struct nbdm_counters c;

  cr_assert_eq (io (BIO_READ, 0, 8), 0);
  cr_assert_eq (io (BIO_READ, 8, 8), 0);
  cr_assert_eq (io (BIO_WRITE, 0, 4), 0);
  cr_assert_eq (io (BIO_DISCARD, 0, 2), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, 0, 1), 0);
  cr_assert_eq (io (BIO_FLUSH, 0, 0), 0);
  disk->bad_start = 0;
  disk->bad_end = 1;
  disk->bad_errno = EIO;
  cr_assert_eq (io (BIO_WRITE, 0, 4), -EIO);
  cr_assert_eq (io (BIO_READ, 64, 8), -EIO);
  c = counters ();
  cr_assert_str_eq (c.name, "a");
  cr_assert_eq (c.size, 64);
  cr_assert (c.reads == 3 && c.read_sectors == 24);
  cr_assert (c.writes == 2 && c.write_sectors == 8);
  cr_assert (c.discards == 2 && c.discard_sectors == 3);
  cr_assert (c.flushes == 1 && c.errors == 2);
  cr_assert (c.deferred == 0 && c.in_flight == 0 && c.suspends == 1);
}

Test (counters, what_waits_is_counted_while_it_does)
{
  struct io parked, slow;

  disk->stalled = true;
  io_start (&slow, dm_block_device (md), BIO_WRITE, 0, 8, 'x');
  cr_assert (EVENTUALLY (counters ().in_flight == 1));
  disk->stalled = false;
  io_join (&slow);
  rig_suspend (reg, "a");
  io_start (&parked, dm_block_device (md), BIO_WRITE, 0, 8, 'x');
  cr_assert (EVENTUALLY (counters ().deferred_now == 1));
  rig_load (reg, "a", "0 64 linear disk 64");
  rig_resume (reg, "a");
  io_join (&parked);
  cr_assert (counters ().deferred_now == 0 && counters ().deferred == 1);
  cr_assert (counters ().suspends == 2 && counters ().swaps == 2);
}

static char *
metrics (void)
{
  char *text;
  size_t length;

  cr_assert_eq (control_metrics (reg, &text, &length), 0);
  cr_assert_eq (strlen (text), length);
  return text;
}

Test (counters, they_are_shown_as_text)
{
  char *text;

  cr_assert_eq (io (BIO_READ, 0, 8), 0);
  text = metrics ();
  cr_assert (strstr (text, "# TYPE nbdm_device_read_bytes counter\n"
                     "# UNIT nbdm_device_read_bytes bytes\n"
                     "# HELP nbdm_device_read_bytes "));
  cr_assert (strstr (text, "\nnbdm_device_read_bytes_total{device=\"a\"} "
                     "4096\n"));
  cr_assert (strstr (text, "\nnbdm_device_size_bytes{device=\"a\"} 32768\n"));
  cr_assert (strstr (text, "\nnbdm_upstream_reconnects_total{upstream="
                     "\"disk\"} 0\n"));
  cr_assert_str_eq (text + strlen (text) - 6, "# EOF\n");
  free (text);
}

Test (counters, no_name_breaks_the_text)
{
  char *text;

  cr_assert_eq (dm_device_rename (reg, "a", "q\"b\\n\n\xff", 0, NULL, NULL), 0);
  text = metrics ();
  cr_assert (strstr (text, "{device=\"q\\\"b\\\\n\\\\x0a\\\\xff\"} "));
  free (text);
}
