/* SPDX-License-Identifier: BSD-3-Clause */
/* One advisory lock per open inode, shared by all devices of the process. */

#include "server/bdev-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/list.h"
#include "common/lock.h"
#include "common/tree.h"

struct inode_lock {
  struct tree_node node;
  dev_t dev;
  ino_t ino;
  int fd;             /* a duplicate: the description that has the lock */
  bool fd_writable;   /* good for an exclusive lock */
  int claim_fd;       /* of a block device that is written to, or -1 */
  unsigned users, writers;
};

static int
inode_compare (const void *key, const struct tree_node *node)
{
  const struct inode_lock *a = key;
  const struct inode_lock *b = container_of (node, struct inode_lock, node);

  if (a->dev != b->dev)
    return a->dev < b->dev ? -1 : 1;
  return (a->ino > b->ino) - (a->ino < b->ino);
}

/* Every inode that a device of this process has open.  A gate, since fcntl
 * and open may block.
 */
static struct tree inodes = TREE_INIT (inode_compare);
static struct gate inodes_gate = { PTHREAD_MUTEX_INITIALIZER, GATE_DEVICE };

static int
inode_fcntl (int fd, short type)
{
  struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

  return fcntl (fd, F_OFD_SETLK, &fl) == -1 ? -errno : 0;
}

/* The lock could not be had: say why.  Only holders of POSIX locks have a
 * process number.
 */
static int
inode_lock_failed (int fd, const char *path, short type, int err,
                   struct message *msg)
{
  struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

  if (err != EAGAIN && err != EACCES)
    return message_set (msg, err, "cannot lock %s: %s", path, strerror (err));
  if (fcntl (fd, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK &&
      fl.l_pid > 0)
    return message_set (msg, EBUSY, "%s is locked by process %ld", path,
                        (long) fl.l_pid);
  return message_set (msg, EBUSY, "%s is locked by another process", path);
}

static int
inode_set_lock (struct inode_lock *lock, const char *path, short type,
                struct message *msg)
{
  int r = inode_fcntl (lock->fd, type);

  return r < 0 ? inode_lock_failed (lock->fd, path, type, -r, msg) : 0;
}

/* Hold the lock, shared, through the description behind fd from now on.  The
 * new one locks before the old one unlocks, so that there is no gap.
 */
static int
inode_adopt (struct inode_lock *lock, int fd, bool writable, const char *path,
             struct message *msg)
{
  int old = lock->fd, r;

  lock->fd = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  if (lock->fd == -1)
    r = message_set (msg, errno, "%s: %s", path, strerror (errno));
  else
    r = inode_set_lock (lock, path, F_RDLCK, msg);
  if (r < 0) {
    if (lock->fd >= 0)
      close (lock->fd);
    lock->fd = old;
    return r;
  }
  if (old >= 0) {
    inode_fcntl (old, F_UNLCK);
    close (old);
  }
  lock->fd_writable = writable;
  return 0;
}

/* Claim a block device for as long as it has writers. */
static int
inode_claim (struct inode_lock *lock, const char *path, struct message *msg)
{
  struct stat st;

  if (fstat (lock->fd, &st) == -1 || !S_ISBLK (st.st_mode))
    return 0;
  lock->claim_fd = open (path, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (lock->claim_fd == -1)
    return message_set (msg, errno, "cannot claim %s: %s", path,
                        errno == EBUSY ? "it is mounted or otherwise in use"
                                       : strerror (errno));
  return 0;
}

static int
inode_first_writer (struct inode_lock *lock, const char *path,
                    struct message *msg)
{
  int r = inode_claim (lock, path, msg);

  if (r == 0)
    r = inode_set_lock (lock, path, F_WRLCK, msg);
  return r;
}

static void
inode_last_writer (struct inode_lock *lock)
{
  if (lock->claim_fd >= 0)
    close (lock->claim_fd);
  lock->claim_fd = -1;
  inode_fcntl (lock->fd, F_RDLCK);
}

static int
inode_enter (struct inode_lock *lock, int fd, const char *path, bool writer,
             struct message *msg)
{
  int r = 0;

  if (lock->fd < 0 || (writer && !lock->fd_writable))
    r = inode_adopt (lock, fd, writer, path, msg);
  if (r == 0 && writer && lock->writers == 0) {
    r = inode_first_writer (lock, path, msg);
    if (r < 0)
      inode_last_writer (lock);
  }
  if (r < 0)
    return r;
  lock->users++;
  lock->writers += writer;
  return 0;
}

static struct inode_lock *
inode_get (const struct stat *st)
{
  const struct inode_lock key = { .dev = st->st_dev, .ino = st->st_ino };
  struct tree_node *node = tree_find (&inodes, &key);
  struct inode_lock *lock;

  if (node)
    return container_of (node, struct inode_lock, node);
  lock = calloc (1, sizeof *lock);
  if (lock == NULL)
    return NULL;
  lock->dev = st->st_dev;
  lock->ino = st->st_ino;
  lock->fd = lock->claim_fd = -1;
  tree_add (&inodes, lock, &lock->node);
  return lock;
}

static void
inode_put_unused (struct inode_lock *lock)
{
  if (lock->users > 0)
    return;
  /* Not left to close: a parent process that forked us (nbdkit --run) has the
   * same description open.
   */
  if (lock->fd >= 0) {
    inode_fcntl (lock->fd, F_UNLCK);
    close (lock->fd);
  }
  tree_del (&inodes, lock);
  free (lock);
}

int
inode_lock_acquire (int fd, const char *path, bool writer,
                    struct inode_lock **out, struct message *msg)
{
  ACQUIRE_GATE_FOR_SCOPE (&inodes_gate);
  struct inode_lock *lock;
  struct stat st;
  int r;

  if (fstat (fd, &st) == -1)
    return message_set (msg, errno, "%s: %s", path, strerror (errno));
  lock = inode_get (&st);
  if (lock == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", path);
  r = inode_enter (lock, fd, path, writer, msg);
  if (r < 0)
    inode_put_unused (lock);
  else
    *out = lock;
  return r;
}

void
inode_lock_release (struct inode_lock *lock, bool writer)
{
  ACQUIRE_GATE_FOR_SCOPE (&inodes_gate);

  lock->users--;
  lock->writers -= writer;
  if (writer && lock->writers == 0)
    inode_last_writer (lock);
  inode_put_unused (lock);
}
