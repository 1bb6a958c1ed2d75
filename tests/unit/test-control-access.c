/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what over the control socket. */

#include <criterion/criterion.h>

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/protocol.h"
#include "server/edge.h"
#include "tests/lib/folder.h"
#include "tests/lib/frame.h"
#include "tests/lib/request.h"

#define GROUP 12345
#define OTHER 65534

static struct folder folder;
static char path[sizeof folder.path + 32];
static struct registry *reg;
static struct reload *reload;

static void
start (gid_t group)
{
  struct loop_config config;
  sigset_t set;
  int fd;

  if (geteuid () != 0)
    cr_skip ("only root can try as another user");
  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  folder_make (&folder);
  snprintf (path, sizeof path, "%s/control", folder.path);
  reg = registry_new ();
  reload = reload_new (reg, NULL);
  config = (struct loop_config) { .registry = reg, .reload = reload,
                                  .control_path = path,
                                  .control_group = group };
  cr_assert_eq (control_listen (path, &fd, NULL), 0);
  cr_assert_eq (loop_start (&config, fd, NULL), 0);
  cr_assert_eq (chmod (folder.path, 0755), 0);
  cr_assert_eq (chmod (path, 0666), 0);
}

static void
stop (void)
{
  loop_stop ();
  reload_free (reload);
  registry_free (reg);
  folder_remove (&folder);
}

TestSuite (control_access, .timeout = 60);

/* What is sent with DM_TARGET_MSG_CMD. */
static const char *text = "";

/* In a process of its own, where no assertion may fail. */
static int
ask (uint32_t command)
{
  struct nbdm_request head = { NBDM_MAGIC, command, 400, 0 };
  struct dm_ioctl *request = request_new (400, "a");
  struct dm_target_msg *message = request_data (request);
  struct nbdm_reply reply = { 0 };
  int fd = frame_connect (path);

  if (fd < 0)
    return 255;
  strcpy (message->message, text);
  /* Who is turned away may find the connection closed already. */
  send (fd, &head, sizeof head, MSG_NOSIGNAL);
  send (fd, request, 400, MSG_NOSIGNAL);
  if (recv (fd, &reply, sizeof reply, MSG_WAITALL) != sizeof reply)
    return 255;
  return reply.error;
}

/* errno of a command by another user with these groups. */
static int
ask_as (gid_t gid, gid_t supplementary, uint32_t command)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0) {
    alarm (10);
    if (setgroups (supplementary != 0, &supplementary) < 0 ||
        setgid (gid) < 0 || setuid (OTHER) < 0)
      _exit (254);
    _exit (ask (command));
  }
  waitpid (pid, &status, 0);
  cr_assert (WIFEXITED (status));
  return WEXITSTATUS (status);
}

Test (control_access, another_user_is_turned_away)
{
  start (CONTROL_NO_GROUP);
  cr_assert_eq (ask_as (OTHER, 0, DM_VERSION_CMD), EACCES);
  cr_assert_eq (ask_as (GROUP, GROUP, DM_VERSION_CMD), EACCES);
  cr_assert_eq (ask_as (0, 0, DM_VERSION_CMD), EACCES);
  stop ();
}

Test (control_access, a_group_may_read_but_not_change)
{
  static const uint32_t changes[] = {
    DM_REMOVE_ALL_CMD, DM_DEV_CREATE_CMD, DM_DEV_REMOVE_CMD, DM_DEV_RENAME_CMD,
    DM_DEV_SUSPEND_CMD, DM_TABLE_LOAD_CMD, DM_TABLE_CLEAR_CMD,
    DM_TARGET_MSG_CMD, DM_DEV_SET_GEOMETRY_CMD, NBDM_RELOAD,
    NBDM_SUSPEND_GROUP, NBDM_RESUME_GROUP, 99, 0x999,
  };
  unsigned i;

  start (GROUP);
  cr_assert_eq (dm_device_create (reg, "a", "", 0, 0, NULL, NULL), 0);
  for (i = 0; i < sizeof changes / sizeof changes[0]; i++)
    cr_assert_eq (ask_as (GROUP, 0, changes[i]), EACCES, "%u", changes[i]);
  cr_assert_eq (dm_device_info (reg, DM_REF_NAME ("a"), 0, NULL, NULL), 0);
  cr_assert_eq (ask_as (GROUP, 0, DM_DEV_STATUS_CMD), 0);
  cr_assert_eq (ask_as (OTHER, GROUP, DM_LIST_DEVICES_CMD), 0);
  cr_assert_eq (ask_as (OTHER, GROUP, NBDM_METRICS), 0);
  cr_assert_eq (ask_as (OTHER, 0, DM_DEV_STATUS_CMD), EACCES);
  stop ();
}

Test (control_access, of_messages_a_group_may_send_what_only_reads)
{
  static const struct {
    const char *text;
    int error;
  } messages[] = {
    { "@stats_list", 0 }, { "@STATS_list prog", 0 },
    { "@stats_print 5", ENOENT }, { "@stats_print", EINVAL },
    { "@stats_print_clear 5", EACCES }, { "@stats_create - 8", EACCES },
    { "@stats_delete 0", EACCES }, { "@stats_listen", EACCES },
    { "@stats_list\\", EACCES }, { " @stats_list", EACCES },
    { "\\@stats_list", EACCES }, { "@stats_list\t", EACCES },
    { "@cancel_deferred_remove", EACCES }, { "check", EACCES }, { "", EACCES },
  };
  unsigned i;

  start (GROUP);
  cr_assert_eq (dm_device_create (reg, "a", "", 0, 0, NULL, NULL), 0);
  for (i = 0; i < sizeof messages / sizeof messages[0]; i++) {
    text = messages[i].text;
    cr_assert_eq (ask_as (GROUP, 0, DM_TARGET_MSG_CMD), messages[i].error,
                  "%s", text);
  }
  text = "@stats_list";
  cr_assert_eq (ask_as (OTHER, 0, DM_TARGET_MSG_CMD), EACCES);
  stop ();
}
