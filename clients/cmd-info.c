/* SPDX-License-Identifier: BSD-3-Clause */
/* info: one block per device, or with -c one line of chosen columns. */

#include "clients/nbdmsetup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/vector.h"

/* ------------------------------------------------------------------
 * The fields.
 */
static void
field_name (FILE *out, const struct dm_ioctl *dmi)
{
  fputs (dmi->name, out);
}

static void
field_uuid (FILE *out, const struct dm_ioctl *dmi)
{
  fputs (dmi->uuid, out);
}

static void
field_blkdevname (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "dm-%u", dev_minor (dmi->dev));
}

static void
field_attr (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%c%c%c%c",
           dmi->flags & DM_ACTIVE_PRESENT_FLAG ? 'L' : '-',
           dmi->flags & DM_INACTIVE_PRESENT_FLAG ? 'I' : '-',
           dmi->flags & DM_SUSPEND_FLAG ? 's' : '-',
           dmi->flags & DM_READONLY_FLAG ? 'r' : 'w');
}

static void
field_tables_loaded (FILE *out, const struct dm_ioctl *dmi)
{
  bool live = dmi->flags & DM_ACTIVE_PRESENT_FLAG;
  bool inactive = dmi->flags & DM_INACTIVE_PRESENT_FLAG;

  fputs (live && inactive ? "Both" : live ? "Live" :
         inactive ? "Inactive" : "None", out);
}

static void
field_suspended (FILE *out, const struct dm_ioctl *dmi)
{
  fputs (dmi->flags & DM_SUSPEND_FLAG ? "Suspended" : "Active", out);
}

static void
field_readonly (FILE *out, const struct dm_ioctl *dmi)
{
  fputs (dmi->flags & DM_READONLY_FLAG ? "Read-only" : "Writeable", out);
}

static void
field_devno (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%u:%u", dev_major (dmi->dev), dev_minor (dmi->dev));
}

static void
field_major (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%u", dev_major (dmi->dev));
}

static void
field_minor (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%u", dev_minor (dmi->dev));
}

static void
field_open (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%d", dmi->open_count);
}

static void
field_segments (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%u", dmi->target_count);
}

static void
field_events (FILE *out, const struct dm_ioctl *dmi)
{
  fprintf (out, "%u", dmi->event_nr);
}

struct field {
  const char *id, *heading;
  int width;            /* at least; negative: a number, flush right */
  void (*print) (FILE *out, const struct dm_ioctl *dmi);
  const char *help;
};

static const struct field fields[] = {
  { "name", "Name", 16, field_name, "Name of mapped device." },
  { "mangled_name", "MangledName", 16, field_name, "The same." },
  { "unmangled_name", "UnmangledName", 16, field_name, "The same." },
  { "uuid", "UUID", 32, field_uuid, "Unique (optional) identifier." },
  { "mangled_uuid", "MangledUUID", 32, field_uuid, "The same." },
  { "unmangled_uuid", "UnmangledUUID", 32, field_uuid, "The same." },
  { "blkdevname", "BlkDevName", 16, field_blkdevname,
    "The name a kernel would give to the block device." },
  { "attr", "Stat", 4, field_attr,
    "(L)ive, (I)nactive, (s)uspended, (r)ead-only, read-(w)rite." },
  { "tables_loaded", "Tables", 6, field_tables_loaded,
    "Which of the two table slots are filled." },
  { "suspended", "Suspended", 9, field_suspended, "Suspended or Active." },
  { "readonly", "Read-only", 9, field_readonly, "Read-only or Writeable." },
  { "devno", "DevNo", 5, field_devno, "Major and minor number." },
  { "major", "Maj", -3, field_major, "Major number." },
  { "minor", "Min", -3, field_minor, "Minor number." },
  { "open", "Open", -4, field_open, "Number of openers." },
  { "segments", "Targ", -4, field_segments, "Number of targets." },
  { "events", "Event", -6, field_events, "Number of most recent event." },
};

#define DEFAULT_FIELDS "name,major,minor,attr,open,segments,events,uuid"

static const struct field *
field_find (const char *id, size_t len)
{
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    if (strlen (fields[i].id) == len && !strncmp (fields[i].id, id, len))
      return &fields[i];
  return NULL;
}

static void
print_fields_help (void)
{
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    fprintf (stderr, "  %-16s - %s\n", fields[i].id, fields[i].help);
}

