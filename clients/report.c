/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports: rows of chosen fields, sorted and laid out as dmsetup does it. */

#include "clients/report.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
field_find (const struct field *fields, size_t n, const char *id, size_t len)
{
  for (size_t i = 0; i < n; i++)
    if (strlen (fields[i].id) == len && !strncmp (fields[i].id, id, len))
      return i;
  return -1;
}

char *
field_text (const struct field *field, const void *row)
{
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream (&text, &len);

  if (out == NULL)
    return NULL;
  field->print (out, row);
  if (fclose (out) == 0)
    return text;
  free (text);
  return NULL;
}

static void
print_fields_help (const struct report *report)
{
  for (size_t i = 0; i < report->nr_fields; i++)
    fprintf (stderr, "  %-17s - %s\n", report->fields[i].id,
             report->fields[i].help);
}

static int
unrecognised (const struct report *report, const char *id, size_t len)
{
  print_fields_help (report);
  fprintf (stderr, "\nUnrecognised field: %.*s\n", (int) len, id);
  return -EINVAL;
}

/* ------------------------------------------------------------------
 * Columns.
 */
static int
report_add_column (struct report *report, const struct field *field)
{
  const struct column column = { field, abs (field->width) };

  return vector_append (&report->columns, column);
}

/* Is id "all", or GROUP_all? */
static bool
names_group (const char *id, size_t len, const char *group)
{
  size_t n = strlen (group);

  if (len == 3)
    return strncmp (id, "all", 3) == 0;
  return len == n + 4 && strncmp (id, group, n) == 0 &&
    strncmp (id + n, "_all", 4) == 0;
}

static int
report_add_fields (struct report *report, const char *id, size_t len)
{
  int i = field_find (report->fields, report->nr_fields, id, len), r = 0;
  bool any = false;

  if (i >= 0)
    return report_add_column (report, &report->fields[i]);
  for (size_t f = 0; f < report->nr_fields && r == 0; f++)
    if (names_group (id, len, report->fields[f].group)) {
      r = report_add_column (report, &report->fields[f]);
      any = true;
    }
  return any ? r : unrecognised (report, id, len);
}

static int
report_add_list (struct report *report, const char *list)
{
  size_t len;
  int r = 0;

  for (; *list && r == 0; list += len + (list[len] == ',')) {
    len = strcspn (list, ",");
    r = report_add_fields (report, list, len);
  }
  return r;
}

/* The column of the field, which is added if it is not shown. */
static int
report_add_key (struct report *report, const char *id, size_t len,
                bool descending)
{
  int i = field_find (report->fields, report->nr_fields, id, len);
  struct sort_key key = { .descending = descending };

  if (i < 0)
    return unrecognised (report, id, len);
  while (key.column < report->columns.len &&
         report->columns.ptr[key.column].field != &report->fields[i])
    key.column++;
  if (key.column == report->columns.len &&
      report_add_column (report, &report->fields[i]) < 0)
    return -ENOMEM;
  return vector_append (&report->keys, key);
}

static int
report_add_keys (struct report *report, const char *sort)
{
  size_t len;
  int r = 0;

  for (; *sort && r == 0; sort += len + (sort[len] == ',')) {
    bool descending = *sort == '-';

    sort += *sort == '-' || *sort == '+';
    len = strcspn (sort, ",");
    r = report_add_key (report, sort, len, descending);
  }
  return r;
}

int
report_init (struct report *report, const struct field *fields, size_t n,
             const char *list, const char *defaults, const char *sort)
{
  int r = 0;

  report->fields = fields;
  report->nr_fields = n;
  if (*list == '+') {
    r = report_add_list (report, defaults);
    list++;
  }
  if (r == 0)
    r = report_add_list (report, list);
  report->shown = report->columns.len;
  if (r == 0 && sort)
    r = report_add_keys (report, sort);
  return r;
}

bool
report_uses (const struct report *report, const char *group)
{
  for (size_t i = 0; i < report->columns.len; i++)
    if (strcmp (report->columns.ptr[i].field->group, group) == 0)
      return true;
  return false;
}

/* ------------------------------------------------------------------
 * Rows.
 */
static void
row_free (char **cells, size_t n)
{
  for (size_t i = 0; i < n; i++)
    free (cells[i]);
  free (cells);
}

