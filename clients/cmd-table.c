/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that load tables: create, load, wipe_table, remove and its -f. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

/* reply, if not NULL, is the caller's to reset. */
static int
table_load (struct session *s, const struct device *device,
            const struct table *table, struct call *reply)
{
  struct call call = {
    .request.target_count = table->targets,
    .payload = table->payload,
    .payload_bytes = table->bytes,
  };
  int r = device_call (s, device, DM_TABLE_LOAD_CMD, &call);

  if (reply)
    *reply = call;
  else
    call_reset (&call);
  return r;
}

/* ------------------------------------------------------------------
 * create
 */

/* What is to be made. */
struct new_device {
  const char *name, *uuid;
  bool has_dev;
  uint64_t dev;
};

/* Load and resume a device just made; remove it again if that fails.  It is
 * addressed by name: unlike libdevmapper, which takes the user's -j for its
 * number, we need no right guess of the server's major.
 */
static int
create_start (struct session *s, struct device *device,
              const struct table *table, struct call *resumed)
{
  int r;

  device->uuid = NULL;
  r = table_load (s, device, table, NULL);
  if (r == 0) {
    device->shown_dev = 0;
    r = device_call (s, device, DM_DEV_SUSPEND_CMD, resumed);
  }
  if (r < 0 && device_simple (s, device, DM_DEV_REMOVE_CMD, 0) < 0)
    fprintf (stderr, "Failed to revert device creation.\n");
  return r;
}

static int
create_run (struct session *s, const struct new_device *new,
            const struct table *table)
{
  struct device device = {
    .name = new->name, .uuid = new->uuid, .shown_dev = new->dev,
  };
  struct call created = {
    .request.flags = new->has_dev ? DM_PERSISTENT_DEV_FLAG : 0,
    .request.dev = new->dev,
  };
  struct call resumed = { .reply = NULL };
  int r = device_call (s, &device, DM_DEV_CREATE_CMD, &created);

  if (r == 0 && table->targets > 0) {
    device.shown_dev = created.reply->dev;
    r = create_start (s, &device, table, &resumed);
  }
  if (r == 0)
    device_print_verbose (s, resumed.reply ? &resumed : &created);
  call_reset (&resumed);
  call_reset (&created);
  return r;
}

static int
create_check (const struct new_device *new)
{
  int r = device_check_new_name (new->name);

  return r == 0 && new->uuid ? device_check_uuid (new->uuid) : r;
}

static int
create_concise_one (struct session *s, const struct concise *device)
{
  const struct new_device new = {
    .name = device->name,
    .uuid = device->uuid,
    .has_dev = device->has_minor,
    .dev = device->has_minor ? dev_encode (DM_BLOCK_MAJOR, device->minor) : 0,
  };
  uint32_t flags = s->options.flags;
  struct table table = { NULL };
  int r = create_check (&new);

  if (r == 0)
    r = table_parse_text (device->table, "", &table);
  if (device->readonly)
    s->options.flags |= DM_READONLY_FLAG;
  if (r == 0)
    r = create_run (s, &new, &table);
  s->options.flags = flags;
  table_reset (&table);
  return r;
}

static int
create_concise (struct session *s)
{
  const struct options *o = &s->options;
  char *CLEANUP_FREE text = NULL;
  int r = 0;

  if (o->table || o->notable || o->uuid || o->has_dev || o->inactive) {
    fprintf (stderr, "--concise is incompatible with --[no]table, --minor, "
             "--uuid and --inactive.\n");
    return -EINVAL;
  }
  if (s->argc > 1) {
    fprintf (stderr, "nbdmsetup create --concise takes at most one "
             "argument\n");
    return -EINVAL;
  }
  if (s->argc == 1)
    text = strdup (s->argv[0]);
  else
    r = read_text (NULL, &text);
  if (r == 0 && text == NULL)
    r = -ENOMEM;
  return r < 0 ? r : concise_each (text, create_concise_one, s);
}

int
cmd_create (struct session *s)
{
  const struct new_device new = {
    .name = s->argc ? s->argv[0] : NULL,
    .uuid = s->options.uuid,
    .has_dev = s->options.has_dev,
    .dev = s->options.dev,
  };
  struct table table = { NULL };
  int r;

  if (s->options.concise)
    return create_concise (s);
  if (new.name == NULL) {
    fprintf (stderr, "Please provide a name for the new device.\n");
    return -EINVAL;
  }
  r = create_check (&new);
  if (r == 0 && !s->options.notable)
    r = table_read (s, s->argc > 1 ? s->argv[1] : NULL, &table);
  if (r == 0)
    r = create_run (s, &new, &table);
  table_reset (&table);
  return r;
}

