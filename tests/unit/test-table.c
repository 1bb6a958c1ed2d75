/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables as people write them. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/nbdmsetup.h"

static int
read_table (const char *text, struct table *table)
{
  struct session s = { .options.table = text };

  return table_read (&s, NULL, table);
}

/* The parameters of the only target, "" if there is not just one. */
static const char *
only_params (const char *text, struct dm_target_spec *spec)
{
  static struct table table;

  table_reset (&table);
  cr_assert_eq (read_table (text, &table), 0);
  if (table.targets != 1)
    return "";
  memcpy (spec, table.payload, sizeof *spec);
  cr_assert_eq (table.bytes, spec->next);
  cr_assert_eq (table.bytes % 8, 0);
  return table.payload + sizeof *spec;
}

Test (table, a_line_is_start_length_type_and_parameters)
{
  struct dm_target_spec spec;

  cr_assert_str_eq (only_params (" \t8  16\tlinear  a  0 \r\n", &spec),
                    "a  0");
  cr_assert_eq (spec.sector_start, 8);
  cr_assert_eq (spec.length, 16);
  cr_assert_str_eq (spec.target_type, "linear");
}

Test (table, comments_and_empty_lines_are_left_out)
{
  struct dm_target_spec spec;

  cr_assert_str_eq (only_params ("# one\n\n  \n0 8 linear a 0 # two\n#", &spec),
                    "a 0");
}

Test (table, a_backslash_stays_one)
{
  struct dm_target_spec spec;

  cr_assert_str_eq (only_params ("0 8 linear a\\b 0", &spec), "a\\\\b 0");
}

Test (table, numbers_end_where_their_digits_do)
{
  struct dm_target_spec spec;

  only_params ("-1 8x error", &spec);
  cr_assert_eq (spec.sector_start, UINT64_MAX);
  cr_assert_eq (spec.length, 8);
  cr_assert_str_eq (spec.target_type, "x");
}

Test (table, next_leads_from_line_to_line)
{
  struct dm_target_spec spec;
  struct table table;

  cr_assert_eq (read_table ("0 8 zero\n8 8 linear abcdefgh 0\n16 8 error",
                            &table), 0);
  cr_assert_eq (table.targets, 3);
  memcpy (&spec, table.payload, sizeof spec);
  memcpy (&spec, table.payload + spec.next, sizeof spec);
  cr_assert_str_eq (spec.target_type, "linear");
  table_reset (&table);
}

Test (table, no_line_is_no_target)
{
  struct table table;

  cr_assert_eq (read_table ("", &table), 0);
  cr_assert_eq (table.targets, 0);
  table_reset (&table);
}

/* A file of exactly these bytes; the caller reads its table. */
static const char *
file_of (const char *text, size_t bytes)
{
  static char name[] = "/tmp/test-table.XXXXXX";
  int fd = mkstemp (name);

  cr_assert_eq (write (fd, text, bytes), (ssize_t) bytes);
  close (fd);
  return name;
}

static int
read_file (const char *text, size_t bytes, struct table *table)
{
  struct session s = { .options.table = NULL };
  const char *name = file_of (text, bytes);
  int r = table_read (&s, name, table);

  unlink (name);
  return r;
}

Test (table, a_file_is_read_to_its_end)
{
  struct table table;

  cr_assert_eq (read_file ("0 8 zero\n8 8 error", 18, &table), 0);
  cr_assert_eq (table.targets, 2);
  table_reset (&table);
}

Test (table, an_empty_file_has_no_target)
{
  struct table table;

  cr_assert_eq (read_file ("", 0, &table), 0);
  cr_assert_eq (table.targets, 0);
  table_reset (&table);
}

Test (table, a_file_with_a_zero_byte_is_not_taken_in_part)
{
  struct table table;

  cr_redirect_stderr ();
  cr_assert_eq (read_file ("0 8 zero\n\0" "8 8 error", 19, &table), -EINVAL);
  table_reset (&table);
}

#define BAD_LINE(line)                                                  \
  "nbdm: not a table line: '" line "': expected START LENGTH TYPE "     \
  "[PARAMETERS]\n"

static void
expect_error (const char *text, const char *expected)
{
  struct table table;

  cr_redirect_stderr ();
  cr_assert_lt (read_table (text, &table), 0);
  fflush (stderr);
  cr_assert_stderr_eq_str (expected);
  table_reset (&table);
}

Test (table, a_wrong_line_is_named)
{
  expect_error ("0 8 zero\n8 x", BAD_LINE ("8 x") "Invalid format on line 2 of "
                "table .\n");
}

Test (table, a_line_needs_a_type)
{
  expect_error ("0 8", BAD_LINE ("0 8") "Invalid format on line 1 of table "
                ".\n");
}

Test (table, a_type_has_at_most_15_letters)
{
  expect_error ("0 8 sixteen-letters-",
                "Target type name sixteen-letters- is too long.\n");
}

Test (table, the_error_table_covers_the_device)
{
  struct dm_target_spec spec;
  struct table table;

  cr_assert_eq (table_error (4096, &table), 0);
  memcpy (&spec, table.payload, sizeof spec);
  cr_assert_eq (table.targets, 1);
  cr_assert_eq (spec.length, 4096);
  cr_assert_str_eq (spec.target_type, "error");
  table_reset (&table);
}
