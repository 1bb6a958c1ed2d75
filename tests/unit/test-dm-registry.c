/* SPDX-License-Identifier: BSD-3-Clause */
/* Names, numbers, openers. */

#include <criterion/criterion.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (disk);
}

TestSuite (registry, .init = setup, .fini = teardown, .timeout = 60);

static int
create (const char *name, const char *uuid)
{
  return dm_device_create (reg, name, uuid, 0, 0, NULL, NULL);
}

static int
rename_to (const char *name, const char *new_name)
{
  return dm_device_rename (reg, name, new_name, 0, NULL, NULL);
}

static int
set_uuid (const char *name, const char *uuid)
{
  return dm_device_rename (reg, name, uuid, DM_UUID_FLAG, NULL, NULL);
}

static int
find (const char *name, const char *uuid, uint64_t dev)
{
  const struct dm_ref ref = { name, uuid, dev };

  return dm_device_info (reg, &ref, 0, NULL, NULL);
}

static bool
exists (const char *name)
{
  return find (name, NULL, 0) == 0;
}

/* A string of n letters. */
static const char *
letters (size_t n)
{
  static char buf[256];

  memset (buf, 'x', n);
  buf[n] = '\0';
  return buf;
}

Test (registry, names_have_rules)
{
  static const char *const bad[] = { "", ".", "..", "control", "a/b", "/" };
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_eq (create (bad[i], ""), -EINVAL, "'%s'", bad[i]);
  cr_expect_eq (create (letters (128), ""), -EINVAL);
  cr_expect_eq (create (letters (127), ""), 0);
  cr_expect_eq (create ("...", ""), 0);
  cr_expect_eq (create ("a b", "with/slash"), 0);
  cr_expect_eq (create ("long", letters (129)), -EINVAL);
  cr_expect_eq (create ("long", letters (128)), 0);
}

Test (registry, names_and_uuids_are_unique)
{
  struct message msg = { "" };

  cr_assert_eq (create ("a", "U"), 0);
  cr_assert_eq (create ("a", ""), -EBUSY);
  cr_assert_eq (dm_device_create (reg, "b", "U", 0, 0, NULL, &msg), -EBUSY);
  cr_assert (strstr (msg.text, "uuid U"));
  cr_assert_eq (create ("A", "u"), 0);
}

Test (registry, numbers_are_the_lowest_free_unless_asked_for)
{
  struct dm_info info;
  uint64_t dev = dm_encode_dev (DM_NUMBER (7, 300));

  cr_assert_eq (create ("a", ""), 0);
  cr_assert_eq (create ("b", ""), 0);
  cr_assert_eq (create ("c", ""), 0);
  rig_remove (reg, "b");
  cr_assert_eq (dm_device_create (reg, "d", "", 0, 0, &info, NULL), 0);
  cr_assert_eq (info.dev, dm_encode_dev (DM_NUMBER (DM_BLOCK_MAJOR, 1)));
  cr_assert_eq (dm_device_create (reg, "e", "", DM_PERSISTENT_DEV_FLAG, dev,
                                  &info, NULL), 0);
  cr_assert_eq (info.dev, dm_encode_dev (DM_NUMBER (DM_BLOCK_MAJOR, 300)));
  /* The number is looked at before the name. */
  cr_assert_eq (dm_device_create (reg, "a", "", DM_PERSISTENT_DEV_FLAG, dev,
                                  NULL, NULL), -ENXIO);
  cr_assert_eq (dm_device_create (reg, "f", "", 0, 0, &info, NULL), 0);
  cr_assert_eq (info.dev, dm_encode_dev (DM_NUMBER (DM_BLOCK_MAJOR, 3)));
}

Test (registry, numbers_are_encoded_as_the_kernel_does)
{
  cr_assert_eq (dm_encode_dev (DM_NUMBER (254, 3)), 0xfe03);
  cr_assert_eq (dm_encode_dev (DM_NUMBER (600, 0x12345)), 0x12325845);
}

