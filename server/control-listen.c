/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: where it is, and who may come in. */

#include "server/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "server/loop.h"

/* Clients that connect all at once wait here for the loop. */
#define LISTEN_BACKLOG 128

#define LISTEN_MAX_CONNECTIONS 1024

/* The socket's inode, so that at the end another's is left alone. */
static struct {
  dev_t dev;
  ino_t ino;
} listen_bound;

static int
listen_address (const char *path, struct sockaddr_un *address,
                struct message *msg)
{
  size_t max = sizeof address->sun_path - 1;

  if (path[0] != '/')
    return message_set (msg, EINVAL, "control socket %s: not absolute", path);
  if (strlen (path) > max)
    return message_set (msg, ENAMETOOLONG, "control socket %s: the path has "
                        "%zu bytes, a socket's may have %zu", path,
                        strlen (path), max);
  memset (address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  strcpy (address->sun_path, path);
  return 0;
}

/* How long the path is of the first folder that was made, 0 for none. */
static size_t listen_made;

/* Make the folders above path that are missing, and open the last one. */
static int
listen_folder (const char *path, int *fd, struct message *msg)
{
  char *CLEANUP_FREE folder = strdup (path);
  char *slash;

  listen_made = 0;
  if (folder == NULL)
    return -ENOMEM;
  for (slash = strchr (folder + 1, '/'); slash; slash = strchr (slash, '/')) {
    *slash = '\0';
    if (mkdir (folder, 0700) == 0)
      listen_made = listen_made ? listen_made : (size_t) (slash - folder);
    else if (errno != EEXIST)
      return message_set (msg, errno, "cannot make folder %s: %s", folder,
                          strerror (errno));
    *slash++ = '/';
  }
  *strrchr (folder, '/') = '\0';
  *fd = open (folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (*fd < 0)
    return message_set (msg, errno, "%s: %s", folder, strerror (errno));
  return 0;
}

/* Make way: nothing, or a socket nobody listens on. */
static int
listen_replace (const struct sockaddr_un *address, struct message *msg)
{
  const char *path = address->sun_path;
  int fd CLEANUP_CLOSE = -1;
  struct stat st;

  if (lstat (path, &st) < 0)
    return errno == ENOENT ? 0 : message_set (msg, errno, "%s: %s", path,
                                              strerror (errno));
  if (!S_ISSOCK (st.st_mode))
    return message_set (msg, EEXIST, "%s exists and is not a socket", path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  if (connect (fd, (const struct sockaddr *) address, sizeof *address) == 0 ||
      errno == EAGAIN)
    return message_set (msg, EADDRINUSE, "%s: another server listens there",
                        path);
  if (errno != ECONNREFUSED)
    return message_set (msg, errno, "%s: %s", path, strerror (errno));
  if (unlink (path) < 0 && errno != ENOENT)
    return message_set (msg, errno, "cannot remove stale socket %s: %s", path,
                        strerror (errno));
  return 0;
}

/* The mode of the socket becomes that of the path, so nobody else ever gets a
 * chance, and no other thread's files have to live with our umask.
 */
static int
listen_bind (int fd, const struct sockaddr_un *address, struct message *msg)
{
  struct stat st;

  if (fchmod (fd, 0600) < 0 ||
      bind (fd, (const struct sockaddr *) address, sizeof *address) < 0 ||
      lstat (address->sun_path, &st) < 0 ||
      listen (fd, LISTEN_BACKLOG) < 0)
    return message_set (msg, errno, "control socket %s: %s",
                        address->sun_path, strerror (errno));
  listen_bound.dev = st.st_dev;
  listen_bound.ino = st.st_ino;
  return 0;
}

int
control_listen (const char *path, int *out, struct message *msg)
{
  int folder CLEANUP_CLOSE = -1, fd CLEANUP_CLOSE = -1;
  struct sockaddr_un address;
  int r;

  r = listen_address (path, &address, msg);
  if (r < 0)
    return r;
  r = listen_folder (path, &folder, msg);
  if (r < 0)
    return r;
  /* Two servers that start together must not remove each other's socket. */
  if (flock (folder, LOCK_EX) < 0)
    return message_set (msg, errno, "%s: cannot lock its folder: %s", path,
                        strerror (errno));
  r = listen_replace (&address, msg);
  if (r < 0)
    return r;
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return message_set (msg, errno, "socket: %s", strerror (errno));
  r = listen_bind (fd, &address, msg);
  if (r < 0)
    return r;
  *out = fd;
  fd = -1;
  return 0;
}

static int
listen_share_one (const char *path, mode_t mode, gid_t group,
                  struct message *msg)
{
  if (lchown (path, -1, group) == 0 && chmod (path, mode) == 0)
    return 0;
  return message_set (msg, errno, "cannot give %s to group %lu: %s", path,
                      (unsigned long) group, strerror (errno));
}

int
control_share (const char *path, gid_t group, struct message *msg)
{
  char *CLEANUP_FREE folder = strdup (path);
  char *slash;
  int r;

  if (folder == NULL)
    return -ENOMEM;
  r = listen_share_one (path, 0660, group, msg);
  while (r == 0 && listen_made > 0 &&
         (slash = strrchr (folder, '/')) >= folder + listen_made) {
    *slash = '\0';
    r = listen_share_one (folder, 0710, group, msg);
  }
  return r;
}

void
control_unlink (const char *path)
{
  struct stat st;

  if (lstat (path, &st) == 0 && st.st_dev == listen_bound.dev &&
      st.st_ino == listen_bound.ino)
    unlink (path);
}

unsigned
control_max_connections (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur / 2 < LISTEN_MAX_CONNECTIONS)
    return limit.rlim_cur / 2 > 0 ? limit.rlim_cur / 2 : 1;
  return LISTEN_MAX_CONNECTIONS;
}
