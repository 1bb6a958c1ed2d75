/* SPDX-License-Identifier: BSD-3-Clause */
/* The thins of a pool: making, deleting, opening; their details. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "targets/thin/thin-metadata-internal.h"

/* Devices in memory. */

static struct thin_device *
device_find (struct thin_metadata *md, uint32_t id)
{
  struct thin_device *td;

  list_for_each (td, &md->devices_in_core, link)
    if (td->id == id && !td->gone)
      return td;
  return NULL;
}

static struct thin_device *
device_new (struct thin_metadata *md, uint32_t id)
{
  struct thin_device *td = calloc (1, sizeof *td);

  if (td == NULL)
    return NULL;
  td->md = md;
  td->id = id;
  list_add_tail (&md->devices_in_core, &td->link);
  return td;
}

static void
device_free (struct thin_device *td)
{
  list_del (&td->link);
  free (td);
}

/* What is neither open nor changed is better looked up again. */
static void
device_drop_idle (struct thin_metadata *md)
{
  struct thin_device *td, *tmp;

  list_for_each_safe (td, tmp, &md->devices_in_core, link)
    if (td->open_count == 0 && !td->changed)
      device_free (td);
}

static void
device_unpack (struct thin_device *td, const struct thin_disk_details *d)
{
  td->mapped_blocks = from_le64 (d->mapped_blocks);
  td->transaction_id = from_le64 (d->transaction_id);
  td->creation_time = from_le32 (d->creation_time);
  td->snapshotted_time = from_le32 (d->snapshotted_time);
}

static int
device_read_details (struct thin_metadata *md, uint32_t id,
                     struct thin_disk_details *d)
{
  const uint64_t key = id;

  return btree_lookup (&md->details, md->details_root, &key, d);
}

/* The device, in memory from now on. */
static int
device_get (struct thin_metadata *md, uint32_t id, struct thin_device **td)
{
  struct thin_disk_details d;
  int r;

  *td = device_find (md, id);
  if (*td)
    return 0;
  r = device_read_details (md, id, &d);
  if (r < 0)
    return r;
  *td = device_new (md, id);
  if (*td == NULL)
    return -ENOMEM;
  device_unpack (*td, &d);
  return 0;
}

int
thin_devices_write (struct thin_metadata *md)
{
  struct thin_disk_details d;
  struct thin_device *td;
  uint64_t key;
  int r = 0;

  list_for_each (td, &md->devices_in_core, link) {
    if (!td->changed)
      continue;
    d = (struct thin_disk_details) {
      .mapped_blocks = to_le64 (td->mapped_blocks),
      .transaction_id = to_le64 (td->transaction_id),
      .creation_time = to_le32 (td->creation_time),
      .snapshotted_time = to_le32 (td->snapshotted_time),
    };
    key = td->id;
    r = btree_insert (&md->details, md->details_root, &key, &d,
                      &md->details_root, NULL);
    if (r < 0)
      break;
  }
  return r;
}

void
thin_devices_committed (struct thin_metadata *md)
{
  struct thin_device *td;

  list_for_each (td, &md->devices_in_core, link)
    td->changed = false;
  device_drop_idle (md);
}

/* Also where details cannot be read changes are lost. */
int
thin_devices_reload (struct thin_metadata *md)
{
  struct thin_disk_details d;
  struct thin_device *td;
  int r, result = 0;

  list_for_each (td, &md->devices_in_core, link) {
    if (td->changed)
      td->aborted_with_changes = true;
    td->changed = false;
    if (td->gone)
      continue;
    r = device_read_details (md, td->id, &d);
    if (r == 0)
      device_unpack (td, &d);
    else if (r == -ENODATA)
      td->gone = true;
    else
      result = r;
  }
  device_drop_idle (md);
  return result;
}

void
thin_devices_free (struct thin_metadata *md)
{
  struct thin_device *td, *tmp;

  list_for_each_safe (td, tmp, &md->devices_in_core, link) {
    assert (td->open_count == 0);
    device_free (td);
  }
}

/* Making and deleting. */

static int
device_check_unused (struct thin_metadata *md, uint32_t id)
{
  struct thin_disk_details d;
  int r;

  if (device_find (md, id))
    return -EEXIST;
  r = device_read_details (md, id, &d);
  return r == 0 ? -EEXIST : r == -ENODATA ? 0 : r;
}

static int
device_insert_root (struct thin_metadata *md, uint32_t id, block_t root)
{
  const uint64_t key = id;
  le64 value = to_le64 (root);

  return btree_insert (&md->devices, md->mapping_root, &key, &value,
                       &md->mapping_root, NULL);
}

/* Its details are as of now, and go to disk with the commit. */
static void
device_begin (struct thin_device *td, uint64_t mapped_blocks)
{
  td->mapped_blocks = mapped_blocks;
  td->transaction_id = td->md->trans_id;
  td->creation_time = td->snapshotted_time = td->md->time;
  td->changed = true;
}

