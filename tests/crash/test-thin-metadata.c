/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool crashes at every point of its work, and opens again. */

/* A random workload runs on a device that records its writes and flushes.
 * Beside it runs a model: what is mapped where, and which stamp the data block
 * holds.  A copy of the model is kept with each commit.  For each point of the
 * record an image is made of what may be on disk then: everything up to there,
 * or of what was not flushed only some writes, some torn.  The image must be
 * sound, and be the pool of the last commit that had returned, or of the next;
 * and the data that it maps must not have been overwritten, which they were if
 * a freed block was used again too early.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

#define NR_METADATA 512
#define NR_DATA 700    /* at first */
#define MAX_DATA 70000
#define NR_IDS 6
#define NR_BLOCKS 300 /* virtual blocks of each thin */

struct model {
  struct {
    bool exists;
    struct {
      block_t data; /* + 1; 0: not mapped */
      uint32_t stamp;
    } blocks[NR_BLOCKS];
  } thins[NR_IDS];
  uint64_t trans_id;
  bool held;
};

/* The state that is on disk from this point of the record on, for sure. */
struct commit {
  size_t at;
  struct model model;
};

/* A write to the data device; such take effect at once. */
struct data_write {
  size_t at;
  block_t block;
  uint32_t stamp;
};

static struct thin_rig rig;
static struct model model;
static VECTOR (struct commit) commits;
static VECTOR (struct data_write) data_writes;
static uint32_t next_stamp;
static char *base; /* the image before the workload */

static void
tear_down (void)
{
  rig_stop (&rig);
  vector_reset (&commits);
  vector_reset (&data_writes);
  memset (&model, 0, sizeof model);
  free (base);
  base = NULL;
}

TestSuite (thin_crash, .fini = tear_down, .timeout = 600);

static void
must (int r)
{
  cr_assert_eq (r, 0, "%s", strerror (-r));
}

/* The workload. */

static void
note_commit (void)
{
  struct commit c = { rig.fault.log.len, model };

  must (vector_append (&commits, c));
}

static void
commit (void)
{
  must (thin_meta_commit (rig.md));
  note_commit ();
}

/* Always to a fresh block, as if everything were shared. */
static void
write_block (uint32_t id, unsigned b)
{
  struct thin_device *td;
  block_t data;
  int r;

  must (thin_dev_open (rig.md, id, &td));
  r = thin_meta_alloc_data_block (rig.md, &data);
  if (r == -ENOSPC) {
    commit ();
    r = thin_meta_alloc_data_block (rig.md, &data);
  }
  if (r == 0) {
    struct data_write w = { rig.fault.log.len, data, ++next_stamp };

    must (vector_append (&data_writes, w));
    must (thin_dev_insert (td, b, data));
    model.thins[id].blocks[b].data = data + 1;
    model.thins[id].blocks[b].stamp = w.stamp;
  } else
    cr_assert_eq (r, -ENOSPC);
  thin_dev_close (td);
}

static void
write_blocks (uint32_t id)
{
  unsigned first = rand () % NR_BLOCKS, n = 1 + rand () % 20;

  while (n-- > 0 && first < NR_BLOCKS)
    write_block (id, first++);
}

static void
discard (uint32_t id)
{
  unsigned first = rand () % NR_BLOCKS, end = first + 1 + rand () % 60;

  end = end < NR_BLOCKS ? end : NR_BLOCKS;
  must (rig_remove (&rig, id, first, end));
  memset (&model.thins[id].blocks[first], 0,
          (end - first) * sizeof model.thins[id].blocks[0]);
}

static void
add_thin (uint32_t id)
{
  uint32_t origin = rand () % NR_IDS;

  if (model.thins[origin].exists) {
    must (thin_meta_create_snap (rig.md, id, origin));
    model.thins[id] = model.thins[origin];
  } else {
    must (thin_meta_create_thin (rig.md, id));
    model.thins[id].exists = true;
  }
}

