/* SPDX-License-Identifier: BSD-3-Clause */
/* As much of a thin pool's metadata as tests of pdata/ need. */

#include "tests/lib/thin-pool.h"

#include <errno.h>
#include <string.h>

static int
super_check (const void *data)
{
  const struct thin_super *super = data;

  return from_le64 (super->magic) == THIN_SUPER_MAGIC ? 0 : -EILSEQ;
}

const struct bm_validator thin_super_validator = {
  .salt = THIN_SUPER_SALT,
  .nr_offset = offsetof (struct thin_super, blocknr),
  .check = super_check,
};

/* Values. */

static int
mapping_count (struct thin_pool *p, const void *values, unsigned n,
               tm_run_fn fn)
{
  const le64 *v = values;
  uint64_t block;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && i < n; i++) {
    block = from_le64 (v[i]) >> 24;
    r = fn (p->data_sm, block, block + 1);
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

static bool
mapping_equal (void *context, const void *a, const void *b)
{
  return from_le64 (*(const le64 *) a) >> 24 ==
    from_le64 (*(const le64 *) b) >> 24;
}

static int
device_inc (void *context, const void *values, unsigned n)
{
  struct thin_pool *p = context;

  return tm_inc_values (p->tm, values, n);
}

static int
device_dec (void *context, const void *values, unsigned n)
{
  struct thin_pool *p = context;
  const le64 *v = values;
  unsigned i;
  int r = 0;

  for (i = 0; r == 0 && i < n; i++)
    r = btree_del (&p->blocks, from_le64 (v[i]));
  return r;
}

static bool
device_equal (void *context, const void *a, const void *b)
{
  return memcmp (a, b, sizeof (le64)) == 0;
}

static void
pool_set_infos (struct thin_pool *p)
{
  const struct btree_value_type mapping = {
    p, sizeof (le64), mapping_inc, mapping_dec, mapping_equal
  };
  const struct btree_value_type device = {
    p, sizeof (le64), device_inc, device_dec, device_equal
  };
  const struct btree_value_type details = {
    .size = sizeof (struct thin_details)
  };

  p->mappings = (struct btree_info) { p->tm, 2, mapping };
  p->blocks = (struct btree_info) { p->tm, 1, mapping };
  p->devices = (struct btree_info) { p->tm, 1, device };
  p->details = (struct btree_info) { p->tm, 1, details };
}

/* Birth and death. */

static void
pool_forget (struct thin_pool *p)
{
  sm_destroy (p->data_sm);
  p->data_sm = NULL;
  tm_destroy (p->tm);
  p->tm = NULL;
}

static int
pool_load (struct thin_pool *p)
{
  struct bm_block *block;
  int r;

  r = bm_read_lock (p->bm, BM_SUPERBLOCK, &thin_super_validator, &block);
  if (r < 0)
    return r;
  memcpy (&p->super, bm_data (block), sizeof p->super);
  bm_unlock (block);
  p->time = from_le32 (p->super.time);
  p->mapping_root = from_le64 (p->super.mapping_root);
  p->details_root = from_le64 (p->super.details_root);
  p->held_root = from_le64 (p->super.held_root);
  r = tm_open (p->bm, p->super.metadata_sm_root, &p->tm);
  if (r < 0)
    return r;
  pool_set_infos (p);
  return sm_disk_open (p->tm, p->super.data_sm_root, &p->data_sm);
}

int
pool_open (struct thin_pool *p, struct block_device *bdev,
           size_t cache_blocks)
{
  int r;

  memset (p, 0, sizeof *p);
  r = bm_open (bdev, cache_blocks, &p->bm);
  return r < 0 ? r : pool_load (p);
}

static int
pool_make_trees (struct thin_pool *p)
{
  int r;

  r = sm_disk_create (p->tm, 0, &p->data_sm);
  if (r == 0)
    r = btree_empty (&p->mappings, &p->mapping_root);
  if (r == 0)
    r = btree_empty (&p->details, &p->details_root);
  return r;
}

int
pool_format (struct thin_pool *p, struct block_device *bdev,
             size_t cache_blocks)
{
  int r;

  memset (p, 0, sizeof *p);
  p->super.magic = to_le64 (THIN_SUPER_MAGIC);
  p->super.version = to_le32 (2);
  p->super.data_block_sectors = to_le32 (128);
  p->super.metadata_block_sectors = to_le32 (BM_BLOCK_SECTORS);
  r = bm_open (bdev, cache_blocks, &p->bm);
  if (r == 0)
    r = tm_create (p->bm, &p->tm);
  if (r < 0)
    return r;
  p->super.metadata_nr_blocks =
    to_le64 (sm_nr_blocks (tm_metadata_sm (p->tm)));
  pool_set_infos (p);
  r = pool_make_trees (p);
  return r < 0 ? r : pool_commit (p);
}

void
pool_close (struct thin_pool *p)
{
  pool_forget (p);
  if (p->bm)
    bm_close (p->bm);
  p->bm = NULL;
}

int
pool_rollback (struct thin_pool *p)
{
  pool_forget (p);
  bm_reset (p->bm);
  return pool_load (p);
}

static int
pool_lock_super (struct thin_pool *p, struct bm_block **block)
{
  bool first = from_le64 (p->super.mapping_root) == 0;

  return first
    ? bm_write_lock_zero (p->bm, BM_SUPERBLOCK, &thin_super_validator, block)
    : bm_write_lock (p->bm, BM_SUPERBLOCK, &thin_super_validator, block);
}

int
pool_commit (struct thin_pool *p)
{
  struct bm_block *block;
  int r;

  r = sm_commit (p->data_sm);
  if (r == 0)
    r = tm_pre_commit (p->tm);
  if (r == 0)
    r = sm_copy_root (p->data_sm, p->super.data_sm_root);
  if (r == 0)
    r = sm_copy_root (tm_metadata_sm (p->tm), p->super.metadata_sm_root);
  if (r == 0)
    r = pool_lock_super (p, &block);
  if (r < 0)
    return r;
  p->super.time = to_le32 (p->time);
  p->super.mapping_root = to_le64 (p->mapping_root);
  p->super.details_root = to_le64 (p->details_root);
  p->super.held_root = to_le64 (p->held_root);
  memcpy (bm_data (block), &p->super, sizeof p->super);
  return tm_commit (p->tm, block);
}

/* Devices. */

static int
pool_get_details (struct thin_pool *p, uint64_t dev, struct thin_details *d)
{
  return btree_lookup (&p->details, p->details_root, &dev, d);
}

static int
pool_set_details (struct thin_pool *p, uint64_t dev,
                  const struct thin_details *d)
{
  return btree_insert (&p->details, p->details_root, &dev, d,
                       &p->details_root, NULL);
}

static int
pool_add_mapped (struct thin_pool *p, uint64_t dev, int64_t n)
{
  struct thin_details d;
  int r = n ? pool_get_details (p, dev, &d) : 0;

  if (r < 0 || n == 0)
    return r;
  d.mapped_blocks = to_le64 (from_le64 (d.mapped_blocks) + n);
  return pool_set_details (p, dev, &d);
}

static int
pool_add_device (struct thin_pool *p, uint64_t dev, block_t root,
                 uint64_t mapped)
{
  struct thin_details d = {
    .mapped_blocks = to_le64 (mapped),
    .transaction_id = p->super.trans_id,
    .creation_time = to_le32 (p->time),
    .snapshotted_time = to_le32 (p->time),
  };
  le64 value = to_le64 (root);
  int r;

  r = btree_insert (&p->devices, p->mapping_root, &dev, &value,
                    &p->mapping_root, NULL);
  return r < 0 ? r : pool_set_details (p, dev, &d);
}

int
pool_create (struct thin_pool *p, uint64_t dev)
{
  struct thin_details d;
  block_t root;
  int r = pool_get_details (p, dev, &d);

  if (r != -ENODATA)
    return r < 0 ? r : -EEXIST;
  r = btree_empty (&p->blocks, &root);
  return r < 0 ? r : pool_add_device (p, dev, root, 0);
}

int
pool_snap (struct thin_pool *p, uint64_t dev, uint64_t origin)
{
  struct thin_details d;
  le64 root;
  int r;

  r = pool_get_details (p, dev, &d);
  if (r != -ENODATA)
    return r < 0 ? r : -EEXIST;
  r = btree_lookup (&p->devices, p->mapping_root, &origin, &root);
  if (r == 0)
    r = pool_get_details (p, origin, &d);
  if (r == 0)
    r = tm_inc (p->tm, from_le64 (root));
  if (r < 0)
    return r;
  p->time++;
  r = pool_add_device (p, dev, from_le64 (root), from_le64 (d.mapped_blocks));
  d.snapshotted_time = to_le32 (p->time);
  return r < 0 ? r : pool_set_details (p, origin, &d);
}

int
pool_delete (struct thin_pool *p, uint64_t dev)
{
  int r = btree_remove (&p->details, p->details_root, &dev, &p->details_root);

  return r < 0 ? r : btree_remove (&p->devices, p->mapping_root, &dev,
                                   &p->mapping_root);
}

int
pool_provision (struct thin_pool *p, uint64_t dev, uint64_t block,
                uint64_t *data_block)
{
  const uint64_t keys[2] = { dev, block };
  bool inserted;
  le64 value;
  int r;

  r = sm_new_block (p->data_sm, data_block);
  if (r < 0)
    return r;
  value = to_le64 (THIN_VALUE (*data_block, p->time));
  r = btree_insert (&p->mappings, p->mapping_root, keys, &value,
                    &p->mapping_root, &inserted);
  return r < 0 ? r : pool_add_mapped (p, dev, inserted);
}

/* The device's tree is taken out of the upper one first, as a pool does. */
int
pool_unmap (struct thin_pool *p, uint64_t dev, uint64_t begin, uint64_t end,
            uint64_t *nr)
{
  block_t root;
  le64 value;
  int r;

  r = btree_lookup (&p->devices, p->mapping_root, &dev, &value);
  if (r == 0)
    r = tm_inc (p->tm, from_le64 (value));
  if (r == 0)
    r = btree_remove (&p->devices, p->mapping_root, &dev, &p->mapping_root);
  if (r == 0)
    r = btree_remove_range (&p->blocks, from_le64 (value), &begin, end, &root,
                            nr);
  if (r < 0)
    return r;
  value = to_le64 (root);
  r = btree_insert (&p->devices, p->mapping_root, &dev, &value,
                    &p->mapping_root, NULL);
  return r < 0 ? r : pool_add_mapped (p, dev, -(int64_t) *nr);
}

/* Metadata snapshots. */

static int
pool_copy_super (struct thin_pool *p, block_t *nr)
{
  struct thin_super *copy;
  struct bm_block *block;
  bool inc;
  int r;

  r = tm_inc (p->tm, BM_SUPERBLOCK);
  if (r == 0)
    r = tm_shadow (p->tm, BM_SUPERBLOCK, &thin_super_validator, &block, &inc);
  if (r < 0)
    return r;
  copy = bm_data (block);
  memset (copy->data_sm_root, 0, sizeof copy->data_sm_root);
  memset (copy->metadata_sm_root, 0, sizeof copy->metadata_sm_root);
  *nr = bm_block_nr (block);
  bm_unlock (block);
  return 0;
}

int
pool_reserve_snap (struct thin_pool *p)
{
  block_t copy = 0;
  int r = pool_commit (p);

  if (r == 0)
    r = pool_copy_super (p, &copy);
  if (r == 0)
    r = tm_inc (p->tm, p->mapping_root);
  if (r == 0)
    r = tm_inc (p->tm, p->details_root);
  if (r < 0)
    return r;
  p->held_root = copy;
  return pool_commit (p);
}

int
pool_release_snap (struct thin_pool *p)
{
  struct thin_super held;
  struct bm_block *block;
  int r;

  r = bm_read_lock (p->bm, p->held_root, &thin_super_validator, &block);
  if (r < 0)
    return r;
  memcpy (&held, bm_data (block), sizeof held);
  bm_unlock (block);
  r = btree_del (&p->mappings, from_le64 (held.mapping_root));
  if (r == 0)
    r = btree_del (&p->details, from_le64 (held.details_root));
  if (r == 0)
    r = tm_dec (p->tm, p->held_root);
  p->held_root = 0;
  return r;
}
