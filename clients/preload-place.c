/* SPDX-License-Identifier: BSD-3-Clause */
/* Which paths are ours, and the files behind them. */

#include "clients/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/protocol.h"

/* The number of the kernel's control node, which libdevmapper checks. */
#define CONTROL_NUMBER makedev (10, 236)

/* Names of the files behind control and nodes, as /proc shows them. */
#define LABEL_CONTROL "nbdm-control"
#define LABEL_NODE "nbdm-node:%u"
#define LABEL_SHOWN "/memfd:"

/* ------------------------------------------------------------------
 * Paths.
 */

/* What of path comes after prefix, or NULL. */
static const char *
path_after (const char *path, const char *prefix)
{
  size_t n = strlen (prefix);

  return path && strncmp (path, prefix, n) == 0 ? path + n : NULL;
}

/* What of path comes after DIR/mapper: libdevmapper, too, adds a slash only
 * where there is none.
 */
static const char *
path_after_mapper (const char *path)
{
  const char *dir = getenv ("DM_DEV_DIR");
  const char *rest = path_after (path, dir && dir[0] ? dir : "/dev");

  if (rest && rest > path && rest[-1] == '/')
    rest--;
  return path_after (rest, "/mapper");
}

static struct place
place_in_mapper (const char *rest)
{
  struct place place = { PLACE_ELSEWHERE };

  if (rest[0] == '\0')
    place.kind = PLACE_FOLDER;
  else if (strcmp (rest, "/control") == 0)
    place.kind = PLACE_CONTROL;
  else if (rest[0] == '/' && rest[1] && strchr (rest + 1, '/') == NULL &&
           strcmp (rest, "/.") != 0 && strcmp (rest, "/..") != 0 &&
           strlen (rest + 1) < DM_NAME_LEN) {
    place.kind = PLACE_NODE;
    place.name = rest + 1;
  }
  return place;
}

static struct place
place_in_sysfs (const char *rest)
{
  struct place place = { PLACE_ELSEWHERE };
  unsigned major, minor;
  int end = 0;

  if (sscanf (rest, "%u:%u%n", &major, &minor, &end) < 2 ||
      major != DM_BLOCK_MAJOR)
    return place;
  place.minor = minor;
  if (rest[end] == '\0')
    place.kind = PLACE_SYSFS;
  else if (strcmp (rest + end, "/dm/name") == 0)
    place.kind = PLACE_SYSFS_NAME;
  return place;
}

struct place
place_of_path (const char *path)
{
  const char *rest = path_after_mapper (path);

  if (rest)
    return place_in_mapper (rest);
  rest = path_after (path, "/sys/dev/block/");
  if (rest)
    return place_in_sysfs (rest);
  rest = path_after (path, "/proc/devices");
  return (struct place) {
    rest && rest[0] == '\0' ? PLACE_DRIVERS : PLACE_ELSEWHERE
  };
}

/* ------------------------------------------------------------------
 * Descriptors.
 */

static bool
socket_is_control (int fd)
{
  static const char label[] = PRELOAD_POLL_LABEL;
  struct sockaddr_un address;
  socklen_t size = sizeof address;

  return getsockname (fd, (struct sockaddr *) &address, &size) == 0 &&
    size >= offsetof (struct sockaddr_un, sun_path) + sizeof label &&
    address.sun_family == AF_UNIX && address.sun_path[0] == '\0' &&
    memcmp (address.sun_path + 1, label, sizeof label - 1) == 0;
}

struct place
place_of_fd (int fd)
{
  struct place place = { PLACE_ELSEWHERE };
  char path[32], target[64] = "";
  const char *label;
  int saved = errno;

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if (NEXT (readlink) (path, target, sizeof target - 1) < 0)
    errno = saved;
  if (path_after (target, "socket:") && socket_is_control (fd))
    place.kind = PLACE_CONTROL;
  label = path_after (target, LABEL_SHOWN);
  if (path_after (label, LABEL_CONTROL))
    place.kind = PLACE_CONTROL;
  else if (label && sscanf (label, LABEL_NODE, &place.minor) == 1)
    place.kind = PLACE_NODE;
  return place;
}

