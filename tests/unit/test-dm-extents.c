/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device holds, as a list. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
  rig_create (reg, "a");
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (disk);
}

TestSuite (extents, .init = setup, .fini = teardown, .timeout = 60);

/* "BEGIN+LENGTH:FLAGS …", or the error as a number. */
static const char *
extents (sector_t begin, sector_t len)
{
  struct message msg = { "" };
  struct nbdm_extent *list;
  static char text[256];
  size_t i, n;
  int r, at = 0;

  r = dm_extents (reg, DM_REF_NAME ("a"), begin, len, NULL, &list, &n, &msg);
  cr_assert ((r < 0) == message_is_set (&msg));
  text[0] = '\0';
  if (r < 0)
    snprintf (text, sizeof text, "%d", r);
  for (i = 0; i < n; i++)
    at += snprintf (text + at, sizeof text - at, "%lu+%lu:%u ",
                    (unsigned long) list[i].begin,
                    (unsigned long) list[i].len, list[i].flags);
  free (list);
  return text;
}

static void
resume (const char *table)
{
  rig_load (reg, "a", table);
  rig_resume (reg, "a");
}

Test (extents, neighbours_are_merged_and_ends_are_cut)
{
  resume ("0 8 linear disk 0\n8 8 linear disk 64\n16 16 zero");
  cr_assert_str_eq (extents (0, 0), "0+16:0 16+16:3 ");
  cr_assert_str_eq (extents (4, 20), "4+12:0 16+8:3 ");
  cr_assert_str_eq (extents (16, 16), "16+16:3 ");
  cr_assert_str_eq (extents (32, 0), "");
}

Test (extents, what_cannot_be_told_is_an_error)
{
  char error[8];

  snprintf (error, sizeof error, "%d", -ENODEV);
  cr_assert_str_eq (extents (0, 0), error);
  resume ("0 8 zero");
  snprintf (error, sizeof error, "%d", -EINVAL);
  cr_assert_str_eq (extents (9, 0), error);
  cr_assert_str_eq (extents (8, 1), error);
  cr_assert_str_eq (extents (1, UINT64_MAX), error);
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("a"), 0, NULL, NULL), 0);
  snprintf (error, sizeof error, "%d", -ENXIO);
  cr_assert_str_eq (extents (0, 0), error);
}

/* One that tells more pieces than fit into a reply. */
Test (extents, a_list_has_an_end)
{
  struct nbdm_extent *list;
  char *table, *p;
  size_t n;
  unsigned i;

  p = table = malloc (80 * (DM_MAX_EXTENTS + 2));
  for (i = 0; i < DM_MAX_EXTENTS + 2; i++)
    p += sprintf (p, i % 2 ? "%u 1 linear disk 0\n" : "%u 1 zero\n", i);
  resume (table);
  free (table);
  cr_assert_eq (dm_extents (reg, DM_REF_NAME ("a"), 0, 0, NULL, &list, &n,
                            NULL), 0);
  cr_assert_eq (n, DM_MAX_EXTENTS);
  cr_assert_eq (list[n - 1].begin + list[n - 1].len, DM_MAX_EXTENTS);
  free (list);
  cr_assert_eq (dm_extents (reg, DM_REF_NAME ("a"), DM_MAX_EXTENTS, 0, NULL,
                            &list, &n, NULL), 0);
  cr_assert_eq (n, 2);
  free (list);
}

static void *
cancel_soon (void *wait)
{
  usleep (50000);
  dm_wait_cancel (wait);
  return NULL;
}

Test (extents, a_wait_for_a_suspended_device_can_be_broken_off)
{
  struct nbdm_extent *list;
  struct dm_wait wait;
  pthread_t thread;
  size_t n;

  rig_create (reg, "low");
  rig_load (reg, "low", "0 8 zero");
  rig_resume (reg, "low");
  resume ("0 8 linear low 0");
  rig_suspend (reg, "low");
  dm_wait_init (&wait);
  cr_assert_eq (pthread_create (&thread, NULL, cancel_soon, &wait), 0);
  cr_assert_eq (dm_extents (reg, DM_REF_NAME ("a"), 0, 0, &wait, &list, &n,
                            NULL), -EINTR);
  pthread_join (thread, NULL);
  dm_wait_destroy (&wait);
  rig_resume (reg, "low");
  cr_assert_str_eq (extents (0, 0), "0+8:3 ");
}
