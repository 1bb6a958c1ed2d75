/* SPDX-License-Identifier: BSD-3-Clause */
/* A memory device that tables find; apart, since this needs the whole core. */

#include "server/dm-core.h"
#include "tests/lib/memdev.h"

struct memdev *
memdev_add (const char *name, sector_t size)
{
  struct memdev *m = memdev_new (name, size);

  devices_add (&m->bdev);
  return m;
}

void
memdev_remove (struct memdev *m)
{
  devices_remove (&m->bdev);
  memdev_free (m);
}
