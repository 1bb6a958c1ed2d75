/* SPDX-License-Identifier: BSD-3-Clause */
/* What selections choose, and what they refuse. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clients/select.h"

/* A row is an array of two texts: name and size, the latter a number. */
static int
find (const char *id, size_t len)
{
  return len == 4 && !strncmp (id, "name", 4) ? 0 :
    len == 4 && !strncmp (id, "size", 4) ? 1 : -1;
}

static bool
is_number (int field)
{
  return field == 1;
}

static const char *
text (const void *row, int field)
{
  return ((const char *const *) row)[field];
}

static const struct select_source source = { find, is_number, text };

static int
selects (const char *selection, const char *name, const char *size)
{
  const char *row[] = { name, size };
  struct selection *parsed;
  int r = selection_parse (selection, &source, &parsed);

  if (r == 0) {
    r = selection_match (parsed, row);
    selection_free (parsed);
  }
  return r;
}

#define YES(selection, name, size) \
  cr_expect_eq (selects (selection, name, size), 1, "%s", selection)
#define NO(selection, name, size) \
  cr_expect_eq (selects (selection, name, size), 0, "%s", selection)

Test (select, strings_are_equal_or_not)
{
  YES ("name=a", "a", "1");
  NO ("name=a", "ab", "1");
  YES ("name!=a", "ab", "1");
  YES ("name=", "", "1");
  NO ("name=", "a", "1");
}

Test (select, a_value_ends_where_the_next_word_begins)
{
  YES ("name=a||name=b", "b", "1");
  YES ("name=a && size=1", "a", "1");
  YES ("name=a,size=1", "a", "1");
  YES ("name=x#size=1", "a", "1");
  YES ("(name=a)", "a", "1");
  YES ("  name  =  a  ", "a", "1");
}

Test (select, quotes_hold_what_would_end_a_value)
{
  YES ("name=\"a, b\"", "a, b", "1");
  YES ("name='a||b'", "a||b", "1");
  YES ("name='\"'", "\"", "1");
}

Test (select, numbers_are_compared_as_such)
{
  YES ("size=08", "a", "8");
  YES ("size>9", "a", "10");
  NO ("size>10", "a", "10");
  YES ("size>=10", "a", "10");
  YES ("size<10", "a", "9");
  NO ("size<10", "a", "10");
  YES ("size<=10", "a", "10");
  YES ("size!=9", "a", "10");
}

Test (select, patterns_are_not_anchored)
{
  YES ("name=~b", "abc", "1");
  NO ("name=~^b", "abc", "1");
  YES ("name!~^b", "abc", "1");
  YES ("name=~(^a|^x)", "abc", "1");
  YES ("name=~'a|, '", "x, y", "1");
  YES ("name=~[bc]", "abc", "1");
}

Test (select, and_binds_closer_than_or)
{
  YES ("name=a || name=b && size=2", "a", "1");
  NO ("(name=a || name=b) && size=2", "a", "1");
  YES ("name=b && size=2 || name=a", "a", "1");
}

Test (select, a_parenthesis_can_be_negated)
{
  NO ("!(name=a)", "a", "1");
  YES ("!(name=a && size=2)", "a", "1");
  YES ("!(!(name=a))", "a", "1");
}

Test (select, nonsense_is_refused, .init = cr_redirect_stderr)
{
  static const char *const nonsense[] = {
    "", "name", "name=a ||", "name=a name=b", "nosuch=1", "=a", "name~a",
    "name>a", "size=~1", "size=x", "size=", "size=1x", "size=-1",
    "size=99999999999999999999", "(name=a", "name=a)", "!name=a",
    "name=\"a", "name=~(a", "name=~'('", "!", "()",
  };

  for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
    cr_expect_eq (selects (nonsense[i], "a", "1"), -EINVAL, "%s",
                  nonsense[i]);
}

Test (select, parentheses_are_not_nested_without_end,
      .init = cr_redirect_stderr)
{
  char deep[2001];

  memset (deep, '(', 2000);
  deep[2000] = '\0';
  cr_assert_eq (selects (deep, "a", "1"), -EINVAL);
}

Test (select, it_is_known_what_is_looked_at)
{
  struct selection *parsed;

  cr_assert_eq (selection_parse ("!(size=1)", &source, &parsed), 0);
  cr_assert (selection_uses (parsed, 1));
  cr_assert_not (selection_uses (parsed, 0));
  selection_free (parsed);
}
