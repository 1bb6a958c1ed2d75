/* SPDX-License-Identifier: BSD-3-Clause */
/* delay: reads, writes and flushes take their time. */

#include <errno.h>
#include <inttypes.h>

#include "common/lock.h"
#include "server/device-mapper.h"

/* Reads, writes and flushes; each may go elsewhere, after another time. */
enum delay_kind { DELAY_READ, DELAY_WRITE, DELAY_FLUSH, DELAY_KINDS };

struct delay_class {
  struct dm_dev *dev;
  sector_t start; /* on dev */
  uint32_t ms;
};

struct delay {
  struct delay_class classes[DELAY_KINDS];
  unsigned given; /* how many classes the line has */

  struct latch latch;
  pthread_cond_t release;
  /* Guarded by latch. */
  bool active;            /* false while suspended: nothing is held */
  uint64_t releases;      /* presuspend was called so often */
  unsigned held[DELAY_KINDS];
};

static int
delay_parse_class (struct dm_target *ti, struct args *args,
                   struct delay_class *class)
{
  const char *device = args_shift (args);
  const char *start = args_shift (args);
  const char *ms = args_shift (args);

  if (args_parse_u64 (start, &class->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid device sector: '%s'", start);
  if (args_parse_u32 (ms, &class->ms) < 0)
    return dm_target_error (ti, EINVAL, "Invalid delay: '%s' (milliseconds)",
                            ms);
  return dm_get_device (ti, device, &class->dev);
}

static int
delay_ctr (struct dm_target *ti, struct args *args)
{
  struct delay *d = ti->private;
  unsigned i;
  int r;

  latch_init (&d->latch);
  latch_cond_init (&d->release);
  d->active = true;
  if (args->argc != 3 && args->argc != 6 && args->argc != 9)
    return dm_target_error (ti, EINVAL, "Requires exactly 3, 6 or 9 "
                            "arguments: %u; wanted <device> <offset> <ms> of "
                            "reads [writes [flushes]]", args->argc);
  d->given = args->argc / 3;
  for (i = 0; i < d->given; i++) {
    r = delay_parse_class (ti, args, &d->classes[i]);
    if (r < 0)
      return r;
  }
  for (; i < DELAY_KINDS; i++)
    d->classes[i] = d->classes[d->given - 1];
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  return 0;
}

static void
delay_dtr (struct dm_target *ti)
{
  struct delay *d = ti->private;

  pthread_cond_destroy (&d->release);
  latch_destroy (&d->latch);
}

static enum delay_kind
delay_kind_of (const struct bio *bio)
{
  switch (bio->op) {
  case BIO_READ:
  case BIO_PREFETCH:
    return DELAY_READ;
  case BIO_FLUSH:
    return DELAY_FLUSH;
  default:
    return DELAY_WRITE;
  }
}

/* Sleep for the time of the class, or until the device is suspended. */
static void
delay_hold (struct delay *d, enum delay_kind kind)
{
  uint64_t until = monotonic_ns () + d->classes[kind].ms * UINT64_C (1000000);
  uint64_t releases;

  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);
  releases = d->releases;
  d->held[kind]++;
  while (d->active && d->releases == releases)
    if (!latch_timedwait (&d->latch, &d->release, until))
      break;
  d->held[kind]--;
}

static int
delay_map (struct dm_target *ti, struct bio *bio)
{
  struct delay *d = ti->private;
  enum delay_kind kind = delay_kind_of (bio);
  const struct delay_class *class = &d->classes[kind];

  if (class->ms > 0)
    delay_hold (d, kind);
  bio->bdev = class->dev->bdev;
  if (bio->op != BIO_FLUSH)
    bio->sector = class->start + dm_target_offset (ti, bio->sector);
  return DM_MAPIO_REMAPPED;
}

static void
delay_presuspend (struct dm_target *ti)
{
  struct delay *d = ti->private;

  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);
  d->active = false;
  d->releases++;
  pthread_cond_broadcast (&d->release);
}

static void
delay_resume (struct dm_target *ti)
{
  struct delay *d = ti->private;

  ACQUIRE_LATCH_FOR_SCOPE (&d->latch);
  d->active = true;
}

static void
delay_status_info (struct delay *d, FILE *out)
{
  unsigned held[DELAY_KINDS], i;

  latch_acquire (&d->latch);
  for (i = 0; i < DELAY_KINDS; i++)
    held[i] = d->held[i];
  latch_release (&d->latch);
  fprintf (out, "%u %u %u", held[DELAY_READ], held[DELAY_WRITE],
           held[DELAY_FLUSH]);
}

static void
delay_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
              FILE *out)
{
  struct delay *d = ti->private;
  unsigned i;

  if (type == DM_STATUS_INFO) {
    delay_status_info (d, out);
    return;
  }
  for (i = 0; i < d->given; i++) {
    if (i > 0)
      putc (' ', out);
    dm_device_print (out, d->classes[i].dev);
    fprintf (out, " %" PRIu64 " %u", d->classes[i].start, d->classes[i].ms);
  }
}

static int
delay_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct delay *d = ti->private;
  unsigned i;
  int r = 0;

  for (i = 0; i < DELAY_KINDS && r == 0; i++)
    r = fn (ti, d->classes[i].dev, d->classes[i].start, ti->len, data);
  return r;
}

static int
delay_extents (struct dm_target *ti, sector_t sector, sector_t len,
               struct extent_sink *sink)
{
  struct delay *d = ti->private;
  const struct delay_class *class = &d->classes[DELAY_READ];
  sector_t offset = dm_target_offset (ti, sector);
  int r = dm_device_extents (class->dev, class->start + offset, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type delay_target = {
  .name = "delay",
  .version = { 1, 3, 0 },
  .summary = "a range of one device, each bio after a time",
  .example = "%1 0 1",
  .private_size = sizeof (struct delay),
  .ctr = delay_ctr,
  .dtr = delay_dtr,
  .map = delay_map,
  .presuspend = delay_presuspend,
  .presuspend_undo = delay_resume,
  .resume = delay_resume,
  .status = delay_status,
  .iterate_devices = delay_iterate_devices,
  .extents = delay_extents,
};
