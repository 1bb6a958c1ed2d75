/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs that read counters. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "server/dm-core.h"

/* What is counted goes on meanwhile, so that the sums are of no one moment. */
static void
counters_add_shard (struct nbdm_counters *c, const struct md_shard *shard)
{
  c->reads += shard->ios[MD_READS];
  c->read_sectors += shard->sectors[MD_READS];
  c->writes += shard->ios[MD_WRITES];
  c->write_sectors += shard->sectors[MD_WRITES];
  c->discards += shard->ios[MD_DISCARDS];
  c->discard_sectors += shard->sectors[MD_DISCARDS];
  c->flushes += shard->ios[MD_FLUSHES];
  c->errors += shard->errors;
}

static void
counters_read (struct mapped_device *md, struct nbdm_counters *c)
{
  long in_flight = md_in_flight (md);
  unsigned i;

  md_copy_name (md, c->name);
  c->dev = dm_encode_dev (md->bdev.number);
  c->size = bdev_size (&md->bdev);
  for (i = 0; i < MD_SHARDS; i++)
    counters_add_shard (c, &md->shards[i]);
  /* Bios that come and go while it is added up can make less than 0 of it. */
  c->in_flight = in_flight > 0 ? in_flight : 0;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);
  c->deferred = md->nr_deferred;
  c->deferred_now = md->nr_parked;
  c->suspends = md->nr_suspends;
  c->swaps = md->nr_swaps;
}

int
dm_counters (struct registry *reg, struct nbdm_counters **list, size_t *n)
{
  struct mapped_device **CLEANUP_FREE mds = NULL;
  size_t i;
  int r = registry_list (reg, &mds, n);

  if (r < 0)
    return r;
  *list = calloc (*n + 1, sizeof **list);
  for (i = 0; i < *n; i++) {
    if (*list)
      counters_read (mds[i], &(*list)[i]);
    md_put (mds[i]);
  }
  return *list ? 0 : -ENOMEM;
}

void
dm_outside_counters (void (*fn) (const struct dm_outside_counters *c,
                                 void *opaque), void *opaque)
{
  struct outside *o;

  for (o = outside_next (NULL); o; o = outside_next (o)) {
    const struct block_device *bdev = outside_bdev (o);

    fn (&(struct dm_outside_counters) { bdev->name, bdev->reconnects },
        opaque);
  }
}
