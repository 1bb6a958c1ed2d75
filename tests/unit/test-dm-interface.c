/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs on tables, and what they tell. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk, *other;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
  other = memdev_add ("other", 1024);
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (other);
  memdev_remove (disk);
}

TestSuite (verbs, .init = setup, .fini = teardown, .timeout = 60);

static char *
text_of (const char *name, uint32_t flags)
{
  char *text;

  cr_assert_eq (dm_table_text (reg, DM_REF_NAME (name), flags, &text, NULL),
                0);
  return text;
}

static void
expect_text (const char *name, uint32_t flags, const char *expected)
{
  char *text = text_of (name, flags);

  cr_expect_str_eq (text, expected);
  free (text);
}

/* ------------------------------------------------------------------
 * Load and clear.
 */

Test (verbs, the_first_load_checks_limits_and_later_ones_do_not)
{
  struct message msg = { "" };

  rig_create (reg, "a");
  cr_assert_eq (rig_try_load (reg, "a", "0 2000 linear disk 0", 0, &msg),
                -EINVAL);
  cr_assert (strstr (msg.text, "disk too small for target"), "%s", msg.text);
  cr_assert_eq (rig_info (reg, "a").flags, 0);
  rig_load (reg, "a", "0 8 linear disk 0");
  cr_assert_eq (rig_try_load (reg, "a", "0 2000 linear disk 0", 0, NULL), 0);
}

Test (verbs, the_check_of_limits_can_be_left_to_the_swap)
{
  rig_create (reg, "a");
  cr_assert_eq (rig_try_load (reg, "a", "0 2000 linear disk 0",
                              DM_LOAD_LATE_LIMITS, NULL), 0);
  cr_assert_eq (dm_device_swap (reg, DM_REF_NAME ("a"), NULL), -EINVAL);
  cr_assert_eq (rig_info (reg, "a").flags, DM_INACTIVE_PRESENT_FLAG);
}

Test (verbs, a_failed_load_leaves_the_inactive_table_alone)
{
  struct message msg = { "" };

  rig_create (reg, "a");
  rig_load (reg, "a", "0 8 probe disk 0 A");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 probe other 0 B\n"
                              "9 8 probe disk 0 C", 0, &msg), -EINVAL);
  cr_assert (strstr (msg.text, "a: table line 2"), "%s", msg.text);
  cr_assert_eq (rig_try_load (reg, "a", "", 0, &msg), -EINVAL);
  cr_assert_eq (probe.constructed, 1);
  expect_text ("a", DM_QUERY_INACTIVE_TABLE_FLAG, "0 8 probe disk 0 A\n");
}

Test (verbs, a_table_that_is_replaced_dies_after_the_new_one_is_staged)
{
  char *log;

  rig_create (reg, "a");
  rig_load (reg, "a", "0 8 probe disk 0 A");
  rig_load (reg, "a", "0 8 probe disk 0 B");
  log = probe_log ();
  cr_assert_str_eq (log, " ctr:A ctr:B dtr:A");
  free (log);
  cr_assert_eq (dm_table_clear (reg, DM_REF_NAME ("a"), NULL, NULL), 0);
  cr_assert_eq (dm_table_clear (reg, DM_REF_NAME ("a"), NULL, NULL), 0);
  cr_assert_eq (probe.constructed, 0);
}

Test (verbs, an_immutable_target_gives_way_to_its_own_type_and_wildcards)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 frozen disk 0 A");
  struct message msg = { "" };

  cr_assert_eq (rig_try_load (reg, "a", "0 8 probe disk 0 B", 0, &msg),
                -EINVAL);
  cr_assert_str_eq (msg.text, "a: can't replace immutable target type frozen");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 frozen disk 0 B", 0, NULL), 0);
  cr_assert_eq (rig_try_load (reg, "a", "0 8 error", 0, NULL), 0);
  rig_resume (reg, "a");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 probe disk 0 B", 0, NULL), 0);
  rig_stop (md);
}

static bool
is_gone (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);
  return md->gone;
}

static unsigned
holders (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);
  return md->holders;
}

/* A load whose constructors take until the device is gone. */
static void *
load_main (void *opaque)
{
  struct mapped_device *md = registry_find_name (reg, "a");
  struct dm_table *t = table_new (md, false);

  cr_assert (EVENTUALLY (is_gone (md)));
  *(bool *) opaque = md_stage_table (md, t) == t;
  table_destroy (t);
  md_put (md);
  return NULL;
}