static int
device_create_thin (struct thin_metadata *md, uint32_t id)
{
  struct thin_device *td;
  block_t root;
  int r = device_check_unused (md, id);

  if (r < 0)
    return r;
  td = device_new (md, id);
  if (td == NULL)
    return -ENOMEM;
  thin_meta_touch (md);
  r = btree_empty (&md->blocks, &root);
  if (r == 0)
    r = device_insert_root (md, id, root);
  if (r == 0)
    device_begin (td, 0);
  else
    device_free (td);
  return r;
}

int
thin_meta_create_thin (struct thin_metadata *md, uint32_t id)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  return thin_meta_settle (md, device_create_thin (md, id));
}

/* The new device begins with the origin's tree. */
static int
device_share (struct thin_metadata *md, struct thin_device *td,
              struct thin_device *origin, block_t root)
{
  int r;

  thin_meta_touch (md);
  r = tm_inc (md->tm, root);
  if (r == 0)
    r = device_insert_root (md, td->id, root);
  if (r < 0)
    return r;
  md->time++;
  device_begin (td, origin->mapped_blocks);
  origin->snapshotted_time = md->time;
  origin->changed = true;
  return 0;
}

static int
device_create_snap (struct thin_metadata *md, uint32_t id, uint32_t origin_id)
{
  struct thin_device *td, *origin;
  const uint64_t key = origin_id;
  le64 root;
  int r = device_check_unused (md, id);

  if (r == 0)
    r = btree_lookup (&md->devices, md->mapping_root, &key, &root);
  if (r == 0)
    r = device_get (md, origin_id, &origin);
  if (r == 0 && md->time >= THIN_MAX_TIME)
    r = -EOVERFLOW;
  if (r < 0)
    return r;
  td = device_new (md, id);
  if (td == NULL)
    return -ENOMEM;
  r = device_share (md, td, origin, from_le64 (root));
  if (r < 0)
    device_free (td);
  return r;
}

int
thin_meta_create_snap (struct thin_metadata *md, uint32_t id, uint32_t origin)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  r = device_create_snap (md, id, origin);
  device_drop_idle (md);
  return thin_meta_settle (md, r);
}

/* Take the device out of both trees; the reference to its own comes to us.  A
 * device made in this transaction has no details on disk yet.
 */
static int
device_detach (struct thin_metadata *md, uint32_t id, block_t *root)
{
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  struct btree_info devices = md->devices;
  const uint64_t key = id;
  le64 value;
  int r;

  devices.value_type.dec = NULL;
  r = btree_lookup (&devices, md->mapping_root, &key, &value);
  if (r < 0)
    return r;
  *root = from_le64 (value);
  thin_meta_touch (md);
  r = btree_remove (&md->details, md->details_root, &key, &md->details_root);
  if (r == 0 || r == -ENODATA)
    r = btree_remove (&devices, md->mapping_root, &key, &md->mapping_root);
  return thin_meta_settle (md, r);
}

/* Nobody can look up in a tree that no other names: others may do so in theirs
 * while it goes.
 */
static int
device_delete (struct thin_metadata *md, uint32_t id)
{
  struct thin_device *td;
  block_t root;
  int r = device_get (md, id, &td);

  if (r < 0)
    return r;
  if (td->open_count)
    return -EBUSY;
  r = device_detach (md, id, &root);
  if (r < 0)
    return r;
  device_free (td);
  thin_meta_touch (md);
  return btree_del (&md->blocks, root);
}

int
thin_meta_delete (struct thin_metadata *md, uint32_t id)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  r = device_delete (md, id);
  device_drop_idle (md);
  return thin_meta_settle (md, r);
}

/* Opening. */

int
thin_dev_open (struct thin_metadata *md, uint32_t id, struct thin_device **out)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  struct thin_device *td;
  int r = thin_meta_may_read (md);

  if (r == 0)
    r = device_get (md, id, &td);
  if (r < 0)
    return r;
  td->open_count++;
  *out = td;
  return 0;
}

void
thin_dev_close (struct thin_device *td)
{
  struct thin_metadata *md = td->md;
  ACQUIRE_GATE_FOR_SCOPE (&md->change);

  assert (td->open_count > 0);
  td->open_count--;
  device_drop_idle (md);
}

bool
thin_dev_changed (struct thin_device *td)
{
  return td->changed;
}

bool
thin_dev_aborted_with_changes (struct thin_device *td)
{
  return td->aborted_with_changes;
}

uint64_t
thin_dev_mapped_blocks (struct thin_device *td)
{
  return td->mapped_blocks;
}

/* Listing. */

void
thin_dev_details (struct thin_device *td, struct thin_dev_details *details)
{
  ENTER_SHARED_GATE_FOR_SCOPE (&td->md->root);

  details->mapped_blocks = td->mapped_blocks;
  details->transaction_id = td->transaction_id;
  details->creation_time = td->creation_time;
  details->snapshotted_time = td->snapshotted_time;
}

int
thin_meta_next (struct thin_metadata *md, uint32_t from, uint32_t *id)
{
  ENTER_SHARED_GATE_FOR_SCOPE (&md->root);
  uint64_t key = from;
  le64 root;
  int r = thin_meta_may_read (md);

  if (r == 0)
    r = btree_lookup_next (&md->devices, md->mapping_root, &key, &key, &root);
  if (r == 0 && key > THIN_MAX_ID)
    r = -EILSEQ;
  if (r == 0)
    *id = key;
  return r;
}
