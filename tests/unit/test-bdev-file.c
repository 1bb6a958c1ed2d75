/* SPDX-License-Identifier: BSD-3-Clause */
/* Files and block devices: every op, extents, windows, locks, odd files. */

#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/loop.h>

#include "common/list.h"
#include "server/bdev.h"

#define MIB (1024 * 1024)

/* The file under test has no name, so that nothing is left behind. */
static int fd = -1;
static char path[32];
static struct bdev_options options;
static struct block_device *dev;
static struct message msg;

static void
set_up (void)
{
  fd = open ("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  cr_assert_geq (fd, 0);
  cr_assert_eq (ftruncate (fd, MIB), 0);
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
}

static void
close_device (void)
{
  if (dev)
    dev->ops->close (dev);
  dev = NULL;
}

static void
tear_down (void)
{
  close_device ();
  close (fd);
}

TestSuite (file, .init = set_up, .fini = tear_down, .timeout = 60);

static int
try_open (const char *p, bool writable)
{
  memset (&msg, 0, sizeof msg);
  return bdev_file_open (p, "the name", writable, &options, &dev, &msg);
}

static void
must_open (bool writable)
{
  cr_assert_eq (try_open (path, writable), 0, "%s", msg.text);
}

static int
io (enum bio_op op, unsigned flags, sector_t sector, sector_t len, char *data)
{
  struct bio bio = { .op = op, .flags = flags, .bdev = dev, .sector = sector,
                     .len = len, .data = data };

  return bdev_submit (dev, &bio);
}

static char buffer[MIB];

static char *
pattern (char c, size_t bytes)
{
  return memset (buffer, c, bytes);
}

static bool
holds (sector_t sector, sector_t len, char c)
{
  char *got = malloc (sectors_to_bytes (len) + 1);
  bool same;

  /* At an odd address, as a client's buffer may be. */
  cr_assert_eq (io (BIO_READ, 0, sector, len, got + 1), 0);
  same = memcmp (got + 1, pattern (c, sectors_to_bytes (len)),
                 sectors_to_bytes (len)) == 0;
  free (got);
  return same;
}

/* Extents as text: "D8 Z16" for 8 sectors of data, then 16 of hole. */
struct text_sink {
  struct extent_sink sink;
  char text[200];
};

static int
text_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct text_sink *t = container_of (sink, struct text_sink, sink);
  size_t n = strlen (t->text);

  snprintf (t->text + n, sizeof t->text - n, "%s%c%d", n ? " " : "",
            flags ? 'Z' : 'D', (int) len);
  return 0;
}

static const char *
extents (sector_t sector, sector_t len)
{
  static struct text_sink t;

  t = (struct text_sink) { .sink.add = text_add };
  cr_assert_eq (bdev_extents (dev, sector, len, &t.sink), 0);
  return t.text;
}

static struct queue_limits
limits (void)
{
  struct queue_limits l;

  bdev_limits (dev, &l);
  return l;
}

/* ------------------------------------------------------------------ */

Test (file, what_is_written_is_read)
{
  must_open (true);
  cr_assert_eq (bdev_size (dev), 2048);
  cr_assert_str_eq (dev->name, "the name");
  cr_assert_not (dev->readonly);
  cr_assert_eq (io (BIO_WRITE, 0, 3, 1000, pattern ('x', 512000)), 0);
  cr_assert (holds (0, 3, 0));
  cr_assert (holds (3, 1000, 'x'));
  cr_assert (holds (1003, 1045, 0));
}

Test (file, fua_and_flush_succeed)
{
  must_open (true);
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 8, 8, pattern ('x', 4096)), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_FUA, 16, 8, NULL), 0);
  cr_assert_eq (bdev_flush (dev), 0);
  cr_assert (holds (8, 8, 'x'));
  cr_assert (limits ().write_cache);
}

Test (file, beyond_the_end_is_eio)
{
  must_open (true);
  cr_assert_eq (io (BIO_READ, 0, 2047, 2, buffer), -EIO);
  cr_assert_eq (io (BIO_WRITE, 0, 2048, 1, buffer), -EIO);
  cr_assert_eq (io (BIO_DISCARD, 0, UINT64_MAX, 2, NULL), -EIO);
  cr_assert_eq (lseek (fd, 0, SEEK_END), MIB);
}

Test (file, discard_makes_a_hole)
{
  must_open (true);
  cr_assert (limits ().discard);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 64, pattern ('x', 32768)), 0);
  cr_assert_str_eq (extents (0, 64), "D64");
  cr_assert_eq (io (BIO_DISCARD, 0, 16, 16, NULL), 0);
  cr_assert (holds (16, 16, 0));
  cr_assert (holds (32, 32, 'x'));
  cr_assert_str_eq (extents (0, 64), "D16 Z16 D32");
}

