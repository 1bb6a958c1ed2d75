/* SPDX-License-Identifier: BSD-3-Clause */
/* The live state of a registry as a table file. */

#include "server/reload-dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/vector.h"

struct dump_lines {
  VECTOR (struct config_line) lines;
};

static int
dump_add_line (void *opaque, sector_t start, sector_t len, const char *type,
               const char *text)
{
  struct dump_lines *dump = opaque;
  struct config_line line = { .start = start, .len = len };
  size_t n = strlen (text);

  /* Some targets print a blank at the end. */
  while (n > 0 && text[n - 1] == ' ')
    n--;
  line.type = strdup (type);
  line.params = strndup (text, n);
  if (line.type && line.params && vector_append (&dump->lines, line) == 0)
    return 0;
  free (line.type);
  free (line.params);
  return -ENOMEM;
}

/* All but the lines is borrowed from info and entry (NULL: none). */
static void
dump_fill (struct config_device *device, struct dm_info *info,
           const struct config_device *entry)
{
  static char nothing[] = "";

  device->name = info->name;
  device->uuid = info->uuid;
  device->readonly = info->flags & DM_READONLY_FLAG;
  device->description = entry ? entry->description : nothing;
  device->export = entry ? entry->export : true;
  device->restricted = entry && entry->restricted;
  device->rules = entry ? entry->rules : NULL;
  device->nr_rules = entry ? entry->nr_rules : 0;
  device->messages = entry ? entry->messages : NULL;
  device->nr_messages = entry ? entry->nr_messages : 0;
}

/* 1: a device to write; 0: it has no live table, or is gone by now. */
static int
dump_read_table (struct registry *reg, const char *name,
                 struct config_device *device)
{
  struct dump_lines dump = { VECTOR_INIT };
  int r = dm_table_status (reg, DM_REF_NAME (name), DM_STATUS_TABLE_FLAG,
                           dump_add_line, &dump, NULL, NULL);

  device->lines = dump.lines.ptr;
  device->nr_lines = dump.lines.len;
  if (r == -ENOMEM)
    return r;
  return r == 0 && device->nr_lines > 0;
}

static void
dump_free_lines (struct config_device *device)
{
  size_t i;

  for (i = 0; i < device->nr_lines; i++) {
    free (device->lines[i].type);
    free (device->lines[i].params);
  }
  free (device->lines);
  device->lines = NULL;
  device->nr_lines = 0;
}

static int
dump_devices (struct registry *reg, const struct names *by_name,
              struct dm_info *infos, size_t n, struct config *dump)
{
  struct config_device *device;
  size_t i;
  int r;

  for (i = 0; i < n; i++) {
    device = &dump->devices[dump->nr_devices];
    r = dump_read_table (reg, infos[i].name, device);
    if (r > 0) {
      dump_fill (device, &infos[i], names_find (by_name, infos[i].name));
      dump->nr_devices++;
      continue;
    }
    dump_free_lines (device);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
dump_write (const struct config *dump, char **text)
{
  size_t len;
  FILE *fp = open_memstream (text, &len);
  int r;

  if (fp == NULL)
    return -ENOMEM;
  r = config_write (dump, fp);
  if (fclose (fp) != 0 && r == 0)
    r = -ENOMEM;
  if (r < 0) {
    free (*text);
    *text = NULL;
  }
  return r;
}

int
reload_dump_registry (struct registry *reg, const struct config *config,
                      const struct names *by_name, char **text)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  struct config dump = { 0 };
  size_t n;
  int r = dm_list (reg, &infos, &n);

  if (r < 0)
    return r;
  if (config) {
    dump.backings = config->backings;
    dump.nr_backings = config->nr_backings;
  }
  dump.devices = calloc (n + 1, sizeof dump.devices[0]);
  r = dump.devices ? dump_devices (reg, by_name, infos, n, &dump) : -ENOMEM;
  if (r == 0)
    r = dump_write (&dump, text);
  while (dump.nr_devices > 0)
    dump_free_lines (&dump.devices[--dump.nr_devices]);
  free (dump.devices);
  return r;
}
