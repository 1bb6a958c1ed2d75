/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of a table line or a message, and the numbers in them. */

#include "common/args.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/vector.h"

static bool
args_is_space (char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Unquote one word in place; returns where the next one may start. */
static char *
args_unquote (char *start)
{
  char *in = start, *out = start;
  bool at_end;

  while (*in && !args_is_space (*in)) {
    if (*in == '\\' && in[1])
      in++;
    *out++ = *in++;
  }
  at_end = *in == '\0';
  *out = '\0';
  return at_end ? in : in + 1;
}

int
args_split (char *text, struct args *args)
{
  VECTOR (char *) words = VECTOR_INIT;

  for (;;) {
    while (args_is_space (*text))
      text++;
    if (*text == '\0')
      break;
    if (vector_append (&words, text) < 0) {
      vector_reset (&words);
      return -ENOMEM;
    }
    text = args_unquote (text);
  }
  args->argc = words.len;
  args->argv = words.ptr;
  return 0;
}

char *
args_shift (struct args *args)
{
  if (args->argc == 0)
    return NULL;
  args->argc--;
  return *args->argv++;
}

int
args_parse_u64 (const char *word, uint64_t *out)
{
  uint64_t n = 0;

  if (*word == '\0')
    return -EINVAL;
  for (; *word; word++) {
    if (*word < '0' || *word > '9' ||
        __builtin_mul_overflow (n, 10, &n) ||
        __builtin_add_overflow (n, *word - '0', &n))
      return -EINVAL;
  }
  *out = n;
  return 0;
}

int
args_parse_u32 (const char *word, uint32_t *out)
{
  uint64_t n;

  if (args_parse_u64 (word, &n) < 0 || n > UINT32_MAX)
    return -EINVAL;
  *out = n;
  return 0;
}

int
args_parse_strict_u32 (const char *word, uint32_t *out)
{
  char digits[16];
  size_t len;

  if (*word == '+')
    word++;
  len = strlen (word);
  if (len > 0 && word[len - 1] == '\n')
    len--;
  /* Leading zeroes do not count against the room for ten digits. */
  while (len > 1 && *word == '0')
    word++, len--;
  if (len >= sizeof digits)
    return -EINVAL;
  memcpy (digits, word, len);
  digits[len] = '\0';
  return args_parse_u32 (digits, out);
}

bool
args_word_is (const char *word, const char *expected)
{
  return strcasecmp (word, expected) == 0;
}
