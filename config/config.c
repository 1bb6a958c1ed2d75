/* SPDX-License-Identifier: BSD-3-Clause */
/* Which files make up a config, its lines of table text, its end. */

#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/args.h"
#include "common/cleanup.h"
#include "config/node.h"

int
config_error (const struct config_mark *mark, struct message *msg,
              const char *fmt, ...)
{
  char text[sizeof ((struct message *) NULL)->text];
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (text, sizeof text, fmt, ap);
  va_end (ap);
  return message_set (msg, EINVAL, "%s:%u:%u: %s", mark->file, mark->line,
                      mark->column, text);
}

/* ------------------------------------------------------------------
 * One line of a table.
 */

#define CONFIG_BLANKS " \t\n\v\f\r"

static void
config_trim_end (char *text)
{
  size_t len = strlen (text);

  while (len > 0 && strchr (CONFIG_BLANKS, text[len - 1]))
    text[--len] = '\0';
}

/* Cut the first word off; what follows it starts at the next one. */
static char *
config_cut_word (char **rest)
{
  char *word = *rest;
  size_t len = strcspn (word, CONFIG_BLANKS);
  char *next = word + len + strspn (word + len, CONFIG_BLANKS);

  word[len] = '\0';
  *rest = next;
  return word;
}

int
config_parse_line (char *text, struct config_line *line, struct message *msg)
{
  char *rest = text + strspn (text, CONFIG_BLANKS);
  char *start, *len;

  if (*rest == '\0' || *rest == '#')
    return 0;
  config_trim_end (rest);
  start = config_cut_word (&rest);
  len = config_cut_word (&rest);
  line->type = config_cut_word (&rest);
  line->params = rest;
  rest[strcspn (rest, "#")] = '\0';
  config_trim_end (rest);

  if (*line->type == '\0')
    return message_set (msg, EINVAL,
                        "not a table line: expected START LENGTH TYPE "
                        "[PARAMETERS]");
  if (args_parse_u64 (start, &line->start) < 0)
    return message_set (msg, EINVAL, "bad start sector '%s'", start);
  if (args_parse_u64 (len, &line->len) < 0)
    return message_set (msg, EINVAL, "bad length '%s'", len);
  return 1;
}

/* ------------------------------------------------------------------
 * Files.
 */

static int
config_is_table_file (const struct dirent *entry)
{
  size_t len = strlen (entry->d_name);

  return entry->d_name[0] != '.' && len > 5 &&
    strcmp (entry->d_name + len - 5, ".yaml") == 0;
}

/* Not alphasort, whose order depends on the locale. */
static int
config_compare_entries (const struct dirent **a, const struct dirent **b)
{
  return strcmp ((*a)->d_name, (*b)->d_name);
}

static int
config_list_folder (const char *path, struct config *config)
{
  struct dirent **entries;
  int i, n, r = 0;

  n = scandir (path, &entries, config_is_table_file, config_compare_entries);
  if (n < 0)
    return -errno;
  config->files = calloc (n + 1, sizeof config->files[0]);
  if (config->files == NULL)
    r = -ENOMEM;
  for (i = 0; i < n; i++) {
    if (r == 0 &&
        asprintf (&config->files[i], "%s/%s", path, entries[i]->d_name) < 0)
      r = -ENOMEM;
    if (r == 0)
      config->nr_files++;
    free (entries[i]);
  }
  free (entries);
  return r;
}

static int
config_list_file (const char *path, struct config *config)
{
  config->files = calloc (1, sizeof config->files[0]);
  if (config->files == NULL || (config->files[0] = strdup (path)) == NULL)
    return -ENOMEM;
  config->nr_files = 1;
  return 0;
}

static int
config_list_files (const char *path, struct config *config,
                   struct message *msg)
{
  struct stat st;
  int r;

  if (stat (path, &st) < 0)
    r = -errno;
  else if (S_ISDIR (st.st_mode))
    r = config_list_folder (path, config);
  else
    r = config_list_file (path, config);
  if (r < 0)
    message_set (msg, -r, "%s: %s", path, strerror (-r));
  return r;
}

static int
config_read_file (const char *file, struct config *config,
                  struct message *msg)
{
  const char *slash = strrchr (file, '/');
  char *CLEANUP_FREE dir = NULL;
  struct node_tree tree;
  int r;

  dir = slash > file ? strndup (file, slash - file) : strdup ("/");
  if (dir == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", file);
  r = yaml_read (file, &tree, msg);
  if (r < 0)
    return r;
  if (tree.root)
    r = schema_read (tree.root, dir, config, msg);
  if (r == -ENOMEM)
    message_set (msg, ENOMEM, "%s: out of memory", file);
  yaml_release (&tree);
  return r;
}

int
config_read (const char *path, struct config **out, struct message *msg)
{
  struct config *config = calloc (1, sizeof *config);
  size_t i;
  int r;

  if (config == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", path);
  r = config_list_files (path, config, msg);
  for (i = 0; r == 0 && i < config->nr_files; i++)
    r = config_read_file (config->files[i], config, msg);
  if (r == 0)
    r = snapshots_expand (config, msg);
  if (r == 0)
    r = schema_check_unique (config, msg);
  if (r < 0)
    config_free (config);
  else
    *out = config;
  return r;
}

/* ------------------------------------------------------------------ */

void
config_free_lines (struct config_device *device)
{
  size_t i;

  for (i = 0; i < device->nr_lines; i++) {
    free (device->lines[i].type);
    free (device->lines[i].params);
  }
  free (device->lines);
  device->lines = NULL;
  device->nr_lines = 0;
}

static void
config_free_device (struct config_device *device)
{
  size_t i;

  config_free_lines (device);
  for (i = 0; i < device->nr_messages; i++)
    free (device->messages[i]);
  access_free_rules (device->rules, device->nr_rules);
  free (device->messages);
  free (device->name);
  free (device->uuid);
  free (device->description);
  free (device->base_dir);
  free (device->snapshot_of);
}

void
config_free (struct config *config)
{
  size_t i;

  if (config == NULL)
    return;
  for (i = 0; i < config->nr_devices; i++)
    config_free_device (&config->devices[i]);
  for (i = 0; i < config->nr_snapshots; i++) {
    config_free_device (&config->snapshots[i].device);
    free (config->snapshots[i].cow);
  }
  for (i = 0; i < config->nr_backings; i++) {
    free (config->backings[i].name);
    free (config->backings[i].target);
  }
  for (i = 0; i < config->nr_files; i++)
    free (config->files[i]);
  free (config->devices);
  free (config->snapshots);
  free (config->backings);
  free (config->files);
  free (config);
}
