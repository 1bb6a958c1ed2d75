/* SPDX-License-Identifier: BSD-3-Clause */
/* Each file of tests/errors is refused; line 1 says how the message begins. */

#include <criterion/criterion.h>

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "server/edge.h"

static int
is_yaml (const struct dirent *entry)
{
  const char *dot = strrchr (entry->d_name, '.');

  return dot && strcmp (dot, ".yaml") == 0;
}

/* "# error: LINE:COLUMN: text" without its newline. */
static void
read_expected (const char *file, char *expected, size_t size)
{
  static const char prefix[] = "# error: ";
  FILE *CLEANUP_FCLOSE fp = fopen (file, "r");
  char line[512];

  cr_assert_not_null (fp, "%s", file);
  cr_assert_not_null (fgets (line, sizeof line, fp), "%s", file);
  line[strcspn (line, "\n")] = '\0';
  cr_assert_eq (strncmp (line, prefix, sizeof prefix - 1), 0, "%s", file);
  snprintf (expected, size, "%s:%s", file, line + sizeof prefix - 1);
}

/* What names the file again says FILE in the expected text. */
static void
replace_file (char *text, const char *file)
{
  size_t len = strlen (file);
  char *p;

  for (p = text + len; (p = strstr (p, file)) != NULL; p += 4) {
    memcpy (p, "FILE", 4);
    memmove (p + 4, p + len, strlen (p + len) + 1);
  }
}

static void
check_file (const char *file)
{
  struct message msg = { "" };
  struct reload *reload = reload_new (NULL, file);
  char expected[PATH_MAX + 512];

  read_expected (file, expected, sizeof expected);
  cr_expect_lt (reload_check (reload, NULL, &msg), 0, "%s", file);
  replace_file (msg.text, file);
  cr_expect_eq (strncmp (msg.text, expected, strlen (expected)), 0,
                "'%s' does not begin '%s'", msg.text, expected);
  reload_free (reload);
}

Test (errors, each_file_is_refused_with_its_message)
{
  char folder[PATH_MAX], path[PATH_MAX];
  struct dirent **entries;
  int i, n;

  snprintf (path, sizeof path, "%s/../errors",
            getenv ("srcdir") ? getenv ("srcdir") : ".");
  cr_assert_not_null (realpath (path, folder), "%s", path);
  n = scandir (folder, &entries, is_yaml, alphasort);
  cr_assert_gt (n, 20);
  for (i = 0; i < n; i++) {
    cr_assert_lt (snprintf (path, sizeof path, "%s/%s", folder,
                            entries[i]->d_name), (int) sizeof path);
    check_file (path);
    free (entries[i]);
  }
  free (entries);
}
