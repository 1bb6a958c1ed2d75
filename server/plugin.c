/* SPDX-License-Identifier: BSD-3-Clause */
/* The door: nbdkit's view of the program, from its parameters to its end. */

#include "server/plugin.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "common/log.h"
#include "common/notify.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

struct door door;

/* The parameters, as nbdkit hands them over one by one. */
static struct {
  char *tables;     /* absolute; NULL: none */
  char *control;    /* absolute; NULL: the default, or none … */
  char *metrics;    /* absolute; NULL: none */
  bool no_control;  /* … control= or control=none */
  gid_t control_group;
  enum { CHECK_NO, CHECK_YES, CHECK_DUMP } check;
  unsigned shutdown_timeout; /* seconds */
} config = { .shutdown_timeout = 1 };

static int control_fd = -1;

/* True once nothing will fork any more. */
static bool forked;

/* ------------------------------------------------------------------
 * Messages.
 */

static bool stderr_is_null;

static void
door_log_info (const char *fmt, va_list ap)
{
  if (stderr_is_null) {
    vsyslog (LOG_DAEMON | LOG_INFO, fmt, ap);
    return;
  }
  flockfile (stderr);
  fputs ("nbdkit: dm: ", stderr);
  vfprintf (stderr, fmt, ap);
  putc_unlocked ('\n', stderr);
  funlockfile (stderr);
}

static void
door_log (enum log_level level, const char *fmt, va_list ap)
{
  switch (level) {
  case LOG_LEVEL_ERROR:
    nbdkit_verror (fmt, ap);
    break;
  case LOG_LEVEL_INFO:
    door_log_info (fmt, ap);
    break;
  case LOG_LEVEL_DEBUG:
    nbdkit_vdebug (fmt, ap);
    break;
  }
}

/* nbdkit puts /dev/null there when it goes into the background. */
static void
door_find_stderr (void)
{
  struct stat err, null;

  stderr_is_null = fstat (STDERR_FILENO, &err) == -1 ||
    (stat ("/dev/null", &null) == 0 && S_ISCHR (err.st_mode) &&
     err.st_rdev == null.st_rdev);
}

/* Report why starting failed; -1 for nbdkit. */
static int
door_fail (int r, const struct message *msg)
{
  nbdkit_error ("%s", message_is_set (msg) ? msg->text : strerror (-r));
  return -1;
}

/* ------------------------------------------------------------------
 * Parameters.
 */

static int
door_set_string (char **field, const char *key, char *value)
{
  if (*field) {
    nbdkit_error ("%s= was given twice", key);
    free (value);
    return -1;
  }
  *field = value;
  return value ? 0 : -1;
}

static int
door_set_check (const char *value)
{
  int r;

  if (strcmp (value, "dump") == 0) {
    config.check = CHECK_DUMP;
    return 0;
  }
  r = nbdkit_parse_bool (value);
  config.check = r == 1 ? CHECK_YES : CHECK_NO;
  return r == -1 ? -1 : 0;
}

/* By name, or by number as in chown(1). */
static int
door_set_group (const char *value)
{
  const struct group *group = getgrnam (value);
  unsigned number;

  if (group)
    config.control_group = group->gr_gid;
  else if (value[0] >= '0' && value[0] <= '9') {
    if (nbdkit_parse_unsigned ("control-group", value, &number) == -1)
      return -1;
    config.control_group = number;
  }
  else {
    nbdkit_error ("control-group=%s: there is no such group", value);
    return -1;
  }
  if (config.control_group != CONTROL_NO_GROUP)
    return 0;
  nbdkit_error ("control-group=%s: root's own group is none", value);
  return -1;
}

static int
door_config (const char *key, const char *value)
{
  if (strcmp (key, "tables") == 0)
    return door_set_string (&config.tables, key, nbdkit_absolute_path (value));
  if (strcmp (key, "control") == 0) {
    config.no_control = !*value || strcmp (value, "none") == 0;
    return config.no_control ? 0 :
      door_set_string (&config.control, key, nbdkit_absolute_path (value));
  }
  if (strcmp (key, "control-group") == 0)
    return door_set_group (value);
  if (strcmp (key, "metrics") == 0)
    return door_set_string (&config.metrics, key,
                            nbdkit_absolute_path (value));
  if (strcmp (key, "export") == 0)
    return door_set_string (&door.only_export, key, strdup (value));
  if (strcmp (key, "check") == 0)
    return door_set_check (value);
  if (strcmp (key, "shutdown-timeout") == 0)
    return nbdkit_parse_unsigned (key, value, &config.shutdown_timeout);
  nbdkit_error ("unknown parameter '%s'", key);
  return -1;
}

/* Nothing is opened before get_ready but for this: --dump-plugin and the like
 * must work without any file.
 */
