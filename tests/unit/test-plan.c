/* SPDX-License-Identifier: BSD-3-Clause */
/* Which steps lead from one set of tables to another, and in which order. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/plan.h"
#include "tests/lib/folder.h"

static struct message msg;

/* The config that the text says, with a base_dir of "/". */
static struct config *
config (const char *text)
{
  struct folder folder;
  struct config *c;
  size_t i;

  folder_make (&folder);
  cr_assert_eq (config_read (folder_write (&folder, "t.yaml", text), &c,
                             &msg), 0, "%s", msg.text);
  folder_remove (&folder);
  for (i = 0; i < c->nr_devices; i++)
    strcpy (c->devices[i].base_dir, "/");
  return c;
}

/* Live as a reload of c has left it. */
static struct plan_live *
live_of (const struct config *c)
{
  struct plan_live *live = calloc (c->nr_devices + 8, sizeof live[0]);
  size_t i;

  for (i = 0; i < c->nr_devices; i++)
    live[i] = (struct plan_live) {
      .name = c->devices[i].name, .uuid = c->devices[i].uuid,
      .readonly = c->devices[i].readonly, .has_live_table = true,
      .managed = true, .untouched = true,
    };
  return live;
}

/* "create a, load a, …" */
static char *
steps_text (const struct plan *plan)
{
  char *text = NULL;
  size_t i, len;
  FILE *fp = open_memstream (&text, &len);

  for (i = 0; i < plan->nr_steps; i++)
    fprintf (fp, "%s%s %s%s", i > 0 ? ", " : "",
             plan_action_name (plan->steps[i].action), plan->steps[i].name,
             plan->steps[i].needed ? "" : "?");
  fclose (fp);
  return text;
}

static void
expect_plan (const struct config *desired, const struct config *old,
             const struct plan_live *live, const char *expected)
{
  char *CLEANUP_FREE text = NULL;
  struct plan plan;

  cr_assert_eq (plan_make (desired, old, live, old ? old->nr_devices : 0,
                           &plan, &msg), 0, "%s", msg.text);
  text = steps_text (&plan);
  cr_expect_str_eq (text, expected);
  plan_reset (&plan);
}

/* From one text to another with nothing done in between. */
static void
expect_change (const char *from, const char *to, const char *expected)
{
  struct config *old = config (from), *desired = config (to);
  struct plan_live *CLEANUP_FREE live = live_of (old);

  expect_plan (desired, old, live, expected);
  config_free (old);
  config_free (desired);
}

static void
expect_refused (const struct config *desired, const struct config *old,
                const struct plan_live *live, size_t nr_live,
                const char *reason)
{
  struct plan plan;

  memset (&msg, 0, sizeof msg);
  cr_expect_eq (plan_make (desired, old, live, nr_live, &plan, &msg),
                -EINVAL);
  cr_expect (strstr (msg.text, reason), "%s", msg.text);
  plan_reset (&plan);
}

/* ------------------------------------------------------------------ */

#define TOP_AND_BOTTOM(n)                                               \
  "devices:\n"                                                          \
  "  top: {table: 0 " n " linear middle 0}\n"                           \
  "  middle: {table: 0 " n " linear /dev/mapper/bottom 0}\n"            \
  "  bottom: {table: 0 " n " zero}\n"

Test (plan, new_devices_come_lower_ones_first)
{
  struct config *desired = config (TOP_AND_BOTTOM ("8"));

  expect_plan (desired, NULL, NULL,
               "create bottom, create middle, create top, "
               "load bottom, swap bottom, resume bottom, "
               "load middle, swap middle, resume middle, "
               "load top, swap top, resume top");
  config_free (desired);
}

/* As a thin does, and its pool. */
Test (plan, a_device_that_others_wait_for_is_live_before_they_are_loaded)
{
  struct config *desired = config (
    "devices: {thin: {table: 0 8 linear pool 0, messages: [n]},\n"
    "          pool: {table: 0 8 zero, messages: [m]}}");

  expect_plan (desired, NULL, NULL,
               "create pool, create thin, "
               "load pool, swap pool, resume pool, message pool, "
               "load thin, swap thin, resume thin, message thin");
  config_free (desired);
}

Test (plan, messages_that_others_wait_for_come_first)
{
  expect_change ("devices: {pool: {table: 0 8 zero, messages: [m]}}",
                 "devices: {pool: {table: 0 8 zero, messages: [m, n]},\n"
                 "          thin: {table: 0 8 linear pool 0}}",
                 "create thin, message pool, load thin, swap thin, "
                 "resume thin");
  expect_change ("devices: {pool: {table: 0 8 zero, messages: [m]}}",
                 "devices: {pool: {table: 0 9 zero, messages: [m, n]},\n"
                 "          thin: {table: 0 8 linear pool 0}}",
                 "create thin, message pool, load pool?, load thin, "
                 "suspend pool?, swap pool?, swap thin, resume pool?, "
                 "resume thin");
}

