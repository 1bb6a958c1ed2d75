/* SPDX-License-Identifier: BSD-3-Clause */
/* Which paths and descriptors are taken for the device-mapper's. */

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clients/preload.h"
#include "common/protocol.h"

/* The server: it has one device, number 5, called "vol", with or without a
 * table.
 */
static uint32_t flags = DM_ACTIVE_PRESENT_FLAG;
static bool running = true;

int
preload_status (const struct place *place, struct dm_ioctl *status)
{
  if (place->name ? strcmp (place->name, "vol") != 0 : place->minor != 5) {
    errno = ENOENT;
    return -1;
  }
  *status = (struct dm_ioctl) { .name = "vol", .flags = flags,
                                .dev = makedev (DM_BLOCK_MAJOR, 5) };
  return 0;
}

int
preload_probe (void)
{
  errno = ECONNREFUSED;
  return running ? 0 : -1;
}

static enum place_kind
kind (const char *path)
{
  return place_of_path (path).kind;
}

TestSuite (preload_place);

Test (preload_place, libdevmappers_paths_are_known)
{
  unsetenv ("DM_DEV_DIR");
  cr_assert_eq (kind ("/dev/mapper"), PLACE_FOLDER);
  cr_assert_eq (kind ("/dev/mapper/control"), PLACE_CONTROL);
  cr_assert_eq (kind ("/proc/devices"), PLACE_DRIVERS);
  cr_assert_eq (kind ("/dev/mapper/vol"), PLACE_NODE);
  cr_assert_str_eq (place_of_path ("/dev/mapper/vol").name, "vol");
  cr_assert_eq (kind ("/sys/dev/block/600:12"), PLACE_SYSFS);
  cr_assert_eq (kind ("/sys/dev/block/600:12/dm/name"), PLACE_SYSFS_NAME);
  cr_assert_eq (place_of_path ("/sys/dev/block/600:12").minor, 12);
}

Test (preload_place, other_paths_are_not)
{
  static const char *const others[] = {
    "", "/", "/dev", "/dev/", "/dev/mapperx", "/dev/mapper/", "/dev/mapper/.",
    "/dev/mapper/..", "/dev/mapper/a/b", "dev/mapper/control", "/dev/null",
    "/proc/devices2", "/proc", "/sys/dev/block/", "/sys/dev/block/60:0",
    "/sys/dev/block/253:0", "/sys/dev/block/600:x", "/sys/dev/block/600:1/dm",
    "/sys/dev/block/600:1/dm/name2",
  };
  char path[300] = "/dev/mapper/";

  unsetenv ("DM_DEV_DIR");
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    cr_assert_eq (kind (others[i]), PLACE_ELSEWHERE, "%s", others[i]);
  cr_assert_eq (kind (NULL), PLACE_ELSEWHERE);
  memset (path + strlen (path), 'x', DM_NAME_LEN);
  cr_assert_eq (kind (path), PLACE_ELSEWHERE);
  path[strlen (path) - 1] = '\0';
  cr_assert_eq (kind (path), PLACE_NODE);
}

Test (preload_place, the_folder_of_nodes_may_be_another)
{
  setenv ("DM_DEV_DIR", "/some/where", 1);
  cr_assert_eq (kind ("/some/where/mapper/control"), PLACE_CONTROL);
  cr_assert_eq (kind ("/dev/mapper/control"), PLACE_ELSEWHERE);
  setenv ("DM_DEV_DIR", "/some/where/", 1);
  cr_assert_eq (kind ("/some/where/mapper/control"), PLACE_CONTROL);
  setenv ("DM_DEV_DIR", "", 1);
  cr_assert_eq (kind ("/dev/mapper/control"), PLACE_CONTROL);
}

Test (preload_place, a_descriptor_is_known_as_long_as_it_lasts)
{
  struct place place = { PLACE_CONTROL };
  int fd = place_open (&place, O_RDWR), copy = dup (fd);

  cr_assert_geq (fd, 0);
  cr_assert_eq (place_of_fd (fd).kind, PLACE_CONTROL);
  cr_assert_eq (fcntl (fd, F_GETFD), 0);
  close (fd);
  cr_assert_eq (open ("/dev/null", O_RDONLY), fd);
  cr_assert_eq (place_of_fd (fd).kind, PLACE_ELSEWHERE);
  cr_assert_eq (place_of_fd (copy).kind, PLACE_CONTROL);
  errno = ESRCH;
  cr_assert_eq (place_of_fd (-1).kind, PLACE_ELSEWHERE);
  cr_assert_eq (errno, ESRCH);
}

Test (preload_place, a_node_can_be_asked_but_not_read_or_written)
{
  struct place place = { PLACE_NODE, .name = "vol" };
  int fd = place_open (&place, O_RDWR | O_CLOEXEC);
  char byte = 0;

  cr_assert_eq (place_of_fd (fd).kind, PLACE_NODE);
  cr_assert_eq (place_of_fd (fd).minor, 5);
  cr_assert_eq (fcntl (fd, F_GETFD), FD_CLOEXEC);
  cr_assert_eq (write (fd, &byte, 1), -1);
  cr_assert_eq (read (fd, &byte, 1), -1);
  place.name = "other";
  cr_assert_eq (place_open (&place, O_RDONLY), -1);
  cr_assert_eq (errno, ENOENT);
}

Test (preload_place, control_opens_only_if_there_is_a_server)
{
  struct place place = { PLACE_CONTROL };
  struct inode inode;

  running = false;
  cr_assert_eq (place_open (&place, O_RDWR), -1);
  cr_assert_eq (errno, ECONNREFUSED);
  cr_assert_eq (place_stat (&place, &inode), 0);
  cr_assert (S_ISCHR (inode.mode));
  cr_assert_eq (inode.number, makedev (10, 236));
}

Test (preload_place, drivers_name_one_device_mapper)
{
  struct place place = { PLACE_DRIVERS };
  int fd = place_open (&place, O_RDONLY), found = 0;
  FILE *fp = fdopen (fd, "r");
  char line[200];

  while (fgets (line, sizeof line, fp))
    if (strstr (line, "device-mapper")) {
      cr_assert_str_eq (line, "600 device-mapper\n");
      found++;
    }
  cr_assert_eq (found, 1);
  fclose (fp);
}

Test (preload_place, sysfs_names_a_device_that_has_a_table)
{
  struct place place = { PLACE_SYSFS, .minor = 5 };
  char target[64] = "";

  cr_assert_gt (place_readlink (&place, target, sizeof target - 1), 0);
  cr_assert_str_eq (strrchr (target, '/'), "/dm-5");
  cr_assert_eq (place_readlink (&place, target, 3), 3);
  flags = 0;
  cr_assert_eq (place_readlink (&place, target, sizeof target), -1);
  cr_assert_eq (errno, ENOENT);
}
