/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line's options, as dmsetup reads them. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Long options without a short form that take an argument. */
enum {
  OPT_CONTROL = 256,
  OPT_TABLE,
  OPT_TARGET,
  OPT_COW,
  OPT_EXEC,
  OPT_INTERVAL,
  OPT_COUNT,
  OPT_SEPARATOR,
  OPT_SIZE,
  OPT_MANGLENAME,
  OPT_IGNORED, /* the argument, too */
};

/* Words that must be numbers. */
struct numbers {
  const char *major, *minor, *interval, *count;
};

/* The words with an argument; flags are stored by getopt_long itself. */
static int
options_take (struct options *o, struct numbers *numbers, int c)
{
  switch (c) {
  case 'j': numbers->major = optarg; break;
  case 'm': numbers->minor = optarg; break;
  case 'o': o->fields = optarg; break;
  case 'O': o->sort = optarg; break;
  case 'S': o->select = optarg; break;
  case 'u': o->uuid = optarg; break;
  case OPT_CONTROL: o->control = optarg; break;
  case OPT_TABLE: o->table = optarg; break;
  case OPT_TARGET: o->target = optarg; break;
  case OPT_COW: o->cow = optarg; break;
  case OPT_EXEC: o->exec = optarg; break;
  case OPT_INTERVAL: numbers->interval = optarg; break;
  case OPT_COUNT: numbers->count = optarg; break;
  case OPT_SEPARATOR: o->separator = optarg; break;
  case OPT_SIZE: o->size = optarg; break;
  case 'c': case 'C': o->columns = 1; break;
  case 'f': o->force = 1; break;
  case 'h': o->help = 1; break;
  case 'n': o->notable = 1; break;
  case 'r': o->readonly = 1; break;
  case 'v': o->verbose++; break;
  case OPT_MANGLENAME:
    if (strcmp (optarg, "none") && strcmp (optarg, "auto") &&
        strcmp (optarg, "hex")) {
      fprintf (stderr, "Unknown name mangling mode.\n");
      return -EINVAL;
    }
    break;
  case '?':
    return -EINVAL;
  }
  return 0;
}

static int
parse_number (const char *option, const char *word, unsigned *number)
{
  char *end;
  unsigned long n;

  errno = 0;
  n = strtoul (word, &end, 10);
  if (errno || end == word || *end || *word == '-' || n > 0xfffff) {
    fprintf (stderr, "Invalid argument for --%s: %s.\n", option, word);
    return -EINVAL;
  }
  *number = n;
  return 0;
}

static int
options_take_numbers (struct options *o, const struct numbers *numbers)
{
  unsigned major, minor;

  if (numbers->interval &&
      parse_number ("interval", numbers->interval, &o->interval) < 0)
    return -EINVAL;
  if (numbers->count &&
      parse_number ("count", numbers->count, &o->count) < 0)
    return -EINVAL;
  if (!numbers->major && !numbers->minor)
    return 0;
  if (!numbers->major || !numbers->minor) {
    fprintf (stderr, "Please specify both major number and minor number.\n");
    return -EINVAL;
  }
  if (parse_number ("major", numbers->major, &major) < 0 ||
      parse_number ("minor", numbers->minor, &minor) < 0)
    return -EINVAL;
  o->has_dev = true;
  o->dev = dev_encode (major, minor);
  return 0;
}

static int
options_check (struct options *o)
{
  if (o->table && o->notable) {
    fprintf (stderr, "--table and --notable are incompatible.\n");
    return -EINVAL;
  }
  if (o->addnodeonresume && o->addnodeoncreate) {
    fprintf (stderr, "--addnodeonresume and --addnodeoncreate are "
             "incompatible.\n");
    return -EINVAL;
  }
  if (o->merge && o->remove) {
    fprintf (stderr, "--merge and --remove are incompatible.\n");
    return -EINVAL;
  }
  if ((o->merge || o->remove) && (o->cow || o->size)) {
    fprintf (stderr, "--cow and --size are of new snapshots only.\n");
    return -EINVAL;
  }
  if (o->json && (o->tree || o->concise || o->exec)) {
    fprintf (stderr, "--json is incompatible with --tree, --concise and "
             "--exec.\n");
    return -EINVAL;
  }
  o->flags = (o->readonly ? DM_READONLY_FLAG : 0) |
    (o->noflush ? DM_NOFLUSH_FLAG : 0) |
    (o->nolockfs ? DM_SKIP_LOCKFS_FLAG : 0) |
    (o->inactive ? DM_QUERY_INACTIVE_TABLE_FLAG : 0);
  return 0;
}

