/* SPDX-License-Identifier: BSD-3-Clause */
/* The superblock of a thin pool: opening, formatting, committing. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "pdata/space-map-metadata.h"
#include "targets/thin/thin-metadata-internal.h"

static int
super_check (const void *data)
{
  const struct thin_superblock *super = data;

  return from_le64 (super->magic) == THIN_MAGIC ? 0 : -EILSEQ;
}

const struct bm_validator thin_superblock_validator = {
  .salt = 160774,
  .nr_offset = offsetof (struct thin_superblock, blocknr),
  .check = super_check,
};

/* The values of the trees. */

/* Data blocks of a batch of mappings, as numbers that tm_for_each_run takes. */
static int
mapping_count (struct thin_metadata *md, const void *values, unsigned n,
               tm_run_fn fn)
{
  const le64 *v = values;
  le64 blocks[128];
  unsigned i, batch;
  int r = 0;

  for (; r == 0 && n > 0; n -= batch, v += batch) {
    batch = n < 128 ? n : 128;
    for (i = 0; i < batch; i++)
      blocks[i] = to_le64 (from_le64 (v[i]) >> 24);
    r = tm_for_each_run (md->data_sm, fn, blocks, batch);
  }
  return r;
}

static int
mapping_inc (void *context, const void *values, unsigned n)
{
  return mapping_count (context, values, n, sm_inc);
}

static int
mapping_dec (void *context, const void *values, unsigned n)
{
  return mapping_count (context, values, n, sm_dec);
}

/* The time does not matter: the reference is to the block. */
static bool
mapping_equal (void *context, const void *a, const void *b)
{
  return from_le64 (*(const le64 *) a) >> 24 ==
    from_le64 (*(const le64 *) b) >> 24;
}

static int
device_inc (void *context, const void *values, unsigned n)
{
  struct thin_metadata *md = context;

  return tm_inc_values (md->tm, values, n);
}

static int
device_dec (void *context, const void *values, unsigned n)
{
  struct thin_metadata *md = context;
  const le64 *v = values;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && i < n; i++)
    r = btree_del (&md->blocks, from_le64 (v[i]));
  return r;
}

static bool
device_equal (void *context, const void *a, const void *b)
{
  return memcmp (a, b, sizeof (le64)) == 0;
}

static void
super_set_trees (struct thin_metadata *md)
{
  const struct btree_value_type mapping = {
    md, sizeof (le64), mapping_inc, mapping_dec, mapping_equal
  };
  const struct btree_value_type device = {
    md, sizeof (le64), device_inc, device_dec, device_equal
  };
  const struct btree_value_type details = {
    .size = sizeof (struct thin_disk_details)
  };

  md->mappings = (struct btree_info) { md->tm, 2, mapping };
  md->blocks = (struct btree_info) { md->tm, 1, mapping };
  md->devices = (struct btree_info) { md->tm, 1, device };
  md->details = (struct btree_info) { md->tm, 1, details };
}

/* Where the map cannot tell its root must: how many blocks, and in use. */
static void
super_publish_root (struct thin_metadata *md)
{
  le64 root[2];
  block_t used;

  memcpy (root, md->super.metadata_sm_root, sizeof root);
  md->metadata_blocks = from_le64 (root[0]);
  used = from_le64 (root[1]);
  md->metadata_free =
    used < md->metadata_blocks ? md->metadata_blocks - used : 0;
}

void
thin_super_publish (struct thin_metadata *md)
{
  struct space_map *sm = tm_metadata_sm (md->tm);

  if (md->no_map)
    super_publish_root (md);
  else {
    md->metadata_blocks = sm_nr_blocks (sm);
    md->metadata_free = sm_nr_free (sm);
  }
  md->data_blocks = sm_nr_blocks (md->data_sm);
  md->data_free = sm_nr_free (md->data_sm);
}

/* Opening. */

static bool
super_can_write (struct thin_metadata *md)
{
  return !md->params.bdev->readonly && !md->params.metadata_snapshot;
}

/* What the kernel of Linux 6.1 asks, and what it should. */
static int
super_check_features (struct thin_metadata *md,
                      const struct thin_superblock *s, struct message *msg)
{
  uint32_t flags = from_le32 (s->incompat_flags);

  if (from_le32 (s->version) > THIN_VERSION)
    return message_set (msg, EINVAL, "metadata version %u is not known, only "
                        "up to %u", from_le32 (s->version), THIN_VERSION);
  if (flags)
    return message_set (msg, EINVAL, "could not access metadata due to "
                        "unsupported optional features (%x)", flags);
  flags = from_le32 (s->compat_ro_flags);
  if (flags && super_can_write (md))
    return message_set (msg, EINVAL, "could not access metadata read-write "
                        "due to unsupported optional features (%x)", flags);
  if (from_le32 (s->time) > THIN_MAX_TIME && super_can_write (md))
    return message_set (msg, EINVAL, "the clock has overrun: %u",
                        from_le32 (s->time));
  return 0;
}