Test (registry, a_device_is_found_by_exactly_one_of_its_names)
{
  uint64_t dev = dm_encode_dev (DM_NUMBER (DM_BLOCK_MAJOR, 0));

  cr_assert_eq (create ("a", "U"), 0);
  cr_expect_eq (find ("a", NULL, 0), 0);
  cr_expect_eq (find ("", "U", 0), 0);
  cr_expect_eq (find (NULL, NULL, dev), 0);
  cr_expect_eq (find ("a", "U", 0), -ENXIO);
  cr_expect_eq (find ("a", "", dev), -ENXIO);
  cr_expect_eq (find ("", "U", dev), -ENXIO);
  cr_expect_eq (find ("", "", 0), -ENXIO);
  cr_expect_eq (find ("b", "", 0), -ENXIO);
  cr_expect_eq (find ("", "", dev + 1), -ENXIO);
  cr_expect_eq (find ("", "", dm_encode_dev (DM_NUMBER (253, 0))), -ENXIO);
}

Test (registry, lists_are_in_the_order_of_names)
{
  static const char *const sorted[] = { "B", "a", "b", "c" };
  struct dm_info *infos;
  size_t i, n;

  cr_assert_eq (create ("b", "") | create ("a", "") | create ("z", "") |
                create ("B", ""), 0);
  cr_assert_eq (rename_to ("z", "c"), 0);
  cr_assert_eq (dm_list (reg, &infos, &n), 0);
  cr_assert_eq (n, 4);
  for (i = 0; i < n; i++)
    cr_expect_str_eq (infos[i].name, sorted[i]);
  free (infos);
}

Test (registry, renaming_is_checked_in_the_kernels_order)
{
  struct message msg = { "" };

  cr_assert_eq (create ("a", "U"), 0);
  cr_assert_eq (create ("b", ""), 0);
  cr_expect_eq (rename_to ("nosuch", ""), -EINVAL);
  cr_expect_eq (rename_to ("nosuch", "a/b"), -EINVAL);
  cr_expect_eq (rename_to ("nosuch", letters (128)), -EINVAL);
  cr_expect_eq (rename_to ("nosuch", "a"), -EBUSY);
  cr_expect_eq (rename_to ("nosuch", "q"), -ENXIO);
  cr_expect_eq (dm_device_rename (reg, "a", "a", 0, NULL, &msg), -EBUSY);
  cr_expect_str_eq (msg.text, "Unable to change name on mapped device a to "
                    "one that already exists: a");
  cr_expect_eq (rename_to ("a", ".."), -EINVAL);
  cr_expect_eq (set_uuid ("nosuch", ""), -EINVAL);
  cr_expect_eq (set_uuid ("nosuch", letters (129)), -EINVAL);
  cr_expect_eq (set_uuid ("nosuch", "U"), -EBUSY);
  cr_expect_eq (set_uuid ("nosuch", "V"), -ENXIO);
  cr_expect_eq (set_uuid ("a", "V"), -EINVAL);
  cr_expect_eq (set_uuid ("b", "a/b"), 0);
  cr_expect_eq (find (NULL, "a/b", 0), 0);
  cr_expect_eq (rename_to ("a", "c"), 0);
  cr_expect (exists ("c") && !exists ("a"));
}

Test (registry, an_open_device_is_not_removed)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  struct message msg = { "" };

  cr_assert_eq (rig_info (reg, "a").open_count, 1);
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), 0, NULL, &msg),
                -EBUSY);
  cr_assert_str_eq (msg.text, "unable to remove open device a");
  dm_close (md);
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), 0, NULL, NULL), 0);
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), 0, NULL, NULL),
                -ENXIO);
}

