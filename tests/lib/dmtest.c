/* SPDX-License-Identifier: BSD-3-Clause */
/* A registry with memory devices below it, for tests of whole tables. */

#include "tests/lib/dmtest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/config.h"
#include "server/dm-core.h"

static void
dmtest_check (int r, const struct dmtest *t, const char *what)
{
  if (r == 0)
    return;
  fprintf (stderr, "%s: %s (%s)\n", what, strerror (-r), t->msg.text);
  abort ();
}

void
dmtest_init (struct dmtest *t, sector_t mem_sectors)
{
  char name[8];
  unsigned i;

  memset (t, 0, sizeof *t);
  if ((t->reg = registry_new ()) == NULL)
    abort ();
  for (i = 0; i < DMTEST_DEVICES; i++) {
    snprintf (name, sizeof name, "m%u", i + 1);
    t->mem[i] = memdev_new (name, mem_sectors);
    dmtest_show (t, i);
  }
}

void
dmtest_destroy (struct dmtest *t)
{
  unsigned i;

  registry_free (t->reg);
  for (i = 0; i < DMTEST_DEVICES; i++) {
    dmtest_hide (t, i);
    memdev_free (t->mem[i]);
  }
}

void
dmtest_hide (struct dmtest *t, unsigned n)
{
  devices_remove (&t->mem[n]->bdev);
}

void
dmtest_show (struct dmtest *t, unsigned n)
{
  devices_add (&t->mem[n]->bdev);
}

int
dmtest_load (struct dmtest *t, const char *name, const char *table,
             uint32_t flags)
{
  CLEANUP_FREE char *text = strdup (table);
  struct dm_target_line lines[64];
  struct config_line parsed;
  char *line, *save = NULL;
  size_t n = 0;
  int r;

  memset (&t->msg, 0, sizeof t->msg);
  if (text == NULL)
    return -ENOMEM;
  for (line = strtok_r (text, "\n", &save); line;
       line = strtok_r (NULL, "\n", &save)) {
    r = config_parse_line (line, &parsed, &t->msg);
    if (r < 0)
      return r;
    if (r > 0)
      lines[n++] = (struct dm_target_line) {
        parsed.start, parsed.len, parsed.type, parsed.params };
  }
  return dm_table_load (t->reg, DM_REF_NAME (name), flags, lines, n, NULL,
                        NULL, &t->msg);
}

void
dmtest_create (struct dmtest *t, const char *name, const char *table)
{
  dmtest_check (dm_device_create (t->reg, name, "", 0, 0, NULL, &t->msg), t,
                "create");
  dmtest_check (dmtest_load (t, name, table, 0), t, "load");
  dmtest_check (dm_device_resume (t->reg, DM_REF_NAME (name), 0, NULL, NULL,
                                  &t->msg), t, "resume");
}

int
dmtest_swap (struct dmtest *t, const char *name, const char *table,
             uint32_t flags)
{
  int r;

  r = dm_device_suspend (t->reg, DM_REF_NAME (name), flags | DM_SUSPEND_FLAG,
                         NULL, NULL, &t->msg);
  if (r == 0)
    r = dmtest_load (t, name, table, 0);
  if (r == 0)
    r = dm_device_resume (t->reg, DM_REF_NAME (name), flags, NULL, NULL,
                          &t->msg);
  return r;
}

char *
dmtest_table (struct dmtest *t, const char *name, uint32_t flags)
{
  char *text;

  dmtest_check (dm_table_text (t->reg, DM_REF_NAME (name), flags, &text,
                               &t->msg), t, "table");
  return text;
}

int
dmtest_io (struct mapped_device *md, enum bio_op op, sector_t sector,
           sector_t len, void *data)
{
  struct bio bio = { .op = op, .sector = sector, .len = len, .data = data };

  bio.bdev = dm_block_device (md);
  return bdev_submit (bio.bdev, &bio);
}
