/* SPDX-License-Identifier: BSD-3-Clause */
/* Selections: the -S of a report, judged on the fields of each row. */

#include "clients/select.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/vector.h"

enum op { OP_MATCH, OP_EQUAL, OP_GREATER, OP_LESS };

static const struct op_word {
  const char *word;
  enum op op;
  bool negated;
} op_words[] = {
  /* The longer ones first.  >= is "not <". */
  { "=~", OP_MATCH, false }, { "!~", OP_MATCH, true },
  { "!=", OP_EQUAL, true },  { ">=", OP_LESS, true },
  { "<=", OP_GREATER, true }, { "=", OP_EQUAL, false },
  { ">", OP_GREATER, false }, { "<", OP_LESS, false },
};

struct comparison {
  int field;
  enum op op;
  bool negated, number;
  char *text;
  uint64_t value;      /* of text, if number */
  regex_t regex;       /* if OP_MATCH */
};

/* The expression in postfix order: what a comparison says is pushed, the
 * others take from the stack what they join.
 */
enum step { STEP_AND = -1, STEP_OR = -2, STEP_NOT = -3 };

struct selection {
  const struct select_source *source;
  VECTOR (struct comparison) comparisons;
  VECTOR (int) steps; /* an index into comparisons, or enum step */
};

struct parser {
  struct selection *selection;
  const char *p;
  int depth;
};

#define MAX_DEPTH 100 /* of parentheses */

static void
skip_blanks (struct parser *parser)
{
  while (isspace ((unsigned char) *parser->p))
    parser->p++;
}

/* Is word next?  Then step over it. */
static bool
take (struct parser *parser, const char *word)
{
  size_t len = strlen (word);

  skip_blanks (parser);
  if (strncmp (parser->p, word, len) != 0)
    return false;
  parser->p += len;
  return true;
}

static int
syntax_error (const char *at)
{
  fprintf (stderr, "Selection syntax error at '%s'.\n", at);
  return -EINVAL;
}

/* ------------------------------------------------------------------
 * FIELD operator VALUE
 */
static int
parse_field (struct parser *parser, struct comparison *c)
{
  const struct select_source *source = parser->selection->source;
  size_t len = 0;

  skip_blanks (parser);
  while (isalnum ((unsigned char) parser->p[len]) || parser->p[len] == '_')
    len++;
  if (len == 0) {
    fprintf (stderr, "Expecting field name\n");
    return -EINVAL;
  }
  c->field = source->find (parser->p, len);
  if (c->field < 0) {
    fprintf (stderr, "Unrecognised selection field: %.*s\n", (int) len,
             parser->p);
    return -EINVAL;
  }
  c->number = source->is_number (c->field);
  parser->p += len;
  return 0;
}

static int
parse_op (struct parser *parser, struct comparison *c)
{
  const char *kind;
  size_t i = 0;

  while (i < sizeof op_words / sizeof op_words[0] &&
         !take (parser, op_words[i].word))
    i++;
  if (i == sizeof op_words / sizeof op_words[0]) {
    fprintf (stderr, "Unrecognised comparison operator: %s\n", parser->p);
    return -EINVAL;
  }
  c->op = op_words[i].op;
  c->negated = op_words[i].negated;
  kind = c->op == OP_MATCH && c->number ? "string" :
    c->op != OP_MATCH && c->op != OP_EQUAL && !c->number ? "number" : NULL;
  if (kind == NULL)
    return 0;
  fprintf (stderr, "Operator can be used only with %s fields: %s\n", kind,
           op_words[i].word);
  return -EINVAL;
}

static bool
is_end_of_word (const char *p)
{
  return *p == '\0' || *p == ' ' || *p == ',' || *p == '#' || *p == ')' ||
    strncmp (p, "&&", 2) == 0 || strncmp (p, "||", 2) == 0;
}

/* What ends a value that begins with this character; NULL: it is not
 * quoted.
 */
static const char *
closing (const struct comparison *c, char opening)
{
  static const char quotes[] = "\"\"''", brackets[] = "()[]{}";
  const char *p = strchr (quotes, opening);

  if (opening == '\0')
    return NULL;
  if (p == NULL && c->op == OP_MATCH)
    p = strchr (brackets, opening);
  return p ? p + 1 : NULL;
}

static int
take_value (struct parser *parser, struct comparison *c)
{
  const char *end, *close;

  skip_blanks (parser);
  close = closing (c, *parser->p);
  if (close) {
    end = strchr (++parser->p, *close);
    if (end == NULL) {
      fprintf (stderr, "Missing end quote.\n");
      return -EINVAL;
    }
  }
  else
    for (end = parser->p; !is_end_of_word (end); end++)
      ;
  c->text = strndup (parser->p, end - parser->p);
  parser->p = end + (close != NULL);
  return c->text ? 0 : -ENOMEM;
}

static int
compile_value (struct comparison *c)
{
  char *end;

  if (c->op == OP_MATCH) {
    if (regcomp (&c->regex, c->text, REG_EXTENDED | REG_NOSUB) == 0)
      return 0;
    fprintf (stderr, "Failed to parse regex value: %s\n", c->text);
    return -EINVAL;
  }
  if (!c->number)
    return 0;
  errno = 0;
  c->value = strtoull (c->text, &end, 10);
  if (errno == 0 && isdigit ((unsigned char) c->text[0]) && *end == '\0')
    return 0;
  fprintf (stderr, "Failed to parse numeric value: %s\n", c->text);
  return -EINVAL;
}

