/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of nbdmsetup share: options, devices, tables, verbs. */

#ifndef NBDM_NBDMSETUP_H
#define NBDM_NBDMSETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clients/client.h"

struct graph;
struct json_t;
struct selection;

/* dmsetup 1.02.185 is the model down to the wording of errors: whoever knows
 * it, and every script that parses it, knows nbdmsetup.  Observed with Linux
 * 6.1.  Functions that can fail have written to stderr what has to be said
 * when they return a negative value (-errno where that matters).
 */

/* ------------------------------------------------------------------
 * options.c
 */
enum number_form { FORM_DEVNO, FORM_BLKDEVNAME, FORM_DEVNAME };

struct options {
  /* Flags are int because getopt_long writes them. */
  int help, version, status;
  int notable, force, retry, columns, noheadings, nameprefixes, unquoted;
  int setuuid, deferred, remove, merge;
  int concise, group, json, rows, showkeys, tree, unbuffered;
  int readonly, noflush, nolockfs, inactive; /* see flags */
  int addnodeonresume, addnodeoncreate;
  int ignored;               /* by something that we have not: udev, nodes … */
  int verbose;

  const char *control, *table, *target, *uuid, *separator;
  const char *cow, *size;    /* of a new snapshot */
  const char *exec;          /* the command of ls and table */
  const char *fields, *sort; /* -o and -O, as given */
  const char *select;        /* -S */
  unsigned interval, count;  /* seconds, and how often; 0: not given */
  enum number_form form;     /* -o of ls and deps */
  bool has_dev;              /* -j and -m */
  uint64_t dev;              /* ioctl's encoding */
  uint32_t flags;            /* DM_*_FLAG that the options ask of any verb */
};

/* Fill in options and leave in argv, from optind on, what is not an option. */
int options_parse (int argc, char **argv, struct options *options);

/* Those of ls and deps are words, those of info -c fields: -o can be judged
 * only when the verb is known.
 */
int options_parse_form (struct options *options);

/* ------------------------------------------------------------------
 * session.c
 */

/* One run of the program.  Zero-initialise but for client. */
struct session {
  struct options options;
  struct client client;
  int argc;                  /* words behind the verb */
  char **argv;
  struct json_t *json;       /* what is to be printed with --json */
  struct graph *graph;       /* session_graph */
  struct selection *selection; /* -S, parsed; or NULL */
};

void session_reset (struct session *s);

/* Connect unless connected; does not return if that fails. */
void session_connect (struct session *s);

/* All devices, read from the server the first time.  The session's. */
int session_graph (struct session *s, struct graph **graph);

/* 1 if -S selects the device of this reply (or there is no -S), 0 if not. */
int session_selects (struct session *s, const struct dm_ioctl *dmi);

/* A line on stderr with what the server tells of an error. */
void print_message (const char *text);

/* ------------------------------------------------------------------
 * device.c
 */

/* Which device a call is about: by name if not NULL, else by uuid if not NULL,
 * else by number.
 */
struct device {
  const char *name;
  const char *uuid;
  uint64_t dev;
  uint64_t shown_dev;  /* not sent, only told in errors */
  uint64_t listed_dev; /* the number, if device_each_listed has found it */
};

/* The device that word names (with or without /dev/mapper/ before it), or if
 * word is NULL the one that -u or -j and -m name.
 */
int device_select (struct session *s, const char *word, struct device *device);

/* A new device's name. */
int device_check_new_name (const char *name);
int device_check_uuid (const char *uuid);

/* client_call on device with the flags of the options, errors printed.  call
 * is the caller's: zeroed but for what the command needs, call_reset at the
 * end whatever happens.
 */
int device_call (struct session *s, const struct device *device,
                 uint32_t command, struct call *call);

/* The same for commands that take nothing and of which only success counts. */
int device_simple (struct session *s, const struct device *device,
                   uint32_t command, uint32_t flags);

/* Print an error of our own reading of a reply, if r is one; returns r. */
int reply_check (int r);

/* The name of a device, also of one known by uuid or number, as its reply to
 * a status tells it; *length its live table's, in sectors.
 */
int device_measure (struct session *s, const struct device *device,
                    char name[DM_NAME_LEN], uint64_t *length);

/* Run fn on each device that the words name, or -u or -j and -m; none at all:
 * every device there is if all is true or -S selects some.  Stops at the first
 * failure.  several: the output must say whose it is.
 */
typedef int (*device_fn) (struct session *s, const struct device *device,
                          bool several);
int device_each (struct session *s, bool all, device_fn fn);

/* Run fn on every device there is and -S selects, ascending by name; say
 * if_none, if not NULL, when there is none at all.
 */
int device_each_listed (struct session *s, device_fn fn, const char *if_none);

/* The long form of info, and the same if -v was given. */
void device_print_info (const struct dm_ioctl *reply);
void device_print_verbose (struct session *s, const struct call *call);

