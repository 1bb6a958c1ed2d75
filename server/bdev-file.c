/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading, writing and asking a regular file or block device. */

#include "server/bdev-file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fs.h>

#include "common/cleanup.h"

/* Bounce buffers for direct I/O: large enough for full speed, small enough
 * for one per request.
 */
#define FILE_BOUNCE_BYTES (1u << 20)

/* Extents told per query; who wants more asks again. */
#define FILE_MAX_EXTENTS 1024

static off_t
file_offset (const struct bdev_file *f, sector_t sector)
{
  return f->options.offset_bytes + sectors_to_bytes (sector);
}

/* The errno of a system call that failed on the I/O path. */
static int
file_error (int err)
{
  switch (err) {
  case EDQUOT:
  case EFBIG:
    return -ENOSPC;
  case EOPNOTSUPP:
    return -EIO; /* it is for what the limits do not offer */
  default:
    return -err;
  }
}

/* ------------------------------------------------------------------
 * Reading and writing.
 */

static int
file_pread (struct bdev_file *f, char *data, size_t bytes, off_t at)
{
  ssize_t n;

  while (bytes > 0) {
    n = pread (f->fd, data, bytes, at);
    if (n == 0)
      return -EIO; /* it has been truncated */
    if (n < 0) {
      if (errno == EINTR)
        continue;
      return file_error (errno);
    }
    data += n;
    bytes -= n;
    at += n;
  }
  return 0;
}

/* Unlike the others it returns the bare errno, so that a refusal of flags can
 * be told from an error.
 */
static int
file_pwrite_flags (struct bdev_file *f, const char *data, size_t bytes,
                   off_t at, int flags)
{
  struct iovec iov;
  ssize_t n;

  while (bytes > 0) {
    iov.iov_base = (char *) data;
    iov.iov_len = bytes;
    n = flags ? pwritev2 (f->fd, &iov, 1, at, flags)
              : pwrite (f->fd, data, bytes, at);
    if (n < 0) {
      if (errno == EINTR)
        continue;
      return errno;
    }
    data += n;
    bytes -= n;
    at += n;
  }
  return 0;
}

static int
file_sync (struct bdev_file *f)
{
  int r;

  do
    r = fdatasync (f->fd);
  while (r == -1 && errno == EINTR);
  return r == -1 ? file_error (errno) : 0;
}

static int
file_pwrite (struct bdev_file *f, const char *data, size_t bytes, off_t at,
             bool fua)
{
  int err;

  if (fua && f->can_dsync) {
    err = file_pwrite_flags (f, data, bytes, at, RWF_DSYNC);
    if (err != EOPNOTSUPP)
      return file_error (err);
    f->can_dsync = false;
  }
  err = file_pwrite_flags (f, data, bytes, at, 0);
  if (err)
    return file_error (err);
  return fua ? file_sync (f) : 0;
}

static int
file_rw (struct bdev_file *f, const struct bio *bio, char *data, size_t bytes,
         off_t at)
{
  if (bio->op == BIO_READ)
    return file_pread (f, data, bytes, at);
  return file_pwrite (f, data, bytes, at, bio->flags & BIO_FUA);
}

/* Direct I/O from or to memory that is not aligned for it. */
static int
file_bounce (struct bdev_file *f, const struct bio *bio, size_t bytes,
             off_t at)
{
  void *CLEANUP_FREE buffer = NULL;
  char *data = bio->data;
  size_t n;
  int r;

  if (posix_memalign (&buffer, f->mem_align_bytes,
                      bytes < FILE_BOUNCE_BYTES ? bytes : FILE_BOUNCE_BYTES))
    return -ENOMEM;
  for (; bytes > 0; bytes -= n, data += n, at += n) {
    n = bytes < FILE_BOUNCE_BYTES ? bytes : FILE_BOUNCE_BYTES;
    if (bio->op == BIO_WRITE)
      memcpy (buffer, data, n);
    r = file_rw (f, bio, buffer, n, at);
    if (r < 0)
      return r;
    if (bio->op == BIO_READ)
      memcpy (data, buffer, n);
  }
  return 0;
}

static int
file_transfer (struct bdev_file *f, const struct bio *bio)
{
  size_t bytes = sectors_to_bytes (bio->len);
  off_t at = file_offset (f, bio->sector);

  if ((uintptr_t) bio->data & (f->mem_align_bytes - 1))
    return file_bounce (f, bio, bytes, at);
  return file_rw (f, bio, bio->data, bytes, at);
}

/* ------------------------------------------------------------------
 * Discarding and zeroing.
 */

/* Interpret the result of a call that the device may not know, and remember
 * if it does not.
 */
static int
file_ask (int r, atomic_bool *can)
{
  if (r == 0)
    return 0;
  switch (errno) {
  case EOPNOTSUPP:
  case ENOSYS:
  case ENOTTY:
  case ENODEV:
    *can = false;
    return -EOPNOTSUPP;
  default:
    return file_error (errno);
  }
}

static int
file_fallocate (struct bdev_file *f, const struct bio *bio, int mode,
                atomic_bool *can)
{
  int r;

  if (!*can)
    return -EOPNOTSUPP;
  do
    r = fallocate (f->fd, mode | FALLOC_FL_KEEP_SIZE,
                   file_offset (f, bio->sector), sectors_to_bytes (bio->len));
  while (r == -1 && errno == EINTR);
  return file_ask (r, can);
}

