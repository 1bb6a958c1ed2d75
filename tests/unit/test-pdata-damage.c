/* SPDX-License-Identifier: BSD-3-Clause */
/* Damaged metadata: an error or the right answer, no crash, no end of time. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/image.h"
#include "tests/lib/memdev.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-pool.h"

static struct memdev *dev;
static struct thin_pool pool;
static char *copy; /* of the undamaged image */
static size_t bytes;
static struct metacheck check;

static void
load (const char *name)
{
  if (!image_available ())
    cr_skip_test ("needs xz (Debian: xz-utils)");
  dev = image_load (name);
  bytes = sectors_to_bytes (dev->bdev.size);
  cr_assert (metacheck_run (&check, dev->data, bytes));
  copy = malloc (bytes);
  memcpy (copy, dev->data, bytes);
}

static void
tear_down (void)
{
  pool_close (&pool);
  if (dev) {
    metacheck_free (&check);
    memdev_free (dev);
  }
  free (copy);
}

TestSuite (damage, .fini = tear_down, .timeout = 3000);

/* More when asked by the environment. */
static unsigned
effort (unsigned usual)
{
  const char *s = getenv ("NBDM_PDATA_EFFORT");

  return usual * (s ? atoi (s) : 1);
}

/* A block that is in use: number r of them, counted round. */
static uint64_t
used_block (unsigned r)
{
  uint64_t b = r % check.nr_metadata;

  while (!check.seen[b])
    b = (b + 1) % check.nr_metadata;
  return b;
}

/* Errors that damage may cause. */
static bool
is_honest (int r)
{
  return r == 0 || r == -EILSEQ || r == -ENOTBLK || r == -EINVAL ||
    r == -EIO || r == -ENODATA || r == -ENOSPC || r == -ENOMEM ||
    r == -EEXIST;
}

static int
add_up (void *context, const uint64_t *keys, const void *value)
{
  uint64_t *sum = context;

  *sum = *sum * 31 + keys[0] * 7 + keys[1] +
    from_le64 (*(const le64 *) value) * 3;
  return 0;
}

static int
sum_mappings (uint64_t *sum)
{
  *sum = 0;
  return btree_walk (&pool.mappings, pool.mapping_root, add_up, sum);
}

static int
read_counts (void)
{
  uint32_t count;
  block_t b;
  int r = 0;

  for (b = 0; r == 0 && b < 1024; b += 7)
    r = sm_get_count (tm_metadata_sm (pool.tm), b, &count);
  for (b = 0; r == 0 && b < sm_nr_blocks (pool.data_sm) && b < 1000; b += 101)
    r = sm_get_count (pool.data_sm, b, &count);
  return r;
}

/* One bit, as a disk would flip it: the checksum finds out.  So whoever gets an
 * answer gets the right one.
 */
static void
flip_bits (const char *name, unsigned n)
{
  uint64_t sum, expected, found, at;
  unsigned i;
  int r;

  load (name);
  cr_assert_eq (pool_open (&pool, &dev->bdev, 256), 0);
  cr_assert_eq (sum_mappings (&expected), 0);
  pool_close (&pool);
  for (i = found = 0; i < n; i++) {
    at = used_block (rand ()) * BM_BLOCK_BYTES + rand () % BM_BLOCK_BYTES;
    dev->data[at] ^= 1 << rand () % 8;
    r = pool_open (&pool, &dev->bdev, 256);
    if (r == 0)
      r = sum_mappings (&sum);
    if (r == 0)
      cr_assert_eq (sum, expected);
    cr_assert (is_honest (r), "%d", r);
    found += r < 0;
    if (pool.data_sm && read_counts () < 0)
      found++;
    pool_close (&pool);
    dev->data[at] = copy[at];
  }
  cr_assert_gt (found, n / 4);
}

Test (damage, flipped_bits_are_found_snapshots)
{
  srand (1);
  flip_bits ("03-snaps-overflow", effort (5000));
}

Test (damage, flipped_bits_are_found_devices)
{
  srand (2);
  flip_bits ("10-toptree-one-child-held", effort (3000));
}

Test (damage, flipped_bits_are_found_large)
{
  srand (3);
  flip_bits ("05-frag-shared-snap", effort (2000));
}

/* A forger, who makes the checksum right again: nothing can be said about the
 * answers, but that there is one, soon, and that nothing outside is touched.
 */
static int
work_on_anything (unsigned seed)
{
  uint64_t d, data, nr, sum;
  int r;

  r = sum_mappings (&sum);
  cr_assert (is_honest (r), "walk: %d", r);
  r = read_counts ();
  cr_assert (is_honest (r), "counts: %d", r);
  d = seed % 4;
  r = pool_create (&pool, 99);
  if (r == 0)
    r = pool_snap (&pool, 98, d);
  if (r == 0)
    r = pool_provision (&pool, d, seed % 3000, &data);
  if (r == 0)
    r = pool_provision (&pool, 98, seed % 100, &data);
  if (r == 0)
    r = pool_unmap (&pool, d, seed % 500, seed % 500 + 300, &nr);
  if (r == 0)
    r = pool_delete (&pool, 98);
  if (r == 0)
    r = pool_delete (&pool, d);
  if (r == 0)
    r = sm_extend (pool.data_sm, 20000);
  return r < 0 ? r : pool_commit (&pool);
}

/* Half of the changes hit the fields at the front of a block. */
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
  unsigned i, j, changes;
  int r;

  load (name);
  for (i = 0; i < n; i++) {
    changes = 1 + rand () % 3;
    for (j = 0; j < changes; j++)
      forge (dev->data + used_block (rand ()) * BM_BLOCK_BYTES);
    r = pool_open (&pool, &dev->bdev, 256);
    if (r == 0)
      r = work_on_anything (rand ());
    cr_assert (is_honest (r), "%u: %d", i, r);
    pool_close (&pool);
    memcpy (dev->data, copy, bytes);
  }
}

Test (damage, forged_blocks_do_no_harm_snapshots)
{
  srand (4);
  forge_blocks ("03-snaps-overflow", effort (800));
}

Test (damage, forged_blocks_do_no_harm_devices)
{
  srand (5);
  forge_blocks ("09-toptree-one-child", effort (400));
}

Test (damage, forged_blocks_do_no_harm_shared)
{
  srand (6);
  forge_blocks ("05-frag-shared-snap", effort (300));
}

/* A pointer of one node replaced by another: loops, and nodes of the wrong
 * tree.
 */
Test (damage, forged_pointers_do_no_harm)
{
  unsigned i, max, slot;
  uint64_t b;
  char *node;
  int r;

  srand (7);
  load ("05-frag-shared-snap");
  for (i = 0; i < effort (400); i++) {
    do
      b = used_block (rand ());
    while (image_block_salt (dev->data + b * BM_BLOCK_BYTES) != 121107);
    node = dev->data + b * BM_BLOCK_BYTES;
    max = from_le32 (*(le32 *) (node + 20));
    slot = rand () % (from_le32 (*(le32 *) (node + 16)) + 1);
    if (slot >= max || from_le32 (*(le32 *) (node + 24)) != 8)
      continue;
    *(le64 *) (node + 32 + 8 * (max + slot)) =
      to_le64 (rand () % 4 ? used_block (rand ()) : b);
    image_reseal (node, 121107);
    r = pool_open (&pool, &dev->bdev, 256);
    if (r == 0)
      r = work_on_anything (rand ());
    cr_assert (is_honest (r), "%u: %d", i, r);
    pool_close (&pool);
    memcpy (dev->data, copy, bytes);
  }
}
