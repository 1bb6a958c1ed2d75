/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-logreplay: show the log of a log-writes target, or do it once more. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "clients/replay.h"
#include "clients/wlog.h"
#include "common/args.h"

/* One run of the program. */
struct run {
  const char *log_path, *target; /* target NULL: only show */
  const char *from_mark, *to_mark, *check;
  uint64_t from, to;             /* the first and the last entry */
  unsigned check_at;             /* enum wlog_flags */

  struct wlog log;
  struct replay replay;
  uint64_t done, checks;
};

/* ------------------------------------------------------------------
 * Showing.
 */

static const struct {
  unsigned flag;
  const char *name;
} flag_names[] = {
  { WLOG_FLUSH, "flush" },
  { WLOG_FUA, "fua" },
  { WLOG_DISCARD, "discard" },
  { WLOG_MARK, "mark" },
  { WLOG_METADATA, "metadata" },
};

#define FLAG_NAMES (sizeof flag_names / sizeof flag_names[0])

static void
show_flags (unsigned flags)
{
  const char *comma = "";
  size_t i;

  if (!(flags & (WLOG_FLUSH | WLOG_DISCARD | WLOG_MARK))) {
    fputs ("write", stdout);
    comma = ",";
  }
  for (i = 0; i < FLAG_NAMES; i++)
    if (flags & flag_names[i].flag) {
      printf ("%s%s", comma, flag_names[i].name);
      comma = ",";
    }
}

/* The text is whatever the log has: it must not reach a terminal as it is. */
static void
show_mark (const char *mark)
{
  putchar (' ');
  for (; *mark; mark++)
    if (*mark > ' ' && *mark < 127 && *mark != '\\')
      putchar (*mark);
    else
      printf ("\\x%02x", (unsigned char) *mark);
}

static void
show_entry (const struct wlog_entry *entry)
{
  printf ("%" PRIu64 " %" PRIu64 " %" PRIu64 " ", entry->nr,
          entry->start_bytes / 512, entry->len_bytes / 512);
  show_flags (entry->flags);
  if (entry->mark)
    show_mark (entry->mark);
  putchar ('\n');
}

/* ------------------------------------------------------------------
 * Checking.
 */

/* The command's verdict; it finds in its environment what it has to judge. */
static int
run_check (struct run *run, const struct wlog_entry *entry,
           struct message *msg)
{
  char nr[24];
  int status, r = replay_sync (&run->replay, msg);

  if (r < 0)
    return r;
  snprintf (nr, sizeof nr, "%" PRIu64, entry->nr);
  setenv ("NBDM_ENTRY", nr, 1);
  setenv ("NBDM_TARGET", run->target, 1);
  setenv ("NBDM_MARK", entry->mark ? entry->mark : "", 1);
  fflush (stdout);
  status = system (run->check);
  if (status < 0)
    return message_set (msg, errno, "cannot run the check: %s",
                        strerror (errno));
  if (WIFSIGNALED (status))
    return message_set (msg, EIO, "entry %s: the check was ended by signal "
                        "%d", nr, WTERMSIG (status));
  if (status != 0)
    return message_set (msg, EIO, "entry %s: the check failed with status "
                        "%d", nr, WEXITSTATUS (status));
  run->checks++;
  return 0;
}

/* ------------------------------------------------------------------
 * The entries.
 */

static int
run_entry (struct run *run, const struct wlog_entry *entry,
           struct message *msg)
{
  int r;

  if (run->target == NULL) {
    show_entry (entry);
    return 0;
  }
  r = replay_entry (&run->replay, &run->log, entry, msg);
  if (r < 0)
    return r;
  run->done++;
  if (run->check && entry->flags & run->check_at)
    return run_check (run, entry, msg);
  return 0;
}

/* The number of the next entry with this mark. */
static int
run_find_mark (struct run *run, const char *mark, uint64_t *nr,
               struct message *msg)
{
  struct wlog_entry entry;
  bool found = false;
  int r = 1;

  while (!found && r > 0) {
    r = wlog_next (&run->log, &entry, msg);
    found = r > 0 && entry.nr >= run->from && entry.mark &&
      strcmp (entry.mark, mark) == 0;
    wlog_entry_reset (&entry);
  }
  if (found)
    *nr = run->log.nr;
  return found || r < 0 ? r : message_set (msg, ENOENT, "no mark '%s'", mark);
}

/* From marks to numbers, before anything is changed. */
static int
run_find_marks (struct run *run, struct message *msg)
{
  int r = 0;

  if (run->from_mark) {
    r = run_find_mark (run, run->from_mark, &run->from, msg);
    run->from++;
  }
  if (r >= 0 && run->to_mark)
    r = run_find_mark (run, run->to_mark, &run->to, msg);
  wlog_rewind (&run->log);
  return r < 0 ? r : 0;
}

