/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that load tables: create, load, wipe_table, remove and its -f. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "clients/reply.h"

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
create_run (struct session *s, const char *name, const struct table *table)
{
  struct device device = {
    .name = name,
    .uuid = s->options.uuid,
    .shown_dev = s->options.dev,
  };
  struct call created = {
    .request.flags = s->options.has_dev ? DM_PERSISTENT_DEV_FLAG : 0,
    .request.dev = s->options.dev,
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

int
cmd_create (struct session *s)
{
  struct table table = { NULL };
  int r = 0;

  if (s->argc == 0) {
    fprintf (stderr, "Please provide a name for the new device.\n");
    return -EINVAL;
  }
  if (device_check_new_name (s->argv[0]) < 0 ||
      (s->options.uuid && device_check_uuid (s->options.uuid) < 0))
    return -EINVAL;
  if (!s->options.notable)
    r = table_read (s, s->argc > 1 ? s->argv[1] : NULL, &table);
  if (r == 0)
    r = create_run (s, s->argv[0], &table);
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
  if (s->argc == 0 && !s->options.uuid && !s->options.has_dev &&
      !s->options.table)
    return files_reload (s);
  return cmd_load (s);
}

/* ------------------------------------------------------------------
 * wipe_table, remove
 */

/* Where the table ends; 0 without one, and also after an error, which has
 * been printed: the load that comes next fails, too, and ends the matter.
 */
static uint64_t
device_length (struct session *s, const struct device *device)
{
  struct call call = { .request.flags = DM_STATUS_TABLE_FLAG };
  struct reply_target target;
  struct reply_walk walk;
  uint64_t length = 0;

  if (device_call (s, device, DM_TABLE_STATUS_CMD, &call) == 0) {
    walk = reply_walk_targets (&call);
    while (reply_check (reply_next_target (&walk, &target)) > 0)
      length = target.start + target.length;
  }
  call_reset (&call);
  return length;
}

/* Make everything that is done to the device fail, whatever it waits for. */
static int
device_wipe (struct session *s, const struct device *device,
             uint32_t resume_flags)
{
  struct table table;
  int r = table_error (device_length (s, device), &table);

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