/* ------------------------------------------------------------------
 * The report.
 */
struct column {
  const struct field *field;
  int width; /* of what is in it so far */
};

/* One report at a time: rows are gathered first, since a column is as wide as
 * its widest cell.
 */
struct report {
  VECTOR (struct column) columns;
  VECTOR (char *) cells; /* row by row */
};

static struct report report;

static int
report_add_columns (const char *list)
{
  size_t len;

  for (; *list; list += len + (list[len] == ',')) {
    struct column column;

    len = strcspn (list, ",");
    column.field = field_find (list, len);
    if (column.field == NULL) {
      print_fields_help ();
      fprintf (stderr, "\nUnrecognised field: %.*s\n", (int) len, list);
      return -EINVAL;
    }
    column.width = abs (column.field->width);
    if (vector_append (&report.columns, column) < 0)
      return -ENOMEM;
  }
  return 0;
}

static int
report_add_cell (struct column *column, const struct dm_ioctl *dmi)
{
  char *cell = NULL;
  size_t len;
  FILE *out = open_memstream (&cell, &len);

  if (out == NULL)
    return -errno;
  column->field->print (out, dmi);
  if (fclose (out) != 0 || vector_append (&report.cells, cell) < 0) {
    free (cell);
    return -ENOMEM;
  }
  if ((int) len > column->width)
    column->width = len;
  return 0;
}

static int
report_add_row (const struct dm_ioctl *dmi)
{
  int r = 0;

  for (size_t i = 0; i < report.columns.len && r == 0; i++)
    r = report_add_cell (&report.columns.ptr[i], dmi);
  return r;
}

/* DM_NAME='a', for eval in shell scripts. */
static void
print_prefixed (const struct session *s, const char *id, const char *cell)
{
  const char *quote = s->options.unquoted ? "" : "'";

  printf ("DM_");
  for (; *id; id++)
    putchar (toupper ((unsigned char) *id));
  printf ("=%s%s%s", quote, cell, quote);
}

static void
print_cell (const struct session *s, const struct column *column,
            const char *cell, bool heading, bool aligned)
{
  if (!heading && s->options.nameprefixes)
    print_prefixed (s, column->field->id, cell);
  else if (!aligned)
    printf ("%s", cell);
  else if (!heading && column->field->width < 0)
    printf ("%*s", column->width, cell);
  else
    printf ("%-*s", column->width, cell);
}

static void
print_row (const struct session *s, char *const *cells)
{
  const struct options *o = &s->options;
  bool aligned = !o->noheadings && !o->nameprefixes && !o->separator;
  const char *separator = o->separator ? o->separator :
    o->noheadings ? ":" : " ";

  for (size_t i = 0; i < report.columns.len; i++) {
    const struct column *column = &report.columns.ptr[i];

    if (i > 0)
      printf ("%s", separator);
    print_cell (s, column, cells ? cells[i] : column->field->heading, !cells,
                aligned);
  }
  printf ("\n");
}

static void
report_print (const struct session *s)
{
  if (report.cells.len == 0)
    return;
  if (!s->options.noheadings)
    print_row (s, NULL);
  for (size_t i = 0; i < report.cells.len; i += report.columns.len)
    print_row (s, &report.cells.ptr[i]);
}

static void
report_reset (void)
{
  for (size_t i = 0; i < report.cells.len; i++)
    free (report.cells.ptr[i]);
  vector_reset (&report.cells);
  vector_reset (&report.columns);
}

/* ------------------------------------------------------------------
 * The verb.
 */
static int
info_one (struct session *s, const struct device *device, bool several)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, device, DM_DEV_STATUS_CMD, &call);

  if (r == 0 && s->options.columns)
    r = report_add_row (call.reply);
  else if (r == 0)
    device_print_info (call.reply);
  call_reset (&call);
  return r;
}

static int
info_columns (struct session *s)
{
  const char *list = s->options.fields ? s->options.fields : DEFAULT_FIELDS;
  int r = 0;

  if (*list == '+') {
    r = report_add_columns (DEFAULT_FIELDS);
    list++;
  }
  if (r == 0)
    r = report_add_columns (list);
  if (r == 0)
    r = device_each (s, true, info_one);
  report_print (s);
  report_reset ();
  return r;
}

int
cmd_info (struct session *s)
{
  if (s->options.columns)
    return info_columns (s);
  return device_each (s, true, info_one);
}