/* ------------------------------------------------------------------
 * load, and reload when it names a device
 */
int
cmd_load (struct session *s)
{
  bool named = s->options.uuid || s->options.has_dev;
  const char *word = named || s->argc == 0 ? NULL : s->argv[0];
  const char *file = s->argc > !named ? s->argv[!named] : NULL;
  struct call call = { .reply = NULL };
  struct table table = { NULL };
  struct device device;
  int r;

  if (!named && s->argc == 0) {
    fprintf (stderr, "Please specify device.\n");
    return -EINVAL;
  }
  if (named && s->argc > 1) {
    fprintf (stderr, "Too many command line arguments.\n");
    return -EINVAL;
  }
  if (s->options.notable) {
    fprintf (stderr, "--notable only available when creating new device.\n");
    return -EINVAL;
  }
  r = device_select (s, word, &device);
  if (r == 0)
    r = table_read (s, file, &table);
  if (r == 0)
    r = table_load (s, &device, &table, &call);
  if (r == 0)
    device_print_verbose (s, &call);
  call_reset (&call);
  table_reset (&table);
  return r;
}

int
cmd_reload (struct session *s)
{
  if (s->argc > 0 && s->options.status) {
    fprintf (stderr, "--status is of the table files, not of a device.\n");
    return -EINVAL;
  }
  if (s->argc == 0 && !s->options.uuid && !s->options.has_dev &&
      !s->options.table)
    return files_reload (s);
  return cmd_load (s);
}

/* ------------------------------------------------------------------
 * wipe_table, remove
 */

/* Make everything that is done to the device fail, whatever it waits for. */
static int
device_wipe (struct session *s, const struct device *device,
             uint32_t resume_flags)
{
  char name[DM_NAME_LEN];
  uint64_t length = 0;
  struct table table;
  int r;

  /* If that fails so does the load, which ends the matter. */
  device_measure (s, device, name, &length);
  r = table_error (length, &table);

  if (r == 0)
    r = table_load (s, device, &table, NULL);
  if (r == 0) {
    r = device_simple (s, device, DM_DEV_SUSPEND_CMD, resume_flags);
    if (r < 0)
      device_simple (s, device, DM_TABLE_CLEAR_CMD, 0);
  }
  table_reset (&table);
  return r;
}

static int
wipe_one (struct session *s, const struct device *device, bool several)
{
  return device_wipe (s, device, 0);
}

int
cmd_wipe_table (struct session *s)
{
  return device_each (s, false, wipe_one);
}

#define FORCE_FLAGS (DM_NOFLUSH_FLAG | DM_SKIP_LOCKFS_FLAG)
#define RETRIES 25

static int
remove_one (struct session *s, const struct device *device, bool several)
{
  static const struct timespec pause = { .tv_nsec = 200 * 1000000 };
  uint32_t flags = s->options.deferred ? DM_DEFERRED_REMOVE : 0;
  int tries = s->options.retry ? RETRIES : 1;
  int r;

  /* As in dmsetup a failure of this one is printed, but decides nothing. */
  if (s->options.force)
    device_wipe (s, device, FORCE_FLAGS);
  while ((r = device_simple (s, device, DM_DEV_REMOVE_CMD, flags)) == -EBUSY &&
         --tries > 0)
    nanosleep (&pause, NULL);
  return r;
}

int
cmd_remove (struct session *s)
{
  return device_each (s, false, remove_one);
}

static int
wipe_listed (struct session *s, const struct device *device, bool several)
{
  device_wipe (s, device, FORCE_FLAGS);
  return 0;
}

int
cmd_remove_all (struct session *s)
{
  const struct device none = { .name = NULL };
  uint32_t flags = s->options.deferred ? DM_DEFERRED_REMOVE : 0;
  int r = device_simple (s, &none, DM_REMOVE_ALL_CMD, flags);

  if (r < 0 || !s->options.force)
    return r;
  r = device_each_listed (s, wipe_listed, NULL);
  return r < 0 ? r : device_simple (s, &none, DM_REMOVE_ALL_CMD, flags);
}
