/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools that a kernel made: read, made again, and passed on to the tools. */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/image.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-dump.h"
#include "tests/lib/thin-rig.h"

static struct thin_rig rig;

static void
set_up (void)
{
  if (!image_available ())
    cr_skip_test ("needs xz (Debian: xz-utils)");
}

static void
tear_down (void)
{
  rig_stop (&rig);
}

TestSuite (thin_fixtures, .init = set_up, .fini = tear_down, .timeout = 120);

static void
load (const char *name)
{
  rig_start_on (&rig, image_load (name));
  cr_assert_eq (rig_open (&rig), 0, "%s", name);
}

/* What we made must please three: the tools, if there are any, and our own
 * check.
 */
static void
check_pool (const char *where)
{
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), where);
  cr_assert_leq (image_run_tool (rig.dev, "thin_check"), 0, "%s", where);
}

/* Reading. */

struct comparison {
  struct dump dump;
  struct thin_device *td; /* of the device that the dump is at */
  uint64_t nr;            /* of its mappings so far */
  block_t last;
};

/* All that can be asked about a device, once its mappings were seen. */
static void
end_device (struct comparison *c)
{
  struct thin_range range;
  block_t highest, begin = 0;
  uint64_t n = 0;
  int r;

  if (c->td == NULL)
    return;
  cr_assert_eq (c->nr, c->dump.mapped);
  cr_assert_eq (thin_dev_mapped_blocks (c->td), c->dump.mapped);
  r = thin_dev_highest_mapped (c->td, &highest);
  cr_assert_eq (r, c->nr ? 0 : -ENODATA);
  if (c->nr)
    cr_assert_eq (highest, c->last);
  while ((r = thin_dev_find_range (c->td, begin, UINT64_MAX, &range)) == 0) {
    cr_assert (range.begin >= begin && range.end > range.begin);
    n += range.end - range.begin;
    begin = range.end;
  }
  cr_assert_eq (r, -ENODATA);
  cr_assert_eq (n, c->nr, "runs hold other mappings");
  thin_dev_close (c->td);
  c->td = NULL;
}

static void
begin_device (struct comparison *c)
{
  struct thin_dev_details d;

  cr_assert_eq (thin_dev_open (rig.md, c->dump.dev, &c->td), 0);
  thin_dev_details (c->td, &d);
  cr_assert_eq (d.mapped_blocks, c->dump.mapped);
  cr_assert_eq (d.transaction_id, c->dump.trans);
  cr_assert_eq (d.creation_time, c->dump.ctime);
  cr_assert_eq (d.snapshotted_time, c->dump.stime);
  c->nr = 0;
}

static void
expect_mapping (struct comparison *c)
{
  const struct dump *d = &c->dump;
  struct thin_mapping m;
  struct thin_range range;

  cr_assert_eq (thin_dev_find (c->td, d->block, &m), 0);
  cr_assert_eq (m.data_block, d->data);
  cr_assert_eq (m.shared, d->stime > d->time);
  cr_assert_eq (thin_dev_find_range (c->td, d->block, d->block + 1, &range),
                0);
  cr_assert (range.begin == d->block && range.end == d->block + 1 &&
             range.data_begin == d->data && range.shared == m.shared);
  c->nr++;
  c->last = d->block;
}

static void
compare_with_dump (FILE *fp)
{
  struct comparison c = { .dump.fp = fp };
  struct dump before;
  uint32_t id = 0;
  int kind;

  do {
    before = c.dump;
    kind = dump_next (&c.dump);
    if (kind != 2) {
      struct dump now = c.dump;

      c.dump = before;
      end_device (&c);
      c.dump = now;
    }
    if (kind == 1) {
      cr_assert_eq (thin_meta_next (rig.md, id, &id), 0);
      cr_assert_eq (id++, c.dump.dev);
      begin_device (&c);
    } else if (kind == 2)
      expect_mapping (&c);
  } while (kind);
  cr_assert_eq (thin_meta_next (rig.md, id, &id), -ENODATA);
}

