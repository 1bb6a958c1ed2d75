/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: names, numbers, holders, openers of mapped devices. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/dm-core.h"

static int
compare_name (const void *key, const struct tree_node *node)
{
  return strcmp (key, container_of (node, struct mapped_device,
                                    by_name)->name);
}

static int
compare_uuid (const void *key, const struct tree_node *node)
{
  return strcmp (key, container_of (node, struct mapped_device,
                                    by_uuid)->uuid);
}

static int
compare_minor (const void *key, const struct tree_node *node)
{
  uint32_t a = *(const uint32_t *) key;
  uint32_t b = container_of (node, struct mapped_device, by_minor)->minor;

  return (a > b) - (a < b);
}

struct registry *
registry_new (void)
{
  struct registry *reg = calloc (1, sizeof *reg);

  if (reg == NULL)
    return NULL;
  latch_init (&reg->latch);
  latch_init (&reg->backings_latch);
  latch_cond_init (&reg->put);
  tree_init (&reg->by_name, compare_name);
  tree_init (&reg->by_uuid, compare_uuid);
  tree_init (&reg->by_minor, compare_minor);
  list_init (&reg->idle);
  return reg;
}

void
registry_free (struct registry *reg)
{
  unsigned left = registry_remove_all (reg, false);

  assert (left == 0 && numbers_lowest (&reg->numbers) == 0);
  (void) left;
  dm_backings_put (reg->backings);
  pthread_cond_destroy (&reg->put);
  latch_destroy (&reg->backings_latch);
  latch_destroy (&reg->latch);
  free (reg);
}

/* ------------------------------------------------------------------
 * Backings.
 */

struct dm_backings *
dm_backings_get (struct dm_backings *b)
{
  b->refs++;
  return b;
}

void
dm_backings_put (struct dm_backings *b)
{
  size_t i;

  if (b == NULL || --b->refs > 0)
    return;
  for (i = 0; i < b->nr; i++) {
    free (b->list[i].name);
    free (b->list[i].target);
  }
  free (b->list);
  free (b);
}

void
registry_set_backings (struct registry *reg, struct dm_backings *b)
{
  struct dm_backings *old;

  latch_acquire (&reg->backings_latch);
  old = reg->backings;
  reg->backings = b;
  latch_release (&reg->backings_latch);
  dm_backings_put (old);
}

/* ------------------------------------------------------------------
 * Finding and holding.
 */

/* The device that a node of one of the trees is in, or NULL. */
#define MD_OF(node, member) \
  ({ \
    struct tree_node *node_ = (node); \
    node_ ? container_of (node_, struct mapped_device, member) : NULL; \
  })

static struct mapped_device *
registry_by_name (struct registry *reg, const char *name)
{
  assert_latch_held (&reg->latch);
  return MD_OF (tree_find (&reg->by_name, name), by_name);
}

static struct mapped_device *
registry_by_uuid (struct registry *reg, const char *uuid)
{
  assert_latch_held (&reg->latch);
  return MD_OF (tree_find (&reg->by_uuid, uuid), by_uuid);
}

static struct mapped_device *
registry_by_minor (struct registry *reg, uint32_t minor)
{
  assert_latch_held (&reg->latch);
  return MD_OF (tree_find (&reg->by_minor, &minor), by_minor);
}

/* The next one by name after md, NULL for the first. */
static struct mapped_device *
registry_next (struct registry *reg, const struct mapped_device *md)
{
  assert_latch_held (&reg->latch);
  return MD_OF (tree_after (&reg->by_name, md ? md->name : NULL), by_name);
}

struct mapped_device *
registry_held (struct mapped_device *md)
{
  if (md)
    md->holders++;
  return md;
}

struct mapped_device *
registry_find_name (struct registry *reg, const char *name)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  return registry_held (registry_by_name (reg, name));
}

struct mapped_device *
registry_find_uuid (struct registry *reg, const char *uuid)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  return registry_held (registry_by_uuid (reg, uuid));
}

struct mapped_device *
registry_find_minor (struct registry *reg, uint32_t minor)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  return registry_held (registry_by_minor (reg, minor));
}

void
registry_unhold (struct registry *reg, struct mapped_device *md)
{
  assert (md->holders > 0);
  if (--md->holders == 0)
    pthread_cond_broadcast (&reg->put);
}

void
md_hold (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);

  registry_held (md);
}

void
md_put (struct mapped_device *md)
{
  struct registry *reg = md->registry;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  registry_unhold (reg, md);
}

static size_t
registry_count (struct registry *reg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  return reg->nr_devices;
}