Test (verbs, nothing_is_staged_on_a_device_that_is_removed)
{
  struct mapped_device *md;
  pthread_t thread;
  bool refused = false;

  rig_create (reg, "a");
  md = registry_find_name (reg, "a");
  cr_assert_eq (pthread_create (&thread, NULL, load_main, &refused), 0);
  cr_assert (EVENTUALLY (holders (md) == 2));
  md_put (md);
  rig_remove (reg, "a");
  pthread_join (thread, NULL);
  cr_assert (refused);
}

/* ------------------------------------------------------------------
 * What is told.
 */

Test (verbs, info_tells_of_the_live_table_unless_asked_otherwise)
{
  struct dm_info info;

  rig_create (reg, "a");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 error\n8 8 error", 0, NULL), 0);
  cr_assert_eq (dm_device_info (reg, DM_REF_NAME ("a"),
                                DM_QUERY_INACTIVE_TABLE_FLAG, &info, NULL),
                0);
  cr_assert_eq (info.flags, DM_INACTIVE_PRESENT_FLAG);
  cr_assert_eq (info.target_count, 2);
  cr_assert_eq (rig_info (reg, "a").target_count, 0);
  rig_resume (reg, "a");
  cr_assert_eq (rig_try_load (reg, "a", "0 8 error", DM_READONLY_FLAG, NULL),
                0);
  info = rig_info (reg, "a");
  cr_assert_eq (info.flags, DM_ACTIVE_PRESENT_FLAG |
                DM_INACTIVE_PRESENT_FLAG);
  cr_assert_eq (info.target_count, 2);
  rig_resume (reg, "a");
  info = rig_info (reg, "a");
  cr_assert_eq (info.flags, DM_ACTIVE_PRESENT_FLAG | DM_READONLY_FLAG);
}

Test (verbs, a_failed_verb_writes_no_info)
{
  struct dm_info info;

  memset (&info, 0x55, sizeof info);
  rig_create (reg, "a");
  rig_suspend (reg, "a");
  cr_assert_eq (dm_device_resume (reg, DM_REF_NAME ("a"), 0, NULL, &info,
                                  NULL), -EINVAL);
  cr_assert_eq (info.flags, 0x55555555);
}

Test (verbs, the_text_of_a_table_is_what_dmsetup_prints)
{
  dm_close (rig_start (reg, "a", "0 8 linear disk 4\n8 1 error"));
  expect_text ("a", 0, "0 8 linear disk 4\n8 1 error \n");
  expect_text ("a", DM_QUERY_INACTIVE_TABLE_FLAG, "");
}

static int
note_text (void *opaque, sector_t begin, sector_t len, const char *type,
           const char *text)
{
  char *out = opaque;

  strcat (strcat (out, text), ",");
  return strlen (out) > 6;
}

Test (verbs, status_goes_on_until_it_is_told_to_stop)
{
  char out[64] = "";

  dm_close (rig_start (reg, "a", "0 8 probe disk 0\n8 8 probe disk 0\n"
                       "16 8 probe disk 0"));
  cr_assert_eq (dm_table_status (reg, DM_REF_NAME ("a"), 0, note_text, out,
                                 NULL, NULL), 0);
  cr_assert_str_eq (out, "fine,fine,");
  out[0] = '\0';
  cr_assert_eq (dm_table_status (reg, DM_REF_NAME ("a"), DM_NOFLUSH_FLAG,
                                 note_text, out, NULL, NULL), 0);
  cr_assert_str_eq (out, "noflush,");
}

Test (verbs, deps_are_the_newest_reference_first_and_each_once)
{
  uint64_t *devs;
  size_t n;

  dm_close (rig_start (reg, "a", "0 8 linear disk 0\n8 8 linear other 0\n"
                       "16 8 linear disk 8"));
  cr_assert_eq (dm_table_deps (reg, DM_REF_NAME ("a"), 0, &devs, &n, NULL,
                               NULL), 0);
  cr_assert_eq (n, 2);
  cr_assert_eq (devs[0], dm_encode_dev (other->bdev.number));
  cr_assert_eq (devs[1], dm_encode_dev (disk->bdev.number));
  free (devs);
}

Test (verbs, types_are_listed_with_their_versions)
{
  struct message msg = { "" };
  unsigned version[3];

  cr_assert_eq (dm_target_version ("probe", version, NULL), 0);
  cr_assert_eq (version[0] * 100 + version[1] * 10 + version[2], 123);
  cr_assert_eq (dm_target_version ("frob", version, &msg), -EINVAL);
  cr_assert (strstr (msg.text, "frob"));
}

