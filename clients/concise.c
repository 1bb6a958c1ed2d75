/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices and their tables in one line, as a kernel's dm-mod.create. */

#include "clients/nbdmsetup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 5

/* ------------------------------------------------------------------
 * Reading.
 */

/* The next device: its fields, without the backslashes, are written over what
 * has been read.
 */
struct entry {
  char *fields[FIELDS];
  int n;
};

static char *
skip_blanks (char *p)
{
  while (isspace ((unsigned char) *p))
    p++;
  return p;
}

static int
concise_incomplete (const struct entry *e)
{
  static const char *const names[FIELDS] = {
    "name", "uuid", "minor", "flags", "table"
  };

  fprintf (stderr, "Incomplete entry: five comma-separated fields are "
           "required for each device\nParsed %d fields:", e->n);
  for (int i = 0; i < FIELDS; i++)
    fprintf (stderr, " %s: %s", names[i],
             e->fields[i] ? e->fields[i] : "(null)");
  fputc ('\n', stderr);
  return -EINVAL;
}

/* Up to the next ; or the end.  Blanks behind the commas between fields do
 * not belong to them.
 */
static int
concise_take (char **text, struct entry *e)
{
  char *from = *text, *to = *text;

  *e = (struct entry) { .fields = { to }, .n = 1 };
  for (; *from && *from != ';'; from++) {
    if (*from == ',' && e->n < FIELDS) {
      *to++ = '\0';
      e->fields[e->n++] = to;
      from = skip_blanks (from + 1) - 1;
      continue;
    }
    if (*from == '\\' && from[1] == '\0') {
      fprintf (stderr, "Backslash must be followed by another character at "
               "end of string.\n");
      return -EINVAL;
    }
    if (*from == '\\')
      *to++ = *++from;
    else
      *to++ = *from == ',' ? '\n' : *from;
  }
  *text = *from ? skip_blanks (from + 1) : from;
  *to = '\0';
  return e->n == FIELDS ? 0 : concise_incomplete (e);
}

static int
concise_run (const struct entry *e,
             int (*fn) (struct session *s, const struct concise *device),
             struct session *s)
{
  const char *minor = e->fields[2], *flags = e->fields[3];
  struct concise device = {
    .name = e->fields[0],
    .uuid = *e->fields[1] ? e->fields[1] : NULL,
    .has_minor = *minor != '\0',
    .minor = strtoul (minor, NULL, 10) & 0xfffff,
    .readonly = strcmp (flags, "ro") == 0,
    .table = e->fields[4],
  };

  if (*flags && !device.readonly && strcmp (flags, "rw") != 0) {
    fprintf (stderr, "Invalid flags parameter '%s' must be 'ro' or 'rw' or "
             "empty.\n", flags);
    return -EINVAL;
  }
  return fn (s, &device);
}

int
concise_each (char *text,
              int (*fn) (struct session *s, const struct concise *device),
              struct session *s)
{
  struct entry e;
  int r = 0;

  while (*text && r == 0) {
    r = concise_take (&text, &e);
    if (r == 0)
      r = concise_run (&e, fn, s);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Writing.
 */
static void
print_escaped (const char *text)
{
  for (; *text; text++) {
    if (strchr (",;\\", *text))
      putchar ('\\');
    putchar (*text);
  }
}

void
concise_print_device (const struct dm_ioctl *dmi)
{
  print_escaped (dmi->name);
  putchar (',');
  print_escaped (dmi->uuid);
  printf (",%u,%s", dev_minor (dmi->dev),
          dmi->flags & DM_READONLY_FLAG ? "ro" : "rw");
}

void
concise_print_line (uint64_t start, uint64_t length, const char *type,
                    const char *params)
{
  printf (",%llu %llu %s ", (unsigned long long) start,
          (unsigned long long) length, type);
  print_escaped (params);
}
