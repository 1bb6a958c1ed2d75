/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of our own, over the socket. */

#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol.h"
#include "server/edge.h"
#include "server/loop.h"
#include "tests/lib/folder.h"
#include "tests/lib/frame.h"
#include "tests/lib/rig.h"

static struct folder folder;
static char path[sizeof folder.path + 32];
static struct registry *reg;
static struct reload *reload;
static struct memdev *mem;

static void
setup (void)
{
  struct loop_config config;
  sigset_t set;
  int fd;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  folder_make (&folder);
  snprintf (path, sizeof path, "%s/control", folder.path);
  reg = rig_new ();
  reload = reload_new (reg, NULL);
  mem = memdev_add ("mem", 64);
  rig_create (reg, "a");
  rig_load (reg, "a", "0 64 linear mem 0");
  rig_resume (reg, "a");
  config = (struct loop_config) { .registry = reg, .reload = reload,
                                  .control_path = path };
  cr_assert_eq (control_listen (path, &fd, NULL), 0);
  cr_assert_eq (loop_start (&config, fd, NULL), 0);
}

static void
teardown (void)
{
  loop_stop ();
  registry_shutdown (reg, 0);
  reload_free (reload);
  rig_free (reg);
  memdev_remove (mem);
  folder_remove (&folder);
}

TestSuite (control_own, .init = setup, .fini = teardown, .timeout = 60);

static int
client (void)
{
  int fd = frame_connect (path);

  cr_assert_geq (fd, 0, "%s", strerror (-fd));
  return fd;
}

static bool
is_suspended (void)
{
  return rig_info (reg, "a").flags & DM_SUSPEND_FLAG;
}

/* Error of a command of ours with this payload; its reply goes to data. */
static int
ask_own (uint32_t command, const void *payload, size_t length, void *data,
         size_t size)
{
  int fd = client (), r;

  frame_send (fd, command, payload, length);
  r = frame_receive (fd, data, size, NULL);
  close (fd);
  return r;
}

Test (control_own, our_own_commands_have_structures)
{
  struct nbdm_extents question = { .name = "a" };
  struct nbdm_counters counters = { "" };
  struct nbdm_extent extent;
  char text[1024] = "";

  cr_assert_eq (ask_own (NBDM_COUNTERS, NULL, 0, &counters, sizeof counters),
                0);
  cr_assert (strcmp (counters.name, "a") == 0 && counters.size == 64);
  cr_assert_eq (ask_own (NBDM_METRICS, NULL, 0, text, sizeof text), 0);
  cr_assert_eq (text[0], '#');
  cr_assert_eq (ask_own (NBDM_EXTENTS, &question, sizeof question, &extent,
                         sizeof extent), 0);
  cr_assert (extent.begin == 0 && extent.len == 64 && extent.flags == 0);
  cr_assert_eq (ask_own (NBDM_EXTENTS, &question, sizeof question - 1, NULL,
                         0), -EINVAL);
  memset (question.name, 'x', sizeof question.name);
  cr_assert_eq (ask_own (NBDM_EXTENTS, &question, sizeof question, NULL, 0),
                -EINVAL);
}

static int
ask_group (uint32_t command, uint32_t count, const char *names, size_t length)
{
  struct nbdm_group group = { 0, count };
  char payload[64];

  memcpy (payload, &group, sizeof group);
  memcpy (payload + sizeof group, names, length);
  return ask_own (command, payload, sizeof group + length, NULL, 0);
}

Test (control_own, groups_are_lists_of_names)
{
  rig_create (reg, "b");
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 2, "a\0b", 4), 0);
  cr_assert (is_suspended ());
  cr_assert_eq (ask_group (NBDM_RESUME_GROUP, 1, "a", 2), 0);
  cr_assert_not (is_suspended ());
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 2, "a\0c", 4), -ENXIO);
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 2, "a\0b", 3), -EINVAL);
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 2, "a", 2), -EINVAL);
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 1, "a\0b", 4), -EINVAL);
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, 0, "", 0), -EINVAL);
  cr_assert_eq (ask_group (NBDM_SUSPEND_GROUP, UINT32_MAX, "a", 2), -EINVAL);
  cr_assert_eq (ask_own (NBDM_SUSPEND_GROUP, "1234567", 7, NULL, 0), -EINVAL);
  cr_assert_not (is_suspended ());
}

/* Else nobody could resume it. */
Test (control_own, questions_to_a_suspended_device_leave_room_for_the_resume)
{
  struct nbdm_extents question = { .name = "a" };
  int fds[2 * LOOP_MAX_VERBS], i;

  rig_suspend (reg, "a");
  for (i = 0; i < 2 * LOOP_MAX_VERBS; i++) {
    fds[i] = client ();
    frame_send (fds[i], NBDM_EXTENTS, &question, sizeof question);
  }
  cr_assert_eq (ask_group (NBDM_RESUME_GROUP, 1, "a", 2), 0);
  for (i = 0; i < 2 * LOOP_MAX_VERBS; i++) {
    cr_assert_eq (frame_receive (fds[i], NULL, 0, NULL), 0);
    close (fds[i]);
  }
}