Test (file, zeroes_make_a_hole_unless_told_not_to)
{
  must_open (true);
  cr_assert (limits ().write_zeroes);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 64, pattern ('x', 32768)), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_FAST_ZERO, 0, 16, NULL), 0);
  cr_assert (holds (0, 16, 0));
  cr_assert_str_eq (extents (0, 64), "Z16 D48");
}

Test (file, zeroes_that_keep_the_space_keep_it_or_are_refused)
{
  struct stat before, after;
  int r;

  must_open (true);
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 0, 64, pattern ('x', 32768)), 0);
  fstat (fd, &before);
  r = io (BIO_WRITE_ZEROES, BIO_NOUNMAP | BIO_FUA, 0, 64, NULL);
  fstat (fd, &after);
  cr_assert_eq (before.st_blocks, after.st_blocks);
  if (r == 0)
    cr_assert (holds (0, 64, 0));
  else {
    cr_assert_eq (r, -EOPNOTSUPP);
    cr_assert (holds (0, 64, 'x'));
  }
}

Test (file, extents_are_clipped_and_start_anywhere)
{
  must_open (true);
  cr_assert_eq (io (BIO_WRITE, 0, 64, 64, pattern ('x', 32768)), 0);
  cr_assert_str_eq (extents (0, 2048), "Z64 D64 Z1920");
  cr_assert_str_eq (extents (3, 5), "Z5");
  cr_assert_str_eq (extents (70, 2), "D2");
  cr_assert_str_eq (extents (120, 100), "D8 Z92");
}

Test (file, extents_see_a_hole_punched_after_an_earlier_look)
{
  must_open (true);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 2048, pattern ('x', MIB)), 0);
  cr_assert_str_eq (extents (8, 8), "D8");
  cr_assert_eq (io (BIO_WRITE_ZEROES, 0, 1024, 1024, NULL), 0);
  cr_assert_str_eq (extents (0, 2048), "D1024 Z1024");
}

Test (file, prefetch_is_accepted)
{
  must_open (false);
  cr_assert_eq (io (BIO_PREFETCH, 0, 0, 2048, NULL), 0);
}

Test (file, a_read_only_device_refuses_writes)
{
  options.readonly = true;
  must_open (true);
  cr_assert (dev->readonly);
  cr_assert_eq (io (BIO_WRITE, 0, 0, 1, buffer), -EPERM);
  cr_assert_eq (io (BIO_DISCARD, 0, 0, 1, NULL), -EPERM);
  cr_assert_eq (bdev_flush (dev), 0);
  cr_assert_not (limits ().discard || limits ().write_zeroes);
}

Test (file, a_file_truncated_underneath_is_eio)
{
  must_open (true);
  cr_assert_eq (ftruncate (fd, 4096 + 100), 0);
  cr_assert_eq (io (BIO_READ, 0, 0, 8, buffer), 0);
  cr_assert_eq (io (BIO_READ, 0, 8, 8, buffer), -EIO);
  cr_assert_str_eq (extents (16, 16), "D16");
}

Test (file, an_extended_file_is_larger_at_the_next_look)
{
  must_open (true);
  cr_assert_eq (ftruncate (fd, 2 * MIB + 511), 0);
  limits ();
  cr_assert_eq (bdev_size (dev), 4096);
  cr_assert_eq (io (BIO_READ, 0, 4095, 1, buffer), 0);
}

Test (file, a_full_file_system_is_enospc)
{
  struct rlimit limit = { MIB / 2, MIB / 2 };

  must_open (true);
  signal (SIGXFSZ, SIG_IGN);
  cr_assert_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  cr_assert_eq (io (BIO_WRITE, 0, 1024, 8, buffer), -ENOSPC);
}

/* ------------------------------------------------------------------
 * Windows.
 */

Test (file, a_window_shows_its_part_only)
{
  must_open (true);
  cr_assert_eq (io (BIO_WRITE, 0, 64, 64, pattern ('x', 32768)), 0);
  close_device ();
  options = (struct bdev_options) { .offset_bytes = 32768,
                                    .size_bytes = 65536 };
  must_open (true);
  cr_assert_eq (bdev_size (dev), 128);
  cr_assert (holds (0, 64, 'x'));
  cr_assert_str_eq (extents (0, 128), "D64 Z64");
  cr_assert_eq (io (BIO_READ, 0, 127, 2, buffer), -EIO);
}

