/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: putting reports together. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clients/inspect.h"

static void *
report_must (void *p)
{
  if (p == NULL) {
    fprintf (stderr, "nbdm-inspect: out of memory\n");
    exit (1);
  }
  return p;
}

/* Names of files need not be UTF-8, but JSON must. */
static json_t *
report_bytes (const char *text)
{
  char *escaped = report_must (malloc (4 * strlen (text) + 1)), *to = escaped;
  json_t *string;

  for (; *text; text++)
    if (*text >= ' ' && *text < 127)
      *to++ = *text;
    else
      to += sprintf (to, "\\x%02x", (unsigned char) *text);
  *to = '\0';
  string = report_must (json_string (escaped));
  free (escaped);
  return string;
}

static json_t *
report_text (const char *fmt, va_list args)
{
  json_t *string;
  char *text;

  if (vasprintf (&text, fmt, args) < 0)
    report_must (NULL);
  string = json_string (text);
  if (string == NULL)
    string = report_bytes (text);
  free (text);
  return string;
}

void
inspect_set (json_t *object, const char *key, json_t *value)
{
  if (json_object_set_new (object, key, report_must (value)) < 0)
    report_must (NULL);
}

void
inspect_set_text (json_t *object, const char *key, const char *fmt, ...)
{
  va_list args;

  va_start (args, fmt);
  inspect_set (object, key, report_text (fmt, args));
  va_end (args);
}

void
inspect_set_number (json_t *object, const char *key, uint64_t value)
{
  if (value > INT64_MAX)
    inspect_set_text (object, key, "%llu", (unsigned long long) value);
  else
    inspect_set (object, key, json_integer (value));
}

void
inspect_problem (json_t *report, const char *fmt, ...)
{
  json_t *problems = json_object_get (report, "problems");
  va_list args;

  if (problems == NULL) {
    problems = json_array ();
    inspect_set (report, "problems", problems);
  }
  va_start (args, fmt);
  if (json_array_append_new (problems, report_text (fmt, args)) < 0)
    report_must (NULL);
  va_end (args);
}

const char *
inspect_word (const json_t *object, const char *key)
{
  static char words[4][32];
  static unsigned next;
  const json_t *value = json_object_get (object, key);
  char *word = words[next++ % 4];

  if (json_is_string (value))
    return json_string_value (value);
  if (!json_is_integer (value))
    return "-";
  snprintf (word, sizeof words[0], "%" JSON_INTEGER_FORMAT,
            json_integer_value (value));
  return word;
}
