/* SPDX-License-Identifier: BSD-3-Clause */
/* Trees and space maps together against a model, with crashes and rollbacks. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/faultdev.h"
#include "tests/lib/image.h"
#include "tests/lib/memdev.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-pool.h"

#define NR_METADATA 300
#define NR_DATA 1600
#define NR_DEVICES 5
#define NR_BLOCKS 1200 /* of a device */

/* What should be there; value 0: not mapped. */
struct model {
  struct {
    bool exists;
    uint64_t value[NR_BLOCKS];
  } dev[NR_DEVICES];
};

static struct memdev *dev;
static struct faultdev fault;
static struct thin_pool pool;
static struct model now, committed;

static void
set_up (void)
{
  dev = memdev_new ("metadata", NR_METADATA * BM_BLOCK_SECTORS);
  faultdev_init (&fault, &dev->bdev);
  cr_assert_eq (pool_format (&pool, &fault.bdev, 128), 0);
  cr_assert_eq (sm_extend (pool.data_sm, NR_DATA), 0);
  cr_assert_eq (pool_commit (&pool), 0);
}

static void
tear_down (void)
{
  pool_close (&pool);
  faultdev_reset (&fault);
  memdev_free (dev);
}

TestSuite (pdata_random, .init = set_up, .fini = tear_down, .timeout = 900);

static unsigned
below (unsigned n)
{
  return rand () % n;
}

/* How much of a workload to do: more when asked by the environment. */
static unsigned
effort (unsigned usual)
{
  const char *s = getenv ("NBDM_PDATA_EFFORT");

  return usual * (s ? atoi (s) : 1);
}

static int
do_write (unsigned d)
{
  uint64_t b = below (NR_BLOCKS), end = b + 1 + below (20), data;
  int r = 0;

  for (; r == 0 && b < end && b < NR_BLOCKS; b++) {
    r = pool_provision (&pool, d, b, &data);
    if (r == 0)
      now.dev[d].value[b] = THIN_VALUE (data, pool.time) + 1;
  }
  return r;
}

static int
do_discard (unsigned d)
{
  uint64_t b = below (NR_BLOCKS), end = b + 1 + below (40), i, nr, want = 0;
  int r;

  if (end > NR_BLOCKS)
    end = NR_BLOCKS;
  for (i = b; i < end; i++) {
    want += now.dev[d].value[i] != 0;
    now.dev[d].value[i] = 0;
  }
  r = pool_unmap (&pool, d, b, end, &nr);
  cr_assert (r < 0 || nr == want);
  return r;
}

static int
do_snapshot (unsigned d)
{
  unsigned origin = below (NR_DEVICES);

  if (!now.dev[origin].exists)
    return pool_create (&pool, d);
  now.dev[d] = now.dev[origin];
  return pool_snap (&pool, d, origin);
}

static int
do_operation (void)
{
  unsigned d = below (NR_DEVICES), what = below (100);
  int r;

  if (!now.dev[d].exists) {
    r = do_snapshot (d);
    now.dev[d].exists = true;
    return r;
  }
  if (what < 60)
    return do_write (d);
  if (what < 95)
    return do_discard (d);
  if (what > 96)
    return 0;
  memset (&now.dev[d], 0, sizeof now.dev[d]);
  return pool_delete (&pool, d);
}

static void
expect_model (const struct model *m)
{
  uint64_t keys[2], found, d, b;
  le64 value;
  int r;

  for (d = 0; d < NR_DEVICES; d++)
    for (b = 0; b < NR_BLOCKS; b++) {
      keys[0] = d;
      keys[1] = b;
      r = btree_lookup (&pool.mappings, pool.mapping_root, keys, &value);
      found = r == 0 ? from_le64 (value) + 1 : 0;
      cr_assert (r == 0 || r == -ENODATA);
      cr_assert_eq (found, m->dev[d].value[b], "device %lu block %lu",
                    (unsigned long) d, (unsigned long) b);
    }
}