Test (registry, opening_needs_a_live_table)
{
  struct mapped_device *md;

  cr_assert_eq (dm_open (reg, "a", &md, NULL), -ENXIO);
  rig_create (reg, "a");
  rig_load (reg, "a", "0 8 linear disk 0");
  cr_assert_eq (dm_open (reg, "a", &md, NULL), -ENODEV);
  rig_resume (reg, "a");
  cr_assert_eq (dm_open (reg, "a", &md, NULL), 0);
  dm_close (md);
}

Test (registry, a_deferred_remove_waits_for_the_last_close)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  struct mapped_device *again;
  bool removed;

  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), DM_DEFERRED_REMOVE,
                                  &removed, NULL), 0);
  cr_assert (!removed);
  cr_assert (rig_info (reg, "a").flags & DM_DEFERRED_REMOVE);
  cr_assert_eq (dm_open (reg, "a", &again, NULL), 0);
  cr_assert_eq (io_run (&md->bdev, BIO_WRITE, 0, 1, 'x'), 0);
  dm_close (md);
  cr_assert (exists ("a"));
  dm_close (again);
  cr_assert (!exists ("a"));
}

Test (registry, a_deferred_remove_can_be_taken_back)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  char text[] = "@cancel_deferred_remove", *reply;

  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), DM_DEFERRED_REMOVE,
                                  NULL, NULL), 0);
  cr_assert_eq (dm_device_message (reg, DM_REF_NAME ("a"), 0, text, &reply,
                                   NULL, NULL), 0);
  dm_close (md);
  cr_assert (exists ("a"));
}

Test (registry, a_deferred_remove_of_an_unopened_device_is_done_at_once)
{
  bool removed;

  rig_create (reg, "a");
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), DM_DEFERRED_REMOVE,
                                  &removed, NULL), 0);
  cr_assert (removed && !exists ("a"));
}

Test (registry, a_stack_of_deferred_removes_comes_down_by_itself)
{
  struct mapped_device *top;

  rig_create (reg, "low");
  rig_load (reg, "low", "0 8 linear disk 0");
  rig_resume (reg, "low");
  rig_create (reg, "mid");
  rig_load (reg, "mid", "0 8 linear low 0");
  rig_resume (reg, "mid");
  top = rig_start (reg, "top", "0 8 linear mid 0");
  cr_assert_eq (dm_remove_all (reg, DM_DEFERRED_REMOVE), 3);
  dm_close (top);
  cr_assert (!exists ("top") && !exists ("mid") && !exists ("low"));
}

Test (registry, remove_all_takes_what_is_not_open)
{
  struct mapped_device *b = rig_start (reg, "b", "0 8 linear disk 0");

  rig_create (reg, "a");
  rig_load (reg, "a", "0 8 linear b 0");
  rig_create (reg, "c");
  cr_assert_eq (dm_remove_all (reg, 0), 1);
  cr_assert (!exists ("a") && exists ("b") && !exists ("c"));
  dm_close (b);
  cr_assert_eq (dm_remove_all (reg, 0), 0);
}

Test (registry, an_inactive_table_holds_what_it_opened)
{
  rig_create (reg, "low");
  rig_create (reg, "top");
  rig_load (reg, "top", "0 8 linear low 0");
  cr_assert_eq (rig_info (reg, "low").open_count, 1);
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("low"), 0, NULL, NULL),
                -EBUSY);
  cr_assert_eq (dm_table_clear (reg, DM_REF_NAME ("top"), NULL, NULL), 0);
  rig_remove (reg, "low");
}

