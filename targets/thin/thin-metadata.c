/* SPDX-License-Identifier: BSD-3-Clause */
/* The metadata of a thin pool: birth, death, transactions. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "targets/thin/thin-metadata-internal.h"

int
thin_meta_may_read (struct thin_metadata *md)
{
  if (md->failed)
    return -EINVAL;
  return md->broken ? -EIO : 0;
}

int
thin_meta_may_change (struct thin_metadata *md)
{
  int r = thin_meta_may_read (md);

  return r == 0 && thin_meta_is_read_only (md) ? -EPERM : r;
}

void
thin_meta_touch (struct thin_metadata *md)
{
  md->touched = true;
  md->changed = true;
}

int
thin_meta_settle (struct thin_metadata *md, int r)
{
  if (md->touched && r < 0)
    md->broken = true;
  md->touched = false;
  if (r == 0)
    thin_super_publish (md);
  return r;
}

/* Birth and death. */

/* Not through the block manager, to which a block of zeroes is damaged. */
static int
meta_is_blank (struct block_device *bdev, bool *blank)
{
  char *CLEANUP_FREE data = aligned_alloc (BM_BLOCK_BYTES, BM_BLOCK_BYTES);
  struct bio bio = { .op = BIO_READ, .bdev = bdev, .data = data,
                     .len = BM_BLOCK_SECTORS };
  int r;

  if (data == NULL)
    return -ENOMEM;
  r = bdev_submit (bdev, &bio);
  *blank = r == 0 && data[0] == 0 &&
    memcmp (data, data + 1, BM_BLOCK_BYTES - 1) == 0;
  return r;
}

static int
meta_load (struct thin_metadata *md, struct message *msg)
{
  bool blank = false;
  int r = meta_is_blank (md->params.bdev, &blank);

  if (r < 0)
    return message_set (msg, -r, "cannot read the superblock: %s",
                        strerror (-r));
  if (!blank)
    return thin_super_load (md, msg);
  if (bm_is_read_only (md->bm) || md->params.metadata_snapshot)
    return message_set (msg, EPERM, "the metadata device is blank, and must "
                        "not be written");
  return thin_super_format (md, msg);
}

static void
meta_free (struct thin_metadata *md)
{
  thin_devices_free (md);
  thin_super_unload (md);
  bm_close (md->bm);
  shared_gate_destroy (&md->root);
  gate_destroy (&md->change);
  free (md);
}

int
thin_meta_open (const struct thin_meta_params *params,
                struct thin_metadata **out, struct message *msg)
{
  size_t cache = params->cache_blocks;
  struct thin_metadata *md = calloc (1, sizeof *md);
  int r;

  if (md == NULL)
    return message_set (msg, ENOMEM, "out of memory");
  md->params = *params;
  list_init (&md->devices_in_core);
  r = bm_open (params->bdev, cache ? cache : THIN_META_CACHE_BLOCKS, &md->bm);
  if (r < 0) {
    free (md);
    return message_set (msg, -r, "out of memory");
  }
  gate_init (&md->change, GATE_THIN_CHANGE);
  shared_gate_init (&md->root, GATE_THIN_ROOT);
  bm_set_read_only (md->bm, params->read_only || params->metadata_snapshot);
  r = meta_load (md, msg);
  if (r < 0)
    meta_free (md);
  else
    *out = md;
  return r;
}

int
thin_meta_close (struct thin_metadata *md)
{
  int r = 0;

  if (thin_meta_may_change (md) == 0)
    r = thin_meta_commit (md);
  meta_free (md);
  return r;
}

/* Transactions. */

static int
meta_commit_changes (struct thin_metadata *md)
{
  int r = 0;

  if (md->params.flush_data)
    r = md->params.flush_data (md->params.context);
  if (r == 0)
    r = thin_devices_write (md);
  return r < 0 ? r : thin_super_commit (md);
}

int
thin_meta_commit_locked (struct thin_metadata *md)
{
  int r;

  if (!md->changed)
    return 0;
  md->touched = true;
  r = meta_commit_changes (md);
  if (r == 0) {
    md->changed = false;
    md->data_end = sm_nr_blocks (md->data_sm);
    thin_devices_committed (md);
  }
  return r;
}

int
thin_meta_commit (struct thin_metadata *md)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  return thin_meta_settle (md, thin_meta_commit_locked (md));
}

/* Even an error that could not be written to disk has left no lock behind. */
static int
meta_reload (struct thin_metadata *md)
{
  int r;

  thin_super_unload (md);
  bm_reset (md->bm);
  r = thin_super_load (md, NULL);
  return r < 0 ? r : thin_devices_reload (md);
}

int
thin_meta_abort (struct thin_metadata *md)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  ACQUIRE_SHARED_GATE_FOR_SCOPE (&md->root);
  int r;

  if (md->failed)
    return -EINVAL;
  r = meta_reload (md);
  md->failed = r < 0;
  md->aborted = true;
  md->changed = md->broken = false;
  return r;
}

bool
thin_meta_is_broken (struct thin_metadata *md)
{
  return md->broken;
}

bool
thin_meta_changed (struct thin_metadata *md)
{
  return md->changed;
}

/* Flags and numbers of the superblock. */

int
thin_meta_set_needs_check (struct thin_metadata *md)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_read (md);

  if (r == 0 && bm_is_read_only (md->bm))
    r = -EPERM;
  if (r < 0)
    return r;
  md->touched = true;
  return thin_meta_settle (md, thin_super_set_flag (md, THIN_NEEDS_CHECK));
}

bool
thin_meta_needs_check (struct thin_metadata *md)
{
  return md->flags & THIN_NEEDS_CHECK;
}

int
thin_meta_set_read_only (struct thin_metadata *md, bool read_only)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);

  if (!read_only && (md->params.bdev->readonly ||
                     md->params.metadata_snapshot || md->no_map))
    return -EPERM;
  bm_set_read_only (md->bm, read_only);
  if (!read_only)
    md->aborted = false;
  return 0;
}

bool
thin_meta_is_read_only (struct thin_metadata *md)
{
  return md->aborted || bm_is_read_only (md->bm);
}

bool
thin_meta_map_is_damaged (struct thin_metadata *md)
{
  return md->no_map;
}

sector_t
thin_meta_data_block_sectors (const struct thin_metadata *md)
{
  return md->params.data_block_sectors;
}

uint32_t
thin_meta_time (struct thin_metadata *md)
{
  return md->time;
}

uint64_t
thin_meta_transaction_id (struct thin_metadata *md)
{
  return md->trans_id;
}

int
thin_meta_set_transaction_id (struct thin_metadata *md, uint64_t current,
                              uint64_t new_id)
{
  ACQUIRE_GATE_FOR_SCOPE (&md->change);
  int r = thin_meta_may_change (md);

  if (r < 0)
    return r;
  if (md->trans_id != current)
    return -EINVAL;
  md->trans_id = new_id;
  md->changed = true;
  return 0;
}

block_t
thin_meta_held_root (struct thin_metadata *md)
{
  return md->held_root;
}
