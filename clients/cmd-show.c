/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs that only look: ls, deps, targets, version. */

#include "clients/nbdmsetup.h"

#include <stdio.h>

#include <jansson.h>

#include "clients/reply.h"

/* ------------------------------------------------------------------
 * ls
 */
static void
ls_print (const struct session *s, const struct device *device)
{
  unsigned major = dev_major (device->listed_dev);
  unsigned minor = dev_minor (device->listed_dev);

  printf ("%s\t", device->name);
  switch (s->options.form) {
  case FORM_DEVNO: printf ("(%u:%u)\n", major, minor); break;
  case FORM_BLKDEVNAME: printf ("(dm-%u)\n", minor); break;
  case FORM_DEVNAME: printf ("(%s)\n", device->name); break;
  }
}

static int
ls_json (struct session *s, const struct device *device)
{
  return json_put (s, json_pack (
      "{s:o, s:i, s:i}", "name", json_text (device->name),
      "major", (int) dev_major (device->listed_dev),
      "minor", (int) dev_minor (device->listed_dev)));
}

static int
ls_one (struct session *s, const struct device *device, bool several)
{
  if (s->options.exec)
    return run_command (s->options.exec, device->name);
  if (s->options.json)
    return ls_json (s, device);
  ls_print (s, device);
  return 0;
}

/* The devices with a target of that type; their numbers look different. */
static int
ls_one_with_target (struct session *s, const struct device *device,
                    bool several)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, device, DM_TABLE_STATUS_CMD, &call);

  if (r == 0)
    r = reply_check (reply_has_target (&call, s->options.target));
  if (r > 0 && (s->options.exec || s->options.json))
    r = ls_one (s, device, several);
  else if (r > 0)
    printf ("%s\t(%u, %u)\n", device->name, dev_major (call.reply->dev),
            dev_minor (call.reply->dev));
  call_reset (&call);
  return r < 0 ? r : 0;
}

int
cmd_ls (struct session *s)
{
  bool quiet = s->options.json;
  int r;

  if (s->options.tree)
    return cmd_ls_tree (s);
  r = json_begin_list (s);
  if (r < 0)
    return r;
  return device_each_listed (s, s->options.target ? ls_one_with_target :
                             ls_one, quiet ? NULL : "No devices found");
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

/* {"major": 600, "minor": 0}, and a name if it is one of ours. */
static json_t *
json_dependency (struct session *s, uint64_t dev)
{
  struct call call = { .request.dev = dev };
  json_t *object = json_pack ("{s:i, s:i}", "major", (int) dev_major (dev),
                              "minor", (int) dev_minor (dev));

  if (client_call (&s->client, DM_DEV_STATUS_CMD, &call) == 0)
    json_object_set_new (object, "name", json_text (call.reply->name));
  call_reset (&call);
  return object;
}

static int
json_deps (struct session *s, const struct call *call)
{
  json_t *device = json_device (call->reply), *list = json_array ();
  struct reply_walk walk = reply_walk (call);
  uint64_t dev;
  uint32_t count;
  int r = reply_check (reply_deps_count (&walk, &count));

  while (r >= 0 && (r = reply_check (reply_next_dep (&walk, &dev))) > 0)
    json_array_append_new (list, json_dependency (s, dev));
  json_object_set_new (device, "deps", list);
  if (r < 0)
    json_decref (device);
  return r < 0 ? r : json_put (s, device);
}

static int
deps_one (struct session *s, const struct device *device, bool several)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, device, DM_TABLE_DEPS_CMD, &call);

  if (r == 0 && s->options.json)
    r = json_deps (s, &call);
  else if (r == 0) {
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
  int r = json_begin_list (s);

  return r < 0 ? r : device_each (s, true, deps_one);
}

/* ------------------------------------------------------------------
 * targets, target-version, version
 */
static void
print_version (struct session *s, const struct reply_version *v)
{
  if (s->options.json)
    json_put (s, json_pack ("{s:o, s:[iii]}", "name", json_text (v->name),
                            "version", (int) v->version[0],
                            (int) v->version[1], (int) v->version[2]));
  else
    printf ("%-16s v%u.%u.%u\n", v->name, v->version[0], v->version[1],
            v->version[2]);
}

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
      print_version (s, &version);
  }
  call_reset (&call);
  return r;
}

int
cmd_targets (struct session *s)
{
  int r = json_begin_list (s);

  return r < 0 ? r : print_versions (s, NULL, DM_LIST_VERSIONS_CMD);
}

int
cmd_target_version (struct session *s)
{
  int i, r = json_begin_list (s);

  for (i = 0; i < s->argc && r == 0; i++) {
    r = device_check_new_name (s->argv[i]);
    if (r == 0)
      r = print_versions (s, s->argv[i], DM_GET_TARGET_VERSION_CMD);
  }
  return r;
}

#define LIBRARY_VERSION "1.02.185 (2022-05-18)"

/* The library is the one whose behaviour this program shows: scripts look
 * there for what dmsetup can do.  The driver is what the server speaks.
 */
int
cmd_version (struct session *s)
{
  const struct device none = { .name = NULL };
  struct call call = { .reply = NULL };
  int r;

  if (!s->options.json)
    printf ("Library version:   " LIBRARY_VERSION "\n");
  r = device_call (s, &none, DM_VERSION_CMD, &call);
  if (r == 0 && s->options.json)
    r = json_put (s, json_pack (
        "{s:s, s:s, s:[iii]}", "program", PACKAGE_VERSION,
        "library", LIBRARY_VERSION, "driver", (int) call.reply->version[0],
        (int) call.reply->version[1], (int) call.reply->version[2]));
  else if (r == 0)
    printf ("Driver version:    %u.%u.%u\n", call.reply->version[0],
            call.reply->version[1], call.reply->version[2]);
  call_reset (&call);
  return r;
}
