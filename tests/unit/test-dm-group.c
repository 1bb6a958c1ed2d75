/* SPDX-License-Identifier: BSD-3-Clause */
/* Several devices at once: all of them or none. */

#include <criterion/criterion.h>

#include <errno.h>
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
  rig_create (reg, "low");
  rig_load (reg, "low", "0 64 probe disk 0 low");
  rig_resume (reg, "low");
  rig_create (reg, "top");
  rig_load (reg, "top", "0 64 probe low 0 top");
  rig_resume (reg, "top");
  rig_create (reg, "side");
  rig_load (reg, "side", "0 64 probe disk 128 side");
  rig_resume (reg, "side");
  free (probe_log ());
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (disk);
}

TestSuite (group, .init = setup, .fini = teardown, .timeout = 60);

static const char *const three[] = { "low", "side", "top" };

typedef int (*group_fn) (struct registry *, const char *const[], size_t,
                         uint32_t, struct dm_wait *, FILE *,
                         struct message *);

/* The result; what was reported has to be this. */
static int
run (group_fn fn, const char *const names[], size_t n, const char *expected)
{
  struct message msg = { "" };
  char *text;
  size_t len;
  FILE *report = open_memstream (&text, &len);
  int r = fn (reg, names, n, 0, NULL, report, &msg);

  fclose (report);
  cr_expect_str_eq (text, expected);
  cr_expect ((r < 0) == message_is_set (&msg));
  free (text);
  return r;
}

static bool
is_suspended (const char *name)
{
  return rig_info (reg, name).flags & DM_SUSPEND_FLAG;
}

static char *
table_of (const char *name, uint32_t flags)
{
  static char *text;

  free (text);
  cr_assert_eq (dm_table_text (reg, DM_REF_NAME (name), flags, &text, NULL),
                0);
  return text;
}

Test (group, upper_devices_are_suspended_first_and_resumed_last)
{
  cr_assert_eq (run (dm_group_suspend, three, 3,
                     "suspend top\nsuspend low\nsuspend side\n"), 0);
  cr_assert (is_suspended ("top") && is_suspended ("low") &&
             is_suspended ("side"));
  cr_assert_eq (run (dm_group_resume, three, 3,
                     "resume side\nresume low\nresume top\n"), 0);
  cr_assert_not (is_suspended ("top") || is_suspended ("low") ||
                 is_suspended ("side"));
}

Test (group, all_names_must_be_known)
{
  static const char *const names[] = { "low", "nosuch" };

  cr_assert_eq (run (dm_group_suspend, names, 2, ""), -ENXIO);
  cr_assert_not (is_suspended ("low"));
}

Test (group, what_was_suspended_before_stays_so)
{
  rig_suspend (reg, "side");
  cr_assert_eq (run (dm_group_suspend, three, 3,
                     "suspend top\nsuspend low\n"), 0);
  cr_assert_eq (run (dm_group_resume, three + 2, 1, "resume top\n"), 0);
  cr_assert_eq (run (dm_group_resume, three + 2, 1, ""), 0);
  cr_assert (is_suspended ("side") && is_suspended ("low"));
}

static void *
suspend_all (void *opaque)
{
  char *text;
  size_t len;
  FILE *report = open_memstream (&text, &len);
  long r = dm_group_suspend (reg, three, 3, 0, opaque, report, NULL);

  fclose (report);
  free (text);
  return (void *) r;
}

