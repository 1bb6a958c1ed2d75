/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening a regular file or block device, and finding out what it can do. */

#include "server/bdev-file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/fs.h>

#include "common/cleanup.h"
#include "server/bdev-lock.h"

/* ------------------------------------------------------------------
 * Size and limits.
 */

/* Take over the device's present size, unless a window fixes it. */
static void
file_update_size (struct bdev_file *f)
{
  uint64_t start = f->options.offset_bytes, bytes = 0;
  off_t end;

  if (f->options.size_bytes)
    return;
  end = lseek (f->fd, 0, SEEK_END);
  if (end >= 0 && (uint64_t) end > start)
    bytes = end - start;
  f->bdev.size = bytes_to_sectors (bytes - bytes % f->align_bytes);
}

static void
file_limits (struct block_device *bdev, struct queue_limits *limits)
{
  struct bdev_file *f = file_of (bdev);

  file_update_size (f);
  *limits = f->limits;
  limits->discard = f->is_block ? f->can_discard : f->can_punch;
  limits->write_zeroes = f->can_punch || f->can_zero_range;
  limits->fua = f->can_dsync;
  if (!limits->discard)
    limits->discard_granularity_bytes = 0;
}

/* Ask without changing anything.  Beyond the end of a file there is nothing to
 * punch; an unaligned range is refused by a block device that could discard.
 * Zeroing has no such harmless form: that is found out by use.
 */
static void
file_probe_unmap (struct bdev_file *f, const struct stat *st)
{
  uint64_t unaligned[2] = { 1, 1 };

  f->can_dsync = f->can_punch = f->can_zero_range = f->writable;
  if (!f->writable || f->options.check)
    return;
  if (f->is_block)
    f->can_discard = ioctl (f->fd, BLKDISCARD, unaligned) == 0 ||
      errno == EINVAL;
  else
    f->can_punch = fallocate (f->fd, FALLOC_FL_PUNCH_HOLE |
                              FALLOC_FL_KEEP_SIZE,
                              st->st_size, SECTOR_SIZE) == 0;
}

static void
file_ask_unsigned (struct bdev_file *f, unsigned long request, unsigned *value)
{
  unsigned v = 0;

  if (ioctl (f->fd, request, &v) == 0 && v > 0)
    *value = v;
}

static void
file_probe_limits (struct bdev_file *f, const struct stat *st)
{
  struct queue_limits *limits = &f->limits;
  unsigned short rotational = 0;

  *limits = QUEUE_LIMITS_DEFAULT;
  limits->write_cache = true;
  limits->discard_granularity_bytes = st->st_blksize;
  if (f->is_block) {
    file_ask_unsigned (f, BLKSSZGET, &limits->logical_block_bytes);
    file_ask_unsigned (f, BLKPBSZGET, &limits->physical_block_bytes);
    file_ask_unsigned (f, BLKIOMIN, &limits->io_min_bytes);
    file_ask_unsigned (f, BLKIOOPT, &limits->io_opt_bytes);
    if (ioctl (f->fd, BLKROTATIONAL, &rotational) == 0)
      limits->rotational = rotational;
    limits->discard_granularity_bytes = limits->physical_block_bytes;
  }
}

/* The limits of direct I/O are those of what the file lies on.  They are never
 * below what the block size says: a request must be a multiple of both.
 */
static void
file_direct_limits (struct bdev_file *f)
{
  struct queue_limits *limits = &f->limits;

  if (f->align_bytes < limits->logical_block_bytes)
    f->align_bytes = limits->logical_block_bytes;
  limits->logical_block_bytes = f->align_bytes;
  if (limits->physical_block_bytes < f->align_bytes)
    limits->physical_block_bytes = f->align_bytes;
  if (limits->io_min_bytes < f->align_bytes)
    limits->io_min_bytes = f->align_bytes;
}

/* Linux before 6.1 does not tell what direct I/O wants: try. */
static int
file_try_direct (struct bdev_file *f)
{
  static const unsigned sizes[] = { 512, 4096 };
  void *CLEANUP_FREE buffer = NULL;
  size_t i;

  if (posix_memalign (&buffer, 4096, 4096))
    return -ENOMEM;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    if (pread (f->fd, buffer, sizes[i], 0) >= 0) {
      f->align_bytes = sizes[i];
      f->mem_align_bytes = 4096;
      return 0;
    }
  return -errno;
}

