/* SPDX-License-Identifier: BSD-3-Clause */
/* striped: chunks on several devices in turn. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "server/device-mapper.h"

/* A stripe raises an event for each error but not for ever (Linux 6.1). */
#define STRIPED_ERROR_EVENTS 15

struct stripe {
  struct dm_dev *dev;
  sector_t start; /* on dev */
  atomic_uint errors;
};

struct striped {
  uint32_t n, chunk; /* stripes; sectors */
  struct stripe *stripes;
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
striped_parse_shape (struct dm_target *ti, struct args *args)
{
  struct striped *s = ti->private;
  const char *word;

  if (args->argc < 2)
    return dm_target_error (ti, EINVAL, "Not enough arguments: %u; wanted "
                            "<stripes> <chunk> and <device> <offset> of each "
                            "stripe", args->argc);
  word = args_shift (args);
  if (args_parse_strict_u32 (word, &s->n) < 0 || s->n == 0)
    return dm_target_error (ti, EINVAL, "Invalid stripe count: '%s'", word);
  word = args_shift (args);
  if (args_parse_strict_u32 (word, &s->chunk) < 0 || s->chunk == 0)
    return dm_target_error (ti, EINVAL, "Invalid chunk_size: '%s'", word);
  if (ti->len % s->n)
    return dm_target_error (ti, EINVAL, "Target length not divisible by "
                            "number of stripes: %" PRIu64 " by %u", ti->len,
                            s->n);
  if (ti->len / s->n % s->chunk)
    return dm_target_error (ti, EINVAL, "Target length not divisible by "
                            "chunk size: %" PRIu64 " of each stripe by %u",
                            ti->len / s->n, s->chunk);
  if (args->argc != UINT64_C (2) * s->n)
    return dm_target_error (ti, EINVAL, "Not enough destinations specified: "
                            "%u words for %u stripes", args->argc, s->n);
  return 0;
}

static int
striped_parse_stripe (struct dm_target *ti, struct args *args, uint32_t i)
{
  struct striped *s = ti->private;
  const char *device = args_shift (args), *start = args_shift (args);
  int r;

  if (args_parse_u64 (start, &s->stripes[i].start) < 0)
    return dm_target_error (ti, EINVAL, "Couldn't parse stripe destination: "
                            "offset '%s' of stripe %u", start, i);
  r = dm_get_device (ti, device, &s->stripes[i].dev);
  if (r < 0)
    message_prefix (ti->message, "Couldn't parse stripe destination: ");
  return r;
}

static int
striped_ctr (struct dm_target *ti, struct args *args)
{
  struct striped *s = ti->private;
  uint32_t i;
  int r = striped_parse_shape (ti, args);

  if (r < 0)
    return r;
  s->stripes = calloc (s->n, sizeof *s->stripes);
  if (s->stripes == NULL)
    return dm_target_error (ti, ENOMEM, "Memory allocation for striped "
                            "context failed");
  for (i = 0; i < s->n; i++) {
    r = striped_parse_stripe (ti, args, i);
    if (r < 0)
      return r;
  }
  ti->max_io_len = s->chunk;
  ti->num_flush_bios = s->n;
  ti->num_discard_bios = s->n;
  ti->num_write_zeroes_bios = s->n;
  return 0;
}

static void
striped_dtr (struct dm_target *ti)
{
  struct striped *s = ti->private;

  free (s->stripes);
}

static void
striped_status_info (struct striped *s, FILE *out)
{
  uint32_t i;

  fprintf (out, "%u ", s->n);
  for (i = 0; i < s->n; i++) {
    dm_device_print (out, s->stripes[i].dev);
    putc (' ', out);
  }
  fputs ("1 ", out);
  for (i = 0; i < s->n; i++)
    putc (s->stripes[i].errors ? 'D' : 'A', out);
}

static void
striped_status (struct dm_target *ti, enum dm_status_type type,
                unsigned flags, FILE *out)
{
  struct striped *s = ti->private;
  uint32_t i;

  if (type == DM_STATUS_INFO) {
    striped_status_info (s, out);
    return;
  }
  fprintf (out, "%u %u", s->n, s->chunk);
  for (i = 0; i < s->n; i++) {
    putc (' ', out);
    dm_device_print (out, s->stripes[i].dev);
    fprintf (out, " %" PRIu64, s->stripes[i].start);
  }
}

static void
striped_measure (struct dm_target *ti, FILE *out)
{
  struct striped *s = ti->private;
  uint32_t i;

  fprintf (out, ",stripes=%u,chunk_size=%u", s->n, s->chunk);
  for (i = 0; i < s->n; i++) {
    fprintf (out, ",stripe_%u_device_name=", i);
    dm_device_print (out, s->stripes[i].dev);
    fprintf (out, ",stripe_%u_physical_start=%" PRIu64 ",stripe_%u_status=%c",
             i, s->stripes[i].start, i, s->stripes[i].errors ? 'D' : 'A');
  }
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* Where a sector of the target is: stripe, and sector of its area. */
static inline uint32_t
striped_locate (const struct striped *s, sector_t offset, sector_t *at)
{
  sector_t chunk = offset / s->chunk;
  uint32_t stripe = chunk % s->n;

  *at = chunk / s->n * s->chunk + offset % s->chunk;
  return stripe;
}

/* The first sector of stripe i's area that is not before this sector of the
 * target.
 */
static sector_t
striped_edge (const struct striped *s, sector_t offset, uint32_t i)
{
  sector_t at;
  uint32_t stripe = striped_locate (s, offset, &at);

  if (stripe == i)
    return at;
  at -= at % s->chunk;
  return i < stripe ? at + s->chunk : at;
}

/* What is one range of the target is one range of each stripe's area. */
static int
striped_map_copy (struct dm_target *ti, struct bio *bio)
{
  const struct striped *s = ti->private;
  uint32_t i = bio->target_bio_nr;
  sector_t offset, begin, end;

  bio->bdev = s->stripes[i].dev->bdev;
  if (bio->op == BIO_FLUSH)
    return DM_MAPIO_REMAPPED;
  offset = dm_target_offset (ti, bio->sector);
  begin = striped_edge (s, offset, i);
  end = striped_edge (s, offset + bio->len, i);
  if (begin >= end)
    return DM_MAPIO_DONE;
  bio->sector = s->stripes[i].start + begin;
  bio->len = end - begin;
  return DM_MAPIO_REMAPPED;
}

static int
striped_map (struct dm_target *ti, struct bio *bio)
{
  const struct striped *s = ti->private;
  const struct stripe *stripe;
  sector_t at;

  if (bio->op == BIO_FLUSH || bio->op == BIO_DISCARD ||
      bio->op == BIO_WRITE_ZEROES)
    return striped_map_copy (ti, bio);
  stripe = &s->stripes[striped_locate (s, dm_target_offset (ti, bio->sector),
                                       &at)];
  bio->bdev = stripe->dev->bdev;
  bio->sector = stripe->start + at;
  return DM_MAPIO_REMAPPED;
}

/* An error counts for every stripe on the device. */
static int
striped_end_io (struct dm_target *ti, struct bio *bio, int error)
{
  struct striped *s = ti->private;
  uint32_t i;

  if (error == 0 || error == -EOPNOTSUPP || bio->op == BIO_PREFETCH)
    return error;
  for (i = 0; i < s->n; i++)
    if (s->stripes[i].dev->bdev == bio->bdev &&
        ++s->stripes[i].errors < STRIPED_ERROR_EVENTS)
      dm_target_event (ti);
  return error;
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

static int
striped_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct striped *s = ti->private;
  uint32_t i;
  int r = 0;

  for (i = 0; i < s->n && r == 0; i++)
    r = fn (ti, s->stripes[i].dev, s->stripes[i].start, ti->len / s->n, data);
  return r;
}

static void
striped_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct striped *s = ti->private;
  uint64_t chunk = sectors_to_bytes (s->chunk);
  uint64_t row;

  /* Sizes beyond the field are no hint worth giving. */
  if (chunk > UINT_MAX)
    return;
  if (chunk < limits->physical_block_bytes)
    limits->io_min_bytes = limits->physical_block_bytes;
  else
    limits->io_min_bytes = chunk;
  if (!__builtin_mul_overflow (chunk, s->n, &row) && row <= UINT_MAX)
    limits->io_opt_bytes = row;
}

/* What is known of a stripe's area: all before end, from where it was asked
 * last, is of one kind.
 */
struct stripe_extent {
  struct extent_sink sink;
  sector_t end;
  unsigned flags;
};

/* Chunk by chunk without asking again what is known; many small chunks are a
 * lot of walking, so stop somewhere.
 */
#define STRIPED_MAX_CHUNKS 65536

static int
striped_first_extent (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct stripe_extent *e = (struct stripe_extent *) sink;

  e->end += len;
  e->flags = flags;
  return 1;
}

/* Learn of the stripe's area from at to its end. */
static int
striped_ask (struct dm_target *ti, const struct stripe *stripe, sector_t at,
             struct stripe_extent *e)
{
  const struct striped *s = ti->private;
  int r;

