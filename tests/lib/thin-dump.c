/* SPDX-License-Identifier: BSD-3-Clause */
/* What thin_dump says about a pool, read back. */

#include "tests/lib/thin-dump.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

uint64_t
dump_attribute (const char *line, const char *name)
{
  const char *at = strstr (line, name);

  cr_assert_not_null (at, "no %s in %s", name, line);
  return strtoull (at + strlen (name) + 2, NULL, 10);
}

int
dump_next (struct dump *d)
{
  bool single;

  if (d->left > 0) {
    d->left--;
    d->block++;
    d->data++;
    return 2;
  }
  while (fgets (d->line, sizeof d->line, d->fp)) {
    if (strstr (d->line, "<device")) {
      d->dev = dump_attribute (d->line, "dev_id");
      d->mapped = dump_attribute (d->line, "mapped_blocks");
      d->trans = dump_attribute (d->line, " transaction");
      d->ctime = dump_attribute (d->line, "creation_time");
      d->stime = dump_attribute (d->line, "snap_time");
      return 1;
    }
    single = strstr (d->line, "<single_mapping");
    if (!single && !strstr (d->line, "<range_mapping"))
      continue;
    d->block = dump_attribute (d->line,
                               single ? "origin_block" : "origin_begin");
    d->data = dump_attribute (d->line, single ? "data_block" : "data_begin");
    d->left = single ? 0 : dump_attribute (d->line, "length") - 1;
    d->time = dump_attribute (d->line, "time");
    return 2;
  }
  return 0;
}