int
report_add (struct report *report, const void *row)
{
  size_t n = report->columns.len;
  char **cells = calloc (n + 1, sizeof *cells);

  if (cells == NULL)
    return -ENOMEM;
  for (size_t i = 0; i < n; i++) {
    struct column *column = &report->columns.ptr[i];

    cells[i] = field_text (column->field, row);
    if (cells[i] == NULL) {
      row_free (cells, n);
      return -ENOMEM;
    }
    if (column->width < (int) strlen (cells[i]))
      column->width = strlen (cells[i]);
  }
  if (vector_append (&report->rows, cells) < 0) {
    row_free (cells, n);
    return -ENOMEM;
  }
  return 0;
}

static int
compare_cells (const struct field *field, const char *a, const char *b)
{
  double m, n;

  if (field->width >= 0)
    return strcmp (a, b);
  m = strtod (a, NULL);
  n = strtod (b, NULL);
  return m < n ? -1 : m > n;
}

static int
compare_rows (const void *p, const void *q, void *opaque)
{
  const struct report *report = opaque;
  char *const *a = *(char **const *) p, *const *b = *(char **const *) q;

  for (size_t i = 0; i < report->keys.len; i++) {
    const struct sort_key *key = &report->keys.ptr[i];
    int order = compare_cells (report->columns.ptr[key->column].field,
                               a[key->column], b[key->column]);

    if (order)
      return key->descending ? -order : order;
  }
  return 0;
}

/* glibc's qsort_r keeps the order of equal ones as long as there is memory
 * for a merge.
 */
void
report_sort (struct report *report)
{
  if (report->keys.len > 0 && report->rows.len > 1)
    qsort_r (report->rows.ptr, report->rows.len, sizeof *report->rows.ptr,
             compare_rows, report);
}

/* ------------------------------------------------------------------
 * The page.
 */

/* DM_NAME='a', for eval in shell scripts. */
static void
print_prefixed (const struct report_style *style, const char *id,
                const char *cell)
{
  const char *quote = style->unquoted ? "" : "'";

  printf ("DM_");
  for (; *id; id++)
    putchar (toupper ((unsigned char) *id));
  printf ("=%s%s%s", quote, cell, quote);
}

static void
print_cell (const struct report_style *style, const struct column *column,
            const char *cell, bool heading)
{
  int width = style->separator || style->rows || style->nameprefixes ? 0 :
    column->width;

  if (!heading && style->nameprefixes)
    print_prefixed (style, column->field->id, cell);
  else if (!heading && column->field->width < 0)
    printf ("%*s", width, cell);
  else
    printf ("%-*s", width, cell);
}

static const char *
separator (const struct report_style *style)
{
  return style->separator ? style->separator : " ";
}

/* Headings if cells is NULL. */
static void
print_row (const struct report *report, const struct report_style *style,
           char *const *cells)
{
  for (size_t i = 0; i < report->shown; i++) {
    const struct column *column = &report->columns.ptr[i];

    if (i > 0)
      printf ("%s", separator (style));
    print_cell (style, column, cells ? cells[i] : column->field->heading,
                !cells);
  }
  printf ("\n");
}

static void
print_column (const struct report *report, const struct report_style *style,
              size_t i)
{
  const struct column *column = &report->columns.ptr[i];

  if (!style->noheadings)
    print_cell (style, column, column->field->heading, true);
  for (size_t r = 0; r < report->rows.len; r++) {
    if (r > 0 || !style->noheadings)
      printf ("%s", separator (style));
    print_cell (style, column, report->rows.ptr[r][i], false);
  }
  printf ("\n");
}

void
report_print (const struct report *report, const struct report_style *style)
{
  if (report->rows.len == 0)
    return;
  if (style->rows) {
    for (size_t i = 0; i < report->shown; i++)
      print_column (report, style, i);
    return;
  }
  if (!style->noheadings)
    print_row (report, style, NULL);
  for (size_t r = 0; r < report->rows.len; r++)
    print_row (report, style, report->rows.ptr[r]);
}

void
report_narrow (struct report *report, int width)
{
  size_t n = 0;

  while (n < report->shown && (width -= report->columns.ptr[n].width) >= 0) {
    n++;
    width--; /* the separator */
  }
  report->shown = n > 0 ? n : 1;
}

void
report_cut (struct report *report, size_t n)
{
  for (size_t i = n; i < report->rows.len; i++)
    row_free (report->rows.ptr[i], report->columns.len);
  if (n < report->rows.len)
    report->rows.len = n;
}

void
report_clear (struct report *report)
{
  report_cut (report, 0);
}

void
report_reset (struct report *report)
{
  report_clear (report);
  vector_reset (&report->rows);
  vector_reset (&report->columns);
  vector_reset (&report->keys);
}
