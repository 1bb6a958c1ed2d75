/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface of a registry of its own, called without a socket. */

#include "tests/lib/ioctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/request.h"

struct registry *ioctl_registry;
struct dm_wait ioctl_wait;
struct dm_ioctl_call ioctl_call;
int ioctl_fired;

static void
ioctl_must (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, ioctl_call.message.text);
  abort ();
}

void
ioctl_setup (void)
{
  ioctl_registry = registry_new ();
  ioctl_must (ioctl_registry != NULL, "registry");
  dm_wait_init (&ioctl_wait);
  ioctl_fired = 0;
}

void
ioctl_teardown (void)
{
  registry_shutdown (ioctl_registry, 0);
  registry_free (ioctl_registry);
  dm_wait_destroy (&ioctl_wait);
}

void
ioctl_fire (struct dm_event_waiter *waiter)
{
  ioctl_fired++;
}

int
ioctl_run_raw (uint32_t command, void *request, size_t length)
{
  int r;

  ioctl_call = (struct dm_ioctl_call) {
    .command = command,
    .buffer = malloc (length > 0 ? length : 1),
    .length = length,
    .wait = &ioctl_wait,
    .waiter.fire = ioctl_fire,
  };
  memcpy (ioctl_call.buffer, request, length);
  r = dm_ioctl_call (ioctl_registry, &ioctl_call);
  if (r == -EINPROGRESS)
    return r;
  ioctl_must (ioctl_call.length <= length, "length of reply");
  memcpy (request, ioctl_call.buffer, ioctl_call.length);
  free (ioctl_call.buffer);
  return r;
}

int
ioctl_run (uint32_t command, struct dm_ioctl *request)
{
  return ioctl_run_raw (command, request, request->data_size);
}

int
ioctl_run_named (uint32_t command, const char *name, uint32_t flags)
{
  struct dm_ioctl *request = request_new (sizeof (struct dm_ioctl), name);
  int r;

  request->flags = flags;
  r = ioctl_run (command, request);
  free (request);
  return r;
}

void
ioctl_create (const char *name, const char *uuid)
{
  struct dm_ioctl *request = request_new (sizeof (struct dm_ioctl), name);

  strcpy (request->uuid, uuid);
  ioctl_must (ioctl_run (DM_DEV_CREATE_CMD, request) == 0, "create");
  free (request);
}

void
ioctl_activate (const char *name, unsigned targets)
{
  const size_t size = sizeof (struct dm_ioctl) + 48 * targets;
  struct dm_ioctl *request = request_new (size, name);
  unsigned i;

  for (i = 0; i < targets; i++)
    request_add_target (request, 8 * i, 8, "error", "");
  ioctl_must (ioctl_run (DM_TABLE_LOAD_CMD, request) == 0, "load");
  ioctl_must (ioctl_run_named (DM_DEV_SUSPEND_CMD, name, 0) == 0, "resume");
  free (request);
}

uint64_t
ioctl_number (const char *name)
{
  struct dm_info info;

  ioctl_must (dm_device_info (ioctl_registry, DM_REF_NAME (name), 0, &info,
                              NULL) == 0, "info");
  return info.dev;
}