  e->sink.add = striped_first_extent;
  e->end = at;
  r = dm_device_extents (stripe->dev, stripe->start + at,
                         ti->len / s->n - at, &e->sink);
  if (r == 0 && e->end == at)
    r = -EIO;
  return r < 0 ? r : 0;
}

static int
striped_walk (struct dm_target *ti, sector_t offset, sector_t end,
              struct stripe_extent *known, struct extent_sink *sink)
{
  const struct striped *s = ti->private;
  sector_t len = 0; /* found, of kind flags, not told yet */
  unsigned flags = 0, i;

  for (i = 0; offset < end && i < STRIPED_MAX_CHUNKS; i++) {
    sector_t at, n = s->chunk - offset % s->chunk;
    uint32_t stripe = striped_locate (s, offset, &at);
    struct stripe_extent *e = &known[stripe];
    int r = 0;

    if (e->end <= at)
      r = striped_ask (ti, &s->stripes[stripe], at, e);
    if (r == 0 && len > 0 && flags != e->flags) {
      r = sink->add (sink, len, flags);
      len = 0;
    }
    if (r != 0)
      return r;
    if (n > e->end - at)
      n = e->end - at;
    flags = e->flags;
    len += n;
    offset += n;
  }
  return len ? sink->add (sink, len, flags) : 0;
}

static int
striped_extents (struct dm_target *ti, sector_t sector, sector_t len,
                 struct extent_sink *sink)
{
  const struct striped *s = ti->private;
  sector_t offset = dm_target_offset (ti, sector);
  struct stripe_extent *known = calloc (s->n, sizeof *known);
  int r;

  if (known == NULL)
    return -ENOMEM;
  r = striped_walk (ti, offset, offset + len, known, sink);
  free (known);
  return r < 0 ? r : 0;
}

const struct target_type striped_target = {
  .name = "striped",
  .version = { 1, 6, 0 },
  .summary = "chunks on several devices in turn",
  .example = "2 128 %1 0 %2 0",
  .private_size = sizeof (struct striped),
  .ctr = striped_ctr,
  .dtr = striped_dtr,
  .map = striped_map,
  .end_io = striped_end_io,
  .parallel_end_io = true,
  .status = striped_status,
  .measure = striped_measure,
  .iterate_devices = striped_iterate_devices,
  .io_hints = striped_io_hints,
  .extents = striped_extents,
};
