/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying chunks between the origin and a COW device. */

#include "targets/snapshot/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------
 * The buffer.
 */

void
copier_init (struct copier *copier)
{
  /* Not small, which this is about. */
  copier->held_of = NULL;
  copier->heap = NULL;
  copier->heap_len = 0;
}

void
copier_destroy (struct copier *copier)
{
  free (copier->heap);
}

/* Memory for up to *len sectors; *len is then how many there are. */
static char *
copier_room (struct copier *copier, sector_t *len)
{
  void *heap;

  if (*len > COPY_MAX_SECTORS)
    *len = COPY_MAX_SECTORS;
  if (*len <= bytes_to_sectors (COPY_SMALL_BYTES) && copier->heap == NULL)
    return copier->small;
  if (copier->heap_len < *len &&
      posix_memalign (&heap, COPY_SMALL_BYTES, sectors_to_bytes (*len)) == 0) {
    free (copier->heap);
    copier->heap = heap;
    copier->heap_len = *len;
  }
  if (copier->heap == NULL) {
    *len = bytes_to_sectors (COPY_SMALL_BYTES);
    return copier->small;
  }
  if (*len > copier->heap_len)
    *len = copier->heap_len;
  return copier->heap;
}

/* The data of up to *len sectors, and how many they are. */
static int
copier_read (struct copier *copier, struct block_device *bdev, sector_t sector,
             sector_t *len, char **data)
{
  char *held = copier->heap ? copier->heap : copier->small;
  struct bio bio = { .op = BIO_READ, .bdev = bdev, .sector = sector };
  int r;

  if (copier->held_of && bdev_same (copier->held_of, bdev) &&
      sector >= copier->held && sector - copier->held < copier->held_len) {
    sector_t skip = sector - copier->held;

    if (*len > copier->held_len - skip)
      *len = copier->held_len - skip;
    *data = held + sectors_to_bytes (skip);
    return 0;
  }
  copier->held_of = NULL;
  *data = bio.data = copier_room (copier, len);
  bio.len = *len;
  r = bdev_submit (bdev, &bio);
  if (r < 0)
    return r;
  copier->held_of = bdev;
  copier->held = sector;
  copier->held_len = *len;
  return 0;
}

/* ------------------------------------------------------------------
 * Zeroes.
 */

static int
copy_written_zeroes (struct block_device *bdev, sector_t sector, sector_t len,
                     unsigned flags)
{
  static char zeroes[64 * 1024];
  int r = 0;

  while (len > 0 && r == 0) {
    struct bio bio = { .op = BIO_WRITE, .flags = flags & BIO_FUA,
                       .bdev = bdev, .sector = sector, .data = zeroes,
                       .len = bytes_to_sectors (sizeof zeroes) };

    if (bio.len > len)
      bio.len = len;
    sector += bio.len;
    len -= bio.len;
    r = bdev_submit (bdev, &bio);
  }
  return r;
}

int
copy_zeroes (struct block_device *bdev, sector_t sector, sector_t len,
             unsigned flags)
{
  struct bio bio = { .op = BIO_WRITE_ZEROES, .flags = flags, .bdev = bdev,
                     .sector = sector, .len = len };
  struct queue_limits limits;
  int r = -EOPNOTSUPP;

  bdev_limits (bdev, &limits);
  if (limits.write_zeroes)
    r = bdev_submit (bdev, &bio);
  if (r == -EOPNOTSUPP && !(flags & BIO_FAST_ZERO))
    r = copy_written_zeroes (bdev, sector, len, flags);
  return r;
}

/* ------------------------------------------------------------------
 * Copying.
 */

static struct bio
copy_slice (const struct bio *bio, sector_t begin, sector_t end)
{
  if (begin < bio->sector)
    begin = bio->sector;
  if (end > bio_end (bio))
    end = bio_end (bio);
  return bio_slice (bio, begin - bio->sector, begin < end ? end - begin : 0);
}

/* Put what `over` has of [sector, sector+len) into the data. */
static void
copy_overlay (const struct bio *over, sector_t sector, sector_t len,
              char *data)
{
  struct bio part;

  if (sector >= bio_end (over) || over->sector >= sector + len)
    return;
  part = copy_slice (over, sector, sector + len);
  data += sectors_to_bytes (part.sector - sector);
  if (part.op == BIO_WRITE)
    memcpy (data, part.data, sectors_to_bytes (part.len));
  else
    memset (data, 0, sectors_to_bytes (part.len));
}

/* Through the buffer, up to *len sectors from skip on; *len: how many. */
static int
copy_step (struct copier *copier, const struct copy *copy, sector_t skip,
           sector_t *len)
{
  sector_t sector = copy->from_sector + skip;
  struct bio bio = { .op = BIO_WRITE, .bdev = copy->to,
                     .sector = copy->to_sector + skip };
  int r;

  r = copier_read (copier, copy->from, sector, len, &bio.data);
  if (r < 0)
    return r;
  if (copy->over) {
    copy_overlay (copy->over, sector, *len, bio.data);
    copier->held_of = NULL;
  }
  bio.len = *len;
  return bdev_submit (bio.bdev, &bio);
}

/* The client's own data, len sectors from skip on. */
static int
copy_client (const struct copy *copy, sector_t skip, sector_t len)
{
  sector_t sector = copy->from_sector + skip;
  struct bio bio = copy_slice (copy->over, sector, sector + len);

  if (bio.op == BIO_WRITE_ZEROES)
    return copy_zeroes (copy->to, copy->to_sector + skip, len,
                        bio.flags & BIO_NOUNMAP);
  bio.flags = 0;
  bio.bdev = copy->to;
  bio.sector = copy->to_sector + skip;
  return bdev_submit (bio.bdev, &bio);
}

/* Which part of the copy is whole chunks of the client's, counted from its
 * start; what reaches the end of the copy counts as whole.
 */
static void
copy_whole_chunks (const struct copy *copy, sector_t *begin, sector_t *end)
{
  sector_t size = copy->chunk_sectors, copy_end = copy->from_sector + copy->len;
  const struct bio *over = copy->over;

  *begin = *end = copy->len;
  if (over == NULL)
    return;
  *begin = (over->sector + size - 1) / size * size;
  *end = bio_end (over) >= copy_end ? copy_end : bio_end (over) / size * size;
  if (*begin < copy->from_sector)
    *begin = copy->from_sector;
  if (*begin < *end) {
    *begin -= copy->from_sector;
    *end -= copy->from_sector;
  }
  else
    *begin = *end = copy->len;
}

int
copy_sectors (struct copier *copier, const struct copy *copy)
{
  sector_t skip, len, begin, end;
  int r = 0;

  copy_whole_chunks (copy, &begin, &end);
  for (skip = 0; skip < copy->len && r == 0; skip += len) {
    if (skip == begin && begin < end) {
      len = end - begin;
      r = copy_client (copy, skip, len);
      continue;
    }
    len = (skip < begin ? begin : copy->len) - skip;
    r = copy_step (copier, copy, skip, &len);
  }
  return r;
}
