/* SPDX-License-Identifier: BSD-3-Clause */
/* Building tables, and the hooks of their targets. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

static struct fixture f;

static void
setup (void)
{
  fixture_start (&f);
}

static void
teardown (void)
{
  fixture_stop (&f);
}

TestSuite (dm_table, .init = setup, .fini = teardown);

/* ------------------------------------------------------------------
 * The types of this test, in place of those of targets/registry.c.
 */

/* What the constructor saw, and each call: "c1 d1 " … by begin. */
static char words[100], calls[200];

static void
note (const char *what, struct dm_target *ti)
{
  sprintf (calls + strlen (calls), "%s%u ", what, (unsigned) ti->begin);
}

static int
probe_ctr (struct dm_target *ti, struct args *args)
{
  const char *word;
  bool fail = false;

  note ("ctr", ti);
  while ((word = args_shift (args))) {
    strcat (strcat (words, word), "|");
    fail = fail || strcmp (word, "silent") == 0;
    if (strcmp (word, "fail") == 0)
      return dm_target_error (ti, EUCLEAN, "not today");
  }
  return fail ? -EUCLEAN : 0;
}

static void
probe_dtr (struct dm_target *ti)
{
  note ("dtr", ti);
}

static int
probe_preresume (struct dm_target *ti, struct message *msg)
{
  note ("preresume", ti);
  return ti->begin == 8 ? message_set (msg, EUCLEAN, "not today") : 0;
}

static void
probe_resume (struct dm_target *ti)
{
  note ("resume", ti);
}

static void
probe_presuspend (struct dm_target *ti)
{
  note ("presuspend", ti);
}

#define PROBE .ctr = probe_ctr, .dtr = probe_dtr

static const struct target_type
  plain = { .name = "plain", PROBE, .preresume = probe_preresume,
            .resume = probe_resume, .presuspend = probe_presuspend },
  hookless = { .name = "hookless", PROBE },
  single = { .name = "single", PROBE, .features = DM_TARGET_SINGLETON },
  fixed = { .name = "fixed", PROBE, .features = DM_TARGET_IMMUTABLE },
  fixed2 = { .name = "fixed2", PROBE, .features = DM_TARGET_IMMUTABLE },
  writer = { .name = "writer", PROBE,
             .features = DM_TARGET_ALWAYS_WRITEABLE };

const struct target_type *const target_types[] = {
  &plain, &hookless, &single, &fixed, &fixed2, &writer, NULL
};

static void
load (const char *text)
{
  cr_assert_eq (fixture_load (&f, text), 0, "%s", f.msg.text);
}

static void
expect_refused (const char *text, const char *message)
{
  cr_expect_eq (fixture_load (&f, text), -EINVAL, "%s", text);
  cr_expect_str_eq (f.msg.text, message);
}

/* ------------------------------------------------------------------
 * Building.
 */

Test (dm_table, bad_lines_are_refused_and_named)
{
  expect_refused ("", "no targets specified");
  expect_refused ("0 0 plain",
                  "vol: table line 1 (0 0 plain): zero-length target");
  expect_refused ("0 8 plain\n8 8 frob",
                  "vol: table line 2 (8 8 frob): unknown target type");
  expect_refused ("0 8 plain\n9 8 plain",
                  "vol: table line 2 (9 8 plain): Gap in table: the line "
                  "before ends at sector 8");
  expect_refused ("0 8 plain\n7 8 plain",
                  "vol: table line 2 (7 8 plain): Gap in table: the line "
                  "before ends at sector 8");
  expect_refused ("8 8 plain",
                  "vol: table line 1 (8 8 plain): Gap in table: the line "
                  "before ends at sector 0");
}

Test (dm_table, a_table_ends_before_2_to_the_54)
{
  load ("0 18014398509481983 plain");
  expect_refused ("0 18014398509481984 plain",
                  "vol: table line 1 (0 18014398509481984 plain): too large "
                  "device: a table ends at sector 18014398509481983 at the "
                  "latest");
  cr_expect_eq (fixture_load (&f, "18446744073709551615 8 plain"), -EINVAL);
  cr_expect (strstr (f.msg.text, "too large device"));
}

