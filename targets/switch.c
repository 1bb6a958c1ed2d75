/* SPDX-License-Identifier: BSD-3-Clause */
/* switch: regions of a fixed size, each on any of several devices. */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "server/device-mapper.h"

struct switch_path {
  struct dm_dev *dev;
  sector_t start; /* on dev */
};

struct switch_target {
  uint32_t nr_paths, region; /* region: sectors */
  struct switch_path *paths;

  /* Path of each region plus 1, or 0 for what it is at first, so that memory
   * is used only for what messages have set.  Changed while bios look.
   */
  uint64_t nr_regions;
  _Atomic uint32_t *map;
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
switch_parse_shape (struct dm_target *ti, struct args *args)
{
  struct switch_target *s = ti->private;
  uint32_t options;
  int r;

  r = dm_read_arg (ti, args, 1, UINT32_MAX, "Invalid number of paths",
                   &s->nr_paths);
  if (r == 0)
    r = dm_read_arg (ti, args, 1, UINT32_MAX, "Invalid region size",
                     &s->region);
  if (r == 0)
    r = dm_read_arg (ti, args, 0, 0, "Invalid number of optional args",
                     &options);
  if (r < 0)
    return r;
  if (args->argc != UINT64_C (2) * s->nr_paths)
    return dm_target_error (ti, EINVAL, "Incorrect number of path arguments: "
                            "%u words for %u paths", args->argc, s->nr_paths);
  return 0;
}

static int
switch_parse_path (struct dm_target *ti, struct args *args, uint32_t i)
{
  struct switch_target *s = ti->private;
  const char *device = args_shift (args), *start = args_shift (args);
  int r = dm_get_device (ti, device, &s->paths[i].dev);

  if (r < 0)
    return r;
  if (args_parse_u64 (start, &s->paths[i].start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid device starting offset: "
                            "'%s' of path %u", start, i);
  return 0;
}

static int
switch_make_map (struct dm_target *ti)
{
  struct switch_target *s = ti->private;

  s->nr_regions = (ti->len - 1) / s->region + 1;
  if (s->nr_regions > SIZE_MAX / sizeof *s->map)
    return dm_target_error (ti, EINVAL, "Region table too large: %" PRIu64
                            " regions", s->nr_regions);
  s->map = calloc (s->nr_regions, sizeof *s->map);
  if (s->map == NULL)
    return dm_target_error (ti, ENOMEM, "Cannot allocate region table: %"
                            PRIu64 " regions", s->nr_regions);
  return 0;
}

static int
switch_ctr (struct dm_target *ti, struct args *args)
{
  struct switch_target *s = ti->private;
  uint32_t i;
  int r = switch_parse_shape (ti, args);

  if (r < 0)
    return r;
  s->paths = calloc (s->nr_paths, sizeof *s->paths);
  if (s->paths == NULL)
    return dm_target_error (ti, ENOMEM, "Cannot allocate redirect context");
  for (i = 0; i < s->nr_paths; i++) {
    r = switch_parse_path (ti, args, i);
    if (r < 0)
      return r;
  }
  ti->max_io_len = s->region;
  ti->num_flush_bios = s->nr_paths;
  ti->num_discard_bios = 1;
  return switch_make_map (ti);
}

static void
switch_dtr (struct dm_target *ti)
{
  struct switch_target *s = ti->private;

  free (s->map);
  free (s->paths);
}

static void
switch_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
               FILE *out)
{
  const struct switch_target *s = ti->private;
  uint32_t i;

  if (type == DM_STATUS_INFO)
    return;
  fprintf (out, "%u %u 0", s->nr_paths, s->region);
  for (i = 0; i < s->nr_paths; i++) {
    putc (' ', out);
    dm_device_print (out, s->paths[i].dev);
    fprintf (out, " %" PRIu64, s->paths[i].start);
  }
}

/* ------------------------------------------------------------------
 * Bios.
 */

static uint32_t
switch_get (const struct switch_target *s, uint64_t region)
{
  uint32_t set = atomic_load_explicit (&s->map[region], memory_order_relaxed);

  return set ? set - 1 : region % s->nr_paths;
}

static void
switch_set (struct switch_target *s, uint64_t region, uint32_t path)
{
  atomic_store_explicit (&s->map[region], path + 1, memory_order_relaxed);
}

/* The path of the sector at offset, and where the run of regions on that path
 * ends, at most at end.
 */
static const struct switch_path *
switch_run (const struct switch_target *s, sector_t offset, sector_t end,
            sector_t *run_end)
{
  uint64_t region = offset / s->region, last = (end - 1) / s->region;
  uint32_t path = switch_get (s, region);

  while (region < last && switch_get (s, region + 1) == path)
    region++;
  *run_end = region < last ? (region + 1) * s->region : end;
  return &s->paths[path];
}

/* A discard is not cut at regions before it comes here.  Linux 6.1 sends all
 * of it to the path of its first sector.
 */
static int
switch_discard (struct dm_target *ti, const struct bio *bio)
{
  const struct switch_target *s = ti->private;
  sector_t begin = dm_target_offset (ti, bio->sector);
  sector_t offset = begin, end = begin + bio->len, run_end;
  int r, error = 0;

  for (; offset < end; offset = run_end) {
    const struct switch_path *path = switch_run (s, offset, end, &run_end);
    struct bio run = bio_slice (bio, offset - begin, run_end - offset);

    run.bdev = path->dev->bdev;
    run.sector = path->start + offset;
    r = bdev_submit (run.bdev, &run);
    if (r < 0)
      error = r;
  }
  return error < 0 ? error : DM_MAPIO_DONE;
}

static int
switch_map (struct dm_target *ti, struct bio *bio)
{
  const struct switch_target *s = ti->private;
  const struct switch_path *path;
  sector_t offset;

  if (bio->op == BIO_FLUSH) {
    bio->bdev = s->paths[bio->target_bio_nr].dev->bdev;
    return DM_MAPIO_REMAPPED;
  }
  if (bio->op == BIO_DISCARD)
    return switch_discard (ti, bio);
  offset = dm_target_offset (ti, bio->sector);
  path = &s->paths[switch_get (s, offset / s->region)];
  bio->bdev = path->dev->bdev;
  bio->sector = path->start + offset;
  return DM_MAPIO_REMAPPED;
}

/* ------------------------------------------------------------------
 * The message set_region_mappings.
 */

/* Read hexadecimal digits, perhaps none (then it is 0), and move *text behind
 * them.  False if the number is too large.
 */
static bool
switch_parse_hex (const char **text, uint64_t *out)
{
  uint64_t n = 0;

  for (;; (*text)++) {
    char c = **text, lower = c | 0x20;
    unsigned digit;

    if (c >= '0' && c <= '9')
      digit = c - '0';
    else if (lower >= 'a' && lower <= 'f')
      digit = lower - 'a' + 10;
    else
      break;
    if (n >> 60)
      return false;
    n = n << 4 | digit;
  }
  *out = n;
  return true;
}

/* Two numbers with a separator between them; the second must have digits. */
static bool
switch_parse_pair (const char *text, char separator, uint64_t *first,
                   uint64_t *second)
{
  if (!switch_parse_hex (&text, first) || *text++ != separator ||
      *text == '\0')
    return false;
  return switch_parse_hex (&text, second) && *text == '\0';
}

static int
switch_bad_argument (struct dm_target *ti, const char *word)
{
  return dm_target_error (ti, EINVAL,
                          "invalid set_region_mappings argument: '%s'", word);
}

/* R<n>,<m>: the m regions behind *region get, in turn, what the n up to it
 * have.
 */
static int
switch_repeat (struct dm_target *ti, const char *word, uint64_t *region)
{
  struct switch_target *s = ti->private;
  uint64_t cycle, n, end;

  if (word[1] == ',' || !switch_parse_pair (word + 1, ',', &cycle, &n))
    return switch_bad_argument (ti, word);
  if (cycle == 0 || cycle - 1 > *region)
    return dm_target_error (ti, EINVAL, "invalid set_region_mappings cycle "
                            "length: %" PRIu64 " > %" PRIu64, cycle - 1,
                            *region);
  if (__builtin_add_overflow (*region, n, &end) || end >= s->nr_regions)
    return dm_target_error (ti, EINVAL, "invalid set_region_mappings region "
                            "number: %" PRIu64 " + %" PRIu64 " >= %" PRIu64,
                            *region, n, s->nr_regions);
  while (*region < end) {
    ++*region;
    switch_set (s, *region, switch_get (s, *region - cycle));
  }
  return 0;
}

/* <region>:<path>, or :<path> for the region behind *region. */
static int
switch_assign (struct dm_target *ti, const char *word, uint64_t *region)
{
  struct switch_target *s = ti->private;
  uint64_t nr, path;

  if (!switch_parse_pair (word, ':', &nr, &path))
    return switch_bad_argument (ti, word);
  *region = word[0] == ':' ? *region + 1 : nr;
  if (*region >= s->nr_regions)
    return dm_target_error (ti, EINVAL, "invalid set_region_mappings region "
                            "number: %" PRIu64 " >= %" PRIu64, *region,
                            s->nr_regions);
  if (path >= s->nr_paths)
    return dm_target_error (ti, EINVAL, "invalid set_region_mappings device: "
                            "%" PRIu64 " >= %u", path, s->nr_paths);
  switch_set (s, *region, path);
  return 0;
}

/* What comes before a bad word stays done (Linux 6.1). */
static int
switch_message (struct dm_target *ti, struct args *args, FILE *reply)
{
  const char *word = args_shift (args);
  uint64_t region = 0;
  int r = 0;

  if (!args_word_is (word, "set_region_mappings"))
    return dm_target_error (ti, EINVAL, "Unrecognised message received.");
  while (r == 0 && (word = args_shift (args)) != NULL) {
    if (word[0] == 'R' || word[0] == 'r')
      r = switch_repeat (ti, word, &region);
    else
      r = switch_assign (ti, word, &region);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

static int
switch_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct switch_target *s = ti->private;
  uint32_t i;
  int r = 0;

  for (i = 0; i < s->nr_paths && r == 0; i++)
    r = fn (ti, s->paths[i].dev, s->paths[i].start, ti->len, data);
  return r;
}

/* Short runs are a question each: stop somewhere. */
#define SWITCH_MAX_RUNS 1024

static int
switch_extents (struct dm_target *ti, sector_t sector, sector_t len,
                struct extent_sink *sink)
{
  const struct switch_target *s = ti->private;
  sector_t offset = dm_target_offset (ti, sector), end = offset + len;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && offset < end && i < SWITCH_MAX_RUNS; i++) {
    sector_t run_end;
    const struct switch_path *path = switch_run (s, offset, end, &run_end);

    r = dm_device_extents (path->dev, path->start + offset, run_end - offset,
                           sink);
    offset = run_end;
  }
  return r < 0 ? r : 0;
}

const struct target_type switch_target = {
  .name = "switch",
  .version = { 1, 1, 0 },
  .summary = "regions, each on any of several devices",
  .example = "2 64 0 %1 0 %2 0",
  .private_size = sizeof (struct switch_target),
  .ctr = switch_ctr,
  .dtr = switch_dtr,
  .map = switch_map,
  .status = switch_status,
  .message = switch_message,
  .iterate_devices = switch_iterate_devices,
  .extents = switch_extents,
};
