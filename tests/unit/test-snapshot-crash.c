/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots and merges after a crash at any moment. */

/* What is written to m1 (the origin) and m2 (the COW device) is recorded with
 * the flushes.  For each moment the two devices are made again on m3 and m4,
 * with or without what was not flushed by then on the one and on the other.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/lock.h"
#include "common/vector.h"
#include "tests/lib/snaptest.h"

#define SECTORS 1024
#define BYTES (SECTORS * SECTOR_SIZE)

struct record {
  struct memdev *mem;
  enum bio_op op;
  bool durable;         /* a FUA write */
  sector_t sector, len;
  char *data;
  unsigned step;        /* of the test, when it came */
};

static struct latch log_latch = LATCH_INIT;
static VECTOR (struct record) records; /* guarded by log_latch */
static bool recording;
static unsigned step;
static struct block_device_ops lower;
static char start_images[2][BYTES];

static void
record (struct memdev *mem, const struct bio *bio)
{
  struct record r = { mem, bio->op, bio->flags & BIO_FUA, bio->sector,
                      bio->len, NULL, step };
  ACQUIRE_LATCH_FOR_SCOPE (&log_latch);

  if (bio->op == BIO_WRITE) {
    r.data = malloc (sectors_to_bytes (bio->len));
    memcpy (r.data, bio->data, sectors_to_bytes (bio->len));
  }
  cr_assert_eq (vector_append (&records, r), 0);
}

static int
recording_submit (struct block_device *bdev, struct bio *bio)
{
  if (recording && bio->op != BIO_READ)
    record ((struct memdev *) bdev, bio);
  return lower.submit (bdev, bio);
}

static void
setup (void)
{
  static struct block_device_ops ops;
  unsigned i;

  snap_start (SECTORS);
  lower = ops = *snap.mem[0]->bdev.ops;
  ops.submit = recording_submit;
  for (i = 0; i < 2; i++) {
    snap.mem[i]->bdev.ops = &ops;
    snap.mem[i]->limits.write_zeroes = false;
  }
}

TestSuite (snapshot_crash, .init = setup, .fini = snap_stop, .timeout = 120);

static void
start_recording (void)
{
  memcpy (start_images[0], snap.mem[0]->data, BYTES);
  memcpy (start_images[1], snap.mem[1]->data, BYTES);
  recording = true;
}

/* ------------------------------------------------------------------
 * Replay.
 */

/* The device m after the first n records; with what was not flushed or not. */
static void
replay (unsigned m, size_t n, bool unflushed)
{
  const struct memdev *mem = snap.mem[m - 1];
  char *image = snap.mem[m + 1]->data;
  size_t i, flushed = 0;

  memcpy (image, start_images[m - 1], BYTES);
  for (i = 0; i < n; i++)
    if (records.ptr[i].mem == mem && records.ptr[i].op == BIO_FLUSH)
      flushed = i;
  for (i = 0; i < n; i++) {
    const struct record *r = &records.ptr[i];

    if (r->mem == mem && r->data && (i < flushed || r->durable || unflushed))
      memcpy (image + sectors_to_bytes (r->sector), r->data,
              sectors_to_bytes (r->len));
  }
}

/* Call check at each moment, with devices m3 and m4. */
static void
crash_everywhere (void (*check) (unsigned step))
{
  unsigned kind;
  size_t n;

  recording = false;
  for (n = 0; n <= records.len; n++)
    for (kind = 0; kind < 4; kind++) {
      replay (1, n, kind & 1);
      replay (2, n, kind & 2);
      check (n > 0 ? records.ptr[n - 1].step : 0);
    }
  cr_log_info ("%zu moments", 4 * records.len);
}

/* ------------------------------------------------------------------
 * Writes to the origin.
 */

static void
check_view_is_old (unsigned at)
{
  snap_create ("after", "0 1024 snapshot m3 m4 P 4");
  snap_expect ("after", 0, SECTORS, 'b');
  snap_remove ("after");
}

