/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools on their way through thin-provisioning-tools, and back. */

#include <criterion/criterion.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/folder.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

static struct thin_rig rig;
static struct folder folder;

/* In the folder; what it prints is shown if it fails. */
static int
run (const char *line)
{
  char command[PATH_MAX];

  snprintf (command, sizeof command, "cd %s && PATH=$PATH:/usr/sbin:/sbin && "
            "{ %s; } >log 2>&1 || { cat log >&2; false; }", folder.path, line);
  return system (command);
}

static void
set_up (void)
{
  if (system ("PATH=$PATH:/usr/sbin:/sbin; command -v thin_check thin_dump "
              "thin_restore thin_repair >/dev/null") != 0)
    cr_skip_test ("needs thin-provisioning-tools");
  folder_make (&folder);
}

static void
tear_down (void)
{
  rig_stop (&rig);
  if (folder.path[0])
    folder_remove (&folder);
}

TestSuite (thin_tools, .init = set_up, .fini = tear_down, .timeout = 120);

static void
must (int r)
{
  cr_assert_eq (r, 0, "%s", strerror (-r));
}

/* Some thins that share much, in no order; and one that was deleted. */
static void
make_pool (block_t nr_data)
{
  unsigned i;

  rig_start (&rig, 1024);
  rig_format (&rig, nr_data);
  must (thin_meta_create_thin (rig.md, 1));
  for (i = 0; i < nr_data / 4; i++)
    must (rig_provision (&rig, 1, i * 7919 % 100003));
  must (thin_meta_create_snap (rig.md, 2, 1));
  must (thin_meta_create_snap (rig.md, 3, 2));
  for (i = 0; i < nr_data / 8; i++)
    must (rig_provision (&rig, 1 + i % 3, i * 31));
  must (rig_remove (&rig, 2, 1000, 30000));
  must (thin_meta_create_thin (rig.md, 9));
  must (rig_provision (&rig, 9, 5));
  must (thin_meta_delete (rig.md, 9));
  must (thin_meta_set_transaction_id (rig.md, 0, 42));
  must (rig_close (&rig));
}

static char *
path_of (const char *name)
{
  static char path[PATH_MAX];

  snprintf (path, sizeof path, "%s/%s", folder.path, name);
  return path;
}

static void
save (const char *name)
{
  FILE *fp = fopen (path_of (name), "w");

  cr_assert_not_null (fp);
  cr_assert_eq (fwrite (rig.dev->data, rig_bytes (&rig), 1, fp), 1);
  fclose (fp);
}

/* Into the device of the rig, which is not open. */
static void
load (const char *name)
{
  FILE *fp = fopen (path_of (name), "r");

  cr_assert_not_null (fp);
  cr_assert_eq (fread (rig.dev->data, rig_bytes (&rig), 1, fp), 1);
  fclose (fp);
  must (rig_open (&rig));
}

/* All mappings, as one number. */
static uint64_t
sum_mappings (void)
{
  struct thin_device *td;
  struct thin_range run;
  uint64_t sum = thin_meta_transaction_id (rig.md);
  uint32_t id;
  block_t at;

  for (id = 0; thin_meta_next (rig.md, id, &id) == 0; id++) {
    must (thin_dev_open (rig.md, id, &td));
    sum = sum * 31 + id + thin_dev_mapped_blocks (td);
    for (at = 0; thin_dev_find_range (td, at, UINT64_MAX, &run) == 0;
         at = run.end)
      for (; run.begin < run.end; run.begin++, run.data_begin++)
        sum = sum * 31 + run.begin * 7 + run.data_begin * 3 + run.shared;
    thin_dev_close (td);
  }
  return sum;
}

static uint64_t
save_and_sum (void)
{
  uint64_t sum;

  save ("ours");
  must (rig_open (&rig));
  sum = sum_mappings ();
  rig_crash (&rig);
  must (run ("truncate -s 4M theirs"));
  return sum;
}

/* thin_dump 1.x calls what thins share by the numbers of its blocks. */
#define WITHOUT_NAMES(dump) \
  "sed 's/\\(def\\|ref\\) name=\"[0-9]*\"/\\1/' " dump " >" dump ".plain"

Test (thin_tools, what_was_restored_from_a_dump_is_the_same)
{
  uint64_t sum;

  make_pool (8000);
  sum = save_and_sum ();
  must (run ("thin_check ours && thin_dump ours -o dump && "
             "thin_restore -i dump -o theirs && thin_check theirs && "
             "thin_dump theirs -o again && "
             WITHOUT_NAMES ("dump") " && " WITHOUT_NAMES ("again") " && "
             "cmp dump.plain again.plain"));
  load ("theirs");
  cr_assert_eq (sum_mappings (), sum);
  must (thin_meta_create_snap (rig.md, 100, 1));
  must (rig_provision (&rig, 100, 7));
  must (rig_close (&rig));
  save ("ours");
  must (run ("thin_check ours"));
}

/* Damage to the maps, which the tool makes anew. */
Test (thin_tools, what_was_repaired_is_the_same)
{
  uint64_t sum;

  make_pool (8000);
  sum = save_and_sum ();
  must (run ("thin_repair -i ours -o theirs && thin_check theirs"));
  load ("theirs");
  cr_assert_eq (sum_mappings (), sum);
  must (thin_meta_delete (rig.md, 1));
  must (rig_close (&rig));
  save ("ours");
  must (run ("thin_check ours"));
}

/* Trap: thin_restore 0.9 counts wrongly what is free in its last bitmap, and
 * a kernel that grows such a pool finds no space in it.
 */
Test (thin_tools, a_restored_pool_grows)
{
  struct thin_meta_usage usage;
  block_t data;
  unsigned i;

  make_pool (100);
  save_and_sum ();
  must (run ("thin_dump ours -o dump && thin_restore -i dump -o theirs"));
  load ("theirs");
  must (thin_meta_resize_data (rig.md, 300));
  must (thin_meta_commit (rig.md));
  thin_meta_usage (rig.md, &usage);
  cr_assert_eq (usage.data_blocks, 300);
  cr_assert_gt (usage.data_free, 200);
  for (i = 0; i < usage.data_free; i++)
    must (thin_meta_alloc_data_block (rig.md, &data));
  cr_assert_eq (thin_meta_alloc_data_block (rig.md, &data), -ENOSPC);
}

Test (thin_tools, the_tools_see_a_metadata_snapshot)
{
  make_pool (1000);
  must (rig_open (&rig));
  must (thin_meta_reserve_snap (rig.md));
  must (thin_meta_delete (rig.md, 1));
  must (thin_meta_create_thin (rig.md, 50));
  must (rig_close (&rig));
  save ("ours");
  must (run ("thin_check ours && thin_dump -m ours -o held && "
             "grep -q 'dev_id=\"1\"' held && ! grep -q 'dev_id=\"50\"' held"));
}

Test (thin_tools, the_tools_clear_needs_check)
{
  make_pool (1000);
  must (rig_open (&rig));
  must (thin_meta_set_needs_check (rig.md));
  must (rig_close (&rig));
  save ("ours");
  must (run ("thin_check --clear-needs-check-flag ours"));
  load ("ours");
  cr_assert_not (thin_meta_needs_check (rig.md));
}