static int
file_probe_direct (struct bdev_file *f)
{
#ifdef STATX_DIOALIGN
  struct statx stx;

  if (statx (f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
      (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align > 0) {
    f->align_bytes = stx.stx_dio_offset_align;
    f->mem_align_bytes = stx.stx_dio_mem_align;
    if (f->align_bytes < SECTOR_SIZE)
      f->align_bytes = SECTOR_SIZE;
    if (f->mem_align_bytes < sizeof (void *))
      f->mem_align_bytes = sizeof (void *); /* what posix_memalign wants */
    return 0;
  }
#endif
  return file_try_direct (f);
}

/* ------------------------------------------------------------------
 * Opening and closing.
 */

static void
file_close (struct block_device *bdev)
{
  struct bdev_file *f = file_of (bdev);

  if (f->lock)
    inode_lock_release (f->lock, f->writable);
  if (f->fd >= 0)
    close (f->fd);
  latch_destroy (&f->data_latch);
  free ((char *) f->bdev.name);
  free (f);
}

/* By what they are, not by path: names of one file are many. */
static bool
file_same (struct block_device *bdev, struct block_device *other)
{
  const struct bdev_file *f = file_of (bdev), *g = file_of (other);
  struct stat a, b;

  if (f->is_block != g->is_block ||
      f->options.offset_bytes != g->options.offset_bytes ||
      fstat (f->fd, &a) < 0 || fstat (g->fd, &b) < 0)
    return false;
  return f->is_block ? a.st_rdev == b.st_rdev
                     : a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static const struct block_device_ops file_ops = {
  .submit = file_submit,
  .extents = file_extents,
  .limits = file_limits,
  .same = file_same,
  .close = file_close,
};

static const char *
file_type_name (mode_t mode)
{
  switch (mode & S_IFMT) {
  case S_IFDIR:
    return "a directory";
  case S_IFCHR:
    return "a character device";
  case S_IFIFO:
    return "a pipe";
  case S_IFSOCK:
    return "a socket";
  default:
    return NULL;
  }
}

/* What the kernel's lookup of a table's device finds wrong with a path.  Asked
 * before opening, since to open a pipe or a tape does something.
 */
static int
file_check (const char *path, struct stat *st, struct message *msg)
{
  const char *type;

  if (stat (path, st) == -1) {
    int err = errno;

    return message_set (msg, err == ENOENT || err == ENOTDIR ? ENODEV : err,
                        "%s: %s", path, strerror (err));
  }
  type = file_type_name (st->st_mode);
  if (type)
    return message_set (msg, ENODEV, "%s is %s, not a file or block device",
                        path, type);
  return 0;
}

static int
file_open_fd (struct bdev_file *f, const char *path, struct message *msg)
{
  int flags = O_CLOEXEC | (f->writable ? O_RDWR : O_RDONLY) |
    (f->options.direct ? O_DIRECT : 0);
  int err;

  f->fd = open (path, flags);
  if (f->fd >= 0)
    return 0;
  err = errno;
  if (err == EINVAL && f->options.direct)
    return message_set (msg, err, "%s: its file system has no direct I/O",
                        path);
  return message_set (msg, err == ENXIO ? ENODEV : err, "%s: %s", path,
                      strerror (err));
}

static int
file_set_up (struct bdev_file *f, const char *path, struct message *msg)
{
  uint64_t bytes = 0;
  struct stat st;
  off_t end;
  int r;

  r = file_check (path, &st, msg);
  if (r == 0)
    r = file_open_fd (f, path, msg);
  if (r == 0 && !f->options.check)
    r = inode_lock_acquire (f->fd, path, f->writable, &f->lock, msg);
  if (r < 0)
    return r;
  f->is_block = S_ISBLK (st.st_mode);
  if (f->is_block)
    f->bdev.number = major (st.st_rdev) << 20 | minor (st.st_rdev);
  file_probe_limits (f, &st);
  file_probe_unmap (f, &st);
  if (f->options.direct) {
    r = file_probe_direct (f);
    if (r < 0)
      return message_set (msg, -r, "%s: direct I/O: %s", path, strerror (-r));
    file_direct_limits (f);
  }
  end = lseek (f->fd, 0, SEEK_END);
  r = bdev_window (&f->options, end < 0 ? 0 : end, f->align_bytes, &bytes,
                   msg);
  if (r < 0)
    message_prefix (msg, "%s: ", path);
  f->bdev.size = bytes_to_sectors (bytes);
  return r;
}

int
bdev_file_open (const char *path, const char *name, bool writable,
                const struct bdev_options *options,
                struct block_device **bdev, struct message *msg)
{
  struct bdev_file *f = calloc (1, sizeof *f);
  int r;

  assert (path[0] == '/');
  if (f == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", path);
  f->bdev.ops = &file_ops;
  f->bdev.readonly = !writable || options->readonly;
  f->options = *options;
  f->fd = -1;
  f->writable = !f->bdev.readonly;
  f->align_bytes = SECTOR_SIZE;
  f->mem_align_bytes = 1;
  latch_init (&f->data_latch);
  f->bdev.name = strdup (name);
  if (f->bdev.name == NULL)
    r = message_set (msg, ENOMEM, "%s: out of memory", path);
  else
    r = file_set_up (f, path, msg);
  if (r < 0)
    file_close (&f->bdev);
  else
    *bdev = &f->bdev;
  return r;
}
