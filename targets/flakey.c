/* SPDX-License-Identifier: BSD-3-Clause */
/* flakey: a range of one device that fails from time to time. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "server/device-mapper.h"

struct flakey {
  struct dm_dev *dev;
  sector_t start;          /* on dev */
  uint32_t up, down;       /* seconds */
  uint64_t born_ns;        /* the clock starts in the constructor */
  bool drop_writes, error_writes;
  uint32_t corrupt_byte;   /* counted from 1; 0: none */
  bool corrupt_writes;     /* else reads */
  uint32_t corrupt_value;
  uint32_t corrupt_flags;  /* kernel's bits that a bio must have */
};

/* ------------------------------------------------------------------
 * The line.
 */

static int
flakey_parse_interval (struct dm_target *ti, const char *word, uint32_t *out)
{
  /* Linux 6.1 has one text for both intervals. */
  if (args_parse_u32 (word, out) < 0)
    return dm_target_error (ti, EINVAL, "Invalid up interval: '%s' (seconds; "
                            "said of the down interval too)", word);
  return 0;
}

static int
flakey_parse_times (struct dm_target *ti, struct args *args)
{
  struct flakey *f = ti->private;
  const char *word = args_shift (args);

  if (args_parse_u64 (word, &f->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid device sector: '%s'", word);
  if (flakey_parse_interval (ti, args_shift (args), &f->up) < 0 ||
      flakey_parse_interval (ti, args_shift (args), &f->down) < 0)
    return -EINVAL;
  if (f->up + f->down == 0)
    return dm_target_error (ti, EINVAL,
                            "Total (up + down) interval is zero");
  if (f->up + f->down < f->up)
    return dm_target_error (ti, EINVAL, "Interval overflow: %u + %u", f->up,
                            f->down);
  return 0;
}

static int
flakey_parse_corrupt (struct dm_target *ti, struct args *args)
{
  struct flakey *f = ti->private;
  const char *word;
  int r;

  if (args->argc == 0)
    return dm_target_error (ti, EINVAL, "Feature corrupt_bio_byte requires "
                            "parameters: <byte> <r|w> <value> <flags>");
  r = dm_read_arg (ti, args, 1, UINT32_MAX, "Invalid corrupt bio byte",
                   &f->corrupt_byte);
  if (r < 0)
    return r;
  word = args_shift (args);
  if (word == NULL || !(args_word_is (word, "r") || args_word_is (word, "w")))
    return dm_target_error (ti, EINVAL, "Invalid corrupt bio direction "
                            "(r or w): '%s'", word ? word : "");
  f->corrupt_writes = args_word_is (word, "w");
  r = dm_read_arg (ti, args, 0, 255, "Invalid corrupt value to write into bio "
                   "byte (0-255)", &f->corrupt_value);
  if (r < 0)
    return r;
  return dm_read_arg (ti, args, 0, UINT32_MAX,
                      "Invalid corrupt bio flags mask", &f->corrupt_flags);
}

static int
flakey_parse_feature (struct dm_target *ti, struct args *args)
{
  struct flakey *f = ti->private;
  const char *word = args_shift (args);

  if (args_word_is (word, "drop_writes")) {
    if (f->drop_writes)
      return dm_target_error (ti, EINVAL, "Feature drop_writes duplicated");
    if (f->error_writes)
      return dm_target_error (ti, EINVAL, "Feature drop_writes conflicts "
                              "with feature error_writes");
    f->drop_writes = true;
    return 0;
  }
  if (args_word_is (word, "error_writes")) {
    if (f->error_writes)
      return dm_target_error (ti, EINVAL, "Feature error_writes duplicated");
    if (f->drop_writes)
      return dm_target_error (ti, EINVAL, "Feature error_writes conflicts "
                              "with feature drop_writes");
    f->error_writes = true;
    return 0;
  }
  if (args_word_is (word, "corrupt_bio_byte"))
    return flakey_parse_corrupt (ti, args);
  return dm_target_error (ti, EINVAL, "Unrecognised flakey feature requested: "
                          "'%s'", word);
}

/* [<number of words> <word>…]; what follows is ignored, as in Linux 6.1. */
static int
flakey_parse_features (struct dm_target *ti, struct args *args)
{
  struct flakey *f = ti->private;
  struct args features;
  const char *word = args_shift (args);
  uint32_t n;
  int r;

  if (word == NULL)
    return 0;
  if (args_parse_u32 (word, &n) < 0 || n > 6 || n > args->argc)
    return dm_target_error (ti, EINVAL, "Invalid number of feature args: "
                            "'%s' of %u", word, args->argc);
  features = (struct args) { .argc = n, .argv = args->argv };
  while (features.argc > 0) {
    r = flakey_parse_feature (ti, &features);
    if (r < 0)
      return r;
  }
  if (f->corrupt_byte && f->corrupt_writes &&
      (f->drop_writes || f->error_writes))
    return dm_target_error (ti, EINVAL, "%s is incompatible with "
                            "corrupt_bio_byte with the WRITE flag set",
                            f->drop_writes ? "drop_writes" : "error_writes");
  return 0;
}

static int
flakey_ctr (struct dm_target *ti, struct args *args)
{
  struct flakey *f = ti->private;
  const char *device;
  int r;

  if (args->argc < 4)
    return dm_target_error (ti, EINVAL, "Invalid argument count: %u; wanted "
                            "<device> <offset> <up> <down> [<n> <feature>…]",
                            args->argc);
  device = args_shift (args);
  r = flakey_parse_times (ti, args);
  if (r == 0)
    r = flakey_parse_features (ti, args);
  if (r == 0)
    r = dm_get_device (ti, device, &f->dev);
  if (r < 0)
    return r;
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  f->born_ns = monotonic_ns ();
  return 0;
}

static void
flakey_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
               FILE *out)
{
  const struct flakey *f = ti->private;

  if (type == DM_STATUS_INFO)
    return;
  dm_device_print (out, f->dev);
  /* Linux 6.1 leaves a blank at the end, whatever follows. */
  fprintf (out, " %" PRIu64 " %u %u %u ", f->start, f->up, f->down,
           f->drop_writes + f->error_writes + (f->corrupt_byte ? 5 : 0));
  if (f->drop_writes)
    fputs ("drop_writes ", out);
  if (f->error_writes)
    fputs ("error_writes ", out);
  if (f->corrupt_byte)
    fprintf (out, "corrupt_bio_byte %u %c %u %u ", f->corrupt_byte,
             f->corrupt_writes ? 'w' : 'r', f->corrupt_value,
             f->corrupt_flags);
}

/* ------------------------------------------------------------------
 * Bios.
 */

/* The bio's operation and flags in the kernel's encoding (Linux 6.1
 * blk_types.h), which the flags of corrupt_bio_byte are written in.
 */
static uint32_t
flakey_kernel_flags (const struct bio *bio)
{
  static const uint32_t ops[] = {
    [BIO_READ] = 0,
    [BIO_WRITE] = 1,
    [BIO_FLUSH] = 2,
    [BIO_DISCARD] = 3,
    [BIO_WRITE_ZEROES] = 9,
    [BIO_PREFETCH] = 1 << 19,
  };

  return ops[bio->op] | (bio->flags & BIO_FUA ? 1 << 17 : 0);
}

static bool
flakey_is_down (const struct flakey *f)
{
  uint64_t seconds = (monotonic_ns () - f->born_ns) / 1000000000;

  return seconds % (f->up + f->down) >= f->up;
}

static bool
flakey_corrupts (const struct flakey *f, const struct bio *bio)
{
  return f->corrupt_byte > 0 &&
    bio->op == (f->corrupt_writes ? BIO_WRITE : BIO_READ) &&
    (flakey_kernel_flags (bio) & f->corrupt_flags) == f->corrupt_flags &&
    sectors_to_bytes (bio->len) >= f->corrupt_byte;
}

/* The data is the client's: corrupt a copy, which end_io frees. */
static int
flakey_corrupt_write (const struct flakey *f, struct bio *bio)
{
  size_t bytes = sectors_to_bytes (bio->len);
  char *copy = malloc (bytes);

  if (copy == NULL)
    return -ENOMEM;
  memcpy (copy, bio->data, bytes);
  copy[f->corrupt_byte - 1] = f->corrupt_value;
  bio->cookie = bio->data = copy;
  return DM_MAPIO_REMAPPED;
}

static int
flakey_remap (struct dm_target *ti, struct bio *bio)
{
  const struct flakey *f = ti->private;

  bio->bdev = f->dev->bdev;
  if (bio->op != BIO_FLUSH)
    bio->sector = f->start + dm_target_offset (ti, bio->sector);
  bio->cookie = NULL;
  return DM_MAPIO_REMAPPED;
}

/* Marks a read that end_io corrupts: what counts is whether the target was
 * down when the bio came.
 */
static char flakey_corrupt_read;

static int
flakey_map_down (struct dm_target *ti, struct bio *bio)
{
  const struct flakey *f = ti->private;
  bool is_read = bio->op == BIO_READ || bio->op == BIO_PREFETCH;

  if (!is_read && f->drop_writes)
    return DM_MAPIO_DONE;
  if (!is_read && f->error_writes)
    return -EIO;
  if (!f->drop_writes && !f->error_writes && !f->corrupt_byte)
    return -EIO;
  flakey_remap (ti, bio);
  if (!flakey_corrupts (f, bio))
    return DM_MAPIO_REMAPPED;
  if (!is_read)
    return flakey_corrupt_write (f, bio);
  bio->cookie = &flakey_corrupt_read;
  return DM_MAPIO_REMAPPED;
}

static int
flakey_map (struct dm_target *ti, struct bio *bio)
{
  if (flakey_is_down (ti->private))
    return flakey_map_down (ti, bio);
  return flakey_remap (ti, bio);
}

static int
flakey_end_io (struct dm_target *ti, struct bio *bio, int error)
{
  const struct flakey *f = ti->private;

  if (bio->cookie == &flakey_corrupt_read) {
    if (error == 0)
      bio->data[f->corrupt_byte - 1] = f->corrupt_value;
  }
  else
    free (bio->cookie);
  return error;
}

static int
flakey_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct flakey *f = ti->private;

  return fn (ti, f->dev, f->start, ti->len, data);
}

static int
flakey_extents (struct dm_target *ti, sector_t sector, sector_t len,
                struct extent_sink *sink)
{
  const struct flakey *f = ti->private;
  sector_t offset = dm_target_offset (ti, sector);
  int r = dm_device_extents (f->dev, f->start + offset, len, sink);

  return r < 0 ? r : 0;
}

const struct target_type flakey_target = {
  .name = "flakey",
  .version = { 1, 5, 0 },
  .summary = "a range of one device that fails from time to time",
  .example = "%1 0 60 0",
  .private_size = sizeof (struct flakey),
  .ctr = flakey_ctr,
  .map = flakey_map,
  .end_io = flakey_end_io,
  .parallel_end_io = true,
  .status = flakey_status,
  .iterate_devices = flakey_iterate_devices,
  .extents = flakey_extents,
};
