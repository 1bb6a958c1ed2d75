/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device over another that fails the n-th bio, and records writes. */

#include "tests/lib/faultdev.h"

#include <stdlib.h>
#include <string.h>

static bool
faultdev_fails (struct faultdev *f, const struct bio *bio)
{
  if (!(f->ops & 1u << bio->op))
    return false;
  f->seen++;
  return f->fail_at && (f->seen == f->fail_at ||
                        (f->fail_on && f->seen > f->fail_at));
}

static void
faultdev_note (struct faultdev *f, const struct bio *bio)
{
  struct recorded r = { bio->sector, bio->len, NULL };
  size_t bytes = sectors_to_bytes (bio->len);

  if (bio->op == BIO_WRITE) {
    r.data = malloc (bytes);
    if (r.data == NULL)
      abort ();
    memcpy (r.data, bio->data, bytes);
  }
  if (vector_append (&f->log, r) < 0)
    abort ();
}

static int
faultdev_submit (struct block_device *bdev, struct bio *bio)
{
  struct faultdev *f = (struct faultdev *) bdev;

  if (faultdev_fails (f, bio))
    return -EIO;
  if (f->record && (bio->op == BIO_WRITE || bio->op == BIO_FLUSH))
    faultdev_note (f, bio);
  return bdev_submit (f->lower, bio);
}

static void
faultdev_limits (struct block_device *bdev, struct queue_limits *limits)
{
  bdev_limits (((struct faultdev *) bdev)->lower, limits);
}

static void
faultdev_close (struct block_device *bdev)
{
  /* The test owns it. */
}

static const struct block_device_ops faultdev_ops = {
  .submit = faultdev_submit,
  .limits = faultdev_limits,
  .close = faultdev_close,
};

void
faultdev_init (struct faultdev *f, struct block_device *lower)
{
  memset (f, 0, sizeof *f);
  f->bdev.ops = &faultdev_ops;
  f->bdev.name = lower->name;
  f->bdev.size = bdev_size (lower);
  f->lower = lower;
}

void
faultdev_arm (struct faultdev *f, unsigned ops, unsigned at, bool on)
{
  f->ops = ops;
  f->fail_at = at;
  f->fail_on = on;
  f->seen = 0;
}

void
faultdev_replay (const struct faultdev *f, size_t n, char *image)
{
  const struct recorded *r;

  for (r = f->log.ptr; r < f->log.ptr + n; r++)
    if (r->data)
      memcpy (image + sectors_to_bytes (r->sector), r->data,
              sectors_to_bytes (r->len));
}

void
faultdev_reset (struct faultdev *f)
{
  size_t i;

  for (i = 0; i < f->log.len; i++)
    free (f->log.ptr[i].data);
  vector_reset (&f->log);
}
