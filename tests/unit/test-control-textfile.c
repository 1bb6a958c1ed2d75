/* SPDX-License-Identifier: BSD-3-Clause */
/* The file with the counters. */

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/edge.h"
#include "tests/lib/folder.h"
#include "tests/lib/rig.h"

static struct folder folder;
static char path[sizeof folder.path + 32];
static struct registry *reg;
static struct reload *reload;

static void
start (void)
{
  struct loop_config config = { .registry = reg, .reload = reload,
                                .metrics_path = path };

  cr_assert_eq (loop_start (&config, -1, NULL), 0);
}

static void
setup (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  folder_make (&folder);
  snprintf (path, sizeof path, "%s/nbdm.prom", folder.path);
  reg = rig_new ();
  reload = reload_new (reg, NULL);
  rig_create (reg, "a");
}

static void
teardown (void)
{
  loop_stop ();
  reload_free (reload);
  rig_free (reg);
  folder_remove (&folder);
}

TestSuite (control_textfile, .init = setup, .fini = teardown, .timeout = 60);

Test (control_textfile, it_is_there_while_the_server_is)
{
  char text[65536] = "";
  FILE *fp;

  start ();
  cr_assert (EVENTUALLY (access (path, F_OK) == 0));
  fp = fopen (path, "r");
  cr_assert_gt (fread (text, 1, sizeof text - 1, fp), 0);
  fclose (fp);
  cr_assert (strstr (text, "\nnbdm_device_size_bytes{device=\"a\"} 0\n"));
  cr_assert_str_eq (text + strlen (text) - 6, "# EOF\n");
  loop_stop ();
  cr_assert_neq (access (path, F_OK), 0);
}

Test (control_textfile, a_folder_that_is_missing_stops_nothing)
{
  snprintf (path, sizeof path, "%s/x/nbdm.prom", folder.path);
  start ();
}