Test (group, a_suspend_that_is_broken_off_undoes_the_others)
{
  struct mapped_device *md;
  struct dm_wait wait;
  pthread_t suspender;
  struct io slow;
  void *r;

  cr_assert_eq (dm_open (reg, "side", &md, NULL), 0);
  disk->stalled = true;
  io_start (&slow, dm_block_device (md), BIO_WRITE, 0, 8, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  dm_wait_init (&wait);
  pthread_create (&suspender, NULL, suspend_all, &wait);
  cr_assert (EVENTUALLY (is_suspended ("low")));
  dm_wait_cancel (&wait);
  pthread_join (suspender, &r);
  dm_wait_destroy (&wait);
  cr_assert_eq ((long) r, -EINTR);
  cr_assert_not (is_suspended ("top") || is_suspended ("low") ||
                 is_suspended ("side"));
  disk->stalled = false;
  cr_assert_eq (io_join (&slow), 0);
  dm_close (md);
}

Test (group, a_resume_takes_all_new_tables_live)
{
  rig_load (reg, "low", "0 128 probe disk 256 low");
  rig_load (reg, "top", "0 128 probe low 0 top");
  cr_assert_eq (run (dm_group_resume, three, 3,
                     "suspend top\nsuspend low\nswap low\nswap top\n"
                     "resume low\nresume top\n"), 0);
  cr_assert_str_eq (table_of ("top", 0), "0 128 probe low 0 top\n");
  cr_assert_str_eq (table_of ("low", 0), "0 128 probe disk 256 low\n");
  cr_assert_str_eq (table_of ("low", DM_QUERY_INACTIVE_TABLE_FLAG), "");
}

Test (group, tables_of_a_resume_that_fails_go_back)
{
  rig_create (reg, "new");
  rig_load (reg, "low", "0 64 linear disk 256");
  rig_load (reg, "top", "0 128 linear low 0"); /* too long */
  cr_assert_eq (run (dm_group_resume, three, 3,
                     "suspend top\nsuspend low\nswap low\nswap back low\n"
                     "resume again low\nresume again top\n"), -EINVAL);
  cr_assert_str_eq (table_of ("low", 0), "0 64 probe disk 0 low\n");
  cr_assert_str_eq (table_of ("low", DM_QUERY_INACTIVE_TABLE_FLAG),
                    "0 64 linear disk 256\n");
  cr_assert_str_eq (table_of ("top", DM_QUERY_INACTIVE_TABLE_FLAG),
                    "0 128 linear low 0\n");
  cr_assert_not (is_suspended ("top") || is_suspended ("low"));
}

Test (group, a_preresume_that_fails_undoes_the_resumes)
{
  rig_load (reg, "side", "0 64 linear disk 256");
  cr_assert_eq (run (dm_group_suspend, three, 3,
                     "suspend top\nsuspend low\nsuspend side\n"), 0);
  probe.preresume_error = -EUCLEAN;
  cr_assert_eq (run (dm_group_resume, three, 3,
                     "swap side\nresume side\nsuspend again side\n"
                     "swap back side\n"), -EUCLEAN);
  probe.preresume_error = 0;
  cr_assert (is_suspended ("top") && is_suspended ("low") &&
             is_suspended ("side"));
  cr_assert_str_eq (table_of ("side", 0), "0 64 probe disk 128 side\n");
}

Test (group, a_new_device_keeps_its_table_suspended)
{
  static const char *const names[] = { "new", "low" };

  rig_create (reg, "new");
  rig_load (reg, "new", "0 8 zero");
  rig_suspend (reg, "low");
  probe.preresume_error = -EUCLEAN;
  cr_assert_eq (run (dm_group_resume, names, 2,
                     "suspend new\nswap new\n"), -EUCLEAN);
  probe.preresume_error = 0;
  cr_assert (is_suspended ("new"));
  cr_assert_str_eq (table_of ("new", 0), "0 8 zero \n");
}

/* A removal that it sets off must not wait for the group itself. */
Test (group, an_old_table_may_take_a_lower_device_along)
{
  bool removed;

  rig_load (reg, "low", "0 64 linear disk 256");
  rig_load (reg, "top", "0 64 linear disk 0");
  cr_assert_eq (dm_device_remove (reg, DM_REF_NAME ("low"), DM_DEFERRED_REMOVE,
                                  &removed, NULL), 0);
  cr_assert_not (removed);
  cr_assert_eq (run (dm_group_resume, three, 3,
                     "suspend top\nsuspend low\nswap low\nswap top\n"
                     "resume low\nresume top\n"), 0);
  cr_assert_eq (dm_device_info (reg, DM_REF_NAME ("low"), 0, NULL, NULL),
                -ENXIO);
}