Test (plan, changed_devices_are_suspended_upper_ones_first)
{
  expect_change (TOP_AND_BOTTOM ("8"), TOP_AND_BOTTOM ("16"),
                 "load bottom?, load middle?, load top?, "
                 "suspend top?, suspend middle?, suspend bottom?, "
                 "swap bottom?, swap middle?, swap top?, "
                 "resume bottom?, resume middle?, resume top?");
}

Test (plan, vanished_devices_are_removed_upper_ones_first)
{
  expect_change (TOP_AND_BOTTOM ("8"), "devices: {}",
                 "remove top, remove middle, remove bottom");
}

Test (plan, equal_tables_need_nothing)
{
  expect_change (TOP_AND_BOTTOM ("8"), TOP_AND_BOTTOM ("8"), "");
}

Test (plan, only_what_differs_is_touched)
{
  expect_change ("devices:\n"
                 "  a: {table: 0 8 zero}\n"
                 "  b: {table: 0 8 zero}\n"
                 "  c: {table: 0 8 zero}\n",
                 "devices:\n"
                 "  a: {table: 0 8 zero}\n"
                 "  b: {table: 0 8 error}\n"
                 "  d: {table: 0 8 zero}\n",
                 "create d, load b?, load d, suspend b?, swap b?, swap d, "
                 "resume b?, resume d, remove c");
}

Test (plan, description_and_export_are_not_the_devices)
{
  expect_change ("devices: {a: {table: 0 8 zero}}",
                 "devices: {a: {table: 0 8 zero, description: x, "
                 "export: false}}", "");
}

Test (plan, a_changed_backing_changes_its_users_only)
{
  expect_change ("backings: {x: {file: /x}, y: {file: /y}}\n"
                 "devices: {a: {table: 0 8 linear x 0},\n"
                 "          b: {table: 0 8 linear y 0}}",
                 "backings: {x: {file: /x}, y: {file: /y, offset: 512}}\n"
                 "devices: {a: {table: 0 8 linear x 0},\n"
                 "          b: {table: 0 8 linear y 0}}",
                 "load b, suspend b, swap b, resume b");
}

Test (plan, a_changed_mode_needs_a_new_table)
{
  expect_change ("devices: {a: {table: 0 8 zero}}",
                 "devices: {a: {table: 0 8 zero, readonly: true}}",
                 "load a, suspend a, swap a, resume a");
}

Test (plan, messages_follow_resume)
{
  expect_change ("devices: {a: {table: 0 8 zero, messages: [m]}}",
                 "devices: {a: {table: 0 9 zero, messages: [m]},\n"
                 "          b: {table: 0 8 zero, messages: [m]}}",
                 "create b, load a?, load b, suspend a?, swap a?, swap b, "
                 "resume a?, resume b, message a?, message b");
}

Test (plan, changed_messages_alone_are_sent_alone)
{
  expect_change ("devices: {a: {table: 0 8 zero, messages: [m]}}",
                 "devices: {a: {table: 0 8 zero, messages: [m, n]}}",
                 "message a");
}

Test (plan, a_table_changed_by_hand_is_put_back)
{
  struct config *c = config ("devices: {a: {table: 0 8 zero}}");
  struct plan_live *CLEANUP_FREE live = live_of (c);

  live[0].untouched = false;
  expect_plan (c, c, live, "load a?, suspend a?, swap a?, resume a?");
  config_free (c);
}

Test (plan, a_suspended_device_may_stay_but_not_change)
{
  struct config *old = config ("devices: {a: {table: 0 8 zero}}");
  struct config *desired = config ("devices: {a: {table: 0 9 zero}}");
  struct plan_live *CLEANUP_FREE live = live_of (old);

  live[0].suspended = true;
  expect_plan (old, old, live, "");
  expect_refused (desired, old, live, 1, "a: has changed, but is suspended");
  config_free (old);
  config_free (desired);
}

Test (plan, a_uuid_may_not_change)
{
  struct config *old = config ("devices: {a: {uuid: u, table: 0 8 zero}}");
  struct config *desired = config ("devices: {a: {uuid: v, table: 0 8 zero}}");
  struct plan_live *CLEANUP_FREE live = live_of (old);

  expect_refused (desired, old, live, 1, "from 'u' to 'v'");
  config_free (old);
  config_free (desired);
}

Test (plan, a_foreign_device_is_neither_replaced_nor_removed)
{
  struct config *desired = config ("devices: {a: {table: 0 8 zero}}");
  struct config *nothing = config ("devices: {}");
  struct plan_live *CLEANUP_FREE live = live_of (desired);

  live[0].managed = false;
  expect_refused (desired, NULL, live, 1, "t.yaml:1:11: a: the name is taken");
  expect_plan (nothing, desired, live, "");
  config_free (desired);
  config_free (nothing);
}

