/* SPDX-License-Identifier: BSD-3-Clause */
/* Damaged pools: an error or the right answer, no crash, nothing written. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

static struct thin_rig rig;
static struct metacheck check; /* of the undamaged image */
static char *copy;
static size_t bytes;

static void
load (const char *name)
{
  if (!image_available ())
    cr_skip_test ("needs xz (Debian: xz-utils)");
  rig_start_on (&rig, image_load (name));
  bytes = rig_bytes (&rig);
  cr_assert (metacheck_run (&check, rig.dev->data, bytes));
  copy = malloc (bytes);
  memcpy (copy, rig.dev->data, bytes);
}

static void
tear_down (void)
{
  rig_stop (&rig);
  if (copy)
    metacheck_free (&check);
  free (copy);
}

TestSuite (thin_damage, .fini = tear_down, .timeout = 3000);

/* More when asked by the environment. */
static unsigned
effort (unsigned usual)
{
  const char *s = getenv ("NBDM_PDATA_EFFORT");

  return usual * (s ? atoi (s) : 1);
}

static uint64_t
used_block (unsigned r)
{
  uint64_t b = r % check.nr_metadata;

  while (!check.seen[b])
    b = (b + 1) % check.nr_metadata;
  return b;
}

static bool
is_honest (int r)
{
  return r == 0 || r == -EILSEQ || r == -ENOTBLK || r == -EINVAL ||
    r == -EIO || r == -ENODATA || r == -ENOSPC || r == -ENOMEM ||
    r == -EEXIST;
}

static int
read_device (uint32_t id, uint64_t *sum)
{
  struct thin_dev_details d;
  struct thin_device *td;
  struct thin_range run;
  block_t at = 0;
  int r = thin_dev_open (rig.md, id, &td);

  if (r < 0)
    return r;
  thin_dev_details (td, &d);
  *sum = *sum * 31 + d.mapped_blocks + d.snapshotted_time;
  while ((r = thin_dev_find_range (td, at, UINT64_MAX, &run)) == 0) {
    for (at = run.begin; at < run.end; at++)
      *sum = *sum * 31 + at * 7 + (run.data_begin + at - run.begin) * 3 +
        run.shared;
  }
  thin_dev_close (td);
  return r == -ENODATA ? 0 : r;
}

/* Everything that a pool reads, as one number. */
static int
read_all (uint64_t *sum)
{
  uint32_t id;
  int r;

  *sum = 0;
  for (id = 0; (r = thin_meta_next (rig.md, id, &id)) == 0; id++)
    if ((r = read_device (id, sum)) < 0)
      return r;
  return r == -ENODATA ? 0 : r;
}

static void
expect_nothing_written (void)
{
  cr_assert_eq (rig.dev->counts[BIO_WRITE] + rig.dev->counts[BIO_FLUSH] +
                  rig.dev->counts[BIO_WRITE_ZEROES], 0);
}

/* One bit, as a disk would flip it: the checksum finds out. */
static void
flip_bits (const char *name, unsigned n)
{
  uint64_t sum, right, found = 0, at;
  unsigned i;
  int r;

  load (name);
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (read_all (&right), 0);
  rig_close (&rig);
  for (i = 0; i < n; i++) {
    at = used_block (rand ()) * BM_BLOCK_BYTES + rand () % BM_BLOCK_BYTES;
    rig.dev->data[at] ^= 1 << rand () % 8;
    r = rig_open (&rig);
    if (r == 0)
      r = read_all (&sum);
    cr_assert (is_honest (r), "%d", r);
    if (r == 0)
      cr_assert_eq (sum, right);
    found += r < 0;
    if (rig.md)
      rig_close (&rig);
    rig.dev->data[at] = copy[at];
  }
  cr_assert_gt (found, n / 5);
  expect_nothing_written ();
}

Test (thin_damage, flipped_bits_are_found_snapshots)
{
  srand (1);
  flip_bits ("03-snaps-overflow", effort (500));
}

Test (thin_damage, flipped_bits_are_found_devices)
{
  srand (2);
  flip_bits ("10-toptree-one-child-held", effort (250));
}

Test (thin_damage, flipped_bits_are_found_large)
{
  srand (3);
  flip_bits ("05-frag-shared-snap", effort (150));
}

Test (thin_damage, flipped_bits_are_found_held)
{
  srand (4);
  flip_bits ("07-metasnap-held", effort (100));
}

/* Work on damage: what fails leaves the disk as it was. */
static int
work (uint32_t id)
{
  int r;

  r = thin_meta_create_snap (rig.md, 900, id);
  if (r == 0)
    r = rig_provision (&rig, id, 15);
  if (r == 0)
    r = rig_provision (&rig, 900, 3000);
  if (r == 0)
    r = rig_remove (&rig, id, 0, 300);
  if (r == 0)
    r = thin_meta_delete (rig.md, 900);
  return r < 0 ? r : thin_meta_commit (rig.md);
}