/* By O_PATH what is written to a node is not taken for written. */
static int
label_open (const char *label, int flags)
{
  int fd CLEANUP_CLOSE = memfd_create (label, MFD_CLOEXEC);
  char path[32];

  if (fd < 0)
    return -1;
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return NEXT (open) (path, O_PATH | (flags & O_CLOEXEC));
}

static int
node_open (const struct place *place, int flags)
{
  struct dm_ioctl status;
  char label[32];

  if (preload_status (place, &status) < 0)
    return -1;
  snprintf (label, sizeof label, LABEL_NODE, minor (status.dev));
  return label_open (label, flags);
}

/* ------------------------------------------------------------------
 * Texts.
 */

/* The kernel's list, with our major as the only one of the device-mapper: a
 * kernel's own devices are not within reach.
 */
static int
drivers_print (FILE *out)
{
  FILE *in CLEANUP_FCLOSE = NEXT (fopen) ("/proc/devices", "re");
  char *CLEANUP_FREE line = NULL;
  size_t size = 0;

  if (in == NULL)
    return -1;
  while (getline (&line, &size, in) >= 0)
    if (strstr (line, " device-mapper\n") == NULL)
      fputs (line, out);
  fprintf (out, "%d device-mapper\n", DM_BLOCK_MAJOR);
  return 0;
}

/* In sysfs there is no device before its first table is loaded. */
static int
sysfs_status (const struct place *place, struct dm_ioctl *status)
{
  int r = preload_status (place, status);

  if (r == 0 && !(status->flags & (DM_ACTIVE_PRESENT_FLAG |
                                   DM_INACTIVE_PRESENT_FLAG))) {
    errno = ENOENT;
    r = -1;
  }
  return r;
}

static int
name_print (const struct place *place, FILE *out)
{
  struct dm_ioctl status;

  if (sysfs_status (place, &status) < 0)
    return -1;
  fprintf (out, "%s\n", status.name);
  return 0;
}

static int
text_open (const struct place *place, int flags)
{
  int fd = memfd_create ("nbdm-text", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  int copy = fd < 0 ? -1 : fcntl (fd, F_DUPFD_CLOEXEC, 0);
  FILE *out CLEANUP_FCLOSE = copy < 0 ? NULL : fdopen (copy, "w");
  int r = -1;

  if (out)
    r = place->kind == PLACE_DRIVERS ? drivers_print (out)
      : name_print (place, out);
  else if (copy >= 0)
    close (copy);
  if (r == 0 && fflush (out) == 0 && lseek (fd, 0, SEEK_SET) == 0)
    return fd;
  if (fd >= 0)
    close (fd);
  return -1;
}

/* ------------------------------------------------------------------
 * What is done with a place.
 */

int
place_stat (const struct place *place, struct inode *inode)
{
  struct dm_ioctl status;

  *inode = (struct inode) { S_IFCHR | 0600, CONTROL_NUMBER };
  if (place->kind == PLACE_CONTROL)
    return 0;
  if (preload_status (place, &status) < 0)
    return -1;
  *inode = (struct inode) { S_IFBLK | 0600, status.dev };
  return 0;
}

int
place_open (const struct place *place, int flags)
{
  if (place->kind == PLACE_NODE)
    return node_open (place, flags);
  if (place->kind != PLACE_CONTROL)
    return text_open (place, flags);
  return preload_probe () < 0 ? -1 : label_open (LABEL_CONTROL, flags);
}

ssize_t
place_readlink (const struct place *place, char *target, size_t size)
{
  struct dm_ioctl status;
  char path[64];
  size_t n;

  if (sysfs_status (place, &status) < 0)
    return -1;
  n = snprintf (path, sizeof path, "../../devices/virtual/block/dm-%u",
                place->minor);
  if (n > size)
    n = size;
  memcpy (target, path, n);
  return n;
}
