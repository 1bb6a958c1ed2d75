/* SPDX-License-Identifier: BSD-3-Clause */
/* info: one block per device, or with -c a report of chosen fields. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "clients/info-fields.h"

#define DEFAULT_FIELDS "name,major,minor,attr,open,segments,events,uuid"

/* One report at a time. */
static struct report report;
static bool has_headings; /* they are on the page */

static struct report_style
style_of (const struct options *o)
{
  return (struct report_style) {
    .noheadings = o->noheadings,
    .nameprefixes = o->nameprefixes,
    .unquoted = o->unquoted,
    .rows = o->rows,
    .separator = o->separator ? o->separator : o->noheadings ? ":" : NULL,
  };
}

static int
report_json (struct session *s)
{
  int r = json_begin_list (s);

  for (size_t i = 0; i < report.rows.len && r == 0; i++) {
    json_t *object = json_object ();

    for (size_t c = 0; object && c < report.shown; c++) {
      const struct field *field = report.columns.ptr[c].field;
      const char *cell = report.rows.ptr[i][c];

      json_object_set_new (object, field->id, field->width < 0 ?
                           json_integer (atoll (cell)) : json_text (cell));
    }
    r = json_put (s, object);
  }
  return r;
}

/* What has been gathered; headings once if rows go out as they come. */
static int
report_out (struct session *s)
{
  struct report_style style = style_of (&s->options);

  if (s->options.json)
    return report_json (s);
  style.noheadings |= has_headings;
  report_sort (&report);
  report_print (&report, &style);
  return 0;
}

static int
report_device (struct session *s, const struct dm_ioctl *dmi)
{
  struct info_row row = { .dmi = dmi };
  struct graph *graph;
  int r = 0;

  if (report_uses (&report, "deps")) {
    r = session_graph (s, &graph);
    if (r < 0)
      return r;
    row.node = graph_find (graph, dmi->dev);
  }
  r = report_add (&report, &row);
  if (r == 0 && s->options.unbuffered && !s->options.json) {
    r = report_out (s);
    report_clear (&report);
    has_headings = true;
  }
  return r;
}

static int
info_one (struct session *s, const struct device *device, bool several)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, device, DM_DEV_STATUS_CMD, &call);

  if (r == 0 && s->options.columns)
    r = report_device (s, call.reply);
  else if (r == 0 && s->options.json)
    r = json_put (s, json_info (call.reply));
  else if (r == 0)
    device_print_info (call.reply);
  call_reset (&call);
  return r;
}

static int
info_columns_once (struct session *s)
{
  int r = device_each (s, true, info_one);
  int printed = report_out (s);

  report_clear (&report);
  has_headings = false;
  return r < 0 ? r : printed;
}

static int
info_columns (struct session *s)
{
  const struct options *o = &s->options;
  unsigned count = o->count ? o->count : 1;
  int r = report_init (&report, info_fields, info_nr_fields,
                       o->fields ? o->fields : DEFAULT_FIELDS, DEFAULT_FIELDS,
                       o->sort);

  while (r == 0) {
    r = info_columns_once (s);
    if (--count == 0 || r < 0)
      break;
    printf ("\n");
    fflush (stdout);
    sleep (o->interval ? o->interval : 1);
  }
  report_reset (&report);
  return r;
}

int
cmd_info (struct session *s)
{
  int r;

  if (s->options.columns)
    return info_columns (s);
  r = json_begin_list (s);
  return r < 0 ? r : device_each (s, true, info_one);
}
