/* SPDX-License-Identifier: BSD-3-Clause */
/* Selections: the -S of a report, judged on the fields of each row. */

#ifndef NBDM_SELECT_H
#define NBDM_SELECT_H

#include <stdbool.h>
#include <stddef.h>

/* The grammar is libdevmapper's (1.02.185) for string and number fields:
 *
 *   expression  := conjunction { ("||" | "#") conjunction }
 *   conjunction := factor { ("&&" | ",") factor }
 *   factor      := ["!"] "(" expression ")" | FIELD operator VALUE
 *   operator    := "=~" "!~" "=" "!=" ">=" ">" "<=" "<"
 *
 * VALUE is quoted with " or ', or goes up to a blank or the next "&&", ",",
 * "||", "#" or ")".  A pattern (an extended regular expression, not anchored)
 * may stand in (), [] or {} too, which then are not part of it.  =~ and !~
 * are for strings, the four inequalities for numbers.
 */
struct selection;

/* How the rows look. */
struct select_source {
  /* The index of the field, -1 if there is none. */
  int (*find) (const char *id, size_t len);
  bool (*is_number) (int field);
  /* The row's text of the field, valid until the next call; NULL if memory
   * has run out.  A number is written in decimal digits.
   */
  const char *(*text) (const void *row, int field);
};

/* *selection is the caller's to free; source must outlive it.  -EINVAL, with
 * the reason on stderr, or -ENOMEM.
 */
int selection_parse (const char *text, const struct select_source *source,
                     struct selection **selection);

/* 1 or 0; -ENOMEM. */
int selection_match (const struct selection *selection, const void *row);

/* Fields of this index are looked at by some comparison. */
bool selection_uses (const struct selection *selection, int field);

void selection_free (struct selection *selection);

#endif /* NBDM_SELECT_H */
