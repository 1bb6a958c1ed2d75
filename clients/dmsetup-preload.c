/* SPDX-License-Identifier: BSD-3-Clause */
/* LD_PRELOAD library: libdevmapper's view of the system, with a server in it */

/* The plain functions and those for large files are both defined here, so none
 * may be the other under a new name, nor an inline one.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include "clients/preload.h"

#define WRAPPER __attribute__ ((visibility ("default")))

/* What only fortified programs call; no header declares them. */
int __open_2 (const char *path, int flags);
int __open64_2 (const char *path, int flags);

/* ------------------------------------------------------------------
 * Opening.
 */

static bool
place_is_file (const struct place *place)
{
  return place->kind == PLACE_CONTROL || place->kind == PLACE_NODE ||
    place->kind == PLACE_DRIVERS || place->kind == PLACE_SYSFS_NAME;
}

/* The mode, which is an argument only of those calls that may make a file. */
#define OPEN_MODE(flags) \
  ({ \
    mode_t mode_ = 0; \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
      va_list args_; \
      va_start (args_, flags); \
      mode_ = va_arg (args_, mode_t); \
      va_end (args_); \
    } \
    mode_; \
  })

WRAPPER int
open (const char *path, int flags, ...)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (open) (path, flags, OPEN_MODE (flags));
}

WRAPPER int
open64 (const char *path, int flags, ...)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (open64) (path, flags, OPEN_MODE (flags));
}

WRAPPER int
__open_2 (const char *path, int flags)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (__open_2) (path, flags);
}

WRAPPER int
__open64_2 (const char *path, int flags)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (__open64_2) (path, flags);
}

WRAPPER int
openat (int dir, const char *path, int flags, ...)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (openat) (dir, path, flags, OPEN_MODE (flags));
}

WRAPPER int
openat64 (int dir, const char *path, int flags, ...)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? place_open (&place, flags) :
    NEXT (openat64) (dir, path, flags, OPEN_MODE (flags));
}

static FILE *
stream_open (const struct place *place)
{
  int fd = place_open (place, 0);
  FILE *fp = fd < 0 ? NULL : fdopen (fd, "r");

  if (fp == NULL && fd >= 0)
    close (fd);
  return fp;
}

WRAPPER FILE *
fopen (const char *path, const char *mode)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? stream_open (&place) :
    NEXT (fopen) (path, mode);
}

WRAPPER FILE *
fopen64 (const char *path, const char *mode)
{
  struct place place = place_of_path (path);

  return place_is_file (&place) ? stream_open (&place) :
    NEXT (fopen64) (path, mode);
}

/* An empty folder: who looks through it wants to find a node that has lost its
 * device, or a device whose node has another name, and there are none.
 */
static DIR *
folder_open (void)
{
  char path[] = "/tmp/nbdm-dmsetup.XXXXXX";
  DIR *folder;

  if (mkdtemp (path) == NULL)
    return NULL;
  folder = NEXT (opendir) (path);
  rmdir (path);
  return folder;
}

WRAPPER DIR *
opendir (const char *path)
{
  struct place place = place_of_path (path);

  return place.kind == PLACE_FOLDER ? folder_open () : NEXT (opendir) (path);
}

/* ------------------------------------------------------------------
 * Looking.
 */

static bool
place_has_inode (const struct place *place)
{
  return place->kind == PLACE_CONTROL || place->kind == PLACE_NODE;
}

/* st is one of the two structures that only their names tell apart. */
#define STAT(place, st) \
  ({ \
    struct inode inode_; \
    int result_ = place_stat (place, &inode_); \
    if (result_ == 0) \
      *(st) = (__typeof__ (*(st))) { \
        .st_mode = inode_.mode, .st_rdev = inode_.number, .st_nlink = 1, \
        .st_uid = geteuid (), .st_gid = getegid (), .st_blksize = 4096, \
      }; \
    result_; \
  })

WRAPPER int
stat (const char *path, struct stat *st)
{
  struct place place = place_of_path (path);

  return place_has_inode (&place) ? STAT (&place, st) :
    NEXT (stat) (path, st);
}

WRAPPER int
stat64 (const char *path, struct stat64 *st)
{
  struct place place = place_of_path (path);

  return place_has_inode (&place) ? STAT (&place, st) :
    NEXT (stat64) (path, st);
}

WRAPPER int
lstat (const char *path, struct stat *st)
{
  struct place place = place_of_path (path);

  return place_has_inode (&place) ? STAT (&place, st) :
    NEXT (lstat) (path, st);
}

WRAPPER int
lstat64 (const char *path, struct stat64 *st)
{
  struct place place = place_of_path (path);

  return place_has_inode (&place) ? STAT (&place, st) :
    NEXT (lstat64) (path, st);
}

WRAPPER ssize_t
readlink (const char *path, char *target, size_t size)
{
  struct place place = place_of_path (path);

  return place.kind == PLACE_SYSFS ? place_readlink (&place, target, size) :
    NEXT (readlink) (path, target, size);
}

/* ------------------------------------------------------------------
 * Nodes are where their devices are: libdevmapper need not make them, and must
 * not touch those of the kernel.
 */

static bool
place_is_inside (const char *path)
{
  struct place place = place_of_path (path);

  return place_has_inode (&place);
}

WRAPPER int
mknod (const char *path, mode_t mode, dev_t number)
{
  return place_is_inside (path) ? 0 : NEXT (mknod) (path, mode, number);
}

WRAPPER int
chown (const char *path, uid_t uid, gid_t gid)
{
  return place_is_inside (path) ? 0 : NEXT (chown) (path, uid, gid);
}

WRAPPER int
unlink (const char *path)
{
  return place_is_inside (path) ? 0 : NEXT (unlink) (path);
}

WRAPPER int
rename (const char *from, const char *to)
{
  return place_is_inside (from) && place_is_inside (to) ? 0 :
    NEXT (rename) (from, to);
}

/* ------------------------------------------------------------------ */

/* Only requests for the two kinds of files that we make up are worth a look at
 * the descriptor.
 */
WRAPPER int
ioctl (int fd, unsigned long request, ...)
{
  struct place place = { PLACE_ELSEWHERE };
  va_list args;
  void *arg;

  va_start (args, request);
  arg = va_arg (args, void *);
  va_end (args);
  if (_IOC_TYPE (request) == DM_IOCTL ||
      _IOC_TYPE (request) == _IOC_TYPE (BLKGETSIZE64))
    place = place_of_fd (fd);
  if (place.kind == PLACE_CONTROL)
    return preload_control_ioctl (fd, request, arg);
  if (place.kind == PLACE_NODE)
    return preload_node_ioctl (place.minor, request, arg);
  return NEXT (ioctl) (fd, request, arg);
}
