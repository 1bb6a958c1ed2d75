/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports: columns, order, layout. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>

#include "clients/report.h"

struct row {
  const char *name;
  int size;
};

static void
print_name (FILE *out, const void *row)
{
  fputs (((const struct row *) row)->name, out);
}

static void
print_size (FILE *out, const void *row)
{
  fprintf (out, "%d", ((const struct row *) row)->size);
}

static const struct field fields[] = {
  { "name", "Name", 5, print_name, "What it is called.", "text" },
  { "size", "Sz", -3, print_size, "How large it is.", "number" },
};

static struct report report;

static void
make (const char *list, const char *sort)
{
  static const struct row rows[] = { { "b", 9 }, { "a", 10 }, { "c", 9 } };

  report = (struct report) { .fields = NULL };
  cr_assert_eq (report_init (&report, fields, 2, list, "name", sort), 0);
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq (report_add (&report, &rows[i]), 0);
  report_sort (&report);
}

static void
expect (struct report_style style, const char *expected)
{
  report_print (&report, &style);
  fflush (stdout);
  cr_assert_stdout_eq_str (expected);
  report_reset (&report);
}

TestSuite (report, .init = cr_redirect_stdout);

Test (report, only_columns_that_fit_are_shown)
{
  make ("name,size", "-size");
  report_narrow (&report, report.columns.ptr[0].width + 1 +
                 report.columns.ptr[1].width);
  cr_assert_eq (report.shown, 2);
  report_narrow (&report, report.columns.ptr[0].width +
                 report.columns.ptr[1].width);
  cr_assert_eq (report.shown, 1);
  report_narrow (&report, 0);
  expect ((struct report_style) { .noheadings = true, .separator = "" },
          "a\nb\nc\n");
}

Test (report, columns_are_aligned_and_numbers_flush_right)
{
  make ("name,size", NULL);
  expect ((struct report_style) { .rows = false },
          "Name  Sz \nb       9\na      10\nc       9\n");
}

Test (report, a_plus_keeps_the_defaults)
{
  make ("+size", NULL);
  expect ((struct report_style) { .separator = "," , .noheadings = true },
          "b,9\na,10\nc,9\n");
}

Test (report, all_names_every_field_and_group_all_some)
{
  make ("number_all,all", NULL);
  expect ((struct report_style) { .separator = ":", .noheadings = true },
          "9:b:9\n10:a:10\n9:c:9\n");
}

Test (report, rows_are_sorted_by_keys_that_need_not_be_shown)
{
  make ("name", "-size,-name");
  expect ((struct report_style) { .separator = ":", .noheadings = true },
          "a\nc\nb\n");
}

Test (report, equal_rows_keep_their_order)
{
  make ("name", "+size");
  expect ((struct report_style) { .separator = ":", .noheadings = true },
          "b\nc\na\n");
}

Test (report, prefixed_cells_are_for_eval)
{
  make ("name,size", NULL);
  expect ((struct report_style) { .nameprefixes = true, .noheadings = true },
          "DM_NAME='b' DM_SIZE='9'\nDM_NAME='a' DM_SIZE='10'\n"
          "DM_NAME='c' DM_SIZE='9'\n");
}

Test (report, columns_can_be_lines)
{
  make ("name,size", NULL);
  expect ((struct report_style) { .rows = true },
          "Name b a c\nSz 9 10 9\n");
}

Test (report, without_rows_there_are_no_headings_either)
{
  make ("name", NULL);
  report_clear (&report);
  expect ((struct report_style) { .rows = false }, "");
}

Test (report, unknown_fields_are_refused, .init = cr_redirect_stderr)
{
  report = (struct report) { .fields = NULL };
  cr_assert_eq (report_init (&report, fields, 2, "nosuch", "", NULL),
                -EINVAL);
  report_reset (&report);
  cr_assert_eq (report_init (&report, fields, 2, "name", "", "nosuch"),
                -EINVAL);
  report_reset (&report);
  cr_assert_eq (report_init (&report, fields, 2, "nosuch_all", "", NULL),
                -EINVAL);
  report_reset (&report);
}

Test (report, it_is_known_which_groups_are_asked_for)
{
  make ("name", "size");
  cr_assert (report_uses (&report, "number"));
  cr_assert_not (report_uses (&report, "nosuch"));
  report_reset (&report);
}