/* ------------------------------------------------------------------
 * table.c
 */

/* A table as the payload of DM_TABLE_LOAD. */
struct table {
  char *payload; /* malloc'ed */
  size_t bytes;
  unsigned targets;
};

/* From --table, else from file, else (file NULL) from standard input. */
int table_read (struct session *s, const char *file, struct table *table);

/* All of the file (standard input if NULL); *text is malloc'ed. */
int read_text (const char *file, char **text);

/* From a table's text, which is changed by that. */
int table_parse_text (char *text, const char *where, struct table *table);

/* One target without parameters over [0, length). */
int table_error (uint64_t length, struct table *table);

void table_reset (struct table *table);

/* ------------------------------------------------------------------
 * concise.c: devices and tables in one line.
 *
 *   NAME,UUID,MINOR,FLAGS,TABLE[,TABLE...][;...]
 *
 * A backslash takes the next character's meaning away.
 */
struct concise {
  const char *name, *uuid;
  bool has_minor, readonly;
  unsigned minor;
  char *table;         /* lines */
};

/* Run fn on each device of text, which is changed by that; stops at the first
 * failure.
 */
int concise_each (char *text,
                  int (*fn) (struct session *s, const struct concise *device),
                  struct session *s);

/* The first four fields, then each line, without anything between devices. */
void concise_print_device (const struct dm_ioctl *dmi);
void concise_print_line (uint64_t start, uint64_t length, const char *type,
                         const char *params);

/* ------------------------------------------------------------------
 * json.c: with --json replies become one JSON text on standard output.
 */

/* Begin an array; what comes then goes into it. */
int json_begin_list (struct session *s);

/* Put object into the list, or make it all there is.  Takes object over; it
 * may be NULL, for want of memory.
 */
int json_put (struct session *s, struct json_t *object);

struct json_t *json_text (const char *text);

/* name, uuid, major and minor, alone or with all else info shows. */
struct json_t *json_device (const struct dm_ioctl *dmi);
struct json_t *json_info (const struct dm_ioctl *dmi);

/* Print what there is. */
int json_end (struct session *s);

/* ------------------------------------------------------------------
 * progress.c: what takes longer than a second is told on a terminal.
 */

/* To be called once, before the first connection. */
void progress_init (struct client *client);

/* What is being waited for: device may be NULL.  Both are kept. */
void progress_about (const char *what, const char *device);

/* The at-th (from 0) of n devices is next. */
void progress_step (size_t at, size_t n);

/* Take away what is on the terminal. */
void progress_clear (void);

/* ------------------------------------------------------------------
 * group.c, exec.c, cmd-status.c
 */

/* Suspend or resume all devices that the words or -S name, or none. */
int group_run (struct session *s, enum nbdm_command command);

/* The reply's text, with an end of line. */
void print_lines (FILE *out, const struct own_call *call);

/* Run the words of command (no shell) with /dev/mapper/NAME as the last one,
 * and wait for its end.  Fails only for want of words or memory.
 */
int run_command (const char *command, const char *name);

/* What precedes the lines of a device: once the info block if -v was given,
 * its name on each line if there are several.
 */
void print_head (struct session *s, const struct device *device,
                 bool several, const struct call *call, bool first);

/* ------------------------------------------------------------------
 * tree.c
 */

/* -o of ls --tree. */
int tree_check_options (const char *list);
int cmd_ls_tree (struct session *s);

/* ------------------------------------------------------------------
 * The verbs: cmd-*.c.  0, or negative when something has failed.
 */
int cmd_create (struct session *s);
int cmd_load (struct session *s);
int cmd_reload (struct session *s);
int cmd_wipe_table (struct session *s);
int cmd_remove (struct session *s);
int cmd_remove_all (struct session *s);

int cmd_suspend (struct session *s);
int cmd_resume (struct session *s);
int cmd_clear (struct session *s);
int cmd_rename (struct session *s);
int cmd_message (struct session *s);
int cmd_setgeometry (struct session *s);
int cmd_wait (struct session *s);

int cmd_ls (struct session *s);
int cmd_status (struct session *s);
int cmd_table (struct session *s);
int cmd_measure (struct session *s);
int cmd_deps (struct session *s);
int cmd_targets (struct session *s);
int cmd_target_version (struct session *s);
int cmd_version (struct session *s);
int cmd_info (struct session *s);

int cmd_dump (struct session *s);
int cmd_snapshot (struct session *s);
int cmd_extents (struct session *s);
int cmd_metrics (struct session *s);
int cmd_stat (struct session *s);
int cmd_mknodes (struct session *s);
int cmd_help (struct session *s);

/* Read the table files again, or tell what came of it (--status). */
int files_reload (struct session *s);

#endif /* NBDM_NBDMSETUP_H */
