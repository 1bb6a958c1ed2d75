/* SPDX-License-Identifier: BSD-3-Clause */
/* What both kinds of space maps are made of; private to space-map-*.c. */

#ifndef NBDM_SPACE_MAP_COMMON_H
#define NBDM_SPACE_MAP_COMMON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "pdata/btree.h"
#include "pdata/space-map.h"

/* The format (Linux 6.1).  A bitmap block holds two bits for each of 16320
 * blocks: 0, 1, 2, or 3 for "three or more: see the B-tree of the large
 * counts".  An index tells for each bitmap where it is, how many entries are 0
 * (also among those beyond the end of a map, in its last bitmap) and an entry
 * before which none is.  The two kinds of map differ in how the index is
 * stored.
 */
#define SM_ENTRIES_PER_BITMAP 16320u
#define SM_ENTRIES_PER_WORD 32u
#define SM_WORDS_PER_BITMAP (SM_ENTRIES_PER_BITMAP / SM_ENTRIES_PER_WORD)

struct sm_bitmap {
  le32 csum;
  le32 unused;
  le64 blocknr;
  le64 words[SM_WORDS_PER_BITMAP];
};

extern const struct bm_validator sm_bitmap_validator;

/* Entry i of a bitmap: 0 to 3. */
unsigned bitmap_get (const struct sm_bitmap *bitmap, unsigned i);
void bitmap_set (struct sm_bitmap *bitmap, unsigned i, unsigned count);

/* The first entry in [begin, end) that is 0, also in before unless that is
 * NULL; or end.
 */
unsigned bitmap_find_free (const struct sm_bitmap *bitmap,
                           const uint64_t *before, unsigned begin,
                           unsigned end);

/* How many entries are not 0. */
unsigned bitmap_count_used (const struct sm_bitmap *bitmap);

struct sm_disk_root {
  le64 nr_blocks;
  le64 nr_allocated;
  le64 bitmap_root; /* of the index */
  le64 ref_count_root;
};

struct sm_index_entry {
  le64 block;
  le32 nr_free;
  le32 none_free_before;
};

/* One bitmap's index entry in memory. */
struct sm_slot {
  block_t block;
  uint32_t nr_free, none_free_before;
  bool loaded, dirty;

  /* Set once the bitmap has been changed in this transaction: its bits as they
   * were before, for what was in use then must not be handed out.
   */
  uint64_t *before;
};

#define SM_CHUNK_SLOTS 256

/* Loaded slot by slot, on demand. */
struct sm_chunk {
  struct sm_slot slots[SM_CHUNK_SLOTS];
};

struct sm_ll;

struct sm_index_ops {
  uint64_t max_bitmaps;
  int (*create) (struct sm_ll *);                 /* an empty index on disk */
  int (*load) (struct sm_ll *, uint64_t i, struct sm_index_entry *);
  int (*commit) (struct sm_ll *);                 /* write the dirty slots */
};

/* A map without the rules for who may call it when. */
struct sm_ll {
  struct transaction_manager *tm;
  const struct sm_index_ops *index;
  struct btree_info ref_counts;

  block_t nr_blocks, nr_allocated;
  block_t bitmap_root, ref_count_root;
  block_t cursor;           /* where the search for free blocks goes on */
  bool changed;             /* some slot is dirty */

  block_t committed_nr_blocks, committed_nr_allocated;

  struct sm_chunk **chunks; /* NULL: nothing of it loaded */
  uint64_t nr_chunks;
};

/* ll_init: an object without blocks; ll_exit frees what is in memory. */
void sm_ll_init (struct sm_ll *ll, struct transaction_manager *tm,
                 const struct sm_index_ops *index);
void sm_ll_exit (struct sm_ll *ll);

/* Make an empty index and an empty tree of counts; or take over a root. */
int sm_ll_create (struct sm_ll *ll);
int sm_ll_open (struct sm_ll *ll, const void *root);
void sm_ll_copy_root (const struct sm_ll *ll, void *root);

/* As the calls of the same names in pdata/space-map.h.  sm_ll_get_count_2bit
 * stops at 3, without a look at the tree.
 */
int sm_ll_extend (struct sm_ll *ll, block_t extra_blocks);
int sm_ll_get_count (struct sm_ll *ll, block_t b, uint32_t *count);
int sm_ll_get_count_2bit (struct sm_ll *ll, block_t b, uint32_t *count);
int sm_ll_set_count (struct sm_ll *ll, block_t b, uint32_t count);
int sm_ll_inc (struct sm_ll *ll, block_t begin, block_t end);
int sm_ll_dec (struct sm_ll *ll, block_t begin, block_t end);

/* Find a block that is free now and was so at the last commit, from the cursor
 * on and then from the start, and move the cursor behind it.  The block is not
 * counted yet.
 */
int sm_ll_find_free (struct sm_ll *ll, block_t *b);

/* Write the index, if anything changed. */
int sm_ll_write_index (struct sm_ll *ll);

/* What is free now may be handed out from now on. */
void sm_ll_end_transaction (struct sm_ll *ll);

/* Bitmaps that the map has, or would have with nr blocks. */
uint64_t sm_nr_bitmaps (block_t nr_blocks);

/* Slot i, loaded. */
int sm_ll_slot (struct sm_ll *ll, uint64_t i, struct sm_slot **slot);

/* The slot is changed and has to be written. */
void sm_ll_touch (struct sm_ll *ll, struct sm_slot *slot);

/* The bitmap of a slot, read-locked. */
int sm_ll_read_bitmap (struct sm_ll *ll, const struct sm_slot *slot,
                       struct bm_block **block);

/* A count that the bitmap says is in the tree. */
int sm_ll_get_large_count (struct sm_ll *ll, block_t b, uint32_t *count);

void sm_pack_slot (const struct sm_slot *slot, struct sm_index_entry *e);

#endif /* NBDM_SPACE_MAP_COMMON_H */
