/* SPDX-License-Identifier: BSD-3-Clause */
/* Anything that accepts bios: a file, an upstream export, a mapped device. */

#ifndef NBDM_BLOCK_DEVICE_H
#define NBDM_BLOCK_DEVICE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bio.h"
#include "common/units.h"

/* What a device can do and prefers.  Sizes in bytes, except the *_sectors.
 * 0 in a max_* or chunk field means "no limit", as in the kernel's
 * queue_limits.  The stacking default of Linux 6.1 (logical, physical and
 * minimum I/O size 512, everything else 0, nothing supported) is
 * QUEUE_LIMITS_DEFAULT.
 */
struct queue_limits {
  unsigned logical_block_bytes; /* requests are multiples of it */
  unsigned physical_block_bytes;
  unsigned io_min_bytes;
  unsigned io_opt_bytes;
  unsigned alignment_offset_bytes;
  bool misaligned;
  sector_t max_sectors;
  sector_t chunk_sectors;
  unsigned discard_granularity_bytes;
  sector_t max_discard_sectors;
  bool discard;      /* BIO_DISCARD is accepted */
  bool write_zeroes; /* BIO_WRITE_ZEROES is accepted */
  bool write_cache;  /* needs BIO_FLUSH to be durable */
  bool fua;          /* honours BIO_FUA cheaper than write + flush */
  bool rotational;
};

#define QUEUE_LIMITS_DEFAULT                                            \
  ((struct queue_limits) { .logical_block_bytes = SECTOR_SIZE,          \
                           .physical_block_bytes = SECTOR_SIZE,         \
                           .io_min_bytes = SECTOR_SIZE })

/* What is known of a range without reading it; the bits of NBD's
 * base:allocation.  0 is data.
 */
enum extent_flags {
  EXTENT_HOLE = 1 << 0, /* no space is allocated */
  EXTENT_ZERO = 1 << 1, /* reads as zeroes */
};

/* Receives extents in ascending order without gaps, from the first sector
 * asked about.  add returns 0 to go on, 1 for "enough" (the producer stops
 * and returns 0) or -errno (the producer stops and returns it).  The receiver
 * clips what reaches beyond the range and merges equal neighbours.
 */
struct extent_sink {
  int (*add) (struct extent_sink *sink, sector_t len, unsigned flags);
};

struct block_device_ops {
  /* Carry out the bio and return 0 or -errno; blocks until it is done.
   * -EOPNOTSUPP for an op the limits do not offer.  Range and alignment were
   * checked against a size and limits that may have changed since: a bio
   * beyond the end is -EIO, never a crash.  Called from many threads.
   */
  int (*submit) (struct block_device *, struct bio *);

  /* Optional, both or none: the two halves of submit, so that one thread can
   * have several bios under way.  start never waits for the I/O itself and
   * returns 0 or -errno (then finish must not be called); finish returns the
   * bio's result.  Every started bio is finished by the same thread; their
   * order is free.
   */
  int (*start) (struct block_device *, struct bio *);
  int (*finish) (struct block_device *, struct bio *);

  /* Optional: what [sector, sector+len) holds.  May block; may stop early
   * after at least one extent.  A device without it is all data.
   */
  int (*extents) (struct block_device *, sector_t sector, sector_t len,
                  struct extent_sink *);

  /* Copy the limits; callable at any time from any thread. */
  void (*limits) (struct block_device *, struct queue_limits *);

  /* Optional: true if the other device, which has the same ops, is the same
   * range of the same thing outside, opened once more.  Does not block.
   */
  bool (*same) (struct block_device *, struct block_device *other);

  /* Optional: end all waiting for something outside (a reconnect) now and
   * from now on; what waits fails with -ESHUTDOWN.  Does not block.
   */
  void (*shutdown) (struct block_device *);

  /* Release everything.  No bio is under way and none will come. */
  void (*close) (struct block_device *);
};

/* Embedded as the first member of every kind of device, which fills it in
 * before anybody else sees the device.
 */
struct block_device {
  const struct block_device_ops *ops;

  /* The text that names this device in a table, made of the resolved path,
   * URI or backing name.  Owned by the device; fixed for its life.  A mapped
   * device has NULL here: its name can change (dm_device_print).
   */
  const char *name;

  /* What `deps` shows for it: (major << 20) | minor. */
  uint32_t number;

  bool readonly;           /* every write would be -EPERM */
  _Atomic sector_t size;   /* use bdev_size */

  /* How often a connection that it had lost came back; for metrics. */
  _Atomic uint64_t reconnects;
};

static inline sector_t
bdev_size (struct block_device *bdev)
{
  return bdev->size;
}

/* True if what is written to the one is read from the other.  Only whole
 * devices are compared: a mapped device is the same as itself only, whatever
 * its table.
 */
static inline bool
bdev_same (struct block_device *a, struct block_device *b)
{
  return a == b ||
    (a->ops == b->ops && a->ops->same && a->ops->same (a, b));
}

static inline int
bdev_submit (struct block_device *bdev, struct bio *bio)
{
  return bdev->ops->submit (bdev, bio);
}

static inline void
bdev_limits (struct block_device *bdev, struct queue_limits *limits)
{
  bdev->ops->limits (bdev, limits);
}

static inline int
bdev_extents (struct block_device *bdev, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  int r;

  if (bdev->ops->extents)
    return bdev->ops->extents (bdev, sector, len, sink);
  r = sink->add (sink, len, 0);
  return r < 0 ? r : 0;
}

/* Make everything that completed on bdev durable.  Blocks. */
static inline int
bdev_flush (struct block_device *bdev)
{
  struct bio bio = { .op = BIO_FLUSH, .bdev = bdev };

  return bdev_submit (bdev, &bio);
}

#endif /* NBDM_BLOCK_DEVICE_H */