static int
run_entries (struct run *run, struct message *msg)
{
  int r = 1;

  while (r > 0 && run->log.nr < run->to) {
    struct wlog_entry entry;

    r = wlog_next (&run->log, &entry, msg);
    if (r > 0 && entry.nr >= run->from) {
      int e = run_entry (run, &entry, msg);

      if (e < 0)
        r = e;
    }
    wlog_entry_reset (&entry);
  }
  return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------
 * The program.
 */

static int
complain (const char *about, const struct message *msg)
{
  fflush (stdout);
  fprintf (stderr, "nbdm-logreplay: %s: %s\n", about, msg->text);
  return EXIT_FAILURE;
}

/* Replayed onto itself a log would be gone before it has been read. */
static int
run_check_target (const struct run *run, struct message *msg)
{
  struct stat log, target;

  if (fstat (run->log.fd, &log) < 0 || fstat (run->replay.fd, &target) < 0)
    return message_set (msg, errno, "%s", strerror (errno));
  if ((log.st_dev == target.st_dev && log.st_ino == target.st_ino) ||
      (S_ISBLK (log.st_mode) && S_ISBLK (target.st_mode) &&
       log.st_rdev == target.st_rdev))
    return message_set (msg, EINVAL, "this is the log itself");
  return 0;
}

static int
run_replay (struct run *run)
{
  struct message msg = { "" };
  int r = replay_open (&run->replay, run->target, &msg);

  if (r < 0)
    return complain (run->target, &msg);
  r = run_check_target (run, &msg);
  if (r == 0)
    r = run_entries (run, &msg);
  if (r == 0)
    r = replay_sync (&run->replay, &msg);
  if (replay_close (&run->replay, &msg) < 0 || r < 0)
    return complain (run->target, &msg);
  printf ("%" PRIu64 " entries replayed", run->done);
  if (run->check)
    printf (", %" PRIu64 " checks passed", run->checks);
  putchar ('\n');
  return EXIT_SUCCESS;
}

static int
run_program (struct run *run)
{
  struct message msg = { "" };
  int r = wlog_open (&run->log, run->log_path, &msg);

  if (r < 0)
    return complain (run->log_path, &msg);
  r = run_find_marks (run, &msg);
  if (r == 0 && run->target)
    r = run_replay (run);
  else if (r == 0) {
    printf ("# %" PRIu64 " entries, blocks of %u bytes\n",
            run->log.nr_entries, run->log.block_bytes);
    r = run_entries (run, &msg);
  }
  wlog_close (&run->log);
  if (r < 0)
    return complain (run->log_path, &msg);
  return ferror (stdout) || fflush (stdout) ? EXIT_FAILURE : r;
}

static void __attribute__ ((noreturn))
usage (FILE *out)
{
  fputs ("usage: nbdm-logreplay [RANGE] LOG\n"
         "       nbdm-logreplay --replay=TARGET [--check=COMMAND "
         "[--check-at=KIND[,KIND...]]]\n"
         "                      [RANGE] LOG\n"
         "RANGE: [--from=N | --from-mark=TEXT] [--to=N | --to-mark=TEXT]\n",
         out);
  exit (out == stdout && fflush (out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void __attribute__ ((noreturn))
usage_error (const char *text)
{
  fprintf (stderr, "nbdm-logreplay: %s\n", text);
  usage (stderr);
}

static void
parse_number (const char *option, const char *word, uint64_t *out)
{
  if (args_parse_u64 (word, out) == 0 && *out > 0)
    return;
  fprintf (stderr, "nbdm-logreplay: --%s: '%s' is no number of an entry, "
           "which count from 1\n", option, word);
  exit (EXIT_FAILURE);
}

/* "flush,fua" */
static void
parse_kinds (char *words, unsigned *out)
{
  char *word, *save = NULL;
  size_t i;

  *out = 0;
  for (word = strtok_r (words, ",", &save); word;
       word = strtok_r (NULL, ",", &save)) {
    for (i = 0; i < FLAG_NAMES; i++)
      if (strcmp (word, flag_names[i].name) == 0)
        break;
    if (i == FLAG_NAMES) {
      fprintf (stderr, "nbdm-logreplay: --check-at: no kind '%s'\n", word);
      exit (EXIT_FAILURE);
    }
    *out |= flag_names[i].flag;
  }
}

enum option_id { OPT_REPLAY = 256, OPT_FROM, OPT_FROM_MARK, OPT_TO,
                 OPT_TO_MARK, OPT_CHECK, OPT_CHECK_AT, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
  { "replay", required_argument, NULL, OPT_REPLAY },
  { "from", required_argument, NULL, OPT_FROM },
  { "from-mark", required_argument, NULL, OPT_FROM_MARK },
  { "to", required_argument, NULL, OPT_TO },
  { "to-mark", required_argument, NULL, OPT_TO_MARK },
  { "check", required_argument, NULL, OPT_CHECK },
  { "check-at", required_argument, NULL, OPT_CHECK_AT },
  { "help", no_argument, NULL, OPT_HELP },
  { "version", no_argument, NULL, OPT_VERSION },
  { NULL }
};

static void
parse_option (struct run *run, int option)
{
  switch (option) {
  case OPT_REPLAY: run->target = optarg; break;
  case OPT_FROM: parse_number ("from", optarg, &run->from); break;
  case OPT_FROM_MARK: run->from_mark = optarg; break;
  case OPT_TO: parse_number ("to", optarg, &run->to); break;
  case OPT_TO_MARK: run->to_mark = optarg; break;
  case OPT_CHECK: run->check = optarg; break;
  case OPT_CHECK_AT: parse_kinds (optarg, &run->check_at); break;
  case OPT_HELP: usage (stdout);
  case OPT_VERSION:
    puts (PACKAGE_STRING);
    exit (EXIT_SUCCESS);
  default: usage (stderr);
  }
}

int
main (int argc, char **argv)
{
  struct run run = { .from = 1, .to = UINT64_MAX };
  int option;

  while ((option = getopt_long (argc, argv, "", long_options, NULL)) != -1)
    parse_option (&run, option);
  if (optind + 1 != argc)
    usage_error (optind == argc ? "no log" : "more than one log");
  if (run.target == NULL && (run.check || run.check_at))
    usage_error ("--check and --check-at are of --replay");
  if (run.check == NULL && run.check_at)
    usage_error ("--check-at is of --check");
  if ((run.from_mark && run.from != 1) ||
      (run.to_mark && run.to != UINT64_MAX))
    usage_error ("an entry or a mark, not both");
  if (run.check_at == 0)
    run.check_at = WLOG_FLUSH;
  run.log_path = argv[optind];
  return run_program (&run);
}