Test (snapshot_crash, no_write_to_the_origin_shows_in_the_snapshot)
{
  unsigned i;

  snap_create ("o", "0 1024 snapshot-origin m1");
  snap_create ("s", "0 1024 snapshot m1 m2 P 4");
  start_recording ();
  for (i = 0; i < 40; i++)
    snap_write ("o", i * 89 % 1000, 1 + i % 24, 'O');
  crash_everywhere (check_view_is_old);
}

/* ------------------------------------------------------------------
 * Writes to the snapshot: each step writes, every third flushes.  What was
 * flushed is there, and nothing that was never written.
 */
#define STEPS 60

static char written[STEPS + 1][SECTORS], safe[STEPS + 1][SECTORS];

static void
check_writes (unsigned at)
{
  char data[BYTES];
  struct mapped_device *md;
  sector_t s;

  snap_create ("after", "0 1024 snapshot m3 m4 P 4");
  cr_assert_eq (dm_open (snap.reg, "after", &md, NULL), 0);
  cr_assert_eq (dmtest_io (md, BIO_READ, 0, SECTORS, data), 0);
  dm_close (md);
  snap_remove ("after");
  for (s = 0; s < SECTORS; s++) {
    char letter = data[(s + 1) * SECTOR_SIZE - 1];

    cr_assert (letter == 'b' || letter >= 1, "sector %d", (int) s);
    if (letter == 'b')
      letter = 0;
    cr_assert (letter >= safe[at][s] && letter <= written[at][s],
               "step %u, sector %d: %d is not in %d .. %d", at, (int) s,
               letter, safe[at][s], written[at][s]);
  }
}

/* Letters are steps, so that a later write has a larger one; 'b' is 98. */
Test (snapshot_crash, what_was_flushed_is_there_and_nothing_else)
{
  sector_t at = 0, len = 1;

  snap_create ("o", "0 1024 snapshot-origin m1");
  snap_create ("s", "0 1024 snapshot m1 m2 P 4");
  start_recording ();
  for (step = 1; step <= STEPS; step++) {
    memcpy (written[step], written[step - 1], SECTORS);
    memcpy (safe[step], safe[step - 1], SECTORS);
    if (step % 4 == 0) {
      /* Where the exceptions are new, and beyond. */
      snap_write ("o", at, step % 8 ? len : len + 9, 'O');
      continue;
    }
    at = step * 61 % 500;
    len = 1 + step % 13;
    memset (&written[step][at], step, len);
    snap_write ("s", at, len, step);
    if (step % 3 == 0) {
      cr_assert_eq (snap_io ("s", BIO_FLUSH, 0, 0, 0), 0);
      /* From the next step on: records of this one came before its end. */
      memcpy (safe[step], written[step], SECTORS);
    }
  }
  /* What a step flushes is safe in later ones only. */
  for (step = STEPS; step > 0; step--)
    memcpy (safe[step], safe[step - 1], SECTORS);
  crash_everywhere (check_writes);
}

/* ------------------------------------------------------------------
 * A merge.
 */

static void
wait_merged (const char *name)
{
  while (snap_events (name) == 0)
    usleep (100);
}

static void
expect_view (const char *name)
{
  unsigned i;

  for (i = 0; i < 60; i++) {
    snap_expect (name, i * 8, 4, 's');
    snap_expect (name, i * 8 + 4, 4, 'b');
  }
  snap_expect (name, 480, SECTORS - 480, 'b');
}

static void
check_merge (unsigned at)
{
  snap_create ("after", "0 1024 snapshot m3 m4 P 4");
  expect_view ("after");
  snap_remove ("after");
  snap_create ("after", "0 1024 snapshot-merge m3 m4 P 4");
  expect_view ("after");
  snap_remove ("after");
}

Test (snapshot_crash, a_merge_goes_on_from_where_it_was)
{
  unsigned i;

  snap_create ("s", "0 1024 snapshot m1 m2 P 4");
  for (i = 0; i < 60; i++)
    snap_write ("s", i * 7 % 60 * 8, 4, 's');
  snap_remove ("s");
  start_recording ();
  snap_create ("m", "0 1024 snapshot-merge m1 m2 P 4");
  wait_merged ("m");
  crash_everywhere (check_merge);
}