Test (file, two_names_of_one_range_are_the_same_device)
{
  struct block_device *first, *other;
  char name[64];

  must_open (true);
  first = dev;
  snprintf (name, sizeof name, "/proc/%d/fd/%d", getpid (), fd);
  cr_assert_eq (try_open (name, false), 0, "%s", msg.text);
  other = dev;
  options.offset_bytes = 4096;
  cr_assert_eq (try_open (name, false), 0, "%s", msg.text);
  cr_expect (bdev_same (first, other));
  cr_expect_not (bdev_same (first, dev));
  other->ops->close (other);
  close_device ();
  options.offset_bytes = 0;
  dev = first;
}

Test (file, another_file_is_not_the_same_device)
{
  struct block_device *first;
  char name[64];
  int file = open ("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  must_open (true);
  first = dev;
  snprintf (name, sizeof name, "/proc/self/fd/%d", file);
  cr_assert_eq (ftruncate (file, MIB), 0);
  cr_assert_eq (try_open (name, true), 0, "%s", msg.text);
  cr_expect_not (bdev_same (first, dev));
  close_device ();
  dev = first;
  close (file);
}

static void
refused_window (uint64_t offset, uint64_t size, const char *text)
{
  options = (struct bdev_options) { .offset_bytes = offset,
                                    .size_bytes = size };
  cr_expect_eq (try_open (path, true), -EINVAL);
  cr_expect (strstr (msg.text, text), "'%s' lacks '%s'", msg.text, text);
}

Test (file, a_window_that_does_not_fit_is_refused)
{
  refused_window (100, 0, "offset 100 is not a multiple of 512");
  refused_window (0, 1000, "size 1000 is not a multiple of 512");
  refused_window (MIB + 512, 0, "offset 1049088 is beyond the end");
  refused_window (512, MIB, "reaches beyond the end of the device (1048576");
  refused_window (512, UINT64_MAX - 511, "reaches beyond the end");
}

/* ------------------------------------------------------------------
 * Direct I/O.
 */

Test (file, direct_io_bounces_unaligned_memory)
{
  options.direct = true;
  if (try_open (path, true) == -EINVAL)
    cr_skip ("no direct I/O here");
  cr_assert_geq (limits ().logical_block_bytes, 512);
  cr_assert_eq (io (BIO_WRITE, 0, 8, 1024, pattern ('x', MIB / 2) + 1), 0);
  buffer[MIB / 2] = 'x';
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 8, 1024, buffer + 1), 0);
  cr_assert (holds (8, 1024, 'x'));
  cr_assert (holds (1032, 1016, 0));
}

/* ------------------------------------------------------------------
 * What cannot be opened.
 */

static void
refused (const char *p, bool writable, int err, const char *text)
{
  cr_expect_eq (try_open (p, writable), err, "%s", p);
  cr_expect (strstr (msg.text, text), "'%s' lacks '%s'", msg.text, text);
}

Test (file, what_is_no_file_or_block_device_is_enodev)
{
  refused ("/nonexistent/file", false, -ENODEV, "No such file");
  refused ("/dev/null/file", false, -ENODEV, "Not a directory");
  refused ("/dev", false, -ENODEV, "is a directory");
  refused ("/dev/null", true, -ENODEV, "is a character device");
}

Test (file, a_pipe_is_refused_without_blocking)
{
  char dir[] = "/tmp/nbdm-XXXXXX", fifo[40];

  cr_assert_not_null (mkdtemp (dir));
  snprintf (fifo, sizeof fifo, "%s/f", dir);
  cr_assert_eq (mkfifo (fifo, 0600), 0);
  refused (fifo, false, -ENODEV, "is a pipe");
  unlink (fifo);
  rmdir (dir);
}

Test (file, a_file_without_permission_is_eacces)
{
  if (geteuid () == 0 && seteuid (65534) == -1)
    cr_skip ("no other user");
  refused ("/etc/passwd", true, -EACCES, "/etc/passwd: Permission denied");
}

/* ------------------------------------------------------------------
 * Locks.
 */

/* Another process that locks the file (whole, or one byte) and lives until
 * release_child.  cmd F_OFD_SETLK or F_SETLK.  Returns whether it could.
 */
static pid_t child;
static int to_child;

static bool
lock_in_child (int cmd, short type)
{
  struct flock fl = { .l_type = type, .l_whence = SEEK_SET };
  int up[2], down[2];
  char ok = 0;

  cr_assert_eq (pipe (up) | pipe (down), 0);
  child = fork ();
  if (child == 0) {
    /* Only this end of the pipe may keep the read below from ending. */
    close (down[1]);
    ok = fcntl (open (path, O_RDWR), cmd, &fl) == 0;
    if (write (up[1], &ok, 1) == 1)
      (void) !read (down[0], &ok, 1);
    _exit (0);
  }
  close (down[0]);
  close (up[1]);
  to_child = down[1];
  cr_assert_eq (read (up[0], &ok, 1), 1);
  close (up[0]);
  return ok;
}

static void
release_child (void)
{
  close (to_child);
  waitpid (child, NULL, 0);
}

