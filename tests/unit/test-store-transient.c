/* SPDX-License-Identifier: BSD-3-Clause */
/* Transient stores: they count chunks, and that is all. */

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/store-rig.h"

static struct memdev *cow;
static struct store_rig rig;

static void
setup (void)
{
  cow = memdev_new ("cow", 46);
  memset (cow->data, 0xa5, 46 * SECTOR_SIZE);
  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "N 8"), 0);
}

static void
teardown (void)
{
  store_rig_close (&rig);
  memdev_free (cow);
}

TestSuite (store_transient, .init = setup, .fini = teardown);

Test (store_transient, uses_all_whole_chunks_and_no_metadata)
{
  char *CLEANUP_FREE before = store_rig_status (&rig);
  char *CLEANUP_FREE after = NULL;
  struct exception_run run;

  cr_expect_str_eq (before, "0/46 0");
  cr_expect_eq (store_rig_add (&rig, 9, 2), 0);
  cr_expect_eq (store_rig_add (&rig, 20, 4), -ENOSPC, "three are left");
  cr_expect_eq (store_rig_add (&rig, 20, 3), 0);
  cr_expect_eq (store_rig_add (&rig, 30, 1), -ENOSPC);
  cr_expect (exception_table_lookup (rig.table, 9, 9, &run));
  cr_expect_eq (run.new_chunk, 0);
  cr_expect_eq (run.len, 2);
  after = store_rig_status (&rig);
  cr_expect_str_eq (after, "40/46 0");
}

Test (store_transient, does_no_io)
{
  unsigned i, bios = 0;

  store_rig_add (&rig, 9, 2);
  cr_expect_eq (store_invalidate (rig.store), 0);
  for (i = 0; i <= BIO_PREFETCH; i++)
    bios += cow->counts[i];
  cr_expect_eq (bios, 0);
}

Test (store_transient, commits_in_any_order)
{
  struct prepared a = { .old_chunk = 1 }, b = { .old_chunk = 2 };

  cr_assert_eq (store_prepare (rig.store, &a, 1), 0);
  cr_assert_eq (store_prepare (rig.store, &b, 1), 0);
  cr_expect_eq (store_commit (rig.store, &b, 1, true), 0);
  cr_expect_eq (store_commit (rig.store, &a, 1, true), 0);
}

Test (store_transient, a_failed_copy_ends_it)
{
  struct prepared a = { .old_chunk = 1 }, b = { .old_chunk = 2 };

  cr_assert_eq (store_prepare (rig.store, &a, 1), 0);
  cr_expect_eq (store_commit (rig.store, &a, 1, false), -EIO);
  cr_expect_not (store_is_valid (rig.store));
  cr_expect_eq (store_prepare (rig.store, &b, 1), -EIO);
}