/* Fill in the array of *n elements; false if it is too small. */
static bool
registry_snapshot (struct registry *reg, struct mapped_device **mds,
                   size_t *n)
{
  struct mapped_device *md = NULL;
  size_t i = 0;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (reg->nr_devices > *n)
    return false;
  while ((md = registry_next (reg, md)) != NULL)
    mds[i++] = registry_held (md);
  *n = i;
  return true;
}

int
registry_list (struct registry *reg, struct mapped_device ***mds, size_t *n)
{
  /* No allocation under the latch, so more devices may come in between. */
  for (;;) {
    *n = registry_count (reg);
    *mds = calloc (*n + 1, sizeof **mds);
    if (*mds == NULL)
      return -ENOMEM;
    if (registry_snapshot (reg, *mds, n))
      return 0;
    free (*mds);
  }
}

/* ------------------------------------------------------------------
 * Entering.
 */

int
registry_check_name (const char *name, struct message *msg)
{
  if (name[0] == '\0')
    return message_set (msg, EINVAL, "name not supplied");
  if (strlen (name) >= DM_NAME_LEN)
    return message_set (msg, EINVAL, "invalid device name: more than %d bytes",
                        DM_NAME_LEN - 1);
  if (strchr (name, '/') || strcmp (name, ".") == 0 ||
      strcmp (name, "..") == 0 || strcmp (name, "control") == 0)
    return message_set (msg, EINVAL, "invalid device name: '%s'", name);
  return 0;
}

static void
registry_insert (struct registry *reg, struct mapped_device *md)
{
  tree_add (&reg->by_name, md->name, &md->by_name);
  tree_add (&reg->by_minor, &md->minor, &md->by_minor);
  if (md->uuid[0])
    tree_add (&reg->by_uuid, md->uuid, &md->by_uuid);
  list_add_tail (&reg->idle, &md->idle_link);
  reg->nr_devices++;
  md->listed = true;
}

/* Take the number, or the lowest free one.  -ENXIO if it is taken. */
static int
registry_take_number (struct registry *reg, struct mapped_device *md,
                      uint32_t minor)
{
  if (minor == UINT32_MAX)
    minor = numbers_lowest (&reg->numbers);
  if (!numbers_take (&reg->numbers, minor))
    return -ENXIO;
  md->minor = minor;
  md->bdev.number = DM_NUMBER (DM_BLOCK_MAJOR, minor);
  return 0;
}

void
registry_forget (struct mapped_device *md)
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);

  assert (tree_empty (&md->lower_edges) && list_empty (&md->upper_edges));
  if (md->minor != UINT32_MAX)
    numbers_give_back (&md->registry->numbers, md->minor);
}

/* The checks come in the kernel's order: number, name, uuid. */
static int
registry_enter (struct registry *reg, struct mapped_device *md,
                uint32_t minor, struct message *msg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (reg->dying)
    return message_set (msg, ESHUTDOWN, "the server is shutting down");
  if (registry_take_number (reg, md, minor) < 0)
    return message_set (msg, ENXIO, "%s: the minor number is in use",
                        md->name);
  if (registry_by_name (reg, md->name))
    return message_set (msg, EBUSY, "%s: a device with this name exists",
                        md->name);
  if (md->uuid[0] && registry_by_uuid (reg, md->uuid))
    return message_set (msg, EBUSY, "%s: a device with uuid %s exists",
                        md->name, md->uuid);
  registry_insert (reg, md);
  registry_held (md);
  return 0;
}

int
registry_create (struct registry *reg, const char *name, const char *uuid,
                 uint32_t minor, struct mapped_device **out,
                 struct message *msg)
{
  struct mapped_device *md;
  int r = registry_check_name (name, msg);

