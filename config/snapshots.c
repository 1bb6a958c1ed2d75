/* SPDX-License-Identifier: BSD-3-Clause */
/* `snapshots` of a device: what its entries stand for. */

/* The same devices, tables and names as of `nbdmsetup snapshot`, so that what
 * it has made can be written down in this way.
 */
#include "config/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <linux/dm-ioctl.h>

#include "common/cleanup.h"
#include "common/snapshot.h"
#include "common/units.h"

#define SNAPSHOT_BLANKS " \t\n\v\f\r"

/* As one word of a table.  A table that is written out cannot say '#'. */
static int
snapshot_word (const struct config_mark *mark, const char *text, char **word,
               struct message *msg)
{
  char *p = *word = malloc (2 * strlen (text) + 1);

  if (p == NULL)
    return -ENOMEM;
  if (text[0] == '\0' || strchr (text, '#'))
    return config_error (mark, msg, "'%s' cannot be a word of a table", text);
  for (; *text; text++) {
    if (*text == '\\' || strchr (SNAPSHOT_BLANKS, *text))
      *p++ = '\\';
    *p++ = *text;
  }
  *p = '\0';
  return 0;
}

/* One line as long as the table was.  Takes params; NULL: -ENOMEM. */
static int
snapshot_set_line (struct config_device *device, uint64_t sectors,
                   const char *type, char *params)
{
  struct config_line *line = calloc (1, sizeof *line);

  if (line)
    *line = (struct config_line) { .len = sectors, .type = strdup (type),
                                   .params = params, .mark = device->mark };
  else
    free (params);
  device->lines = line;
  device->nr_lines = line != NULL;
  return line && line->type && line->params ? 0 : -ENOMEM;
}

static uint64_t
snapshot_sectors (const struct config_device *device)
{
  const struct config_line *last = &device->lines[device->nr_lines - 1];

  return last->start + last->len;
}

/* ------------------------------------------------------------------
 * The layer: DEVICE becomes a snapshot-origin, once.
 */

/* A single linear line from the start of something: that is the origin, as it
 * is written there.  NULL otherwise, or without memory.
 */
static char *
snapshot_plain_origin (const struct config_device *device)
{
  const struct config_line *line = device->lines;
  size_t len = strlen (line->params);

  if (device->nr_lines != 1 || strcmp (line->type, "linear") != 0 || len < 3 ||
      line->params[len - 1] != '0' ||
      !strchr (SNAPSHOT_BLANKS, line->params[len - 2]))
    return NULL;
  for (len -= 2; len > 0 && strchr (SNAPSHOT_BLANKS, line->params[len - 1]);)
    len--;
  return strndup (line->params, len);
}

/* A device that has the table, and is told what belongs to it. */
static int
snapshot_hide (struct config *config, struct config_device *device,
               struct message *msg)
{
  struct config_device *hidden = &config->devices[config->nr_devices++];

  *hidden = (struct config_device) {
    .readonly = device->readonly, .lines = device->lines,
    .nr_lines = device->nr_lines, .messages = device->messages,
    .nr_messages = device->nr_messages, .mark = device->mark
  };
  device->lines = NULL;
  device->messages = NULL;
  device->nr_lines = device->nr_messages = 0;
  if (strlen (device->name) + strlen (SNAPSHOT_REAL_SUFFIX) >= DM_NAME_LEN)
    return config_error (&device->mark, msg, "'%s' is too long a name for a "
                         "device with snapshots", device->name);
  if (asprintf (&hidden->name, "%s" SNAPSHOT_REAL_SUFFIX, device->name) < 0)
    hidden->name = NULL;
  hidden->uuid = strdup ("");
  hidden->description = strdup ("");
  hidden->base_dir = strdup (device->base_dir);
  return hidden->name && hidden->uuid && hidden->description &&
    hidden->base_dir ? 0 : -ENOMEM;
}

static int
snapshot_layer (struct config *config, struct config_device *device,
                struct message *msg)
{
  uint64_t sectors = snapshot_sectors (device);
  char *origin;
  int r = 0;

  if (device->nr_lines == 1 &&
      strcmp (device->lines[0].type, "snapshot-origin") == 0)
    return 0;
  origin = snapshot_plain_origin (device);
  if (origin)
    config_free_lines (device);
  else
    r = snapshot_hide (config, device, msg);
  if (r == 0 && origin == NULL)
    r = snapshot_word (&device->mark,
                       config->devices[config->nr_devices - 1].name, &origin,
                       msg);
  if (r < 0) {
    free (origin);
    return r;
  }
  return snapshot_set_line (device, sectors, "snapshot-origin", origin);
}

/* ------------------------------------------------------------------
 * The snapshots.
 */

/* Who may not use the device may not use a snapshot of it. */
static int
snapshot_inherit_rules (struct config_device *device,
                        const struct config_device *origin)
{
  if (device->restricted || !origin->restricted)
    return 0;
  device->rules = access_copy_rules (origin->rules, origin->nr_rules);
  if (device->rules == NULL)
    return -ENOMEM;
  device->restricted = true;
  device->nr_rules = origin->nr_rules;
  return 0;
}

static int
snapshot_table (const struct config_snapshot *snapshot,
                struct config_device *device,
                const struct config_device *origin, struct message *msg)
{
  uint64_t chunk = snapshot->chunk_bytes
    ? bytes_to_sectors (snapshot->chunk_bytes) : SNAPSHOT_CHUNK_SECTORS;
  char *CLEANUP_FREE file = NULL;
  char *CLEANUP_FREE cow = NULL;
  char *params;
  int r;

  if (snapshot->cow == NULL && asprintf (&file, "%s.cow", device->name) < 0) {
    file = NULL;
    return -ENOMEM;
  }
  r = snapshot_word (&device->mark, file ? file : snapshot->cow, &cow, msg);
  if (r < 0)
    return r;
  if (asprintf (&params, "%s %s P %" PRIu64, origin->lines[0].params, cow,
                chunk) < 0)
    params = NULL;
  return snapshot_set_line (device, snapshot_sectors (origin), "snapshot",
                            params);
}

static int
snapshot_expand (struct config *config, struct config_snapshot *snapshot,
                 struct message *msg)
{
  struct config_device *origin = &config->devices[snapshot->origin];
  struct config_device *device;
  int r = snapshot_layer (config, origin, msg);

  if (r < 0)
    return r;
  device = &config->devices[config->nr_devices++];
  *device = snapshot->device;
  snapshot->device = (struct config_device) { NULL };
  device->snapshot_of = strdup (origin->name);
  r = device->snapshot_of ? snapshot_inherit_rules (device, origin) : -ENOMEM;
  return r < 0 ? r : snapshot_table (snapshot, device, origin, msg);
}

int
snapshots_expand (struct config *config, struct message *msg)
{
  size_t i, n = config->nr_devices + 2 * config->nr_snapshots + 1;
  struct config_device *devices;
  int r = 0;

  if (config->nr_snapshots == 0)
    return 0;
  devices = reallocarray (config->devices, n, sizeof devices[0]);
  if (devices == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  config->devices = devices;
  for (i = 0; r == 0 && i < config->nr_snapshots; i++) {
    r = snapshot_expand (config, &config->snapshots[i], msg);
    free (config->snapshots[i].cow);
    config->snapshots[i].cow = NULL;
  }
  if (r == 0)
    config->nr_snapshots = 0;
  return r == -ENOMEM ? message_set (msg, ENOMEM, "out of memory") : r;
}
