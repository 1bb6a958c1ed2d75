/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: a file that can only be read, as a block device. */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/inspect.h"
#include "common/list.h"

static int
image_read (int fd, char *data, size_t bytes, off_t at)
{
  ssize_t n;

  while (bytes > 0) {
    n = pread (fd, data, bytes, at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return n < 0 ? -errno : -EIO;
    data += n;
    at += n;
    bytes -= n;
  }
  return 0;
}

static int
image_submit (struct block_device *bdev, struct bio *bio)
{
  struct inspect_image *image =
    container_of (bdev, struct inspect_image, bdev);

  if (bio->op != BIO_READ)
    return -EPERM;
  if (!sectors_in_range (bio->sector, bio->len, bdev_size (bdev)))
    return -EIO;
  return image_read (image->fd, bio->data, sectors_to_bytes (bio->len),
                     sectors_to_bytes (bio->sector));
}

static void
image_limits (struct block_device *bdev, struct queue_limits *limits)
{
  *limits = QUEUE_LIMITS_DEFAULT;
}

static void
image_close (struct block_device *bdev)
{
  /* inspect_image_close does. */
}

static const struct block_device_ops image_ops = {
  .submit = image_submit,
  .limits = image_limits,
  .close = image_close,
};

/* Tables are split at white space that no backslash quotes. */
static char *
image_quote (const char *path)
{
  char *quoted = malloc (2 * strlen (path) + 1), *to = quoted;

  if (quoted == NULL)
    return NULL;
  for (; *path; path++) {
    if (isspace ((unsigned char) *path) || *path == '\\')
      *to++ = '\\';
    *to++ = *path;
  }
  *to = '\0';
  return quoted;
}

/* Where the way to it cannot be found the path as given must do. */
static char *
image_table_path (const char *path)
{
  char absolute[PATH_MAX];

  return image_quote (realpath (path, absolute) ? absolute : path);
}

int
inspect_image_open (struct inspect_image *image, const char *path)
{
  off_t bytes;
  int r;

  *image = (struct inspect_image) { .path = path };
  image->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (image->fd < 0)
    return -errno;
  bytes = lseek (image->fd, 0, SEEK_END);
  r = bytes < 0 ? -errno : 0;
  image->table_path = image_table_path (path);
  if (r == 0 && image->table_path == NULL)
    r = -ENOMEM;
  if (r < 0) {
    inspect_image_close (image);
    return r;
  }
  image->bdev.ops = &image_ops;
  image->bdev.name = path;
  image->bdev.readonly = true;
  image->bdev.size = bytes_to_sectors (bytes);
  return 0;
}

void
inspect_image_close (struct inspect_image *image)
{
  close (image->fd);
  free (image->table_path);
}