static int
super_check_block_size (struct thin_metadata *md,
                        const struct thin_superblock *s, struct message *msg)
{
  uint32_t size = from_le32 (s->data_block_sectors);

  if (md->params.data_block_sectors && size != md->params.data_block_sectors)
    return message_set (msg, EINVAL, "changing the data block size (from %u "
                        "to %llu) is not supported", size,
                        (unsigned long long) md->params.data_block_sectors);
  if (size < THIN_MIN_BLOCK_SECTORS || size > THIN_MAX_BLOCK_SECTORS ||
      size % THIN_MIN_BLOCK_SECTORS)
    return message_set (msg, EINVAL, "the superblock's data block size %u "
                        "is not possible", size);
  return 0;
}

static int
super_read (struct thin_metadata *md, block_t nr, struct thin_superblock *s,
            struct message *msg)
{
  struct bm_block *block;
  int r;

  r = bm_read_lock (md->bm, nr, &thin_superblock_validator, &block);
  if (r < 0)
    return message_set (msg, -r, "cannot read the superblock in metadata "
                        "block %llu: %s", (unsigned long long) nr,
                        strerror (-r));
  memcpy (s, bm_data (block), sizeof *s);
  bm_unlock (block);
  return 0;
}

/* The trees of the metadata snapshot, and the numbers that belong to them; all
 * else is of the present.
 */
static int
super_read_held (struct thin_metadata *md, struct message *msg)
{
  block_t held = from_le64 (md->super.held_root);
  struct thin_superblock s;
  int r;

  if (held == 0)
    return message_set (msg, ENODATA, "it has no metadata snapshot");
  r = super_read (md, held, &s, msg);
  if (r == 0)
    r = super_check_block_size (md, &s, msg);
  if (r < 0)
    return r;
  md->super.time = s.time;
  md->super.trans_id = s.trans_id;
  md->super.mapping_root = s.mapping_root;
  md->super.details_root = s.details_root;
  return 0;
}

static void
super_take_over (struct thin_metadata *md)
{
  md->flags = from_le32 (md->super.flags);
  md->time = from_le32 (md->super.time);
  md->trans_id = from_le64 (md->super.trans_id);
  md->held_root = from_le64 (md->super.held_root);
  md->mapping_root = from_le64 (md->super.mapping_root);
  md->details_root = from_le64 (md->super.details_root);
}

static int
super_open_maps (struct thin_metadata *md, struct message *msg)
{
  int r;

  r = tm_open (md->bm, md->super.metadata_sm_root, &md->tm);
  md->no_map = r < 0 && r != -ENOMEM && bm_is_read_only (md->bm);
  if (md->no_map)
    r = tm_open_without_map (md->bm, &md->tm);
  if (r == 0)
    r = sm_disk_open (md->tm, md->super.data_sm_root, &md->data_sm);
  if (r == 0 && md->threshold_fn && !md->no_map)
    r = sm_set_threshold (tm_metadata_sm (md->tm), md->threshold,
                          md->threshold_fn, md->threshold_context);
  return r < 0 ? message_set (msg, -r, "cannot open the space maps: %s",
                              strerror (-r)) : 0;
}

int
thin_super_load (struct thin_metadata *md, struct message *msg)
{
  int r;

  r = super_read (md, BM_SUPERBLOCK, &md->super, msg);
  if (r == 0)
    r = super_check_features (md, &md->super, msg);
  if (r == 0)
    r = super_check_block_size (md, &md->super, msg);
  if (r == 0 && md->params.metadata_snapshot)
    r = super_read_held (md, msg);
  if (r == 0 && md->params.data_block_sectors == 0)
    md->params.data_block_sectors = from_le32 (md->super.data_block_sectors);
  if (r == 0)
    r = super_open_maps (md, msg);
  if (r < 0)
    return r;
  super_take_over (md);
  super_set_trees (md);
  thin_super_publish (md);
  md->data_end = md->data_blocks;
  return 0;
}

void
thin_super_unload (struct thin_metadata *md)
{
  sm_destroy (md->data_sm);
  md->data_sm = NULL;
  tm_destroy (md->tm);
  md->tm = NULL;
}

/* Formatting. */

#define WIPE_SECTORS 2048

static int
super_write_zeroes (struct block_device *bdev, sector_t size)
{
  char *CLEANUP_FREE zeroes = calloc (WIPE_SECTORS, SECTOR_SIZE);
  struct bio bio;
  sector_t at, len;
  int r = zeroes ? 0 : -ENOMEM;

  for (at = 0; r == 0 && at < size; at += len) {
    len = size - at < WIPE_SECTORS ? size - at : WIPE_SECTORS;
    bio = (struct bio) { .op = BIO_WRITE, .bdev = bdev, .sector = at,
                         .len = len, .data = zeroes };
    r = bdev_submit (bdev, &bio);
  }
  return r;
}