static void
door_check_and_exit (void)
{
  struct message msg = { 0 };
  int r;

  r = reload_check (door.reload, config.check == CHECK_DUMP ? stdout : NULL,
                    &msg);
  if (r < 0) {
    door_fail (r, &msg);
    exit (EXIT_FAILURE);
  }
  if (config.check == CHECK_YES)
    printf ("%s: ok\n", config.tables);
  exit (fflush (stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int
door_make (void)
{
  door.registry = registry_new ();
  if (door.registry)
    door.reload = reload_new (door.registry, config.tables);
  if (!door.reload) {
    nbdkit_error ("out of memory");
    return -1;
  }
  return 0;
}

static int
door_config_complete (void)
{
  if (config.check == CHECK_NO)
    return 0;
  if (!config.tables) {
    nbdkit_error ("check= needs tables=FILE");
    return -1;
  }
  if (door_make () == -1)
    return -1;
  door_check_and_exit ();
  return -1;
}

/* /run/nbdm/control for root, else below $XDG_RUNTIME_DIR: the same as
 * nbdmsetup's.  Without such a folder there is no default.
 */
static int
door_default_control (void)
{
  const char *folder = geteuid () == 0 ? "/run" : getenv ("XDG_RUNTIME_DIR");

  if (config.control || config.no_control)
    return 0;
  if (!folder || *folder != '/') {
    log_info ("no control socket: XDG_RUNTIME_DIR is not set, and no control=");
    config.no_control = true;
    return 0;
  }
  if (asprintf (&config.control, "%s/nbdm/control", folder) == -1) {
    config.control = NULL;
    nbdkit_error ("out of memory");
    return -1;
  }
  return 0;
}

/* ------------------------------------------------------------------
 * SIGHUP.  nbdkit would take it for the wish to end until the loop has taken it
 * over, so it waits in the mask meanwhile.
 */

static void
door_mask_sighup (int how)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGHUP);
  pthread_sigmask (how, &set, NULL);
}

/* The parent of the server's fork becomes the shell of --run. */
static void
door_unblock_in_parent (void)
{
  if (!forked)
    door_mask_sighup (SIG_UNBLOCK);
}

/* ------------------------------------------------------------------
 * Life.
 */

static void
door_load (void)
{
  log_set_sink (door_log);
}

/* Everything that can go wrong does so here, where the user sees it. */
static int
door_get_ready (void)
{
  struct message msg = { 0 };
  int r = 0;

  door_mask_sighup (SIG_BLOCK);
  pthread_atfork (NULL, door_unblock_in_parent, NULL);
  if (door_make () == -1 || door_default_control () == -1)
    return -1;
  if (config.tables)
    r = reload_run (door.reload, NULL, &msg);
  if (r == 0 && !config.no_control)
    r = control_listen (config.control, &control_fd, &msg);
  if (r == 0 && control_fd >= 0 && config.control_group != CONTROL_NO_GROUP)
    r = control_share (config.control, config.control_group, &msg);
  return r < 0 ? door_fail (r, &msg) : 0;
}

static int
door_after_fork (void)
{
  struct loop_config loop = { .registry = door.registry,
                              .reload = door.reload,
                              .control_path = config.control,
                              .metrics_path = config.metrics,
                              .control_group = config.control_group };
  struct message msg = { 0 };
  int r;

  forked = true;
  door_find_stderr ();
  r = loop_start (&loop, control_fd, &msg);
  if (r == 0)
    r = stop_watch_start (config.shutdown_timeout);
  if (r < 0)
    return door_fail (r, &msg);
  notify_send ("READY=1\nSTATUS=Serving\n");
  return 0;
}

static void
door_cleanup (void)
{
  stop_watch_join ();
}

static void
door_unload (void)
{
  export_close_all ();
  if (door.reload)
    reload_free (door.reload);
  if (door.registry)
    registry_free (door.registry);
  log_set_sink (NULL);
  free (config.tables);
  free (config.control);
  free (config.metrics);
  free (door.only_export);
}

/* ------------------------------------------------------------------
 * What is compiled in.
 */

static int
door_dump_type (void *opaque, const char *name, const unsigned version[3],
                const char *summary)
{
  printf ("dm_target_%s=%u.%u.%u\n", name, version[0], version[1], version[2]);
  return 0;
}

static void
door_dump_plugin (void)
{
  static const unsigned version[3] = DM_INTERFACE_VERSION;

  printf ("dm_interface_version=%u.%u.%u\n", version[0], version[1],
          version[2]);
  dm_list_types (door_dump_type, NULL);
  printf ("dm_libnbd_version=%s\n", bdev_nbd_library_version ());
}

static int
door_help_type (void *opaque, const char *name, const unsigned version[3],
                const char *summary)
{
  fprintf (opaque, "\n    %-16s %s", name, summary);
  return 0;
}

#define DOOR_HELP                                                       \
  "[tables=]<FILE>        Table file (YAML), or a folder of them.\n"    \
  "control=<SOCKET>       Control socket, or 'none'\n"                  \
  "                       (default $XDG_RUNTIME_DIR/nbdm/control,\n"    \
  "                       for root /run/nbdm/control).\n"               \
  "control-group=<GROUP>  Its members may read on it, not change.\n"    \
  "export=<NAME>          Serve this device only.\n"                    \
  "metrics=<FILE>         Write counters there for Prometheus.\n"        \
  "check=true|dump        Check the table files (and print them in\n"   \
  "                       normal form), then exit.\n"                   \
  "shutdown-timeout=<S>   Seconds that requests and clients get at\n"   \
  "                       the end (default 1).\n"                       \
  "Target types:"

static struct nbdkit_plugin plugin = {
  .name = "dm",
  .longname = "nbdm device-mapper plugin",
  .version = PACKAGE_VERSION,
  .description = "Linux device-mapper semantics in user space",
  .load = door_load,
  .unload = door_unload,
  .config = door_config,
  .config_complete = door_config_complete,
  .magic_config_key = "tables",
  .get_ready = door_get_ready,
  .after_fork = door_after_fork,
  .cleanup = door_cleanup,
  .dump_plugin = door_dump_plugin,
};

/* nbdkit copies the structure as soon as it has loaded us, so the parts that
 * are not constant have to be there before.
 */
__attribute__ ((constructor))
static void
door_fill_in (void)
{
  static char help[8192];
  FILE *fp = fmemopen (help, sizeof help, "w");

  export_register (&plugin);
  io_register (&plugin);
  plugin.config_help = DOOR_HELP;
  if (!fp)
    return;
  fputs (DOOR_HELP, fp);
  dm_list_types (door_help_type, fp);
  if (fclose (fp) == 0)
    plugin.config_help = help;
}

NBDKIT_REGISTER_PLUGIN (plugin)
