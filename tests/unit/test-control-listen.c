/* SPDX-License-Identifier: BSD-3-Clause */
/* The place of the control socket. */

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/edge.h"
#include "tests/lib/folder.h"

static struct folder folder;
static char path[sizeof folder.path + 32];

static void
setup (void)
{
  folder_make (&folder);
  snprintf (path, sizeof path, "%s/control", folder.path);
}

static void
teardown (void)
{
  folder_remove (&folder);
}

TestSuite (control_listen, .init = setup, .fini = teardown);

/* The descriptor, or -errno and then there is a reason. */
static int
listen_at (const char *where)
{
  struct message msg = { "" };
  int fd, r = control_listen (where, &fd, &msg);

  cr_assert (r == 0 || msg.text[0], "%d without a message", r);
  return r < 0 ? r : fd;
}

Test (control_listen, makes_a_private_socket_in_a_private_folder)
{
  char where[sizeof path + 8];
  struct stat st;
  int fd;

  snprintf (where, sizeof where, "%s/x/y", folder.path);
  fd = listen_at (where);
  cr_assert_geq (fd, 0);
  cr_assert_eq (stat (where, &st), 0);
  cr_assert_eq (st.st_mode & 0777, 0600);
  unlink (where);
  *strrchr (where, '/') = '\0';
  cr_assert_eq (stat (where, &st), 0);
  cr_assert_eq (st.st_mode & 0777, 0700);
  rmdir (where);
  close (fd);
}

Test (control_listen, replaces_a_socket_that_nobody_listens_on)
{
  int fd = listen_at (path);

  close (fd);
  fd = listen_at (path);
  cr_assert_geq (fd, 0);
  cr_assert_eq (listen_at (path), -EADDRINUSE);
  close (fd);
}

Test (control_listen, leaves_alone_what_is_no_socket)
{
  int fd = open (path, O_CREAT | O_WRONLY, 0600);

  cr_assert_eq (listen_at (path), -EEXIST);
  cr_assert_eq (access (path, F_OK), 0);
  close (fd);
}

Test (control_listen, refuses_a_path_that_no_socket_can_have)
{
  char where[200];

  memset (where, 'x', sizeof where - 1);
  where[0] = '/';
  where[sizeof where - 1] = '\0';
  cr_assert_eq (listen_at (where), -ENAMETOOLONG);
  cr_assert_eq (listen_at ("relative"), -EINVAL);
}

Test (control_listen, a_group_gets_the_socket_and_what_was_made_for_it)
{
  char where[sizeof path + 8];
  struct message msg = { "" };
  struct stat st;
  int fd;

  if (geteuid () != 0)
    cr_skip ("only root can give a file to any group");
  snprintf (where, sizeof where, "%s/x/y/z", folder.path);
  fd = listen_at (where);
  cr_assert_geq (fd, 0);
  cr_assert_eq (control_share (where, 12345, &msg), 0, "%s", msg.text);
  cr_assert_eq (stat (where, &st), 0);
  cr_assert (st.st_gid == 12345 && (st.st_mode & 0777) == 0660);
  unlink (where);
  while (strlen (where) > strlen (folder.path) + 2) {
    *strrchr (where, '/') = '\0';
    cr_assert_eq (stat (where, &st), 0);
    cr_assert (st.st_gid == 12345 && (st.st_mode & 0777) == 0710, "%s", where);
    rmdir (where);
  }
  cr_assert_eq (stat (folder.path, &st), 0);
  cr_assert_neq (st.st_gid, 12345);
  close (fd);
}
