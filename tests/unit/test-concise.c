/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices in one line: read and written. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/nbdmsetup.h"

/* What concise_each has found, one device after the other. */
static char seen[512];
static int left = 100; /* devices that are accepted */

static int
note (struct session *s, const struct concise *device)
{
  size_t len = strlen (seen);

  snprintf (seen + len, sizeof seen - len, "<%s|%s|%d|%s|%s>", device->name,
            device->uuid ? device->uuid : "-",
            device->has_minor ? (int) device->minor : -1,
            device->readonly ? "ro" : "rw", device->table);
  return left-- > 0 ? 0 : -EBUSY;
}

static int
read_concise (const char *text)
{
  char *copy = strdup (text);
  int r;

  seen[0] = '\0';
  r = concise_each (copy, note, NULL);
  free (copy);
  return r;
}

static void
expect (const char *text, const char *devices)
{
  cr_expect_eq (read_concise (text), 0);
  cr_expect_str_eq (seen, devices);
}

Test (concise, a_device_is_five_fields_and_more_lines)
{
  expect ("a,,,,0 8 zero", "<a|-|-1|rw|0 8 zero>");
  expect ("a,U,7,ro,0 8 zero,8 8 error", "<a|U|7|ro|0 8 zero\n8 8 error>");
}

Test (concise, devices_are_separated_by_semicolons)
{
  expect ("a,,,,0 8 zero; b,,,rw,0 8 zero;",
          "<a|-|-1|rw|0 8 zero><b|-|-1|rw|0 8 zero>");
  expect ("", "");
}

Test (concise, blanks_behind_commas_are_not_the_fields)
{
  expect ("a, U, 7, ro, 0 8 zero", "<a|U|7|ro|0 8 zero>");
}

Test (concise, a_backslash_takes_the_meaning_away)
{
  expect ("a\\,b\\;\\\\,,,,0 8 linear /x\\,y 0",
          "<a,b;\\|-|-1|rw|0 8 linear /x,y 0>");
}

Test (concise, too_few_fields_are_refused, .init = cr_redirect_stderr)
{
  cr_expect_eq (read_concise ("a,,,"), -EINVAL);
  cr_expect_eq (read_concise ("a"), -EINVAL);
  cr_expect_eq (read_concise ("a,,,wo,0 8 zero"), -EINVAL);
  cr_expect_eq (read_concise ("a,,,,0 8 zero\\"), -EINVAL);
  cr_expect_str_eq (seen, "");
}

Test (concise, the_first_failure_ends_it)
{
  left = 1;
  cr_assert_eq (read_concise ("a,,,,x;b,,,,x;c,,,,x"), -EBUSY);
  cr_assert_str_eq (seen, "<a|-|-1|rw|x><b|-|-1|rw|x>");
}

Test (concise, what_is_written_can_be_read, .init = cr_redirect_stdout)
{
  struct dm_ioctl dmi = { .dev = 7, .flags = DM_READONLY_FLAG };

  strcpy (dmi.name, "a,b");
  strcpy (dmi.uuid, "U;");
  concise_print_device (&dmi);
  concise_print_line (0, 8, "linear", "/x,y\\ 0");
  fflush (stdout);
  cr_assert_stdout_eq_str ("a\\,b,U\\;,7,ro,0 8 linear /x\\,y\\\\ 0");
}
