/* SPDX-License-Identifier: BSD-3-Clause */
/* The space map of a data device, kept in ordinary metadata blocks. */

#include <errno.h>
#include <stdlib.h>

#include "common/list.h"
#include "pdata/space-map-common.h"

/* Data blocks are named by 40 bits (Linux 6.1), which also bounds what a
 * damaged superblock can make us allocate.
 */
#define SM_DISK_MAX_BLOCKS (UINT64_C (1) << 40)

struct sm_disk {
  struct space_map sm;
  struct sm_ll ll;
};

static struct sm_disk *
sm_disk (struct space_map *sm)
{
  return container_of (sm, struct sm_disk, sm);
}

/* The index is a B-tree, from the number of a bitmap to its entry. */

static struct btree_info
disk_index_info (const struct sm_ll *ll)
{
  return (struct btree_info) {
    .tm = ll->tm,
    .levels = 1,
    .value_type.size = sizeof (struct sm_index_entry),
  };
}

static int
disk_index_create (struct sm_ll *ll)
{
  struct btree_info info = disk_index_info (ll);

  return btree_empty (&info, &ll->bitmap_root);
}

static int
disk_index_load (struct sm_ll *ll, uint64_t i, struct sm_index_entry *entry)
{
  struct btree_info info = disk_index_info (ll);
  int r = btree_lookup (&info, ll->bitmap_root, &i, entry);

  return r == -ENODATA ? -EILSEQ : r;
}

static int
disk_index_save (struct sm_ll *ll, uint64_t i, struct sm_slot *slot)
{
  struct btree_info info = disk_index_info (ll);
  struct sm_index_entry entry;
  int r;

  sm_pack_slot (slot, &entry);
  r = btree_insert (&info, ll->bitmap_root, &i, &entry, &ll->bitmap_root,
                    NULL);
  if (r == 0)
    slot->dirty = false;
  return r;
}

/* In ascending order, as the kernel does; stops at the first error. */
static int
disk_index_commit (struct sm_ll *ll)
{
  struct sm_chunk *chunk;
  uint64_t i;
  unsigned j;
  int r = 0;

  for (i = 0; i < ll->nr_chunks; i++) {
    chunk = ll->chunks[i];
    for (j = 0; r == 0 && chunk && j < SM_CHUNK_SLOTS; j++)
      if (chunk->slots[j].dirty)
        r = disk_index_save (ll, i * SM_CHUNK_SLOTS + j, &chunk->slots[j]);
  }
  return r;
}

static const struct sm_index_ops disk_index_ops = {
  .max_bitmaps = SM_DISK_MAX_BLOCKS / SM_ENTRIES_PER_BITMAP + 1,
  .create = disk_index_create,
  .load = disk_index_load,
  .commit = disk_index_commit,
};

/* The map. */

static void
disk_destroy (struct space_map *sm)
{
  sm_ll_exit (&sm_disk (sm)->ll);
  free (sm_disk (sm));
}

static block_t
disk_nr_blocks (struct space_map *sm)
{
  return sm_disk (sm)->ll.committed_nr_blocks;
}

/* A foreign number of allocated blocks may be too large. */
static block_t
disk_nr_free (struct space_map *sm)
{
  struct sm_ll *ll = &sm_disk (sm)->ll;

  return ll->committed_nr_blocks > ll->nr_allocated
    ? ll->committed_nr_blocks - ll->nr_allocated : 0;
}

static int
disk_get_count (struct space_map *sm, block_t b, uint32_t *count)
{
  return sm_ll_get_count (&sm_disk (sm)->ll, b, count);
}

/* Two bits are enough to know. */
static int
disk_is_shared (struct space_map *sm, block_t b, bool *shared)
{
  uint32_t count;
  int r = sm_ll_get_count_2bit (&sm_disk (sm)->ll, b, &count);

  if (r == 0)
    *shared = count > 1;
  return r;
}

static int
disk_set_count (struct space_map *sm, block_t b, uint32_t count)
{
  return sm_ll_set_count (&sm_disk (sm)->ll, b, count);
}

static int
disk_inc (struct space_map *sm, block_t begin, block_t end)
{
  return sm_ll_inc (&sm_disk (sm)->ll, begin, end);
}

static int
disk_dec (struct space_map *sm, block_t begin, block_t end)
{
  return sm_ll_dec (&sm_disk (sm)->ll, begin, end);
}

static int
disk_new_block (struct space_map *sm, block_t *b)
{
  struct sm_ll *ll = &sm_disk (sm)->ll;
  block_t found;
  int r = sm_ll_find_free (ll, &found);

  if (r == 0)
    r = sm_ll_inc (ll, found, found + 1);
  if (r == 0)
    *b = found;
  return r;
}

static int
disk_extend (struct space_map *sm, block_t extra_blocks)
{
  return sm_ll_extend (&sm_disk (sm)->ll, extra_blocks);
}

static int
disk_commit (struct space_map *sm)
{
  struct sm_ll *ll = &sm_disk (sm)->ll;
  int r = sm_ll_write_index (ll);

  if (r == 0)
    sm_ll_end_transaction (ll);
  return r;
}

static int
disk_copy_root (struct space_map *sm, void *root)
{
  sm_ll_copy_root (&sm_disk (sm)->ll, root);
  return 0;
}

static const struct space_map_ops disk_ops = {
  .destroy = disk_destroy,
  .nr_blocks = disk_nr_blocks,
  .nr_free = disk_nr_free,
  .get_count = disk_get_count,
  .is_shared = disk_is_shared,
  .set_count = disk_set_count,
  .inc = disk_inc,
  .dec = disk_dec,
  .new_block = disk_new_block,
  .extend = disk_extend,
  .commit = disk_commit,
  .copy_root = disk_copy_root,
};

static struct sm_disk *
disk_alloc (struct transaction_manager *tm)
{
  struct sm_disk *disk = calloc (1, sizeof *disk);

  if (disk) {
    disk->sm.ops = &disk_ops;
    sm_ll_init (&disk->ll, tm, &disk_index_ops);
  }
  return disk;
}

static int
disk_result (struct sm_disk *disk, int r, struct space_map **sm)
{
  if (r < 0)
    sm_destroy (&disk->sm);
  else
    *sm = &disk->sm;
  return r;
}

int
sm_disk_create (struct transaction_manager *tm, block_t nr_blocks,
                struct space_map **sm)
{
  struct sm_disk *disk = disk_alloc (tm);
  int r;

  if (disk == NULL)
    return -ENOMEM;
  r = sm_ll_create (&disk->ll);
  if (r == 0)
    r = sm_ll_extend (&disk->ll, nr_blocks);
  if (r == 0)
    r = disk_commit (&disk->sm);
  return disk_result (disk, r, sm);
}

int
sm_disk_open (struct transaction_manager *tm, const void *root,
              struct space_map **sm)
{
  struct sm_disk *disk = disk_alloc (tm);

  if (disk == NULL)
    return -ENOMEM;
  return disk_result (disk, sm_ll_open (&disk->ll, root), sm);
}
