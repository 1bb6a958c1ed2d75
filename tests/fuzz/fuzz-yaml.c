/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: table files, and the tables in them. */

/* One input is a file.  It is read; what could be read must come back the same
 * after it was written; and its devices are built as check=true does, which
 * changes nothing.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "server/dm-core.h"
#include "server/edge.h"
#include "tests/lib/folder.h"
#include "tests/lib/memdev.h"

static struct folder folder;
static char path[sizeof folder.path + 16];
static struct reload *reload;
static struct memdev *devices[2];

static void
fuzz_teardown (void)
{
  unsigned i;

  reload_free (reload);
  for (i = 0; i < 2; i++) {
    devices_remove (&devices[i]->bdev);
    memdev_free (devices[i]);
  }
  folder_remove (&folder);
}

static void
fuzz_setup (void)
{
  unsigned i;

  fuzz_be_quiet ();
  folder_make (&folder);
  folder_sparse (&folder, "disk", 1 << 20);
  snprintf (path, sizeof path, "%s/tables", folder.path);
  for (i = 0; i < 2; i++) {
    devices[i] = memdev_new (i ? "mem1" : "mem0", 1024);
    devices_add (&devices[i]->bdev);
  }
  reload = reload_new (NULL, path);
  atexit (fuzz_teardown);
}

static void
fuzz_write (const void *data, size_t size)
{
  int fd = open (path, O_CREAT | O_WRONLY | O_TRUNC, 0600);

  fuzz_must (fd >= 0 && write (fd, data, size) == (ssize_t) size &&
             close (fd) == 0, "cannot write the file");
}

/* NULL: it could not be read, and the message says where. */
static struct config *
fuzz_read (void)
{
  struct message msg = { "" };
  struct config *config = NULL;

  if (config_read (path, &config, &msg) == 0)
    return config;
  fuzz_must (config == NULL && strncmp (msg.text, path, strlen (path)) == 0,
             "an error without its place");
  return NULL;
}

/* Normalised; what was read is UTF-8. */
static char *
fuzz_normalise (const struct config *config, size_t *len)
{
  char *text = NULL;
  FILE *fp = open_memstream (&text, len);

  fuzz_must (fp && config_write (config, fp) == 0 && fclose (fp) == 0,
             "what was read cannot be written");
  return text;
}

static void
fuzz_round_trip (const struct config *config)
{
  size_t len, again_len;
  char *text = fuzz_normalise (config, &len), *again;
  struct config *copy;

  fuzz_write (text, len);
  copy = fuzz_read ();
  fuzz_must (copy != NULL, "what was written cannot be read");
  again = fuzz_normalise (copy, &again_len);
  fuzz_must (len == again_len && memcmp (text, again, len) == 0,
             "what was written reads as something else");
  config_free (copy);
  free (text);
  free (again);
}

/* A server would be looked for, and anything else tried to be opened. */
static bool
fuzz_reaches_out (const struct config *config)
{
  size_t i, j;

  for (i = 0; i < config->nr_backings; i++)
    if (config->backings[i].is_nbd ||
        strncmp (config->backings[i].target, folder.path,
                 strlen (folder.path)) != 0)
      return true;
  for (i = 0; i < config->nr_devices; i++)
    for (j = 0; j < config->devices[i].nr_lines; j++)
      if (strchr (config->devices[i].lines[j].params, '/'))
        return true;
  return false;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool ready;
  struct config *config;
  struct message msg = { "" };

  if (!ready)
    fuzz_setup ();
  ready = true;
  fuzz_write (data, size);
  config = fuzz_read ();
  if (config == NULL)
    return 0;
  fuzz_round_trip (config);
  if (!fuzz_reaches_out (config))
    fuzz_must (reload_check (reload, NULL, &msg) == 0 || msg.text[0],
               "refused without a message");
  config_free (config);
  return 0;
}
