/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device in memory that counts, fails, stalls on demand. */

#include "tests/lib/memdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool
memdev_is_bad (const struct memdev *m, const struct bio *bio)
{
  if (bio->op == BIO_FLUSH)
    return m->fail_flush;
  if (bio->op == BIO_WRITE && m->fail_write)
    return true;
  return bio->sector < m->bad_end && bio_end (bio) > m->bad_start;
}

static void
memdev_stall (struct memdev *m, const struct bio *bio)
{
  static const struct timespec tick = { .tv_nsec = 1000000 };

  if (m->stalled_len > 0 && m->stalled_len != bio->len)
    return;
  m->waiting++;
  while (m->stalled)
    nanosleep (&tick, NULL);
  m->waiting--;
}

static void
memdev_get (const struct memdev *m, char *to, const char *at, size_t bytes)
{
  uint64_t word;
  size_t i;

  if (!m->may_tear)
    memcpy (to, at, bytes);
  else
    for (i = 0; i < bytes; i += sizeof word) {
      word = __atomic_load_n ((const uint64_t *) (at + i), __ATOMIC_RELAXED);
      memcpy (to + i, &word, sizeof word);
    }
}

static void
memdev_put (const struct memdev *m, char *at, const char *from, size_t bytes)
{
  uint64_t word;
  size_t i;

  if (!m->may_tear)
    memcpy (at, from, bytes);
  else
    for (i = 0; i < bytes; i += sizeof word) {
      memcpy (&word, from + i, sizeof word);
      __atomic_store_n ((uint64_t *) (at + i), word, __ATOMIC_RELAXED);
    }
}

static void
memdev_zero (const struct memdev *m, char *at, size_t bytes)
{
  static const char zeroes[SECTOR_SIZE];

  if (!m->may_tear)
    memset (at, 0, bytes);
  else
    for (; bytes > 0; at += SECTOR_SIZE, bytes -= SECTOR_SIZE)
      memdev_put (m, at, zeroes, SECTOR_SIZE);
}

static int
memdev_submit (struct block_device *bdev, struct bio *bio)
{
  struct memdev *m = (struct memdev *) bdev;
  char *at = m->data + sectors_to_bytes (bio->sector);
  size_t bytes = sectors_to_bytes (bio->len);

  m->counts[bio->op]++;
  if (bio->flags & BIO_FUA)
    m->fua++;
  memdev_stall (m, bio);
  if (!sectors_in_range (bio->sector, bio->len, bdev_size (bdev)))
    return -EIO;
  if (memdev_is_bad (m, bio))
    return -m->bad_errno;
  if (bio->op == BIO_READ)
    memdev_get (m, bio->data, at, bytes);
  else if (bio->op == BIO_WRITE)
    memdev_put (m, at, bio->data, bytes);
  else if (bio_is_write (bio))
    memdev_zero (m, at, bytes);
  return 0;
}

static void
memdev_limits (struct block_device *bdev, struct queue_limits *limits)
{
  *limits = ((struct memdev *) bdev)->limits;
}

static void
memdev_close (struct block_device *bdev)
{
  /* The test owns it: memdev_free. */
}

static const struct block_device_ops memdev_ops = {
  .submit = memdev_submit,
  .limits = memdev_limits,
  .close = memdev_close,
};

struct memdev *
memdev_new (const char *name, sector_t size)
{
  struct memdev *m = calloc (1, sizeof *m);

  if (m == NULL ||
      (m->data = calloc (size ? size : 1, SECTOR_SIZE)) == NULL ||
      (m->bdev.name = strdup (name)) == NULL)
    abort ();
  m->bdev.ops = &memdev_ops;
  m->bdev.size = size;
  m->bad_errno = EIO;
  m->limits = QUEUE_LIMITS_DEFAULT;
  m->limits.discard = m->limits.write_zeroes = m->limits.write_cache = true;
  return m;
}

void
memdev_free (struct memdev *m)
{
  free ((char *) m->bdev.name);
  free (m->data);
  free (m);
}
