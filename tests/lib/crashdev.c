/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that records what is done to it, for a crash at any point. */

#include "tests/lib/crashdev.h"

#include <stdlib.h>
#include <string.h>

static void
crashdev_note (struct crashdev *c, const struct bio *bio)
{
  struct crash_record r = { bio->sector, bio->len, NULL,
                            bio->flags & BIO_FUA };
  size_t bytes = sectors_to_bytes (bio->len);

  if (bio->op == BIO_WRITE) {
    r.data = malloc (bytes);
    if (r.data == NULL)
      abort ();
    memcpy (r.data, bio->data, bytes);
    memcpy (c->data + sectors_to_bytes (bio->sector), bio->data, bytes);
  }
  if (vector_append (&c->log, r) < 0)
    abort ();
}

static int
crashdev_submit (struct block_device *bdev, struct bio *bio)
{
  struct crashdev *c = (struct crashdev *) bdev;
  ACQUIRE_LATCH_FOR_SCOPE (&c->latch);

  if (!sectors_in_range (bio->sector, bio->len, bdev_size (bdev)))
    return -EIO;
  if (bio->op == BIO_READ)
    memcpy (bio->data, c->data + sectors_to_bytes (bio->sector),
            sectors_to_bytes (bio->len));
  else if (bio->op == BIO_WRITE || bio->op == BIO_FLUSH)
    crashdev_note (c, bio);
  else
    return -EOPNOTSUPP;
  return 0;
}

static void
crashdev_limits (struct block_device *bdev, struct queue_limits *limits)
{
  *limits = ((struct crashdev *) bdev)->limits;
}

static void
crashdev_close (struct block_device *bdev)
{
  /* The test owns it. */
}

static const struct block_device_ops crashdev_ops = {
  .submit = crashdev_submit,
  .limits = crashdev_limits,
  .close = crashdev_close,
};

void
crashdev_init (struct crashdev *c, sector_t size)
{
  memset (c, 0, sizeof *c);
  c->bdev.ops = &crashdev_ops;
  c->bdev.name = "crash";
  c->bdev.size = size;
  c->limits = QUEUE_LIMITS_DEFAULT;
  c->limits.write_cache = true;
  c->data = calloc (size, SECTOR_SIZE);
  c->base = calloc (size, SECTOR_SIZE);
  if (c->data == NULL || c->base == NULL)
    abort ();
  latch_init (&c->latch);
}

static void
crashdev_forget (struct crashdev *c)
{
  size_t i;

  for (i = 0; i < c->log.len; i++)
    free (c->log.ptr[i].data);
  vector_reset (&c->log);
}

void
crashdev_restart (struct crashdev *c)
{
  crashdev_forget (c);
  memcpy (c->base, c->data, sectors_to_bytes (bdev_size (&c->bdev)));
}

void
crashdev_destroy (struct crashdev *c)
{
  crashdev_forget (c);
  latch_destroy (&c->latch);
  free (c->data);
  free (c->base);
}

size_t
crashdev_position (struct crashdev *c)
{
  ACQUIRE_LATCH_FOR_SCOPE (&c->latch);
  return c->log.len;
}

static void
crash_replay (const struct crash_record *r, bool all, unsigned *seed,
              char *image)
{
  sector_t i;

  for (i = 0; r->data && i < r->len; i++)
    if (all || rand_r (seed) % 2)
      memcpy (image + sectors_to_bytes (r->sector + i),
              r->data + sectors_to_bytes (i), SECTOR_SIZE);
}

void
crashdev_image (struct crashdev *c, size_t n, unsigned seed, char *image)
{
  size_t flushed = n, i;

  memcpy (image, c->base, sectors_to_bytes (bdev_size (&c->bdev)));
  while (flushed > 0 && c->log.ptr[flushed - 1].data)
    flushed--;
  for (i = 0; i < n; i++)
    crash_replay (&c->log.ptr[i],
                  seed == 0 || i < flushed || c->log.ptr[i].fua, &seed, image);
}