static void
delete_thin (uint32_t id)
{
  must (thin_meta_delete (rig.md, id));
  memset (&model.thins[id], 0, sizeof model.thins[id]);
}

/* Commits by itself. */
static void
toggle_snapshot (void)
{
  commit ();
  model.held = !model.held;
  must (model.held ? thin_meta_reserve_snap (rig.md)
                   : thin_meta_release_snap (rig.md));
  note_commit ();
}

static void
step (void)
{
  uint32_t id = rand () % NR_IDS;
  unsigned what = rand () % 100;

  if (what < 12)
    commit ();
  else if (what < 15)
    toggle_snapshot ();
  else if (what < 20) {
    must (thin_meta_set_transaction_id (rig.md, model.trans_id,
                                        model.trans_id + 1));
    model.trans_id++;
  } else if (!model.thins[id].exists)
    add_thin (id);
  else if (what < 30)
    delete_thin (id);
  else if (what < 45)
    discard (id);
  else
    write_blocks (id);
}

static void
record_start (unsigned seed)
{
  srand (seed);
  rig_start (&rig, NR_METADATA);
  rig_format (&rig, NR_DATA);
  base = malloc (rig_bytes (&rig));
  memcpy (base, rig.dev->data, rig_bytes (&rig));
  rig.fault.record = true;
  note_commit ();
}

static void
record_steps (unsigned steps)
{
  while (steps-- > 0)
    step ();
  commit ();
}

/* What a crash leaves. */

static bool
same_thin (struct thin_metadata *md, uint32_t id, const struct model *m)
{
  struct thin_device *td;
  struct thin_mapping found;
  block_t data;
  unsigned b;
  int r = thin_dev_open (md, id, &td);
  bool same = r == (m->thins[id].exists ? 0 : -ENODATA);

  if (r < 0)
    return same;
  for (b = 0; same && b < NR_BLOCKS; b++) {
    r = thin_dev_find (td, b, &found);
    data = r == 0 ? found.data_block + 1 : 0;
    same = (r == 0 || r == -ENODATA) && data == m->thins[id].blocks[b].data;
  }
  thin_dev_close (td);
  return same;
}

static bool
same_pool (struct thin_metadata *md, const struct model *m)
{
  uint32_t id;

  if (thin_meta_transaction_id (md) != m->trans_id ||
      (thin_meta_held_root (md) != 0) != m->held)
    return false;
  for (id = 0; id < NR_IDS; id++)
    if (!same_thin (md, id, m))
      return false;
  return true;
}

static void
expect_data_intact (const struct model *m, const uint32_t *stamps,
                    size_t point)
{
  unsigned id, b;

  for (id = 0; id < NR_IDS; id++)
    for (b = 0; b < NR_BLOCKS; b++)
      if (m->thins[id].blocks[b].data)
        cr_assert_eq (stamps[m->thins[id].blocks[b].data - 1],
                      m->thins[id].blocks[b].stamp,
                      "point %zu: data of %u/%u are overwritten", point, id,
                      b);
}

/* The last commit that had returned at this point of the record. */
static size_t
last_commit (size_t point)
{
  size_t i = commits.len - 1;

  while (commits.ptr[i].at > point)
    i--;
  return i;
}

/* An image must open as commit i, or as a later one that has begun. */
static void
expect_commit (struct memdev *image, size_t point, const uint32_t *stamps)
{
  size_t i = last_commit (point);
  struct thin_rig crashed;
  bool found;

  metacheck_assert (image->data, sectors_to_bytes (image->bdev.size),
                    "crashed");
  rig_start_on (&crashed, image);
  must (rig_open (&crashed));
  found = same_pool (crashed.md, &commits.ptr[i].model);
  /* Two commits may have nothing between them on disk. */
  while (!found && i + 1 < commits.len && commits.ptr[i].at <= point)
    found = same_pool (crashed.md, &commits.ptr[++i].model);
  cr_assert (found, "point %zu is no commit", point);
  expect_data_intact (&commits.ptr[i].model, stamps, point);
  if (point % 16 == 0) {
    must (thin_meta_create_thin (crashed.md, 99));
    must (rig_close (&crashed));
    metacheck_assert (image->data, sectors_to_bytes (image->bdev.size),
                      "gone on");
  }
  rig_crash (&crashed);
}