/* Each of these lines, the second of a table, has several faults. */
Test (dm_table, checks_come_in_the_order_of_the_kernel)
{
  expect_refused ("0 8 single\n9 0 frob", "vol: table line 2 (9 0 frob): "
                  "target type single must appear alone in table");
  expect_refused ("0 8 plain\n9 0 frob",
                  "vol: table line 2 (9 0 frob): zero-length target");
  expect_refused ("0 8 plain\n9 18014398509481983 frob",
                  "vol: table line 2 (9 18014398509481983 frob): too large "
                  "device: a table ends at sector 18014398509481983 at the "
                  "latest");
  expect_refused ("0 8 plain\n9 8 frob",
                  "vol: table line 2 (9 8 frob): unknown target type");
  expect_refused ("0 8 plain\n9 8 fixed", "vol: table line 2 (9 8 fixed): "
                  "immutable target type cannot be mixed with other target "
                  "types");
  expect_refused ("0 8 plain\n9 8 plain fail",
                  "vol: table line 2 (9 8 plain): Gap in table: the line "
                  "before ends at sector 8");
}

Test (dm_table, a_singleton_is_alone)
{
  load ("0 8 single");
  expect_refused ("0 8 plain\n8 8 single", "vol: table line 2 (8 8 single): "
                  "singleton target type must appear alone in table");
}

Test (dm_table, an_immutable_type_stays_among_its_own)
{
  load ("0 8 fixed\n8 8 fixed");
  cr_assert_eq (f.table->immutable_type, &fixed);
  expect_refused ("0 8 fixed\n8 8 plain", "vol: table line 2 (8 8 plain): "
                  "immutable target type cannot be mixed with other target "
                  "types");
  expect_refused ("0 8 fixed\n8 8 fixed2", "vol: table line 2 (8 8 fixed2): "
                  "immutable target type cannot be mixed with other target "
                  "types");
}

Test (dm_table, what_always_writes_is_not_for_a_readonly_table)
{
  load ("0 8 writer");
  cr_assert_eq (fixture_load_readonly (&f, "0 8 writer"), -EINVAL);
  cr_assert_str_eq (f.msg.text, "vol: table line 1 (0 8 writer): target type "
                    "may not be included in a read-only table");
}

Test (dm_table, constructors_get_the_words)
{
  load ("0 8 plain  a\\ b   c\\\\d ");
  cr_assert_str_eq (words, "a b|c\\d|");
}

Test (dm_table, a_failed_constructor_is_named_and_undone)
{
  cr_assert_eq (fixture_load (&f, "0 8 plain\n8 8 plain fail"), -EUCLEAN);
  cr_expect_str_eq (f.msg.text,
                    "vol: table line 2 (8 8 plain): not today");
  cr_expect_str_eq (calls, "ctr0 ctr8 dtr8 dtr0 ");
  cr_assert_eq (fixture_load (&f, "0 8 plain silent"), -EUCLEAN);
  cr_expect_str_eq (f.msg.text,
                    "vol: table line 1 (0 8 plain): constructor failed");
}

Test (dm_table, destructors_run_in_the_order_of_the_table)
{
  load ("0 8 plain\n8 8 plain\n16 8 hookless");
  table_destroy (f.table);
  f.table = NULL;
  cr_assert_str_eq (calls, "ctr0 ctr8 ctr16 dtr0 dtr8 dtr16 ");
}

/* ------------------------------------------------------------------
 * Hooks.
 */

Test (dm_table, hooks_reach_every_target_that_has_them)
{
  load ("0 8 plain\n8 8 hookless\n16 8 plain");
  calls[0] = '\0';
  table_presuspend (f.table);
  table_presuspend_undo (f.table);
  table_postsuspend (f.table);
  cr_assert_eq (table_preresume (f.table, &f.msg), 0);
  table_resume (f.table);
  cr_assert_str_eq (calls, "presuspend0 presuspend16 preresume0 preresume16 "
                    "resume0 resume16 ");
}

Test (dm_table, the_first_failing_preresume_ends_them_and_is_named)
{
  load ("0 8 plain\n8 8 plain\n16 8 plain");
  calls[0] = '\0';
  cr_assert_eq (table_preresume (f.table, &f.msg), -EUCLEAN);
  cr_assert_str_eq (f.msg.text, "vol: table line 2 (8 8 plain): not today");
  cr_assert_str_eq (calls, "preresume0 preresume8 ");
}
