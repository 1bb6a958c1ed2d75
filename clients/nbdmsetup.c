/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdmsetup: dmsetup's verbs on the devices of an nbdm server. */

#include "clients/nbdmsetup.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* dmsetup's order and words; max -1: any number.  With -u, or -j and -m, some
 * take one word less, which they check themselves.
 */
static const struct verb {
  const char *name, *args;
  int min, max;
  int (*run) (struct session *s);
} verbs[] = {
  { "help", "", 0, 0, cmd_help },
  { "create", "DEVICE [-u UUID] [-j MAJOR -m MINOR] [-r]\n"
    "             [-n | --table TABLE | TABLE_FILE]", 0, 2, cmd_create },
  { "create", "--concise [DEVICES]", 0, 2, cmd_create },
  { "remove", "[-f] [--retry] [--deferred] DEVICE...", 0, -1, cmd_remove },
  { "remove_all", "[-f] [--deferred]", 0, 0, cmd_remove_all },
  { "suspend", "[--noflush] [--nolockfs] [--group] DEVICE...", 0, -1,
    cmd_suspend },
  { "resume", "[--noflush] [--nolockfs] [--group] DEVICE...", 0, -1,
    cmd_resume },
  { "load", "DEVICE [-r] [--table TABLE | TABLE_FILE]", 0, 2, cmd_load },
  { "clear", "DEVICE...", 0, -1, cmd_clear },
  { "reload", "DEVICE ...\n             as load; without DEVICE:", 0, 2,
    cmd_reload },
  { "reload", "[--status]\n"
    "             read the table files again, or tell what came of it", 0, 2,
    cmd_reload },
  { "wipe_table", "[--noflush] [--nolockfs] DEVICE...", 0, -1,
    cmd_wipe_table },
  { "rename", "DEVICE [--setuuid] NEW", 1, 2, cmd_rename },
  { "message", "DEVICE SECTOR MESSAGE...", 2, -1, cmd_message },
  { "ls", "[--target TYPE] [--exec COMMAND] [-o devno|devname|blkdevname]",
    0, 0, cmd_ls },
  { "ls", "--tree [-o OPTIONS]", 0, 0, cmd_ls },
  { "info", "[--inactive] [DEVICE...]", 0, -1, cmd_info },
  { "info", "-c [-o FIELDS] [-O FIELDS] [--noheadings] [--separator TEXT]\n"
    "             [--nameprefixes [--unquoted]] [--rows] [--unbuffered]\n"
    "             [--count N [--interval SECONDS]] [DEVICE...]", 0, -1,
    cmd_info },
  { "deps", "[--inactive] [-o devno|devname|blkdevname] [DEVICE...]", 0, -1,
    cmd_deps },
  { "status", "[--inactive] [--noflush] [--target TYPE] [--exec COMMAND]\n"
    "             [DEVICE...]", 0, -1, cmd_status },
  { "table", "[--inactive] [--target TYPE] [--exec COMMAND] [--showkeys]\n"
    "             [--concise] [DEVICE...]", 0, -1, cmd_table },
  { "measure", "[--inactive] [--target TYPE] [DEVICE...]", 0, -1, cmd_measure },
  { "wait", "[--noflush] [--inactive] DEVICE [EVENT_NR]", 0, 2, cmd_wait },
  { "mknodes", "[DEVICE...]", 0, -1, cmd_mknodes },
  { "target-version", "TYPE...", 1, -1, cmd_target_version },
  { "targets", "", 0, 0, cmd_targets },
  { "version", "", 0, 0, cmd_version },
  { "setgeometry", "DEVICE CYLINDERS HEADS SECTORS START", 5, 5,
    cmd_setgeometry },
  { "dump", "", 0, 0, cmd_dump },
  { "snapshot", "DEVICE NAME [--cow FILE] [--size SIZE]", 2, 2,
    cmd_snapshot },
  { "snapshot", "--remove | --merge DEVICE NAME", 2, 2, cmd_snapshot },
  { "extents", "DEVICE...", 0, -1, cmd_extents },
  { "stat", "[-o FIELDS] [-O FIELDS] [--interval SECONDS] [--count N]\n"
    "             [DEVICE...]", 0, -1, cmd_stat },
  { "metrics", "", 0, 0, cmd_metrics },
};

/* Of one verb, or if name is NULL of all. */
static void
print_usage_of (FILE *out, const char *name)
{
  fprintf (out, "Usage:\n\nnbdmsetup [--control SOCKET] [-v] VERB ...\n\n");
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
    if (name == NULL || strcmp (verbs[i].name, name) == 0)
      fprintf (out, "  %s%s%s\n", verbs[i].name, *verbs[i].args ? " " : "",
               verbs[i].args);
}

static void
print_usage (FILE *out)
{
  print_usage_of (out, NULL);
  fprintf (out, "\nDEVICE is a name; instead of one -u UUID or -j MAJOR "
           "-m MINOR.\n"
           "-S SELECTION of devices and --json go with most verbs.\n"
           "A table comes from --table, else a file, else standard input.\n"
           "SOCKET: --control, else $NBDM_CONTROL, else /run/nbdm/control "
           "for root\nand $XDG_RUNTIME_DIR/nbdm/control for others.\n"
           "See nbdmsetup(8).  This is nbdmsetup %s.\n", PACKAGE_VERSION);
}

int
cmd_help (struct session *s)
{
  print_usage (stdout);
  return 0;
}

/* There are no device nodes that could be out of step. */
int
cmd_mknodes (struct session *s)
{
  return 0;
}

static const struct verb *
verb_find (const char *name)
{
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
    if (strcmp (verbs[i].name, name) == 0)
      return &verbs[i];
  return NULL;
}

static int
usage_error (const char *text)
{
  fputs (text, stderr);
  print_usage (stderr);
  return EXIT_FAILURE;
}

static int
run_verb (struct session *s, const struct verb *verb)
{
  bool fields = verb->run == cmd_stat ||
    (verb->run == cmd_info && s->options.columns);
  int r;

  if (!fields && options_parse_form (&s->options) < 0) {
    fprintf (stderr, "Couldn't process command line.\n");
    return EXIT_FAILURE;
  }
  if (s->argc < verb->min || (verb->max >= 0 && s->argc > verb->max)) {
    fprintf (stderr, "Incorrect number of arguments.\n");
    print_usage_of (stderr, verb->name);
    return EXIT_FAILURE;
  }
  r = verb->run (s);
  progress_clear ();
  if (json_end (s) >= 0 && r >= 0)
    return EXIT_SUCCESS;
  fflush (stdout);
  fprintf (stderr, "Command failed.\n");
  return EXIT_FAILURE;
}

static int
run (struct session *s, int argc, char **argv)
{
  const struct verb *verb;

  if (options_parse (argc, argv, &s->options) < 0) {
    fprintf (stderr, "Couldn't process command line.\n");
    return EXIT_FAILURE;
  }
  if (s->options.help)
    return cmd_help (s);
  if (s->options.version)
    return cmd_version (s) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  if (optind == argc)
    return usage_error ("");
  verb = verb_find (argv[optind]);
  if (verb == NULL)
    return usage_error ("Unknown command.\n");
  s->argc = argc - optind - 1;
  s->argv = argv + optind + 1;
  progress_init (&s->client);
  return run_verb (s, verb);
}

int
main (int argc, char **argv)
{
  struct session s = { .client = CLIENT_INIT };
  int status = run (&s, argc, argv);

  session_reset (&s);
  if (fflush (stdout) != 0 || ferror (stdout)) {
    perror ("nbdmsetup: standard output");
    return EXIT_FAILURE;
  }
  return status;
}