static int
add_step (struct parser *parser, int step)
{
  return vector_append (&parser->selection->steps, step);
}

static int
parse_comparison (struct parser *parser)
{
  struct selection *sel = parser->selection;
  struct comparison c = { .text = NULL };
  int r = parse_field (parser, &c);

  if (r == 0)
    r = parse_op (parser, &c);
  if (r == 0)
    r = take_value (parser, &c);
  if (r == 0)
    r = compile_value (&c);
  if (r < 0) {
    free (c.text);
    return r;
  }
  r = vector_append (&sel->comparisons, c);
  if (r < 0) {
    free (c.text);
    if (c.op == OP_MATCH)
      regfree (&c.regex);
    return r;
  }
  return add_step (parser, sel->comparisons.len - 1);
}

/* ------------------------------------------------------------------
 * Expressions.
 */
static int parse_or (struct parser *parser);

static int
parse_parenthesis (struct parser *parser)
{
  int r = ++parser->depth > MAX_DEPTH ? syntax_error (parser->p) :
    parse_or (parser);

  parser->depth--;
  if (r == 0 && !take (parser, ")")) {
    fprintf (stderr, "Syntax error: right parenthesis expected at '%s'\n",
             parser->p);
    r = -EINVAL;
  }
  return r;
}

static int
parse_factor (struct parser *parser)
{
  const char *start = parser->p;
  int r;

  if (take (parser, "("))
    return parse_parenthesis (parser);
  if (!take (parser, "!")) {
    r = parse_comparison (parser);
    return r == -EINVAL ? syntax_error (start) : r;
  }
  if (!take (parser, "(")) {
    fprintf (stderr, "Syntax error: left parenthesis expected at '%s'\n",
             parser->p);
    return -EINVAL;
  }
  r = parse_parenthesis (parser);
  return r < 0 ? r : add_step (parser, STEP_NOT);
}

static int
parse_and (struct parser *parser)
{
  int r = parse_factor (parser);

  while (r == 0 && (take (parser, "&&") || take (parser, ","))) {
    r = parse_factor (parser);
    if (r == 0)
      r = add_step (parser, STEP_AND);
  }
  return r;
}

static int
parse_or (struct parser *parser)
{
  int r = parse_and (parser);

  while (r == 0 && (take (parser, "||") || take (parser, "#"))) {
    r = parse_and (parser);
    if (r == 0)
      r = add_step (parser, STEP_OR);
  }
  return r;
}

int
selection_parse (const char *text, const struct select_source *source,
                 struct selection **selection)
{
  struct parser parser = { .p = text };
  int r;

  parser.selection = calloc (1, sizeof *parser.selection);
  if (parser.selection == NULL)
    return -ENOMEM;
  parser.selection->source = source;
  r = parse_or (&parser);
  skip_blanks (&parser);
  if (r == 0 && *parser.p)
    r = syntax_error (parser.p);
  if (r < 0)
    selection_free (parser.selection);
  else
    *selection = parser.selection;
  return r;
}

void
selection_free (struct selection *sel)
{
  if (sel == NULL)
    return;
  for (size_t i = 0; i < sel->comparisons.len; i++) {
    free (sel->comparisons.ptr[i].text);
    if (sel->comparisons.ptr[i].op == OP_MATCH)
      regfree (&sel->comparisons.ptr[i].regex);
  }
  vector_reset (&sel->comparisons);
  vector_reset (&sel->steps);
  free (sel);
}

/* ------------------------------------------------------------------
 * Judging a row.
 */
static bool
holds (const struct comparison *c, const char *text)
{
  uint64_t n = c->number ? strtoull (text, NULL, 10) : 0;

  switch (c->op) {
  case OP_MATCH: return regexec (&c->regex, text, 0, NULL, 0) == 0;
  case OP_EQUAL: return c->number ? n == c->value : !strcmp (text, c->text);
  case OP_GREATER: return n > c->value;
  default: return n < c->value;
  }
}

/* Take one step on the stack that ends at *top. */
static int
selection_step (const struct selection *sel, int step, const void *row,
                bool **top)
{
  const struct comparison *c;
  const char *text;

  if (step == STEP_NOT)
    (*top)[-1] = !(*top)[-1];
  else if (step < 0) {
    --*top;
    (*top)[-1] = step == STEP_AND ? (*top)[-1] && **top :
      (*top)[-1] || **top;
  }
  else {
    c = &sel->comparisons.ptr[step];
    text = sel->source->text (row, c->field);
    if (text == NULL)
      return -ENOMEM;
    *(*top)++ = holds (c, text) != c->negated;
  }
  return 0;
}

/* The stack never grows beyond one entry for each comparison. */
int
selection_match (const struct selection *sel, const void *row)
{
  bool *CLEANUP_FREE stack = calloc (sel->comparisons.len, sizeof *stack);
  bool *top = stack;
  int r = stack ? 0 : -ENOMEM;

  for (size_t i = 0; i < sel->steps.len && r == 0; i++)
    r = selection_step (sel, sel->steps.ptr[i], row, &top);
  return r < 0 ? r : stack[0];
}

bool
selection_uses (const struct selection *sel, int field)
{
  for (size_t i = 0; i < sel->comparisons.len; i++)
    if (sel->comparisons.ptr[i].field == field)
      return true;
  return false;
}
