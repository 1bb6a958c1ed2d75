/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding devices and backings by name, and the words that may be names. */

#include "config/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/cleanup.h"

static const char *
names_name (const void *elem)
{
  return *(const char *const *) elem;
}

static int
names_compare (const void *a, const void *b)
{
  return strcmp (names_name (*(const void *const *) a),
                 names_name (*(const void *const *) b));
}

int
names_make (struct names *names, const void *list, size_t nr,
            size_t elem_bytes)
{
  size_t i;

  names->sorted = calloc (nr + 1, sizeof names->sorted[0]);
  if (names->sorted == NULL)
    return -ENOMEM;
  names->nr = nr;
  for (i = 0; i < nr; i++)
    names->sorted[i] = (const char *) list + i * elem_bytes;
  qsort (names->sorted, nr, sizeof names->sorted[0], names_compare);
  return 0;
}

const void *
names_find (const struct names *names, const char *name)
{
  const void *key = &name;
  const void *const *found;

  if (names->nr == 0)
    return NULL;
  found = bsearch (&key, names->sorted, names->nr, sizeof names->sorted[0],
                   names_compare);
  return found ? *found : NULL;
}

static int
names_words_of_line (const struct config_line *line, names_word_fn fn,
                     void *opaque)
{
  char *CLEANUP_FREE text = strdup (line->params);
  char **CLEANUP_FREE argv = NULL;
  struct args args;
  int r = 0;

  if (text == NULL || args_split (text, &args) < 0)
    return -ENOMEM;
  argv = args.argv;
  while (r == 0 && args.argc > 0)
    r = fn (opaque, args_shift (&args));
  return r;
}

int
names_for_each_word (const struct config_device *device, names_word_fn fn,
                     void *opaque)
{
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < device->nr_lines; i++)
    r = names_words_of_line (&device->lines[i], fn, opaque);
  return r;
}

void
names_reset (struct names *names)
{
  free (names->sorted);
  names->sorted = NULL;
  names->nr = 0;
}