static struct criterion_test_params
all_images (void)
{
  static char names[][40] = {
    "01-fresh-ctr-only", "02-empty", "03-snaps-overflow", "04-frag11k",
    "05-frag-shared-snap", "06-discard-delete", "07-metasnap-held",
    "08-needs-check", "09-toptree-one-child", "10-toptree-one-child-held",
    "11-md-extended-4bitmaps", "12-commit-enospc-needs-check",
    "13-det-insert", "14-det-remove", "16-handwritten",
    "17-md-resize-before", "18-md-resize-after",
  };

  return cr_make_param_array (char[40], names,
                              sizeof names / sizeof names[0]);
}

ParameterizedTestParameters (thin_fixtures, every_mapping_is_in_the_dump)
{
  return all_images ();
}

ParameterizedTest (char name[40], thin_fixtures, every_mapping_is_in_the_dump)
{
  char file[64];
  FILE *fp;

  load (name);
  snprintf (file, sizeof file, "%s.xml", name);
  fp = image_open_text (file);
  compare_with_dump (fp);
  cr_assert_eq (pclose (fp), 0);
  cr_assert_eq (thin_meta_needs_check (rig.md),
                strstr (name, "needs-check") != NULL);
  cr_assert_eq (rig_close (&rig), 0);
  cr_assert_eq (rig.dev->counts[BIO_WRITE] + rig.dev->counts[BIO_FLUSH], 0,
                "reading wrote something");
}

/* Flags and the place of the snapshot are those of the present. */
Test (thin_fixtures, a_metadata_snapshot_is_in_its_dump)
{
  uint32_t salt;
  FILE *fp;

  rig_start_on (&rig, image_load ("07-metasnap-held"));
  salt = image_block_salt (rig.dev->data);
  rig.dev->data[4] = THIN_NEEDS_CHECK;
  image_reseal (rig.dev->data, salt);
  rig.params.metadata_snapshot = true;
  cr_assert_eq (rig_open (&rig), 0);
  fp = image_open_text ("07-metasnap-held.metadata-snap.xml");
  compare_with_dump (fp);
  cr_assert_eq (pclose (fp), 0);
  cr_assert (thin_meta_needs_check (rig.md));
  cr_assert_eq (thin_meta_held_root (rig.md), 491);
  cr_assert_eq (thin_meta_transaction_id (rig.md), 0);
  cr_assert_eq (thin_meta_create_thin (rig.md, 77), -EPERM);
  cr_assert_eq (thin_meta_set_read_only (rig.md, false), -EPERM);
  cr_assert_eq (thin_meta_set_needs_check (rig.md), -EPERM);
  cr_assert_eq (rig_close (&rig), 0);
  cr_assert_eq (rig.dev->counts[BIO_WRITE] + rig.dev->counts[BIO_FLUSH], 0);
}

Test (thin_fixtures, without_a_metadata_snapshot_there_is_nothing_to_open)
{
  rig_start_on (&rig, image_load ("06-discard-delete"));
  rig.params.metadata_snapshot = true;
  cr_assert_eq (rig_open (&rig), -ENODATA);
}

Test (thin_fixtures, metadata_of_a_cache_are_no_pool)
{
  rig_start_on (&rig, image_load ("15-cache-array-bitset"));
  cr_assert_eq (rig_open (&rig), -EILSEQ);
}

/* Making them again. */

