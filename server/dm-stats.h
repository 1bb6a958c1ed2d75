/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to server/dm-*.c and bdev-md.c: what a device's regions count. */

#ifndef NBDM_DM_STATS_H
#define NBDM_DM_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/args.h"
#include "common/bio.h"
#include "common/list.h"
#include "common/lock.h"
#include "common/units.h"

struct dm_table;

/* Statistics as the kernel keeps them (Linux 6.1, messages @stats_*): regions
 * of a device, each cut into areas of one step, that count what goes through
 * them.  They belong to the device, not to its tables.
 *
 * A bio counts in the set of regions that there was when it began, to its end:
 * sets do not change, creating or deleting a region makes another one.  So
 * neither has to wait for bios that are in flight (the kernel suspends the
 * device for a moment).  One latch per device orders it all; with no regions
 * the way of a bio is one load longer.
 */
struct stats_area {
  /* By direction: 0 reads, 1 all that writes. */
  uint64_t ios[2], merges[2], sectors[2], ns[2];
  uint64_t busy_ns[2], busy_any_ns; /* at least one was in flight */
  uint64_t queue_ns;                /* sum over all of the time in flight */
  uint64_t stamp_ns;                /* up to when these were added up */
  uint32_t in_flight[2];
};

struct stats_region {
  unsigned refs;               /* sets that it is in; latch */
  unsigned id;
  sector_t start, len, step;
  size_t nr_areas;
  bool precise;                /* shows times in ns instead of ms */
  unsigned nr_bounds;          /* of the histogram, 0: none */
  uint64_t *bounds;            /* in the unit that is shown */
  char *program_id, *aux;      /* aux under the latch */
  struct stats_area *areas;    /* latch */
  uint64_t *bins;              /* nr_bounds + 1 for each area; latch */
  size_t bytes;                /* reserved for areas and bins */
};

struct stats_set {
  unsigned refs;               /* latch */
  size_t nr;
  struct stats_region *regions[]; /* ascending by id */
};

struct md_stats {
  atomic_bool active;          /* there are regions; written under latch */
  struct latch latch;
  struct stats_set *set;       /* NULL: none */
  sector_t last_end;           /* of the last bio that began … */
  bool last_write;             /* … and which way it went */
};

/* One bio on its way through a table. */
struct stats_visit {
  struct stats_set *set;
  enum bio_op op;
  bool write;
  bool merged;                 /* it goes on where the one before ended */
  sector_t sector, len;
  sector_t first;              /* … of that, in the first piece */
  uint64_t begin_ns;
};

void stats_init (struct md_stats *s);
void stats_destroy (struct md_stats *s);

static inline bool
stats_active (struct md_stats *s)
{
  return atomic_load_explicit (&s->active, memory_order_relaxed);
}

/* Count the bio, which is inside the table and no flush, in and out again: as
 * so many as the table splits it into.  What begins is ended, once.
 */
void stats_begin (struct md_stats *s, const struct dm_table *t,
                  const struct bio *bio, struct stats_visit *v);
void stats_end (struct md_stats *s, const struct dm_table *t,
                struct stats_visit *v);

/* ------------------------------------------------------------------
 * For the messages.
 */

/* Enter a region, whose id is chosen here: the lowest that is free.  It belongs
 * to the set, which is made anew, and whoever removes it may free it at once.
 * 0 or -ENOMEM.
 */
int stats_add (struct md_stats *s, struct stats_region *r, unsigned *id);

/* -ENOENT, -ENOMEM. */
int stats_remove (struct md_stats *s, unsigned id);

/* Take so many bytes out of what all regions together may have, until the
 * region is freed.  False: there is not so much left.
 */
bool stats_reserve (struct stats_region *r, size_t bytes);

void stats_free_region (struct stats_region *r); /* not entered; takes NULL */

/* The set of now (NULL: none) stays until it is put; takes NULL. */
struct stats_set *stats_hold (struct md_stats *s);
void stats_put (struct md_stats *s, struct stats_set *set);

struct stats_region *stats_find (const struct stats_set *set, unsigned id);

/* An area as it is now, with its bins (NULL: no matter). */
void stats_read (struct md_stats *s, struct stats_region *r, size_t i,
                 struct stats_area *area, uint64_t *bins);

/* Start again from 0, but for what is in flight. */
void stats_clear (struct md_stats *s, struct stats_region *r, size_t begin,
                  size_t end);

/* ------------------------------------------------------------------
 * dm-stats-message.c
 */

/* Carry out a message whose first word begins with "@stats_"; all else is
 * -EOPNOTSUPP.  size: of the device; room: what the answer may have, NUL
 * included; a longer one may be cut off behind that.  *reply is malloc'ed,
 * or NULL if there is no answer (an empty one is one).  -EINVAL, -ENOENT,
 * -EOVERFLOW, -ENOMEM: Linux 6.1.
 */
int stats_message (struct md_stats *s, sector_t size, struct args *args,
                   size_t room, char **reply);

#endif /* NBDM_DM_STATS_H */
