/* SPDX-License-Identifier: BSD-3-Clause */
/* One YAML file as a tree: yaml.c makes it, schema.c walks it; and after. */

#ifndef NBDM_NODE_H
#define NBDM_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/message.h"
#include "config/config.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/* An alias is the node it stands for, so a node can have several parents (but
 * is never below itself).
 */
struct node {
  enum node_kind kind;
  struct config_mark mark;
  const char *text;       /* scalar: without NUL inside */
  bool plain;             /* scalar without quotes: may be a number, true … */
  bool literal;           /* block scalar '|': its n-th line (from 0) is line
                             mark.line + 1 + n of the file */
  struct node **children; /* list: items; map: key, value, key, value … */
  size_t nr_children;

  size_t bytes;           /* of text below it, aliases unfolded */
  bool open;              /* yaml.c: being visited */
};

struct node_tree {
  const struct node *root; /* NULL: the file has no content */
  struct node *nodes;      /* all of them */
  size_t nr_nodes;
  void *document;          /* libyaml's, which owns the texts */
};

/* Read the file whose text is at most 16 MiB.  What holds afterwards of the
 * tree: one document, keys are scalars and unique in their map, no merge keys,
 * no tags, at most 16 levels, no cycles, and walking all of it meets at most
 * 64 MiB of text.  0, -EINVAL with "FILE:LINE:COLUMN: …", -errno of reading
 * with "FILE: …".  file is not copied: marks point to it.
 */
int yaml_read (const char *file, struct node_tree *tree, struct message *msg);

void yaml_release (struct node_tree *tree); /* harmless on zeroes */

/* schema.c: append what the tree of one file says to config.  dir, absolute,
 * is where its relative paths start.  -EINVAL with a message, -ENOMEM; config
 * then holds a part, good for config_free only.
 */
int schema_read (const struct node *root, const char *dir,
                 struct config *config, struct message *msg);

/* schema.c to snapshots.c: an entry of `snapshots`.  Its name, uuid … are in
 * device, which has no table yet.
 */
struct config_snapshot {
  struct config_device device; /* first */
  size_t origin;               /* index of the device that it is below */
  char *cow;                   /* NULL: NAME.cow */
  uint64_t chunk_bytes;        /* 0: the default */
};

/* snapshots.c, after all files: make devices of config->snapshots.  A device
 * that has some becomes a snapshot-origin, and unless its table is a single
 * linear line from the start of something, a hidden device gets that table.
 * -EINVAL with a message, -ENOMEM.
 */
int snapshots_expand (struct config *config, struct message *msg);

/* config.c: the device has no table then. */
void config_free_lines (struct config_device *device);

/* After all files: names and uuids are used once.  -EINVAL naming both
 * places, -ENOMEM.
 */
int schema_check_unique (const struct config *config, struct message *msg);

#endif /* NBDM_NODE_H */
