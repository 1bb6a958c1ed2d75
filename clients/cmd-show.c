/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that only look: ls, status, table, deps, targets, version. */

#include "clients/nbdmsetup.h"

#include <stdio.h>
#include <string.h>

#include "clients/reply.h"

/* ------------------------------------------------------------------
 * status, table, and ls --target
 */
static bool
is_wanted (const struct session *s, const struct reply_target *target)
{
  return s->options.target == NULL ||
    strcmp (s->options.target, target->type) == 0;
}

/* What precedes the lines of a device: once the info block if -v was given,
 * its name on each line if there are several.
 */
static void
print_head (struct session *s, const struct device *device, bool several,
            const struct call *call, bool first)
{
  if (s->options.verbose) {
    if (first)
      device_print_info (call->reply);
  }
  else if (several)
    printf ("%s: ", device->name);
}

static int
print_targets (struct session *s, const struct device *device, bool several,
               const struct call *call)
{
  struct reply_walk walk = reply_walk_targets (call);
  struct reply_target target;
  bool first = true;
  int r;

  while ((r = reply_check (reply_next_target (&walk, &target))) > 0) {
    if (!is_wanted (s, &target))
      continue;
    print_head (s, device, several, call, first);
    printf ("%llu %llu %s %s\n", (unsigned long long) target.start,
            (unsigned long long) target.length, target.type, target.text);
    first = false;
  }
  if (r == 0 && call->reply->target_count == 0 && !s->options.target) {
    print_head (s, device, several, call, true);
    printf ("\n");
    first = false;
  }
  if (!first && several && s->options.verbose)
    printf ("\n");
  return r;
}

static int
status_call (struct session *s, const struct device *device, bool several,
             uint32_t flags)
{
  struct call call = { .request.flags = flags };
  int r = device_call (s, device, DM_TABLE_STATUS_CMD, &call);

  if (r == 0)
    r = print_targets (s, device, several, &call);
  call_reset (&call);
  return r;
}

/* With --target and no device named dmsetup still names what it finds. */
static int
status_one (struct session *s, const struct device *device, bool several)
{
  return status_call (s, device, several, 0);
}

int
cmd_status (struct session *s)
{
  return device_each (s, true, status_one);
}

static int
table_one (struct session *s, const struct device *device, bool several)
{
  return status_call (s, device, several, DM_STATUS_TABLE_FLAG);
}

int
cmd_table (struct session *s)
{
  return device_each (s, true, table_one);
}

/* ------------------------------------------------------------------
 * ls
 */
static int
ls_one (struct session *s, const struct device *device, bool several)
{
  unsigned major = dev_major (device->listed_dev);
  unsigned minor = dev_minor (device->listed_dev);

  printf ("%s\t", device->name);
  switch (s->options.form) {
  case FORM_DEVNO: printf ("(%u:%u)\n", major, minor); break;
  case FORM_BLKDEVNAME: printf ("(dm-%u)\n", minor); break;
  case FORM_DEVNAME: printf ("(%s)\n", device->name); break;
  }
  return 0;
}

/* The devices with a target of that type; their numbers look different. */
static int
ls_one_with_target (struct session *s, const struct device *device,
                    bool several)
{
  struct call call = { .reply = NULL };
  struct reply_target target;
  struct reply_walk walk;
  bool found = false;
  int r = device_call (s, device, DM_TABLE_STATUS_CMD, &call);

  if (r == 0) {
    walk = reply_walk_targets (&call);
    while (!found &&
           (r = reply_check (reply_next_target (&walk, &target))) > 0)
      found = is_wanted (s, &target);
  }
  if (found)
    printf ("%s\t(%u, %u)\n", device->name, dev_major (call.reply->dev),
            dev_minor (call.reply->dev));
  call_reset (&call);
  return r < 0 ? r : 0;
}

int
cmd_ls (struct session *s)
{
  return device_each_listed (s, s->options.target ? ls_one_with_target : ls_one,
                             "No devices found");
}

/* ------------------------------------------------------------------
 * deps
 */

/* The name of a mapped device; what else is below has a number only. */
static void
print_dependency (struct session *s, uint64_t dev)
{
  struct call call = { .request.dev = dev };
  bool is_ours = false;

  if (s->options.form != FORM_DEVNO)
    is_ours = client_call (&s->client, DM_DEV_STATUS_CMD, &call) == 0;
  if (!is_ours)
    printf (" (%u, %u)", dev_major (dev), dev_minor (dev));
  else if (s->options.form == FORM_DEVNAME)
    printf (" (%s)", call.reply->name);
  else
    printf (" (dm-%u)", dev_minor (dev));
  call_reset (&call);
}

static int
print_deps (struct session *s, const struct call *call)
{
  struct reply_walk walk = reply_walk (call);
  uint64_t dev;
  uint32_t count;
  int r = reply_check (reply_deps_count (&walk, &count));

  if (r < 0)
    return r;
  printf ("%u dependencies\t:", count);
  while ((r = reply_check (reply_next_dep (&walk, &dev))) > 0)
    print_dependency (s, dev);
  printf ("\n");
  return r;
}

static int
deps_one (struct session *s, const struct device *device, bool several)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, device, DM_TABLE_DEPS_CMD, &call);

  if (r == 0) {
    print_head (s, device, several, &call, true);
    r = print_deps (s, &call);
    if (several && s->options.verbose)
      printf ("\n");
  }
  call_reset (&call);
  return r;
}

int
cmd_deps (struct session *s)
{
  return device_each (s, true, deps_one);
}

/* ------------------------------------------------------------------
 * targets, target-version, version
 */
static int
print_versions (struct session *s, const char *type, uint32_t command)
{
  const struct device device = { .name = type };
  struct call call = { .reply = NULL };
  struct reply_version version;
  struct reply_walk walk;
  int r = device_call (s, &device, command, &call);

  if (r == 0) {
    walk = reply_walk (&call);
    while ((r = reply_check (reply_next_version (&walk, &version))) > 0)
      printf ("%-16s v%u.%u.%u\n", version.name, version.version[0],
              version.version[1], version.version[2]);
  }
  call_reset (&call);
  return r;
}

int
cmd_targets (struct session *s)
{
  return print_versions (s, NULL, DM_LIST_VERSIONS_CMD);
}

int
cmd_target_version (struct session *s)
{
  int i, r = 0;

  for (i = 0; i < s->argc && r == 0; i++) {
    r = device_check_new_name (s->argv[i]);
    if (r == 0)
      r = print_versions (s, s->argv[i], DM_GET_TARGET_VERSION_CMD);
  }
  return r;
}

/* The library is the one whose behaviour this program shows: scripts look
 * there for what dmsetup can do.  The driver is what the server speaks.
 */
int
cmd_version (struct session *s)
{
  const struct device none = { .name = NULL };
  struct call call = { .reply = NULL };
  int r;

  printf ("Library version:   1.02.185 (2022-05-18)\n");
  r = device_call (s, &none, DM_VERSION_CMD, &call);
  if (r == 0)
    printf ("Driver version:    %u.%u.%u\n", call.reply->version[0],
            call.reply->version[1], call.reply->version[2]);
  call_reset (&call);
  return r;
}