Test (thin_fixtures, formatting_makes_the_same_bytes)
{
  rig_start (&rig, 1024);
  cr_assert_eq (rig_open (&rig), 0);
  image_expect_same (rig.dev, "01-fresh-ctr-only");
  cr_assert_eq (thin_meta_resize_data (rig.md, 10240), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  image_expect_same (rig.dev, "02-empty");
  check_pool ("02 again");
}

Test (thin_fixtures, growing_metadata_makes_the_same_bytes)
{
  load ("17-md-resize-before");
  cr_assert_eq (thin_meta_resize_metadata (rig.md, 1024), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  image_expect_same (rig.dev, "18-md-resize-after");
}

Test (thin_fixtures, a_metadata_snapshot_and_a_collapse_make_the_same_bytes)
{
  load ("09-toptree-one-child");
  cr_assert_eq (thin_meta_reserve_snap (rig.md), 0);
  cr_assert_eq (thin_meta_delete (rig.md, 167), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  image_expect_same (rig.dev, "10-toptree-one-child-held");
  cr_assert_eq (thin_meta_release_snap (rig.md), 0);
  check_pool ("10 released");
}

/* Write COUNT blocks as a pool does: what may be shared is copied. */
static void
write_blocks (uint32_t id, block_t first, unsigned count)
{
  struct thin_mapping m;
  block_t b;
  int r;

  for (b = first; b < first + count; b++) {
    r = rig_find (&rig, id, b, &m);
    if (r == -ENODATA || (r == 0 && m.shared))
      r = rig_provision (&rig, id, b);
    cr_assert_eq (r, 0);
  }
}

static void
message (int r)
{
  cr_assert_eq (r, 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
}

/* The script that made 03, with snapshots within one transaction: sharing by
 * time, both sides stamped.
 */
static void
replay_03 (void)
{
  rig_format (&rig, 10240);
  message (thin_meta_create_thin (rig.md, 0));
  message (thin_meta_create_thin (rig.md, 1));
  message (thin_meta_create_thin (rig.md, 2));
  write_blocks (0, 0, 64);
  write_blocks (1, 5, 1);
  write_blocks (1, 1000, 1);
  write_blocks (1, 200000, 1);
  message (thin_meta_create_snap (rig.md, 10, 0));
  write_blocks (0, 0, 8);
  message (thin_meta_create_snap (rig.md, 11, 0));
  message (thin_meta_create_snap (rig.md, 12, 0));
  message (thin_meta_create_snap (rig.md, 13, 10));
  write_blocks (0, 20, 1);
  write_blocks (13, 21, 1);
  write_blocks (11, 300, 1);
  write_blocks (11, 22, 1);
  message (thin_meta_set_transaction_id (rig.md, 0, 7));
}

Test (thin_fixtures, the_script_of_03_makes_the_same_mappings)
{
  FILE *fp;

  rig_start (&rig, 1024);
  replay_03 ();
  fp = image_open_text ("03-snaps-overflow.xml");
  compare_with_dump (fp);
  pclose (fp);
  check_pool ("03 again");
}

/* The deterministic sequences: "insert DEV COUNT" or "remove DEV COUNT", then
 * the blocks.
 */
static void
play (const char *want)
{
  FILE *fp = image_open_text ("det-ops.txt");
  unsigned long d, n, block;
  char op[16];

  while (fscanf (fp, "%15s %lu %lu", op, &d, &n) == 3)
    while (n-- > 0) {
      cr_assert_eq (fscanf (fp, "%lu", &block), 1);
      if (strcmp (op, want) != 0)
        continue;
      if (op[0] == 'i')
        cr_assert_eq (rig_provision (&rig, d, block), 0);
      else
        cr_assert_eq (rig_remove (&rig, d, block, block + 1), 0);
      if (n % 97 == 0)
        cr_assert_eq (thin_meta_commit (rig.md), 0);
    }
  pclose (fp);
}

Test (thin_fixtures, insertions_and_removals_make_the_same_trees)
{
  rig_start (&rig, 1024);
  rig_format (&rig, 20480);
  message (thin_meta_create_thin (rig.md, 0));
  message (thin_meta_create_thin (rig.md, 1));
  play ("insert");
  image_expect_same_trees (rig.dev, "13-det-insert");
  play ("remove");
  image_expect_same_trees (rig.dev, "14-det-remove");
  check_pool ("14 again");
}

/* Going on where a kernel stopped. */
ParameterizedTestParameters (thin_fixtures, a_kernels_pool_can_be_changed)
{
  return all_images ();
}

ParameterizedTest (char name[40], thin_fixtures, a_kernels_pool_can_be_changed)
{
  uint32_t id;

  load (name);
  if (strstr (name, "12-")) /* full */
    message (thin_meta_resize_metadata (rig.md, 32));
  else {
    message (thin_meta_resize_data (rig.md, 50000));
    message (thin_meta_create_thin (rig.md, 500));
    cr_assert_eq (thin_meta_next (rig.md, 0, &id), 0);
    message (thin_meta_create_snap (rig.md, 501, id));
    write_blocks (501, 0, 300);
    write_blocks (id, 100, 300);
    write_blocks (500, 7, 1);
    cr_assert_eq (rig_remove (&rig, id, 50, 5000), 0);
    message (thin_meta_delete (rig.md, 500));
    if (thin_meta_held_root (rig.md))
      cr_assert_eq (thin_meta_release_snap (rig.md), 0);
  }
  cr_assert_eq (rig_close (&rig), 0);
  metacheck_assert (rig.dev->data, rig_bytes (&rig), name);
}