/* ------------------------------------------------------------------
 * Messages and geometry.
 */

static int
message (const char *name, sector_t sector, const char *words, char **reply,
         struct message *msg)
{
  char text[128];

  strcpy (text, words);
  msg->text[0] = '\0';
  return dm_device_message (reg, DM_REF_NAME (name), sector, text, reply,
                            NULL, msg);
}

Test (verbs, a_message_reaches_the_target_of_its_sector)
{
  struct message msg;
  char *reply;

  dm_close (rig_start (reg, "a", "0 8 error\n8 8 probe disk 0"));
  cr_expect_eq (message ("a", 8, "Hello", &reply, &msg), 0);
  cr_expect_str_eq (reply, "Hello to you");
  free (reply);
  cr_expect_eq (message ("a", 15, "event", &reply, &msg), 0);
  cr_expect_null (reply);
  cr_expect_eq (message ("a", 8, "FAIL", &reply, &msg), -ENOENT);
  cr_expect_str_eq (msg.text, "a: probe: no FAIL today");
  cr_expect_eq (message ("a", 0, "hello", &reply, &msg), -EINVAL);
  cr_expect_str_eq (msg.text,
                    "a: Target type error does not support messages");
  cr_expect_eq (message ("a", 16, "hello", &reply, &msg), -EINVAL);
  cr_expect_str_eq (msg.text, "a: Target message sector outside device.");
  rig_suspend (reg, "a");
  cr_expect_eq (message ("a", 15, "event", &reply, &msg), 0);
}

Test (verbs, messages_that_no_target_gets)
{
  struct message msg;
  char *reply;

  rig_create (reg, "a");
  cr_expect_eq (message ("a", 0, " ", &reply, &msg), -EINVAL);
  cr_expect_str_eq (msg.text, "a: Empty message received.");
  cr_expect_eq (message ("a", 0, "hello", &reply, &msg), -EINVAL);
  cr_expect_str_eq (msg.text, "a: The device has no table.");
  cr_expect_eq (message ("a", 0, "@frob 1", &reply, &msg), -EINVAL);
  cr_expect_str_eq (msg.text,
                    "a: Unsupported message sent to DM core: @frob");
  cr_expect_eq (message ("a", 0, "@cancel_deferred_remove 1", &reply, &msg),
                -EINVAL);
  cr_expect_str_eq (msg.text,
                    "a: Invalid arguments for @cancel_deferred_remove");
  cr_expect_eq (message ("a", 0, "@CANCEL_deferred_remove", &reply, &msg), 0);
}

Test (verbs, a_geometry_is_four_numbers_that_fit_together)
{
  static const char *const bad[] = {
    "", "1 2 3", "1 2 3 4 5", "1 2 3 x", "65536 1 1 0", "1 256 1 0",
    "1 1 256 0", "2 2 2 9", "-1 1 1 1"
  };
  size_t i;

  rig_create (reg, "a");
  for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_expect_eq (dm_device_set_geometry (reg, DM_REF_NAME ("a"), bad[i],
                                          NULL), -EINVAL, "%s", bad[i]);
  cr_expect_eq (dm_device_set_geometry (reg, DM_REF_NAME ("a"), "2 2 2 8",
                                        NULL), 0);
}

Test (verbs, every_verb_needs_a_device)
{
  const struct dm_ref *none = DM_REF_NAME ("none");
  struct message msg = { "" };
  char text[] = "hello", *reply;
  uint64_t *devs;
  size_t n;

  cr_expect_eq (dm_device_suspend (reg, none, 0, NULL, NULL, &msg), -ENXIO);
  cr_expect_str_eq (msg.text, "no device none");
  cr_expect_eq (dm_device_resume (reg, none, 0, NULL, NULL, NULL), -ENXIO);
  cr_expect_eq (dm_device_swap (reg, none, NULL), -ENXIO);
  cr_expect_eq (dm_table_load (reg, none, 0, NULL, 0, NULL, NULL, NULL),
                -ENXIO);
  cr_expect_eq (dm_table_clear (reg, none, NULL, NULL), -ENXIO);
  cr_expect_eq (dm_table_text (reg, none, 0, &reply, NULL), -ENXIO);
  cr_expect_eq (dm_table_deps (reg, none, 0, &devs, &n, NULL, NULL), -ENXIO);
  cr_expect_eq (dm_device_message (reg, none, 0, text, &reply, NULL, NULL),
                -ENXIO);
  cr_expect_eq (dm_device_set_geometry (reg, none, "1 1 1 1", NULL), -ENXIO);
}
