/* SPDX-License-Identifier: BSD-3-Clause */
/* What table files say, as plain structures. */

#ifndef NBDM_CONFIG_H
#define NBDM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/message.h"
#include "config/access.h"

/* Where something stood: "tables.yaml:12:3".  Lines and columns from 1. */
struct config_mark {
  const char *file; /* owned by the config */
  unsigned line, column;
};

/* backings: NAME: {file: PATH | nbd: URI, …}.  Paths are absolute here. */
struct config_backing {
  char *name;
  char *target; /* absolute path or URI */
  bool is_nbd;
  bool direct, readonly;
  uint64_t offset_bytes, size_bytes;
  unsigned connections, reconnect, timeout;
  struct config_mark mark;
};

/* One line of a table, cut into its four parts but not interpreted further. */
struct config_line {
  uint64_t start, len; /* sectors */
  char *type;
  char *params;        /* "" if none; as written */
  struct config_mark mark;
};

struct config_device {
  char *name;
  char *uuid;          /* "" if none */
  char *description;   /* "" if none */
  bool readonly;
  bool export;
  bool restricted;     /* there is an allow: only those whom a rule admits */
  struct access_rule *rules;
  size_t nr_rules;
  struct config_line *lines;
  size_t nr_lines;
  char **messages;
  size_t nr_messages;
  char *base_dir;      /* absolute: what relative paths in lines start from */
  char *snapshot_of;   /* NULL, or the device that has it under `snapshots` */
  struct config_mark mark;
};

struct config_snapshot; /* while files are read */

/* Everything that a file, or the *.yaml of a folder in lexical order, says.
 * Devices and backings keep the order of the files.
 */
struct config {
  struct config_backing *backings;
  size_t nr_backings;
  struct config_device *devices;
  size_t nr_devices;
  struct config_snapshot *snapshots; /* those that are no devices yet: none
                                        after config_read */
  size_t nr_snapshots;
  char **files;        /* that were read */
  size_t nr_files;
};

/* "FILE:LINE:COLUMN: text" into msg; returns -EINVAL. */
int config_error (const struct config_mark *mark, struct message *msg,
                  const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Read path (absolute).  All or nothing: on an error 0 is not returned, *out
 * not written, and the message begins "FILE:LINE:COLUMN: " ("FILE: " if the
 * file could not be read).  Refused: anything
 * the schema (config/nbdm.schema.json) does not know, duplicate keys, a name
 * used twice (both places named) or for both a device and a backing, merge
 * keys, aliases that form a cycle or unfold to more than 64 MiB, files over
 * 16 MiB, names the registry would refuse.  Does not look at what a table
 * means: that is the constructors' business.
 * Entries of `snapshots` have become devices, with the tables and names that
 * `nbdmsetup snapshot` would have given them (nbdm.yaml(5)).
 * -EINVAL, -ENOENT … (reading), -ENOMEM.
 */
int config_read (const char *path, struct config **out, struct message *msg);

void config_free (struct config *config); /* NULL is harmless */

/* The same in normalised form: valid YAML that config_read reads back to an
 * equal config, in the same folder if tables hold relative paths.  0, -ENOMEM,
 * -EIO (out), or -EILSEQ for a string that is not UTF-8: YAML has no way to
 * write it (a name made over the control socket can be one).
 */
int config_write (const struct config *config, FILE *out);

/* Cut one line of dmsetup's text in place: 1 with *line pointing into text, 0
 * for a blank or comment line, -EINVAL.  From '#' on inside the parameters is
 * comment, as in dmsetup.  line->mark is not set.
 */
int config_parse_line (char *text, struct config_line *line,
                       struct message *msg);

#endif /* NBDM_CONFIG_H */