/* A stale node of an older pool must not survive, where a repair would take it
 * for ours.  In pieces that every device can tell the length of.
 */
static int
super_wipe (struct block_device *bdev)
{
  const sector_t max = SM_METADATA_MAX_BLOCKS * BM_BLOCK_SECTORS;
  sector_t size = bdev_size (bdev) < max ? bdev_size (bdev) : max, at, len;
  struct queue_limits limits;
  struct bio bio;
  int r = 0;

  bdev_limits (bdev, &limits);
  if (!limits.write_zeroes)
    return super_write_zeroes (bdev, size);
  for (at = 0; r == 0 && at < size; at += len) {
    len = size - at < 1 << 20 ? size - at : 1 << 20;
    bio = (struct bio) { .op = BIO_WRITE_ZEROES, .bdev = bdev, .sector = at,
                         .len = len };
    r = bdev_submit (bdev, &bio);
  }
  return r == -EOPNOTSUPP ? super_write_zeroes (bdev, size) : r;
}

/* In the kernel's order, so that all gets the place it has there. */
static int
super_make_trees (struct thin_metadata *md)
{
  int r;

  r = tm_create (md->bm, &md->tm);
  if (r < 0)
    return r;
  super_set_trees (md);
  md->super.metadata_nr_blocks =
    to_le64 (sm_nr_blocks (tm_metadata_sm (md->tm)));
  r = sm_disk_create (md->tm, 0, &md->data_sm);
  if (r == 0)
    r = btree_empty (&md->mappings, &md->mapping_root);
  if (r == 0)
    r = btree_empty (&md->details, &md->details_root);
  return r;
}

int
thin_super_format (struct thin_metadata *md, struct message *msg)
{
  int r;

  md->super = (struct thin_superblock) {
    .magic = to_le64 (THIN_MAGIC),
    .version = to_le32 (THIN_VERSION),
    .data_block_sectors = to_le32 (md->params.data_block_sectors),
    .metadata_block_sectors = to_le32 (BM_BLOCK_SECTORS),
  };
  r = super_check_block_size (md, &md->super, msg);
  if (r < 0)
    return r;
  r = super_wipe (md->params.bdev);
  if (r == 0)
    r = super_make_trees (md);
  if (r == 0)
    r = thin_super_commit (md);
  if (r == 0)
    thin_super_publish (md);
  return r < 0 ? message_set (msg, -r, "cannot format the metadata: %s",
                              strerror (-r)) : 0;
}

/* Committing. */

/* Copied from the map first: what can fail must do so before the superblock is
 * touched.
 */
static int
super_fill (struct thin_metadata *md, struct thin_superblock *s)
{
  int r;

  *s = md->super;
  r = sm_copy_root (md->data_sm, s->data_sm_root);
  if (r == 0)
    r = sm_copy_root (tm_metadata_sm (md->tm), s->metadata_sm_root);
  s->flags = to_le32 (md->flags);
  s->time = to_le32 (md->time);
  s->trans_id = to_le64 (md->trans_id);
  s->held_root = to_le64 (md->held_root);
  s->mapping_root = to_le64 (md->mapping_root);
  s->details_root = to_le64 (md->details_root);
  return r;
}

/* There is none to read when formatting. */
static int
super_lock (struct thin_metadata *md, struct bm_block **block)
{
  return from_le64 (md->super.mapping_root) == 0
    ? bm_write_lock_zero (md->bm, BM_SUPERBLOCK, &thin_superblock_validator,
                          block)
    : bm_write_lock (md->bm, BM_SUPERBLOCK, &thin_superblock_validator,
                     block);
}

int
thin_super_commit (struct thin_metadata *md)
{
  struct thin_superblock s;
  struct bm_block *block;
  int r;

  r = sm_commit (md->data_sm);
  if (r == 0)
    r = tm_pre_commit (md->tm);
  if (r == 0)
    r = super_fill (md, &s);
  if (r == 0)
    r = super_lock (md, &block);
  if (r < 0)
    return r;
  memcpy (bm_data (block), &s, sizeof s);
  r = tm_commit (md->tm, block);
  if (r == 0)
    md->super = s;
  return r;
}

/* The copy in the cache is the one on disk: it changes in commits only. */
int
thin_super_set_flag (struct thin_metadata *md, uint32_t flag)
{
  struct thin_superblock *s;
  struct bm_block *block;
  int r;

  r = super_lock (md, &block);
  if (r < 0)
    return r;
  s = bm_data (block);
  s->flags = to_le32 (from_le32 (s->flags) | flag);
  md->super.flags = s->flags;
  bm_unlock (block);
  r = bm_flush (md->bm);
  if (r == 0)
    md->flags |= flag;
  return r;
}
