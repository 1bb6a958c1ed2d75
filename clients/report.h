/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports: rows of chosen fields, sorted and laid out as dmsetup does it. */

#ifndef NBDM_REPORT_H
#define NBDM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/vector.h"

/* What can be asked of a row. */
struct field {
  const char *id, *heading;
  int width;               /* at least; negative: a number, flush right */
  void (*print) (FILE *out, const void *row);
  const char *help;
  const char *group;       /* GROUP_all asks for all of a group */
};

/* The field of an array of n with this id; -1 if there is none. */
int field_find (const struct field *fields, size_t n, const char *id,
                size_t len);

/* Malloc'ed; NULL if memory has run out. */
char *field_text (const struct field *field, const void *row);

struct report_style {
  bool noheadings, nameprefixes, unquoted;
  bool rows;               /* one line for each field instead of each row */
  const char *separator;   /* NULL: columns are aligned */
};

struct column {
  const struct field *field;
  int width;               /* of what is in it so far */
};

struct sort_key {
  size_t column;
  bool descending;
};

/* Zero-initialise, report_init, report_add for each row, report_print. */
struct report {
  const struct field *fields;
  size_t nr_fields;
  VECTOR (struct column) columns; /* those shown, then those sorted by */
  size_t shown;
  VECTOR (struct sort_key) keys;
  VECTOR (char **) rows;   /* columns.len cells each */
};

/* list: ids with commas between them, behind a + to have defaults before
 * them.  sort: ids with + or - before each, or NULL for the order of
 * report_add.  -EINVAL, with the reason on stderr, or -ENOMEM.
 */
int report_init (struct report *report, const struct field *fields, size_t n,
                 const char *list, const char *defaults, const char *sort);

/* Some column shows, or is sorted by, a field of this group. */
bool report_uses (const struct report *report, const char *group);

/* 0 or -ENOMEM. */
int report_add (struct report *report, const void *row);

/* Put the rows in order; equal ones stay as they are. */
void report_sort (struct report *report);

/* What there is, headings too, unless there are no rows. */
void report_print (const struct report *report,
                   const struct report_style *style);

/* Show only the first columns, as many as fit into that width; at least one. */
void report_narrow (struct report *report, int width);

/* Drop all rows but the first n, all rows, or everything. */
void report_cut (struct report *report, size_t n);
void report_clear (struct report *report);
void report_reset (struct report *report);

#endif /* NBDM_REPORT_H */