static bool
others_can_lock (short type)
{
  bool ok = lock_in_child (F_OFD_SETLK, type);

  release_child ();
  return ok;
}

Test (file, a_foreign_record_lock_is_ebusy_and_names_the_process)
{
  char text[64];

  cr_assert (lock_in_child (F_SETLK, F_WRLCK));
  snprintf (text, sizeof text, "is locked by process %d", (int) child);
  refused (path, false, -EBUSY, text);
  release_child ();
  must_open (false);
}

Test (file, a_foreign_description_lock_is_ebusy)
{
  cr_assert (lock_in_child (F_OFD_SETLK, F_RDLCK));
  refused (path, true, -EBUSY, "is locked by another process");
  must_open (false);
  release_child ();
}

Test (file, a_writer_keeps_everybody_out_until_closed)
{
  must_open (true);
  cr_assert_not (others_can_lock (F_RDLCK));
  close_device ();
  cr_assert (others_can_lock (F_WRLCK));
}

Test (file, devices_of_one_process_share_the_lock)
{
  struct block_device *reader, *writer;

  must_open (false);
  reader = dev;
  cr_assert (others_can_lock (F_RDLCK));
  cr_assert_not (others_can_lock (F_WRLCK));

  must_open (true);
  writer = dev;
  cr_assert_not (others_can_lock (F_RDLCK));

  writer->ops->close (writer);
  cr_assert (others_can_lock (F_RDLCK));
  cr_assert_not (others_can_lock (F_WRLCK));

  must_open (true);
  reader->ops->close (reader);
  cr_assert_not (others_can_lock (F_RDLCK));
  close_device ();
  cr_assert (others_can_lock (F_WRLCK));
}

Test (file, a_failed_upgrade_leaves_the_reader_its_lock)
{
  struct block_device *reader;

  must_open (false);
  reader = dev;
  cr_assert (lock_in_child (F_OFD_SETLK, F_RDLCK));
  refused (path, true, -EBUSY, "is locked by another process");
  release_child ();
  cr_assert_not (others_can_lock (F_WRLCK));
  dev = reader;
}

Test (file, the_lock_outlives_a_fork)
{
  must_open (true);
  child = fork ();
  if (child == 0)
    _exit (0);
  waitpid (child, NULL, 0);
  cr_assert_not (others_can_lock (F_RDLCK));
}

/* ------------------------------------------------------------------
 * Block devices: a loop device over the file, if we may make one.  It
 * disappears when its last user closes it.
 */
static int
make_loop (void)
{
  struct loop_config config = { .fd = fd, .block_size = 4096,
                                .info.lo_flags = LO_FLAGS_AUTOCLEAR };
  int control = open ("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;
  int nr = control >= 0 ? ioctl (control, LOOP_CTL_GET_FREE) : -1;

  close (control);
  if (nr >= 0) {
    snprintf (path, sizeof path, "/dev/loop%d", nr);
    loop = open (path, O_RDWR | O_CLOEXEC);
  }
  if (loop == -1 || ioctl (loop, LOOP_CONFIGURE, &config) == -1)
    cr_skip ("no loop devices");
  return loop;
}

Test (file, a_block_device_tells_its_limits_and_unmaps)
{
  int loop = make_loop ();
  struct stat st;

  must_open (true);
  fstat (loop, &st);
  cr_assert_eq (dev->number, (st.st_rdev >> 8 << 20) | (st.st_rdev & 255));
  cr_assert_eq (bdev_size (dev), 2048);
  cr_assert_eq (limits ().logical_block_bytes, 4096);
  cr_assert_eq (io (BIO_WRITE, BIO_FUA, 0, 64, pattern ('x', 32768)), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, 0, 8, 8, NULL), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_NOUNMAP, 16, 8, NULL), 0);
  cr_assert_eq (io (BIO_WRITE_ZEROES, BIO_NOUNMAP | BIO_FAST_ZERO, 24, 8,
                    NULL), -EOPNOTSUPP);
  cr_assert_eq (io (BIO_DISCARD, 0, 32, 8, NULL), 0);
  cr_assert (holds (0, 8, 'x'));
  cr_assert (holds (8, 16, 0));
  cr_assert (holds (24, 8, 'x'));
  cr_assert_str_eq (extents (0, 64), "D64");
  close (loop);
}

Test (file, a_block_device_in_use_elsewhere_is_ebusy)
{
  int loop = make_loop ();
  int claim = open (path, O_RDONLY | O_EXCL);

  cr_assert_geq (claim, 0);
  refused (path, true, -EBUSY, "mounted or otherwise in use");
  close (claim);
  must_open (true);
  cr_assert_eq (open (path, O_RDONLY | O_EXCL), -1);
  close (loop);
}
