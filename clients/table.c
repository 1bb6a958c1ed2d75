/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables as people write them. */

#include "clients/nbdmsetup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* A backslash quotes the next character when the server splits parameters
 * into words; in a table text it is an ordinary character.
 */
static char *
escape_params (const char *params)
{
  char *escaped = malloc (2 * strlen (params) + 1);
  char *p = escaped;

  if (escaped == NULL)
    return NULL;
  for (; *params; params++) {
    if (*params == '\\')
      *p++ = '\\';
    *p++ = *params;
  }
  *p = '\0';
  return escaped;
}

static int
table_add (FILE *out, struct table *table, uint64_t start, uint64_t length,
           const char *type, const char *params)
{
  static const char zeroes[8];
  struct dm_target_spec spec = { .sector_start = start, .length = length };
  char *CLEANUP_FREE escaped = escape_params (params);
  size_t len, pad;

  if (escaped == NULL)
    return -ENOMEM;
  if (strlen (type) >= sizeof spec.target_type) {
    fprintf (stderr, "Target type name %s is too long.\n", type);
    return -EINVAL;
  }
  strcpy (spec.target_type, type);
  len = strlen (escaped) + 1;
  pad = -len % sizeof zeroes;
  spec.next = sizeof spec + len + pad;
  fwrite (&spec, sizeof spec, 1, out);
  fwrite (escaped, len, 1, out);
  fwrite (zeroes, pad, 1, out);
  table->targets++;
  return ferror (out) ? -ENOMEM : 0;
}

static char *
skip_blanks (char *p)
{
  while (isspace ((unsigned char) *p))
    p++;
  return p;
}

static char *
trim (char *line)
{
  char *end;

  line = skip_blanks (line);
  end = line + strlen (line);
  while (end > line && isspace ((unsigned char) end[-1]))
    end--;
  *end = '\0';
  return line;
}

/* A number as scanf reads one: it may have a sign, wraps, and ends where the
 * digits do.  The server is the one who judges it.
 */
static bool
take_number (char **p, uint64_t *number)
{
  char *end;

  *number = strtoull (*p, &end, 10);
  if (end == *p)
    return false;
  *p = end;
  return true;
}

/* "start length type [parameters]".  -EBADMSG if it is not. */
static int
table_add_line (FILE *out, struct table *table, char *line)
{
  uint64_t start, length;
  char *type, *params;

  if (!take_number (&line, &start) || !take_number (&line, &length))
    return -EBADMSG;
  type = skip_blanks (line);
  if (*type == '\0')
    return -EBADMSG;
  params = type + strcspn (type, " \t\v\f\r");
  if (*params)
    *params++ = '\0';
  params[strcspn (params, "#")] = '\0';
  return table_add (out, table, start, length, type, trim (params));
}

/* dmsetup's words, and what is wrong. */
static void
print_bad_line (const char *line, unsigned number, const char *where)
{
  fprintf (stderr, "nbdm: not a table line: '%s': expected START LENGTH TYPE "
           "[PARAMETERS]\nInvalid format on line %u of table %s.\n", line,
           number, where);
}

static int
table_parse (char *text, const char *where, FILE *out, struct table *table)
{
  unsigned number = 0;
  char *line;
  int r = 0;

  while (r == 0 && (line = strsep (&text, "\n")) != NULL) {
    number++;
    line = trim (line);
    if (*line == '\0' || *line == '#')
      continue;
    r = table_add_line (out, table, line);
    if (r == -EBADMSG)
      print_bad_line (line, number, where);
  }
  return r;
}

/* dmsetup's words, and why.  -errno, which is not 0. */
static int
print_file_error (const char *words, const char *file)
{
  int err = errno ? errno : EIO;

  fprintf (stderr, "nbdm: %s: %s\n", file, strerror (err));
  fprintf (stderr, words, file);
  return -err;
}

int
read_text (const char *file, char **text)
{
  FILE *CLEANUP_FCLOSE opened = NULL;
  FILE *fp = stdin;
  size_t size = 0;
  ssize_t len;

  if (file) {
    fp = opened = fopen (file, "re");
    if (fp == NULL)
      return print_file_error ("Couldn't open '%s' for reading.\n", file);
  }
  errno = 0;
  len = getdelim (text, &size, '\0', fp);
  if (len < 0) {
    free (*text);
    *text = NULL;
    if (ferror (fp))
      return print_file_error ("Couldn't read '%s'.\n",
                               file ? file : "stdin");
    *text = strdup ("");
  }
  else if ((*text)[len - 1] == '\0') {
    fprintf (stderr, "'%s' is not text.\n", file ? file : "stdin");
    return -EINVAL;
  }
  return *text ? 0 : -ENOMEM;
}

int
table_parse_text (char *text, const char *where, struct table *table)
{
  FILE *out;
  int r;

  *table = (struct table) { NULL };
  out = open_memstream (&table->payload, &table->bytes);
  if (out == NULL)
    return -errno;
  r = table_parse (text, where, out, table);
  if (fclose (out) != 0 && r == 0)
    r = -ENOMEM;
  return r;
}

int
table_read (struct session *s, const char *file, struct table *table)
{
  const char *where = s->options.table ? "" : file ? file : "on stdin";
  char *CLEANUP_FREE text = NULL;
  int r = 0;

  *table = (struct table) { NULL };
  if (s->options.table)
    text = strdup (s->options.table);
  else
    r = read_text (file, &text);
  if (r < 0 || text == NULL)
    return r < 0 ? r : -ENOMEM;
  return table_parse_text (text, where, table);
}

int
table_error (uint64_t length, struct table *table)
{
  FILE *out;
  int r;

  *table = (struct table) { NULL };
  out = open_memstream (&table->payload, &table->bytes);
  if (out == NULL)
    return -errno;
  r = table_add (out, table, 0, length, "error", "");
  if (fclose (out) != 0 && r == 0)
    r = -ENOMEM;
  return r;
}

void
table_reset (struct table *table)
{
  free (table->payload);
  table->payload = NULL;
}
