/* SPDX-License-Identifier: BSD-3-Clause */
/* What a word in a table means, and what a table has open. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/cleanup.h"
#include "server/dm-core.h"

#define DEVICE_FOLDER "/dev/mapper/"

/* One per device and table.  Exactly one of md and outside is set. */
struct table_dev {
  struct dm_dev dev;
  struct list link;          /* dm_table.devs */
  struct tree_node by_device; /* dm_table.by_device */
  struct mapped_device *md;  /* opened by registry_open … */
  struct md_edge *edge;      /* … which made this */
  struct outside *outside;   /* counted */
  bool writable;             /* the mode that is wanted of outside */
};

/* ------------------------------------------------------------------
 * The shapes of words.
 */

static bool
word_is_uri (const char *word)
{
  static const char *const schemes[] = {
    "nbd:", "nbds:", "nbd+", "nbds+", NULL
  };
  unsigned i;

  if (strstr (word, "://"))
    return true;
  for (i = 0; schemes[i]; i++)
    if (strncmp (word, schemes[i], strlen (schemes[i])) == 0)
      return true;
  return false;
}

/* MAJ:MIN, decimal, nothing after.  The caller checks the range. */
static bool
word_is_number (const char *word)
{
  size_t major = strspn (word, "0123456789");
  size_t minor;

  if (major == 0 || word[major] != ':')
    return false;
  minor = strspn (word + major + 1, "0123456789");
  return minor > 0 && word[major + 1 + minor] == '\0';
}

static const struct dm_backing *
backings_find (const struct dm_backings *backings, const char *name)
{
  size_t i;

  for (i = 0; backings && i < backings->nr; i++)
    if (strcmp (backings->list[i].name, name) == 0)
      return &backings->list[i];
  return NULL;
}

/* What tables that name no backings of their own use; held, perhaps NULL. */
static struct dm_backings *
registry_hold_backings (struct registry *reg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->backings_latch);
  return reg->backings ? dm_backings_get (reg->backings) : NULL;
}

/* ------------------------------------------------------------------
 * From words to devices.  Each function fills in td->md, held by registry_find
 * but not opened yet, or td->outside, counted.
 */

static int
word_to_outside (struct dm_table *t, const char *name, const char *target,
                 const struct bdev_options *options, struct table_dev *td,
                 struct message *msg)
{
  struct outside_key key = { .name = name, .target = target,
                             .options = *options, .writable = td->writable };

  key.options.check = t->lookup && t->lookup->check;
  return outside_get (&key, &td->outside, msg);
}

static int
word_to_path (struct dm_table *t, const char *path, struct table_dev *td,
              struct message *msg)
{
  static const struct bdev_options no_options;
  /* Two spellings of one file share one device. */
  char *CLEANUP_FREE real = realpath (path, NULL);
  const char *name = real ? real : path;

  return word_to_outside (t, name, name, &no_options, td, msg);
}

static int
word_to_name (struct dm_table *t, const char *name, struct table_dev *td,
              struct message *msg)
{
  td->md = registry_find_name (t->md->registry, name);
  return td->md ? 0 : message_set (msg, ENODEV, "no device '%s' in the "
                                   "registry", name);
}

static int
word_to_number (struct dm_table *t, const char *word, struct table_dev *td,
                struct message *msg)
{
  char digits[16];
  const char *colon = strchr (word, ':');
  uint32_t major, minor;
  int n = snprintf (digits, sizeof digits, "%.*s", (int) (colon - word), word);

  if (n >= (int) sizeof digits ||
      args_parse_u32 (digits, &major) < 0 || major >= 1 << 12 ||
      args_parse_u32 (colon + 1, &minor) < 0 || minor >= 1 << 20)
    return message_set (msg, EOVERFLOW, "'%s' is not a device number", word);
  if (major == DM_BLOCK_MAJOR) {
    td->md = registry_find_minor (t->md->registry, minor);
    if (td->md)
      return 0;
  }
  if (major == BACKING_BLOCK_MAJOR)
    return outside_get_number (DM_NUMBER (major, minor), td->writable,
                               &td->outside, msg);
  return message_set (msg, ENXIO, "no device has the number %s", word);
}

/* 1 if no backing has that name. */
static int
word_to_backing (struct dm_table *t, const char *word, struct table_dev *td,
                 struct message *msg)
{
  struct dm_backings *held = NULL;
  const struct dm_backings *backings = t->lookup ? t->lookup->backings : NULL;
  const struct dm_backing *b;
  int r = 1;

  if (backings == NULL)
    backings = held = registry_hold_backings (t->md->registry);
  b = backings_find (backings, word);
  if (b)
    r = word_to_outside (t, b->name, b->target, &b->options, td, msg);
  dm_backings_put (held);
  return r;
}

/* A name without a slash is a file only if there is one; with a slash it can
 * be nothing else.
 */
static int
word_to_relative (struct dm_table *t, const char *word, struct table_dev *td,
                  struct message *msg)
{
  const char *base = t->lookup ? t->lookup->base_dir : NULL;
  char *CLEANUP_FREE path = NULL;
  bool is_path = strchr (word, '/') != NULL;

  if (base == NULL)
    return message_set (msg, ENODEV, is_path ?
                        "'%s' is a relative path, but the table is from no "
                        "file" : "'%s': no such backing or device", word);
  if (asprintf (&path, "%s/%s", base, word) < 0) {
    path = NULL;
    return message_set (msg, ENOMEM, "out of memory");
  }
  if (!is_path && access (path, F_OK) < 0)
    return message_set (msg, ENODEV, "'%s': no such backing, device or file",
                        word);
  return word_to_path (t, path, td, msg);
}