  if (r < 0)
    return r;
  if (strlen (uuid) >= DM_UUID_LEN)
    return message_set (msg, EINVAL, "%s: uuid of more than %d bytes", name,
                        DM_UUID_LEN - 1);
  md = md_new (reg, name, uuid, UINT32_MAX);
  if (md == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", name);
  r = registry_enter (reg, md, minor, msg);
  if (r < 0) {
    md_destroy (md);
    return r;
  }
  *out = md;
  return 0;
}

/* ------------------------------------------------------------------
 * Leaving.
 */

struct mapped_device *
registry_claim (struct mapped_device *md)
{
  struct registry *reg = md->registry;

  assert_latch_held (&reg->latch);
  md->deleting = true;
  md->deferred_remove = false;
  md->listed = false;
  tree_del (&reg->by_name, md->name);
  tree_del (&reg->by_minor, &md->minor);
  if (md->uuid[0])
    tree_del (&reg->by_uuid, md->uuid);
  list_del (&md->idle_link);
  reg->nr_devices--;
  return md;
}

void
registry_destroy_claimed (struct mapped_device *md)
{
  struct dm_table *inactive = md_last_event (md);

  if (inactive)
    table_destroy (inactive);
  md_destroy (md);
}

/* 1: marked only. */
static int
registry_try_remove (struct registry *reg, struct mapped_device *md,
                     bool deferred, struct message *msg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (md->deleting)
    return message_set (msg, ENXIO, "%s: is being removed", md->name);
  if (md->open_count > 0 && !deferred)
    return message_set (msg, EBUSY, "unable to remove open device %s",
                        md->name);
  if (md->open_count > 0)
    md->deferred_remove = true;
  else
    registry_claim (md);
  registry_unhold (reg, md);
  return md->deferred_remove;
}

int
registry_remove (struct registry *reg, struct mapped_device *md,
                 bool deferred, bool *removed, struct message *msg)
{
  int r = registry_try_remove (reg, md, deferred, msg);

  if (r < 0)
    return r;
  *removed = r == 0;
  if (*removed)
    registry_destroy_claimed (md);
  return 0;
}

static struct mapped_device *
registry_claim_idle (struct registry *reg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (list_empty (&reg->idle))
    return NULL;
  return registry_claim (list_first (&reg->idle, struct mapped_device,
                                     idle_link));
}

/* One after the other: the death of an upper device closes lower ones, and may
 * take them along.
 */
unsigned
registry_remove_all (struct registry *reg, bool deferred)
{
  struct mapped_device *md;
  unsigned left = 0;

  while ((md = registry_claim_idle (reg)) != NULL)
    registry_destroy_claimed (md);

  latch_acquire (&reg->latch);
  for (md = NULL; (md = registry_next (reg, md)) != NULL; left++)
    md->deferred_remove |= deferred;
  latch_release (&reg->latch);
  return left;
}

int
registry_cancel_deferred (struct registry *reg, struct mapped_device *md,
                          struct message *msg)
{
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);

  if (md->deleting)
    return message_set (msg, EBUSY, "%s: is being removed", md->name);
  md->deferred_remove = false;
  return 0;
}

/* ------------------------------------------------------------------
 * Renaming.
 */

#define BAD_NEW_STRING "Invalid new mapped device name or uuid string supplied."

int
registry_rename (struct registry *reg, const char *name, const char *new_name,
                 struct mapped_device **out, struct message *msg)
{
  struct mapped_device *md;
  int r;

  if (new_name[0] == '\0' || strlen (new_name) >= DM_NAME_LEN)
    return message_set (msg, EINVAL, BAD_NEW_STRING);
  r = registry_check_name (new_name, msg);
  if (r < 0)
    return r;
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);
  if (registry_by_name (reg, new_name))
    return message_set (msg, EBUSY, "Unable to change name on mapped device "
                        "%s to one that already exists: %s", name, new_name);
  md = registry_by_name (reg, name);
  if (md == NULL)
    return message_set (msg, ENXIO, "Unable to rename non-existent device, "
                        "%s to %s", name, new_name);
  tree_del (&reg->by_name, md->name);
  strcpy (md->name, new_name);
  tree_add (&reg->by_name, md->name, &md->by_name);
  *out = registry_held (md);
  return 0;
}

int
registry_set_uuid (struct registry *reg, const char *name, const char *uuid,
                   struct mapped_device **out, struct message *msg)
{
  struct mapped_device *md;

  if (uuid[0] == '\0' || strlen (uuid) >= DM_UUID_LEN)
    return message_set (msg, EINVAL, BAD_NEW_STRING);
  ACQUIRE_LATCH_FOR_SCOPE (&reg->latch);
  if (registry_by_uuid (reg, uuid))
    return message_set (msg, EBUSY, "Unable to change uuid on mapped device "
                        "%s to one that already exists: %s", name, uuid);
  md = registry_by_name (reg, name);
  if (md == NULL)
    return message_set (msg, ENXIO, "Unable to rename non-existent device, "
                        "%s to uuid %s", name, uuid);
  if (md->uuid[0])
    return message_set (msg, EINVAL, "Unable to change uuid of mapped device "
                        "%s to %s because uuid is already set to %s", name,
                        uuid, md->uuid);
  strcpy (md->uuid, uuid);
  tree_add (&reg->by_uuid, md->uuid, &md->by_uuid);
  *out = registry_held (md);
  return 0;
}