int
options_parse_form (struct options *o)
{
  static const struct { const char *word; enum number_form form; } forms[] = {
    { "devno", FORM_DEVNO },
    { "blkdevname", FORM_BLKDEVNAME },
    { "devname", FORM_DEVNAME },
  };
  const char *p = o->fields ? o->fields : "";
  size_t len, i;

  if (o->tree)
    return tree_check_options (o->fields);
  for (; *p; p += len + (p[len] == ',')) {
    len = strcspn (p, ",");
    for (i = 0; i < sizeof forms / sizeof forms[0]; i++)
      if (strlen (forms[i].word) == len && !strncmp (forms[i].word, p, len))
        break;
    if (i == sizeof forms / sizeof forms[0]) {
      fprintf (stderr, "Option not recognised: %.*s.\n", (int) len, p);
      return -EINVAL;
    }
    o->form = forms[i].form;
  }
  return 0;
}

int
options_parse (int argc, char **argv, struct options *o)
{
  const struct option long_options[] = {
    { "addnodeoncreate", no_argument, &o->addnodeoncreate, 1 },
    { "addnodeonresume", no_argument, &o->addnodeonresume, 1 },
    { "checks", no_argument, &o->ignored, 1 },
    { "columns", no_argument, NULL, 'c' },
    { "concise", no_argument, &o->concise, 1 },
    { "control", required_argument, NULL, OPT_CONTROL },
    { "count", required_argument, NULL, OPT_COUNT },
    { "cow", required_argument, NULL, OPT_COW },
    { "deferred", no_argument, &o->deferred, 1 },
    { "exec", required_argument, NULL, OPT_EXEC },
    { "force", no_argument, NULL, 'f' },
    { "gid", required_argument, NULL, OPT_IGNORED },
    { "group", no_argument, &o->group, 1 },
    { "help", no_argument, NULL, 'h' },
    { "inactive", no_argument, &o->inactive, 1 },
    { "interval", required_argument, NULL, OPT_INTERVAL },
    { "json", no_argument, &o->json, 1 },
    { "major", required_argument, NULL, 'j' },
    { "manglename", required_argument, NULL, OPT_MANGLENAME },
    { "merge", no_argument, &o->merge, 1 },
    { "minor", required_argument, NULL, 'm' },
    { "mode", required_argument, NULL, OPT_IGNORED },
    { "nameprefixes", no_argument, &o->nameprefixes, 1 },
    { "noflush", no_argument, &o->noflush, 1 },
    { "noheadings", no_argument, &o->noheadings, 1 },
    { "nolockfs", no_argument, &o->nolockfs, 1 },
    { "noopencount", no_argument, &o->ignored, 1 },
    { "notable", no_argument, NULL, 'n' },
    { "noudevrules", no_argument, &o->ignored, 1 },
    { "noudevsync", no_argument, &o->ignored, 1 },
    { "options", required_argument, NULL, 'o' },
    { "readahead", required_argument, NULL, OPT_IGNORED },
    { "readonly", no_argument, NULL, 'r' },
    { "remove", no_argument, &o->remove, 1 },
    { "retry", no_argument, &o->retry, 1 },
    { "rows", no_argument, &o->rows, 1 },
    { "select", required_argument, NULL, 'S' },
    { "separator", required_argument, NULL, OPT_SEPARATOR },
    { "setuuid", no_argument, &o->setuuid, 1 },
    { "showkeys", no_argument, &o->showkeys, 1 },
    { "size", required_argument, NULL, OPT_SIZE },
    { "sort", required_argument, NULL, 'O' },
    { "status", no_argument, &o->status, 1 },
    { "table", required_argument, NULL, OPT_TABLE },
    { "target", required_argument, NULL, OPT_TARGET },
    { "tree", no_argument, &o->tree, 1 },
    { "udevcookie", required_argument, NULL, OPT_IGNORED },
    { "uid", required_argument, NULL, OPT_IGNORED },
    { "unbuffered", no_argument, &o->unbuffered, 1 },
    { "unquoted", no_argument, &o->unquoted, 1 },
    { "uuid", required_argument, NULL, 'u' },
    { "verbose", no_argument, NULL, 'v' },
    { "verifyudev", no_argument, &o->ignored, 1 },
    { "version", no_argument, &o->version, 1 },
    { "yes", no_argument, NULL, 'y' },
    { NULL }
  };
  struct numbers numbers = { NULL };
  int c;

  while ((c = getopt_long (argc, argv, "cCfG:hj:m:M:no:O:rS:u:U:vy",
                           long_options, NULL)) != -1)
    if (options_take (o, &numbers, c) < 0)
      return -EINVAL;
  if (options_take_numbers (o, &numbers) < 0)
    return -EINVAL;
  return options_check (o);
}
