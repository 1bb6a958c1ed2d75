/* SPDX-License-Identifier: BSD-3-Clause */
/* The one currency of the data path: a request for a block device. */

#ifndef NBDM_BIO_H
#define NBDM_BIO_H

#include <stdint.h>

#include "common/units.h"

struct block_device;

enum bio_op {
  BIO_READ,
  BIO_WRITE,
  BIO_FLUSH,        /* everything completed before is durable after */
  BIO_DISCARD,      /* contents are no longer needed; no data */
  BIO_WRITE_ZEROES, /* reads as zeroes afterwards; no data */
  BIO_PREFETCH,     /* advice that a read is near; no data */
};

enum bio_flags {
  BIO_FUA = 1 << 0,       /* write, zeroes, discard: durable on completion */
  BIO_NOUNMAP = 1 << 1,   /* zeroes: keep the space allocated */
  BIO_FAST_ZERO = 1 << 2, /* zeroes: -EOPNOTSUPP at once, and nothing
                             written, unless quicker than a write of zeroes */
};

/* A bio lives on its submitter's stack for as long as the (blocking) call it
 * is passed to and is used by one thread.  Who receives a bio may change
 * every field of it; who splits copies it.  The data is the client's own
 * buffer: a target that wants to change the data of a write copies it first.
 *
 * One exception to the one thread: between block_device.start and .finish
 * (common/block-device.h) the device may touch the bio and its data from
 * another thread.
 */
struct bio {
  enum bio_op op;
  unsigned flags;            /* enum bio_flags */
  struct block_device *bdev; /* where it goes; a target's map sets it */
  sector_t sector;           /* on bdev; 0 for BIO_FLUSH */
  sector_t len;              /* 0 for BIO_FLUSH */
  char *data;                /* len sectors, for reads and writes only */

  /* Which of several copies of a flush, discard or write-zeroes this is:
   * 0 .. num_*_bios - 1 (struct dm_target).
   */
  unsigned target_bio_nr;

  /* Advice to a device with several ways to send: what comes over one way goes
   * on over one way.  0 unless the submitter knows better.
   */
  unsigned lane;

  void *cookie;                /* the target's, from map to end_io */
  uintptr_t device_private[8]; /* the device's, from start to finish */
};

static inline bool
bio_has_data (const struct bio *bio)
{
  return bio->op == BIO_READ || bio->op == BIO_WRITE;
}

/* True if the bio changes what the device holds. */
static inline bool
bio_is_write (const struct bio *bio)
{
  return bio->op == BIO_WRITE || bio->op == BIO_DISCARD ||
    bio->op == BIO_WRITE_ZEROES;
}

static inline sector_t
bio_end (const struct bio *bio)
{
  return bio->sector + bio->len;
}

/* The part of *bio of len sectors that starts skip sectors into it. */
static inline struct bio
bio_slice (const struct bio *bio, sector_t skip, sector_t len)
{
  struct bio piece = *bio;

  piece.sector += skip;
  piece.len = len;
  if (piece.data)
    piece.data += sectors_to_bytes (skip);
  return piece;
}

#endif /* NBDM_BIO_H */
