/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests: from nbdkit's callbacks to bios, and errno back. */

#include "server/plugin.h"

#include <errno.h>
#include <stdbool.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

/* Of one answer; the client asks again for the rest. */
#define EXTENTS_MAX 4096

/* What one write of the emulated zeroing covers. */
#define ZEROES_BYTES (1u << 20)

/* The errors that nbdkit hands on to the client; it turns others into EINVAL,
 * where a disk would say EIO.  Never ENOTSUP: from a write or a zeroing that
 * is not a fast one it aborts nbdkit 1.32.
 */
static int
io_nbd_errno (int err)
{
  switch (err) {
  case ENOMEM:
  case EINVAL:
  case ESHUTDOWN:
    return err;
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    return ENOSPC;
  case EPERM:
  case EACCES:
  case EROFS:
    return EPERM;
  default:
    return EIO;
  }
}

/* The server ends.  A client that loses its connection can come back and send
 * again what has not been answered; one that is told of an error cannot.
 */
static void
io_disconnect (void)
{
#if HAVE_DECL_NBDKIT_DISCONNECT
  nbdkit_disconnect (true);
#endif
}

/* r: 0 or -errno.  What the callback returns to nbdkit. */
static inline int
io_result (int r)
{
  if (r == 0)
    return 0;
  if (r == -ESHUTDOWN)
    io_disconnect ();
  nbdkit_set_error (io_nbd_errno (-r));
  return -1;
}

static inline int
io_submit (void *handle, enum bio_op op, unsigned flags, const void *data,
           uint32_t count, uint64_t offset)
{
  struct handle *h = handle;
  struct bio bio = { .op = op, .flags = flags, .bdev = h->bdev,
                     .sector = bytes_to_sectors (offset),
                     .len = bytes_to_sectors (count), .data = (char *) data,
                     .lane = h->lane };

  if ((offset | count) % SECTOR_SIZE != 0)
    return -EINVAL;
  return bdev_submit (h->bdev, &bio);
}

static unsigned
io_fua (uint32_t flags)
{
  return flags & NBDKIT_FLAG_FUA ? BIO_FUA : 0;
}

static int
io_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
          uint32_t flags)
{
  return io_result (io_submit (handle, BIO_READ, 0, buf, count, offset));
}

static int
io_pwrite (void *handle, const void *buf, uint32_t count, uint64_t offset,
           uint32_t flags)
{
  return io_result (io_submit (handle, BIO_WRITE, io_fua (flags), buf, count,
                               offset));
}

static int
io_flush (void *handle, uint32_t flags)
{
  return io_result (io_submit (handle, BIO_FLUSH, 0, NULL, 0, 0));
}

/* Trimming and caching are advice: a table that cannot has followed it. */
static int
io_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  int r = io_submit (handle, BIO_DISCARD, io_fua (flags), NULL, count, offset);

  return io_result (r == -EOPNOTSUPP ? 0 : r);
}

static int
io_cache (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  int r = io_submit (handle, BIO_PREFETCH, 0, NULL, count, offset);

  return io_result (r == -EOPNOTSUPP ? 0 : r);
}

static int
io_write_zeroes (void *handle, uint32_t count, uint64_t offset,
                 unsigned bio_flags)
{
  static const char zeroes[ZEROES_BYTES];
  uint32_t n;
  int r;

  for (; count > 0; count -= n, offset += n) {
    n = count < ZEROES_BYTES ? count : ZEROES_BYTES;
    r = io_submit (handle, BIO_WRITE, bio_flags, zeroes, n, offset);
    if (r < 0)
      return r;
  }
  return 0;
}

/* nbdkit's own fall-back is never used: 1.32 zeroes the wrong place beyond
 * 64M.
 */
static int
io_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  unsigned fua = io_fua (flags), bio_flags = fua;
  int r;

  if (!(flags & NBDKIT_FLAG_MAY_TRIM))
    bio_flags |= BIO_NOUNMAP;
  if (flags & NBDKIT_FLAG_FAST_ZERO)
    bio_flags |= BIO_FAST_ZERO;
  r = io_submit (handle, BIO_WRITE_ZEROES, bio_flags, NULL, count, offset);
  if (r == -EOPNOTSUPP && (flags & NBDKIT_FLAG_FAST_ZERO)) {
    nbdkit_set_error (ENOTSUP);
    return -1;
  }
  if (r == -EOPNOTSUPP)
    r = io_write_zeroes (handle, count, offset, fua);
  return io_result (r);
}

/* ------------------------------------------------------------------
 * Extents.
 */

_Static_assert (EXTENT_HOLE == NBDKIT_EXTENT_HOLE &&
                EXTENT_ZERO == NBDKIT_EXTENT_ZERO, "extent flags are NBD's");

struct extents_reply {
  struct extent_sink sink;
  struct nbdkit_extents *extents;
  uint64_t pos, end; /* bytes of the device */
  unsigned left;     /* how many more extents */
};

/* Clipped to the request: an extent of 4 GiB aborts nbdkit 1.32. */
static int
io_add_extent (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct extents_reply *reply = (struct extents_reply *) sink;
  uint64_t length = reply->end - reply->pos;

  if (len < bytes_to_sectors (length))
    length = sectors_to_bytes (len);
  if (nbdkit_add_extent (reply->extents, reply->pos, length, flags) == -1)
    return -errno;
  reply->pos += length;
  reply->left--;
  return reply->pos == reply->end || reply->left == 0;
}

static int
io_extents (void *handle, uint32_t count, uint64_t offset, uint32_t flags,
            struct nbdkit_extents *extents)
{
  struct handle *h = handle;
  struct extents_reply reply = {
    .sink.add = io_add_extent, .extents = extents,
    .pos = offset, .end = offset + count,
    .left = flags & NBDKIT_FLAG_REQ_ONE ? 1 : EXTENTS_MAX,
  };
  int r;

  if ((offset | count) % SECTOR_SIZE != 0)
    return io_result (-EINVAL);
  r = bdev_extents (h->bdev, bytes_to_sectors (offset),
                    bytes_to_sectors (count), &reply.sink);
  if (r == 0 && reply.pos == offset)
    r = -EIO; /* beyond the end of a device that has shrunk */
  return io_result (r);
}

void
io_register (struct nbdkit_plugin *plugin)
{
  plugin->pread = io_pread;
  plugin->pwrite = io_pwrite;
  plugin->flush = io_flush;
  plugin->trim = io_trim;
  plugin->zero = io_zero;
  plugin->cache = io_cache;
  plugin->extents = io_extents;
}