Test (registry, both_tables_of_a_device_are_one_opener)
{
  rig_create (reg, "low");
  rig_create (reg, "top");
  rig_load (reg, "top", "0 8 linear low 0");
  cr_assert_eq (dm_device_resume (reg, DM_REF_NAME ("top"), 0, NULL, NULL,
                                  NULL), 0);
  rig_load (reg, "top", "0 8 linear low 8");
  cr_assert_eq (rig_info (reg, "low").open_count, 1);
  cr_assert_eq (rig_try_load (reg, "top", "0 8 linear low 0",
                              DM_READONLY_FLAG, NULL), 0);
  cr_assert_eq (rig_info (reg, "low").open_count, 2, "another mode");
  cr_assert_eq (dm_table_clear (reg, DM_REF_NAME ("top"), NULL, NULL), 0);
  cr_assert_eq (rig_info (reg, "low").open_count, 1);
  rig_remove (reg, "top");
  cr_assert_eq (rig_info (reg, "low").open_count, 0);
  rig_remove (reg, "low");
}

Test (registry, nothing_stands_on_itself)
{
  struct message msg = { "" };

  rig_create (reg, "a");
  rig_create (reg, "b");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 linear a 0", 0, &msg), -ELOOP);
  cr_assert (strstr (msg.text, "a would come to stand on itself"));
  rig_load (reg, "a", "0 8 linear b 0");
  cr_assert_eq (rig_try_load (reg, "b", "0 8 linear a 0", 0, NULL), -ELOOP);
  cr_assert_eq (rig_info (reg, "b").open_count, 1);
  cr_assert_eq (rig_info (reg, "a").open_count, 0);
}

static void
name_and_table (unsigned i, char name[16], char table[64])
{
  snprintf (name, 16, "d%u", i);
  /* Two edges each: twice as many ways down on every storey. */
  snprintf (table, 64, "0 4 linear d%u 0\n4 4 linear d%u 4", i - 1, i - 1);
}

Test (registry, stacks_end_at_a_depth)
{
  char name[16], table[64];
  unsigned i;

  rig_create (reg, "d0");
  rig_load (reg, "d0", "0 8 linear disk 0");
  rig_resume (reg, "d0");
  for (i = 1; i < MD_MAX_DEPTH; i++) {
    name_and_table (i, name, table);
    rig_create (reg, name);
    rig_load (reg, name, table);
    rig_resume (reg, name);
  }
  name_and_table (i, name, table);
  rig_create (reg, name);
  cr_assert_eq (rig_try_load (reg, name, table, 0, NULL), -ELOOP);
  /* Nor can the stack be lifted from below. */
  rig_create (reg, "ground");
  cr_assert_eq (rig_try_load (reg, "d0", "0 8 linear ground 0", 0, NULL),
                -ELOOP);
  rig_load (reg, "d0", "0 8 linear disk 8");
}

/* As many as may be stacked, each on the last one. */
static void
make_stack (unsigned n)
{
  char name[16], table[64];
  unsigned i;

  rig_create (reg, "d0");
  for (i = 1; i < n; i++) {
    name_and_table (i, name, table);
    rig_create (reg, name);
    rig_load (reg, name, table);
  }
}

Test (registry, a_stack_that_was_lowered_can_be_lifted_again)
{
  rig_create (reg, "ground");
  make_stack (MD_MAX_DEPTH - 1);
  rig_load (reg, "d0", "0 8 linear ground 0");
  cr_assert_eq (rig_try_load (reg, "ground", "0 8 linear base 0", 0, NULL),
                -ENODEV);
  rig_create (reg, "base");
  cr_assert_eq (rig_try_load (reg, "ground", "0 8 linear base 0", 0, NULL),
                -ELOOP);
  cr_assert_eq (dm_table_clear (reg, DM_REF_NAME ("d0"), NULL, NULL), 0);
  rig_load (reg, "ground", "0 8 linear base 0");
  cr_assert_eq (rig_try_load (reg, "d0", "0 8 linear ground 0", 0, NULL),
                -ELOOP);
}

Test (registry, what_stands_on_it_at_a_distance_is_no_ground)
{
  make_stack (20);
  cr_assert_eq (rig_try_load (reg, "d0", "0 8 linear d19 0", 0, NULL), -ELOOP);
  rig_create (reg, "other");
  rig_load (reg, "other", "0 8 linear d10 0");
  rig_load (reg, "d0", "0 8 linear disk 0");
}