Test (plan, a_device_removed_by_hand_is_new)
{
  struct config *c = config ("devices: {a: {table: 0 8 zero}}");
  struct plan plan;

  cr_assert_eq (plan_make (c, c, NULL, 0, &plan, &msg), 0);
  cr_expect_eq (plan.nr_new, 1);
  plan_reset (&plan);
  config_free (c);
}

Test (plan, a_cycle_is_planned_all_the_same)
{
  struct config *desired =
    config ("devices: {a: {table: 0 8 linear b 0},\n"
            "          b: {table: 0 8 linear a 0},\n"
            "          c: {table: 0 8 linear c 0}}");
  struct plan plan;

  cr_assert_eq (plan_make (desired, NULL, NULL, 0, &plan, &msg), 0);
  cr_expect_eq (plan.nr_new, 3);
  cr_expect_eq (plan.nr_steps, 12);
  plan_reset (&plan);
  config_free (desired);
}

/* A recursion would end in a stack overflow. */
Test (plan, a_hundred_thousand_storeys_are_ordered)
{
  enum { STOREYS = 100000 };
  char *CLEANUP_FREE text = NULL;
  struct config *desired;
  struct plan plan;
  size_t len;
  FILE *fp = open_memstream (&text, &len);
  int i;

  fputs ("devices:\n", fp);
  for (i = 0; i < STOREYS; i++)
    fprintf (fp, " d%d: {table: 0 8 linear d%d 0}\n", i, i + 1);
  fclose (fp);
  desired = config (text);
  cr_assert_eq (plan_make (desired, NULL, NULL, 0, &plan, &msg), 0);
  cr_expect_str_eq (plan.steps[0].name, "d99999");
  cr_expect_str_eq (plan.steps[STOREYS - 1].name, "d0");
  plan_reset (&plan);
  config_free (desired);
}

Test (plan, devices_are_counted_once)
{
  struct config *old = config ("devices: {a: {table: 0 8 zero},\n"
                               "          b: {table: 0 8 zero},\n"
                               "          c: {table: 0 8 zero}}");
  struct config *desired = config ("devices: {a: {table: 0 8 zero},\n"
                                   "          b: {table: 0 9 zero},\n"
                                   "          d: {table: 0 8 zero}}");
  struct plan_live *CLEANUP_FREE live = live_of (old);
  struct plan plan;

  cr_assert_eq (plan_make (desired, old, live, 3, &plan, &msg), 0);
  cr_expect (plan.nr_unchanged == 1 && plan.nr_changed == 1);
  cr_expect (plan.nr_new == 1 && plan.nr_removed == 1);
  plan_reset (&plan);
  config_free (old);
  config_free (desired);
}

/* ------------------------------------------------------------------
 * Snapshots.
 */

#define DISK "devices:\n  disk: {table: 0 8 linear /a 0"
#define ONE DISK ", snapshots: {s1: }}\n"

Test (plan, a_snapshot_is_live_before_its_origin_is_written_to)
{
  expect_change (DISK "}\n", ONE,
                 "create s1, load s1, load disk?, suspend disk?, swap s1, "
                 "swap disk?, resume s1, resume disk?");
  expect_change (ONE, DISK ", snapshots: {s1: , s2: }}\n",
                 "create s2, load s2, swap s2, resume s2");
}

/* Nor is it while the origin has the table of before, whoever stands on it. */
Test (plan, a_snapshot_is_not_live_before_there_is_a_layer)
{
  expect_change (DISK "}\n", ONE "  up: {table: 0 8 linear s1 0}\n",
                 "create s1, create up, load s1, load disk?, load up, "
                 "suspend disk?, swap s1, swap disk?, swap up, resume s1, "
                 "resume disk?, resume up");
}

Test (plan, a_new_origin_on_which_others_stand_comes_after_its_snapshots)
{
  expect_change ("", ONE "  up: {table: 0 8 linear disk 0}\n",
                 "create s1, create disk, create up, load s1, swap s1, "
                 "resume s1, load disk, swap disk, resume disk, load up, "
                 "swap up, resume up");
}

Test (plan, a_hidden_table_is_live_before_it_is_needed)
{
  expect_change ("devices: {disk: {table: 0 8 linear /a 8}}\n",
                 "devices: {disk: {table: 0 8 linear /a 8, "
                 "snapshots: {s1: }}}\n",
                 "create disk-real, create s1, load disk-real, "
                 "swap disk-real, resume disk-real, load s1, load disk?, "
                 "suspend disk?, swap s1, swap disk?, resume s1, "
                 "resume disk?");
}

Test (plan, a_snapshot_in_use_keeps_the_layer)
{
  struct config *old = config (ONE), *desired = config (DISK "}\n");
  struct plan_live *CLEANUP_FREE live = live_of (old);

  expect_plan (desired, old, live, "load disk?, suspend disk?, swap disk?, "
               "resume disk?, remove s1");
  live[1].in_use = true;
  expect_refused (desired, old, live, 2, "t.yaml:2:3: disk: its snapshot 's1' "
                  "cannot go, it is in use");
  config_free (desired);
  config_free (old);
}