/* The order of the meanings is part of the language of tables. */
static int
word_to_device (struct dm_table *t, const char *word, struct table_dev *td,
                struct message *msg)
{
  static const struct bdev_options no_options;
  int r;

  td->outside = outside_find_handed_in (word);
  if (td->outside)
    return 0;
  if (strncmp (word, DEVICE_FOLDER, strlen (DEVICE_FOLDER)) == 0)
    return word_to_name (t, word + strlen (DEVICE_FOLDER), td, msg);
  if (word[0] == '/')
    return word_to_path (t, word, td, msg);
  if (word_is_uri (word))
    return word_to_outside (t, word, word, &no_options, td, msg);
  if (word_is_number (word))
    return word_to_number (t, word, td, msg);
  r = word_to_backing (t, word, td, msg);
  if (r <= 0)
    return r;
  if (word_to_name (t, word, td, NULL) == 0)
    return 0;
  return word_to_relative (t, word, td, msg);
}

/* ------------------------------------------------------------------
 * A table's devices.
 */

static const void *
table_dev_key (const struct table_dev *td)
{
  return td->md ? (const void *) td->md : td->outside;
}

int
table_compare_device (const void *key, const struct tree_node *node)
{
  const void *other = table_dev_key (container_of (node, struct table_dev,
                                                   by_device));

  return (key > other) - (key < other);
}

static struct table_dev *
table_find_device (struct dm_table *t, const struct table_dev *like)
{
  struct tree_node *node = tree_find (&t->by_device, table_dev_key (like));

  return node ? container_of (node, struct table_dev, by_device) : NULL;
}

static void
table_dev_release (struct dm_table *t, struct table_dev *td)
{
  if (td->md)
    registry_close (t->md->registry, td->md, td->edge);
  else
    outside_put (td->outside);
}

/* What the table has already is not opened twice; otherwise found becomes its
 * newest device.  Uses up found's hold.
 */
static int
table_use_device (struct dm_table *t, struct table_dev *found,
                  struct table_dev **out, struct message *msg)
{
  struct table_dev *td = table_find_device (t, found);
  int r = 0;

  *out = td;
  if (found->md) {
    if (td == NULL)
      r = registry_open (t->md->registry, found->md, t->md, found->writable,
                         &found->edge, msg);
    md_put (found->md);
  }
  else if (td)
    outside_put (found->outside);
  if (r < 0 || td)
    return r;

  td = malloc (sizeof *td);
  if (td == NULL) {
    table_dev_release (t, found);
    return message_set (msg, ENOMEM, "out of memory");
  }
  *td = *found;
  td->dev.bdev = td->md ? &td->md->bdev : outside_bdev (td->outside);
  list_add_head (&t->devs, &td->link);
  tree_add (&t->by_device, table_dev_key (td), &td->by_device);
  *out = td;
  return 0;
}

int
dm_get_device_for (struct dm_target *ti, const char *word, bool writable,
                   struct dm_dev **dev)
{
  struct message msg = { "" };
  struct table_dev found = { .writable = writable }, *td;
  int r;

  r = word_to_device (ti->table, word, &found, &msg);
  if (r == 0)
    r = table_use_device (ti->table, &found, &td, &msg);
  if (r < 0)
    return dm_target_error (ti, -r, "Device lookup failed: %s",
                            message_is_set (&msg) ? msg.text : strerror (-r));
  *dev = &td->dev;
  return 0;
}

int
dm_get_device (struct dm_target *ti, const char *word, struct dm_dev **dev)
{
  return dm_get_device_for (ti, word, !ti->table->readonly, dev);
}

void
table_put_devices (struct dm_table *t)
{
  struct table_dev *td, *tmp;

  list_for_each_safe (td, tmp, &t->devs, link) {
    list_del (&td->link);
    table_dev_release (t, td);
    free (td);
  }
}

void
table_for_each_device (struct dm_table *t,
                       void (*fn) (struct dm_dev *dev, void *opaque),
                       void *opaque)
{
  struct table_dev *td;

  list_for_each (td, &t->devs, link)
    fn (&td->dev, opaque);
}

/* ------------------------------------------------------------------
 * From devices back to words.
 */

/* True if the plain name of a device of the registry would be taken for
 * something else.
 */
static bool
name_is_ambiguous (struct registry *reg, const char *name)
{
  struct dm_backings *backings = registry_hold_backings (reg);
  bool is_backing = backings_find (backings, name) != NULL;

  dm_backings_put (backings);
  return is_backing || word_is_uri (name) || word_is_number (name);
}

static void
word_print (FILE *out, const char *word)
{
  for (; *word; word++) {
    if (strchr (" \t\n\v\f\r\\", *word))
      putc ('\\', out);
    putc (*word, out);
  }
}

void
dm_device_print (FILE *out, struct dm_dev *dev)
{
  struct table_dev *td = container_of (dev, struct table_dev, dev);
  char name[DM_NAME_LEN];

  if (td->md == NULL) {
    word_print (out, dev->bdev->name);
    return;
  }
  md_copy_name (td->md, name);
  if (name_is_ambiguous (td->md->registry, name))
    fputs (DEVICE_FOLDER, out);
  word_print (out, name);
}