/* ------------------------------------------------------------------
 * Many.
 */

#define MANY 1000

static void
many_name (unsigned i, char name[16])
{
  snprintf (name, 16, "many-%u", i * 7919 % MANY);
}

static void
check_many (unsigned open_count)
{
  struct dm_info *infos;
  size_t i, n;

  cr_assert_eq (dm_list (reg, &infos, &n), 0);
  cr_assert_eq (n, MANY + 2);
  for (i = 1; i < n; i++)
    cr_assert_lt (strcmp (infos[i - 1].name, infos[i].name), 0);
  for (i = 1; i <= MANY; i++)
    cr_assert_eq (infos[i].open_count, open_count, "%s", infos[i].name);
  free (infos);
}

/* All of them on one, and one on all of them. */
Test (registry, many_devices_come_swap_and_go)
{
  char name[16], *top, *end;
  unsigned i;

  top = end = malloc (MANY * 64);
  rig_create (reg, "base");
  for (i = 0; i < MANY; i++) {
    many_name (i, name);
    rig_create (reg, name);
    rig_load (reg, name, "0 8 linear disk 0");
    rig_resume (reg, name);
    end += sprintf (end, "%u 8 linear %s 0\n", i * 8, name);
  }
  rig_create (reg, "top");
  check_many (0);
  rig_load (reg, "top", top);
  check_many (1);
  for (i = 0; i < MANY; i++) {
    many_name (i, name);
    rig_load (reg, name, "0 8 linear base 0");
    cr_assert_eq (find (name, "", 0), 0);
  }
  cr_assert_eq (rig_info (reg, "base").open_count, MANY);
  cr_assert_eq (dm_remove_all (reg, 0), 0);
  cr_assert_eq (find (name, "", 0), -ENXIO);
  free (top);
}

Test (registry, the_global_event_counter_counts_what_the_kernel_counts)
{
  uint32_t n = registry_event_nr (reg);

#define COUNTS(k) cr_expect_eq (registry_event_nr (reg), n += (k))
  rig_create (reg, "a");
  COUNTS (1);
  rig_load (reg, "a", "0 8 linear disk 0");
  COUNTS (0);
  rig_suspend (reg, "a");
  COUNTS (0);
  rig_resume (reg, "a"); /* with a swap */
  COUNTS (1);
  rig_suspend (reg, "a");
  rig_resume (reg, "a");
  COUNTS (0);
  rename_to ("a", "b"); /* and a table event */
  COUNTS (2);
  rename_to ("a", "c");
  COUNTS (0);
  rig_remove (reg, "b"); /* and a table event */
  COUNTS (2);
  rig_create (reg, "a");
  rig_remove (reg, "a"); /* has no table */
  COUNTS (2);
  dm_remove_all (reg, 0);
  COUNTS (1);
}

static void
count_poll (void *opaque)
{
  ++*(atomic_int *) opaque;
}

Test (registry, whoever_polls_is_told_until_he_goes)
{
  atomic_int n = 0;

  registry_on_event (reg, count_poll, &n);
  rig_create (reg, "a");
  cr_assert_eq (n, 1);
  registry_on_event (reg, NULL, NULL);
  rig_create (reg, "b");
  cr_assert_eq (n, 1);
}

Test (registry, after_a_shutdown_nothing_is_created_or_opened)
{
  struct mapped_device *md;
  struct message msg = { "" };

  rig_create (reg, "a");
  cr_assert (registry_shutdown (reg, 0));
  cr_assert_eq (dm_device_create (reg, "b", "", 0, 0, NULL, &msg),
                -ESHUTDOWN);
  cr_assert_str_eq (msg.text, "the server is shutting down");
  cr_assert_eq (dm_open (reg, "a", &md, NULL), -ESHUTDOWN);
  cr_assert_eq (find ("a", NULL, 0), -ESHUTDOWN);
}
