/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and uuids that may be used once in all table files. */

#include "config/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

struct unique_use {
  const char *text;
  const char *kind;
  const struct config_mark *mark;
  size_t order; /* in the files */
};

static int
unique_compare (const void *a, const void *b)
{
  const struct unique_use *x = a, *y = b;
  int r = strcmp (x->text, y->text);

  return r ? r : (x->order > y->order) - (x->order < y->order);
}

static int
unique_check (struct unique_use *uses, size_t n, struct message *msg)
{
  const struct unique_use *first, *second;
  size_t i;

  for (i = 0; i < n; i++)
    uses[i].order = i;
  qsort (uses, n, sizeof uses[0], unique_compare);
  for (i = 1; i < n; i++) {
    first = &uses[i - 1];
    second = &uses[i];
    if (strcmp (first->text, second->text) == 0)
      return config_error (second->mark, msg,
                           "%s '%s' is used already by the %s at %s:%u:%u",
                           second->kind, second->text, first->kind,
                           first->mark->file, first->mark->line,
                           first->mark->column);
  }
  return 0;
}

static int
unique_check_names (const struct config *config, struct unique_use *uses,
                    struct message *msg)
{
  const struct config_backing *b = config->backings;
  const struct config_device *d = config->devices;
  size_t i, n = 0;

  for (i = 0; i < config->nr_backings; i++)
    uses[n++] = (struct unique_use) { b[i].name, "backing", &b[i].mark };
  for (i = 0; i < config->nr_devices; i++)
    uses[n++] = (struct unique_use) { d[i].name, "device", &d[i].mark };
  return unique_check (uses, n, msg);
}

static int
unique_check_uuids (const struct config *config, struct unique_use *uses,
                    struct message *msg)
{
  const struct config_device *d = config->devices;
  size_t i, n = 0;

  for (i = 0; i < config->nr_devices; i++)
    if (d[i].uuid[0])
      uses[n++] = (struct unique_use) { d[i].uuid, "uuid", &d[i].mark };
  return unique_check (uses, n, msg);
}

int
schema_check_unique (const struct config *config, struct message *msg)
{
  size_t n = config->nr_backings + config->nr_devices;
  struct unique_use *CLEANUP_FREE uses = calloc (n + 1, sizeof uses[0]);
  int r;

  if (uses == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  r = unique_check_names (config, uses, msg);
  return r < 0 ? r : unique_check_uuids (config, uses, msg);
}