static void
check_image (void)
{
  metacheck_assert (dev->data, sectors_to_bytes (dev->bdev.size), "image");
}

static void
commit (void)
{
  cr_assert_eq (pool_commit (&pool), 0);
  committed = now;
}

/* Out of space, in the data or the metadata: drop what was begun, and make
 * some room if that did not help.
 */
static void
make_room (void)
{
  unsigned d = below (NR_DEVICES);
  uint64_t nr;

  cr_assert_eq (pool_rollback (&pool), 0);
  now = committed;
  if (now.dev[d].exists) {
    cr_assert_eq (pool_unmap (&pool, d, 0, NR_BLOCKS, &nr), 0);
    memset (now.dev[d].value, 0, sizeof now.dev[d].value);
  }
  commit ();
}

/* As a crash, but nothing was written since; or as after an error. */
static void
drop (bool reopen)
{
  if (reopen) {
    pool_close (&pool);
    cr_assert_eq (pool_open (&pool, &fault.bdev, 128), 0);
  } else
    cr_assert_eq (pool_rollback (&pool), 0);
  now = committed;
  check_image ();
  expect_model (&now);
}

Test (pdata_random, commits_keep_everything_and_drops_keep_the_last)
{
  unsigned i, n = effort (20000), dropped = 0, full = 0;
  int r;

  srand (11);
  for (i = 0; i < n; i++) {
    r = do_operation ();
    if (r == -ENOSPC) {
      make_room ();
      full++;
      continue;
    }
    cr_assert_eq (r, 0, "%d", r);
    if (below (10) == 0)
      commit ();
    if (below (100) == 0) {
      drop (below (2));
      dropped++;
    }
  }
  commit ();
  check_image ();
  expect_model (&now);
  cr_assert (dropped > 0 && full > 0);
}

/* Metadata damaged by a power cut: some of what was written after the last
 * flush is there, some is not.
 */
static void
replay_torn (size_t n, char *image)
{
  size_t i = n, j;

  while (i > 0 && fault.log.ptr[i - 1].data)
    i--;
  faultdev_replay (&fault, i, image);
  for (; i < n; i++)
    for (j = 0; j < fault.log.ptr[i].len; j += BM_BLOCK_SECTORS)
      if (below (2))
        memcpy (image + sectors_to_bytes (fault.log.ptr[i].sector + j),
                fault.log.ptr[i].data + sectors_to_bytes (j), BM_BLOCK_BYTES);
}

Test (pdata_random, every_crash_leaves_a_whole_transaction)
{
  size_t bytes = sectors_to_bytes (dev->bdev.size), i;
  char *before = malloc (bytes), *image = malloc (bytes);
  unsigned k, points = 0;

  cr_assert (before && image);
  memcpy (before, dev->data, bytes);
  srand (12);
  fault.record = true;
  for (k = 0; k < effort (700); k++) {
    if (do_operation () == -ENOSPC)
      make_room ();
    else if (k % 3 == 0)
      commit ();
  }
  fault.record = false;
  for (i = 0; i <= fault.log.len; i++) {
    memcpy (image, before, bytes);
    faultdev_replay (&fault, i, image);
    metacheck_assert (image, bytes, "prefix");
    memcpy (image, before, bytes);
    replay_torn (i, image);
    metacheck_assert (image, bytes, "torn");
    points += 2;
  }
  cr_assert_geq (points, 500);
  free (before);
  free (image);
}

Test (pdata_random, thin_check_finds_nothing)
{
  unsigned i;
  int r;

  srand (13);
  for (i = 0; i < 400; i++) {
    r = do_operation ();
    if (r == -ENOSPC)
      make_room ();
  }
  commit ();
  r = image_run_tool (dev, "thin_check");
  if (r < 0)
    cr_skip_test ("needs thin_check (Debian: thin-provisioning-tools)");
  cr_assert_eq (r, 0);
  cr_assert_eq (image_run_tool (dev, "thin_dump"), 0);
}