static void
apply (struct memdev *image, const struct recorded *r)
{
  if (r->data)
    memcpy (image->data + sectors_to_bytes (r->sector), r->data,
            sectors_to_bytes (r->len));
}

/* Some of its sectors, none, or all. */
static void
apply_torn (struct memdev *image, const struct recorded *r)
{
  unsigned how = rand () % 4;
  sector_t s;

  for (s = 0; r->data && s < r->len; s++)
    if (how == 0 || (how == 1 && rand () % 2))
      memcpy (image->data + sectors_to_bytes (r->sector + s),
              r->data + sectors_to_bytes (s), SECTOR_SIZE);
}

struct replay {
  struct memdev *flushed; /* up to the last flush */
  struct memdev *image;
  size_t flush;           /* records that are in flushed */
  uint32_t stamps[MAX_DATA];
  size_t nr_data_writes;  /* that are in stamps */
};

/* The record up to point: flushed for sure, and the data. */
static void
replay_advance (struct replay *rp, size_t point)
{
  const struct data_write *w;
  size_t i;

  for (i = point; i > rp->flush && rig.fault.log.ptr[i - 1].data; i--)
    ;
  while (rp->flush < i)
    apply (rp->flushed, &rig.fault.log.ptr[rp->flush++]);
  for (; rp->nr_data_writes < data_writes.len; rp->nr_data_writes++) {
    w = &data_writes.ptr[rp->nr_data_writes];
    if (w->at > point)
      break;
    rp->stamps[w->block] = w->stamp;
  }
}

static void
replay_check (struct replay *rp, size_t point, bool torn)
{
  size_t i;

  memcpy (rp->image->data, rp->flushed->data, rig_bytes (&rig));
  for (i = rp->flush; i < point; i++)
    if (torn)
      apply_torn (rp->image, &rig.fault.log.ptr[i]);
    else
      apply (rp->image, &rig.fault.log.ptr[i]);
  expect_commit (rp->image, point, rp->stamps);
}

/* How many images that were. */
static size_t
replay_all (void)
{
  struct replay rp = { 0 };
  size_t point, n = 0;
  unsigned i;

  rp.flushed = memdev_new ("flushed", rig.dev->bdev.size);
  rp.image = memdev_new ("image", rig.dev->bdev.size);
  memcpy (rp.flushed->data, base, rig_bytes (&rig));
  for (point = 0; point <= rig.fault.log.len; point++) {
    replay_advance (&rp, point);
    replay_check (&rp, point, false);
    n++;
    for (i = 0; i < 3 && point > rp.flush; i++, n++)
      replay_check (&rp, point, true);
  }
  memdev_free (rp.flushed);
  memdev_free (rp.image);
  return n;
}

/* More workloads when asked by the environment; ten thousand operations each.
 */
static unsigned
effort (void)
{
  const char *s = getenv ("NBDM_PDATA_EFFORT");

  return s ? atoi (s) : 1;
}

Test (thin_crash, every_point_of_random_workloads)
{
  unsigned seed;

  for (seed = 1; seed <= 2 * effort (); seed++) {
    record_start (seed);
    record_steps (1000);
    cr_assert_gt (replay_all (), 1000);
    tear_down ();
  }
}

Test (thin_crash, every_point_of_growing)
{
  record_start (100);
  record_steps (30);
  must (thin_meta_resize_data (rig.md, 40000));
  record_steps (30);
  must (thin_meta_resize_data (rig.md, 70000));
  record_steps (30);
  cr_assert_gt (replay_all (), 50);
}