static void
work_on_flipped (const char *name, unsigned n)
{
  unsigned i, failed = 0;
  uint64_t at;
  int r;

  load (name);
  for (i = 0; i < n; i++) {
    at = used_block (rand ()) * BM_BLOCK_BYTES + rand () % BM_BLOCK_BYTES;
    rig.dev->data[at] ^= 1 << rand () % 8;
    r = rig_open (&rig);
    if (r == 0)
      r = work (0);
    cr_assert (is_honest (r), "%d", r);
    if (r < 0) {
      failed++;
      rig.dev->data[at] = copy[at];
      cr_assert_eq (memcmp (rig.dev->data, copy, BM_BLOCK_BYTES), 0,
                    "the superblock was written");
      metacheck_assert (rig.dev->data, bytes, "once the bit is right again");
    }
    rig_crash (&rig);
    memcpy (rig.dev->data, copy, bytes);
  }
  cr_assert_gt (failed, n / 20);
}

Test (thin_damage, work_on_damage_fails_and_leaves_the_disk_alone)
{
  srand (5);
  work_on_flipped ("05-frag-shared-snap", effort (150));
}

/* A forger makes the checksum right again: then nothing can be said about the
 * answers, but that there is one.
 */
static void
forge (char *block)
{
  uint32_t salt = image_block_salt (block);
  unsigned at = rand () % 2 ? 4 + rand () % 60 : 4 + rand () % 4092;
  static const char values[] = { 0, 1, 2, -1, 127 };

  if (rand () % 2)
    block[at] ^= 1 << rand () % 8;
  else
    block[at] = values[rand () % sizeof values];
  image_reseal (block, salt);
}

static void
forge_blocks (const char *name, unsigned n)
{
  uint64_t sum;
  unsigned i, j;
  int r;

  load (name);
  for (i = 0; i < n; i++) {
    for (j = 0; j <= i % 3; j++)
      forge (rig.dev->data + used_block (rand ()) * BM_BLOCK_BYTES);
    r = rig_open (&rig);
    if (r == 0) {
      r = read_all (&sum);
      cr_assert (is_honest (r), "reading: %d", r);
      r = work (rand () % 14);
    }
    cr_assert (is_honest (r), "%d", r);
    if (rig.md && thin_meta_is_broken (rig.md))
      thin_meta_abort (rig.md);
    rig_crash (&rig);
    memcpy (rig.dev->data, copy, bytes);
  }
}

Test (thin_damage, forged_blocks_do_no_harm)
{
  srand (6);
  forge_blocks ("03-snaps-overflow", effort (300));
}

Test (thin_damage, a_forged_superblock_does_no_harm)
{
  uint64_t sum;
  unsigned i;
  int r;

  srand (7);
  load ("07-metasnap-held");
  for (i = 0; i < effort (300); i++) {
    rig.dev->data[4 + rand () % 360] ^= 1 << rand () % 8;
    image_reseal (rig.dev->data, image_block_salt (copy));
    r = rig_open (&rig);
    if (r == 0 && (r = read_all (&sum)) == 0)
      r = work (0);
    cr_assert (is_honest (r), "%d", r);
    rig_crash (&rig);
    memcpy (rig.dev->data, copy, bytes);
  }
}

/* Rescue: what lookups do not need may be lost. */
Test (thin_damage, without_its_map_a_pool_can_be_read)
{
  struct thin_meta_usage before, after;
  uint64_t sum, right;
  block_t index;

  load ("03-snaps-overflow");
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert_eq (read_all (&right), 0);
  thin_meta_usage (rig.md, &before);
  rig_close (&rig);
  index = image_u64 (rig.dev->data + 192 + 16);
  rig.dev->data[index * BM_BLOCK_BYTES + 100] ^= 1;
  cr_assert_eq (rig_open (&rig), -EILSEQ);
  rig.params.read_only = true;
  cr_assert_eq (rig_open (&rig), 0);
  cr_assert (thin_meta_map_is_damaged (rig.md));
  cr_assert_eq (read_all (&sum), 0);
  cr_assert_eq (sum, right);
  thin_meta_usage (rig.md, &after);
  cr_assert_eq (memcmp (&before, &after, sizeof before), 0);
  cr_assert_eq (thin_meta_set_read_only (rig.md, false), -EPERM);
  cr_assert_eq (thin_meta_create_thin (rig.md, 99), -EPERM);
  expect_nothing_written ();
}
