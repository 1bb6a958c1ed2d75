/* SPDX-License-Identifier: BSD-3-Clause */
/* Recorded metadata images: unpacking them, and their dumps. */

#include "tests/lib/image.h"

#include <criterion/criterion.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/crc32c.h"

#define BLOCK 4096

static const char *
image_folder (void)
{
  static char folder[PATH_MAX];
  const char *top = getenv ("top_srcdir");
  char up[32] = "./";

  snprintf (folder, sizeof folder, "%s/tests/fixtures", top ? top : ".");
  while (access (folder, R_OK) < 0 && strlen (up) + 4 < sizeof up) {
    strcat (up, "../");
    snprintf (folder, sizeof folder, "%stests/fixtures", up);
  }
  return folder;
}

bool
image_available (void)
{
  return system ("xz --version >/dev/null 2>&1") == 0;
}

static FILE *
image_unpack (const char *file)
{
  char command[PATH_MAX + 64];
  FILE *fp;

  snprintf (command, sizeof command, "xz -dc '%s/%s.xz'", image_folder (),
            file);
  fp = popen (command, "r");
  cr_assert_not_null (fp);
  return fp;
}

FILE *
image_open_text (const char *file)
{
  char path[128];

  snprintf (path, sizeof path, "thin/%s", file);
  return image_unpack (path);
}

struct memdev *
image_load_path (const char *path)
{
  static const char zeroes[BLOCK];
  char file[128], block[BLOCK];
  struct memdev *m;
  size_t n, size = 0, limit = 256 << 20;
  FILE *fp;

  snprintf (file, sizeof file, "%s.img", path);
  fp = image_unpack (file);
  m = memdev_new (path, bytes_to_sectors (limit));
  /* Zeroes are not copied, so that large images take little memory. */
  while ((n = fread (block, 1, sizeof block, fp)) > 0 && size + n <= limit) {
    if (memcmp (block, zeroes, n) != 0)
      memcpy (m->data + size, block, n);
    size += n;
  }
  cr_assert_eq (pclose (fp), 0, "cannot unpack %s", file);
  cr_assert (size > 0 && size < limit);
  m->bdev.size = bytes_to_sectors (size);
  return m;
}

struct memdev *
image_load (const char *name)
{
  char path[128];

  snprintf (path, sizeof path, "thin/%s", name);
  return image_load_path (path);
}

static int
image_run_on (const char *path, const char *program)
{
  char command[PATH_MAX + 128];
  int status;

  snprintf (command, sizeof command,
            "PATH=$PATH:/usr/sbin:/sbin; command -v %s >/dev/null || exit 99;"
            " %s %s >/dev/null 2>%s.log || { cat %s.log >&2; exit 1; }",
            program, program, path, path, path);
  status = system (command);
  snprintf (command, sizeof command, "%s.log", path);
  unlink (command);
  status = WIFEXITED (status) ? WEXITSTATUS (status) : 1;
  return status == 99 ? -1 : status;
}

int
image_run_tool (const struct memdev *m, const char *program)
{
  char path[] = "/var/tmp/nbdm-test-XXXXXX";
  int fd = mkstemp (path), status;
  size_t bytes = sectors_to_bytes (m->bdev.size);
  ssize_t n;

  cr_assert_geq (fd, 0);
  n = write (fd, m->data, bytes);
  close (fd);
  cr_assert_eq ((size_t) n, bytes);
  status = image_run_on (path, program);
  unlink (path);
  return status;
}

uint32_t
image_block_salt (const char *block)
{
  le32 sum;

  memcpy (&sum, block, sizeof sum);
  return from_le32 (sum) ^ crc32c (~0u, block + 4, BLOCK - 4);
}

void
image_reseal (char *block, uint32_t salt)
{
  le32 sum = to_le32 (salt ^ crc32c (~0u, block + 4, BLOCK - 4));

  memcpy (block, &sum, sizeof sum);
}

/* Comparing. */

void
image_expect_same (const struct memdev *dev, const char *name)
{
  struct memdev *theirs = image_load (name);
  uint64_t b, n = sectors_to_bytes (theirs->bdev.size) / BLOCK;

  cr_assert_eq (theirs->bdev.size, dev->bdev.size);
  for (b = 0; b < n; b++)
    cr_expect_eq (memcmp (theirs->data + b * BLOCK, dev->data + b * BLOCK,
                          BLOCK), 0, "%s: block %lu", name,
                  (unsigned long) b);
  memdev_free (theirs);
}

static uint32_t
image_u32 (const char *p)
{
  return from_le32 (*(const le32 *) p);
}

uint64_t
image_u64 (const char *p)
{
  return from_le64 (*(const le64 *) p);
}

/* The same bytes, but for where the nodes are. */
static void
image_expect_same_tree (const char *ours, uint64_t a, const char *theirs,
                        uint64_t b, unsigned levels)
{
  const char *m = ours + a * BLOCK;
  const char *t = theirs + b * BLOCK;
  uint32_t nr = image_u32 (m + 16), max = image_u32 (m + 20), i;
  bool leaf = image_u32 (m + 4) == 2;
  size_t values = 32 + 8 * max;

  cr_assert_eq (memcmp (m + 4, t + 4, 4), 0);
  cr_assert_eq (memcmp (m + 16, t + 16, 16 + 8 * nr), 0);
  if (leaf && levels == 1) {
    cr_assert_eq (memcmp (m + values, t + values, nr * image_u32 (m + 24)), 0);
    return;
  }
  for (i = 0; i < nr; i++)
    image_expect_same_tree (ours, image_u64 (m + values + 8 * i), theirs,
                            image_u64 (t + values + 8 * i), levels - leaf);
}

void
image_expect_same_trees (const struct memdev *dev, const char *name)
{
  struct memdev *theirs = image_load (name);

  image_expect_same_tree (dev->data, image_u64 (dev->data + 320), theirs->data,
                          image_u64 (theirs->data + 320), 2);
  image_expect_same_tree (dev->data, image_u64 (dev->data + 328), theirs->data,
                          image_u64 (theirs->data + 328), 1);
  memdev_free (theirs);
}