static int
file_discard (struct bdev_file *f, const struct bio *bio)
{
  uint64_t range[2] = { file_offset (f, bio->sector),
                        sectors_to_bytes (bio->len) };

  if (!f->is_block)
    return file_fallocate (f, bio, FALLOC_FL_PUNCH_HOLE, &f->can_punch);
  if (!f->can_discard)
    return -EOPNOTSUPP;
  return file_ask (ioctl (f->fd, BLKDISCARD, range), &f->can_discard);
}

/* Both modes are quick on a file.  On a block device punching never falls back
 * to writing, while the kernel may zero a range that way (Linux 4.9).
 */
static int
file_write_zeroes (struct bdev_file *f, const struct bio *bio)
{
  int r;

  if (!(bio->flags & BIO_NOUNMAP)) {
    r = file_fallocate (f, bio, FALLOC_FL_PUNCH_HOLE, &f->can_punch);
    if (r != -EOPNOTSUPP)
      return r;
  }
  if (f->is_block && (bio->flags & BIO_FAST_ZERO))
    return -EOPNOTSUPP;
  return file_fallocate (f, bio, FALLOC_FL_ZERO_RANGE, &f->can_zero_range);
}

static void
file_forget_data (struct bdev_file *f)
{
  ACQUIRE_LATCH_FOR_SCOPE (&f->data_latch);

  f->data_generation++;
  f->data_end = f->data_start;
}

static int
file_unmap (struct bdev_file *f, const struct bio *bio)
{
  int r = bio->op == BIO_DISCARD ? file_discard (f, bio)
                                 : file_write_zeroes (f, bio);

  file_forget_data (f);
  return r == 0 && (bio->flags & BIO_FUA) ? file_sync (f) : r;
}

int
file_submit (struct block_device *bdev, struct bio *bio)
{
  struct bdev_file *f = file_of (bdev);

  if (bio->op == BIO_FLUSH)
    return f->writable ? file_sync (f) : 0;
  if (!sectors_in_range (bio->sector, bio->len, bdev_size (bdev)))
    return -EIO;
  if (bio_is_write (bio) && bdev->readonly)
    return -EPERM;
  if (bio_has_data (bio))
    return file_transfer (f, bio);
  if (bio->op != BIO_PREFETCH)
    return file_unmap (f, bio);
  posix_fadvise (f->fd, file_offset (f, bio->sector),
                 sectors_to_bytes (bio->len), POSIX_FADV_WILLNEED);
  return 0;
}

/* ------------------------------------------------------------------
 * Extents.
 */

/* SEEK_HOLE walks all of the data on some file systems (tmpfs: every page),
 * however little was asked about, so the run that it finds is kept.  To call
 * data what has meanwhile become a hole is never wrong; what we punch
 * ourselves is forgotten.  Returns the end of the run around at, or -1.
 */
static off_t
file_known_data_end (struct bdev_file *f, off_t at, unsigned *generation)
{
  ACQUIRE_LATCH_FOR_SCOPE (&f->data_latch);

  *generation = f->data_generation;
  return at >= f->data_start && at < f->data_end ? f->data_end : -1;
}

static off_t
file_find_data_end (struct bdev_file *f, off_t at, unsigned generation)
{
  off_t end = lseek (f->fd, at, SEEK_HOLE);

  if (end <= at)
    return -1;
  latch_acquire (&f->data_latch);
  if (generation == f->data_generation) {
    f->data_start = at;
    f->data_end = end;
  }
  latch_release (&f->data_latch);
  return end;
}

/* The end of the hole at `at`; at itself if there is none, or none that can
 * be told.  A hole never reaches beyond the end of a file that has been
 * truncated: reading there fails.
 */
static off_t
file_hole_end (struct bdev_file *f, off_t at)
{
  off_t end = lseek (f->fd, at, SEEK_DATA);

  if (end == -1 && errno == ENXIO)
    end = lseek (f->fd, 0, SEEK_END);
  end -= end % SECTOR_SIZE;
  return end < at ? at : end;
}

/* What is at `at`, and up to where: not beyond end. */
static off_t
file_extent (struct bdev_file *f, off_t at, off_t end, unsigned *flags)
{
  unsigned generation;
  off_t next = file_known_data_end (f, at, &generation);

  *flags = 0;
  if (next < 0) {
    next = file_hole_end (f, at);
    if (next > at)
      *flags = EXTENT_HOLE | EXTENT_ZERO;
    else
      next = file_find_data_end (f, at, generation);
  }
  if (next < 0 || next > end)
    return end;
  return (next + SECTOR_SIZE - 1) & ~(off_t) (SECTOR_SIZE - 1);
}

int
file_extents (struct block_device *bdev, sector_t sector, sector_t len,
              struct extent_sink *sink)
{
  struct bdev_file *f = file_of (bdev);
  off_t at = file_offset (f, sector), end = file_offset (f, sector + len);
  unsigned flags = 0, i;
  off_t next = end;
  int r = 0;

  for (i = 0; r == 0 && at < end && i < FILE_MAX_EXTENTS; i++, at = next) {
    if (!f->is_block)
      next = file_extent (f, at, end, &flags);
    r = sink->add (sink, bytes_to_sectors (next - at), flags);
  }
  return r < 0 ? r : 0;
}
