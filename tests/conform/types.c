/* SPDX-License-Identifier: BSD-3-Clause */
/* Every registered target type, wrapped so that the suite sees its calls. */

/* This file stands in for targets/registry.c: the real list is compiled under
 * another name, and the core is given a list of wrappers.
 */
#define target_types wrapped_target_types_decl
#include "server/device-mapper.h"
#undef target_types

#include <assert.h>

#include "tests/conform/conform.h"

extern const struct target_type *const real_target_types[];

const struct target_type *target_types[CONFORM_MAX_TYPES + 1];
static struct target_type wrappers[CONFORM_MAX_TYPES];

struct conform_seen conform_seen;

static const struct target_type *
real_type (struct dm_target *ti)
{
  return real_target_types[ti->type - wrappers];
}

/* What the core promises map: inside the target, one max_io_len block. */
static int
wrapped_map (struct dm_target *ti, struct bio *bio)
{
  sector_t skip = bio->sector - ti->begin;
  bool cut = bio_has_data (bio) || bio->op == BIO_PREFETCH;

  conform_seen.maps++;
  if (bio->op != BIO_FLUSH) {
    if (bio->sector < ti->begin || bio_end (bio) > ti->begin + ti->len ||
        bio->len == 0)
      conform_seen.outside++;
    if (cut && ti->max_io_len &&
        skip / ti->max_io_len != (skip + bio->len - 1) / ti->max_io_len)
      conform_seen.too_long++;
  }
  return real_type (ti)->map (ti, bio);
}

static int
wrapped_ctr (struct dm_target *ti, struct args *args)
{
  conform_seen.ctrs++;
  return real_type (ti)->ctr (ti, args);
}

static void
wrapped_dtr (struct dm_target *ti)
{
  conform_seen.dtrs++;
  if (real_type (ti)->dtr)
    real_type (ti)->dtr (ti);
}

__attribute__ ((constructor)) static void
wrap_types (void)
{
  size_t i;

  for (i = 0; real_target_types[i]; i++) {
    assert (i < CONFORM_MAX_TYPES);
    wrappers[i] = *real_target_types[i];
    wrappers[i].map = wrapped_map;
    wrappers[i].ctr = wrapped_ctr;
    wrappers[i].dtr = wrapped_dtr;
    target_types[i] = &wrappers[i];
  }
}

const struct target_type *
conform_type (size_t i)
{
  return i < CONFORM_MAX_TYPES ? target_types[i] : NULL;
}
