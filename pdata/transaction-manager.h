/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: metadata are never overwritten, but copied and replaced. */

#ifndef NBDM_TRANSACTION_MANAGER_H
#define NBDM_TRANSACTION_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "pdata/block-manager.h"
#include "pdata/space-map.h"

/* Everything between two commits is one transaction.  The superblock on disk
 * leads to the trees of the last one, whose blocks are left alone.  Who wants
 * to change a block asks for its shadow: a copy in a fresh block, which then
 * has to be named in its parent, whose shadow ... up to the roots, which the
 * owner writes to the superblock.  Within a transaction a block is copied
 * once.
 *
 * Every metadata block has a count of pointers to it, so that trees can share
 * blocks: copying a tree means one more reference to its root.
 *
 * A commit, by the owner of the superblock (the order of Linux 6.1):
 *
 *   sm_commit of the data maps
 *   tm_pre_commit              everything but the superblock is durable now
 *   sm_copy_root of all maps   whatever can fail, fails before this line
 *   bm_write_lock of block 0   fill it
 *   tm_commit                  unlocks, writes and flushes the superblock
 *
 * The superblock is locked for writing at no other time.
 *
 * To drop a transaction, which is all that may be done after an error of a
 * function that changes anything: destroy data maps and transaction manager,
 * bm_reset, open them again from the superblock.
 *
 * Threads: tm_read_lock from any; the rest is serialised by the caller.
 */
struct transaction_manager;

/* Begin new metadata on bm: all blocks of the device that a map can count are
 * free but for the superblock and what the map itself takes.  Nothing is
 * written before the first commit.  -ENOMEM -ENOSPC.  bm outlives *tm.
 */
int tm_create (struct block_manager *bm, struct transaction_manager **tm);

/* Open what the metadata space map's root (SM_ROOT_BYTES) leads to. */
int tm_open (struct block_manager *bm, const void *root,
             struct transaction_manager **tm);

/* For reading alone, where the map is damaged: of this manager only
 * tm_read_lock, tm_block_manager and tm_destroy may be called, and so of trees
 * only what reads them.  -ENOMEM.
 */
int tm_open_without_map (struct block_manager *bm,
                         struct transaction_manager **tm);

/* Forget the transaction; its blocks stay in bm until bm_reset. */
void tm_destroy (struct transaction_manager *tm);

struct block_manager *tm_block_manager (struct transaction_manager *tm);

/* The map of the metadata blocks.  It belongs to tm. */
struct space_map *tm_metadata_sm (struct transaction_manager *tm);

int tm_pre_commit (struct transaction_manager *tm);

/* superblock is locked for writing; it is unlocked in any case. */
int tm_commit (struct transaction_manager *tm, struct bm_block *superblock);

/* A new block, counted once, locked for writing, all zeroes.  -ENOSPC. */
int tm_new_block (struct transaction_manager *tm, const struct bm_validator *v,
                  struct bm_block **block);

/* The block to write to instead of orig, locked for writing: orig itself if
 * it was made in this transaction and is not shared, else a copy, for which
 * the reference to orig that the caller had is dropped.  If *inc is set what
 * orig points to has one more pointer now, and the caller has to count it.
 */
int tm_shadow (struct transaction_manager *tm, block_t orig,
               const struct bm_validator *v, struct bm_block **block,
               bool *inc);

int tm_read_lock (struct transaction_manager *tm, block_t nr,
                  const struct bm_validator *v, struct bm_block **block);

/* References to metadata blocks. */
int tm_inc (struct transaction_manager *tm, block_t nr);
int tm_dec (struct transaction_manager *tm, block_t nr);
int tm_get_count (struct transaction_manager *tm, block_t nr, uint32_t *count);
int tm_is_shared (struct transaction_manager *tm, block_t nr, bool *shared);

/* The same for n block numbers as they lie in a node. */
int tm_inc_values (struct transaction_manager *tm, const le64 *values,
                   unsigned n);
int tm_dec_values (struct transaction_manager *tm, const le64 *values,
                   unsigned n);

/* Call fn for [begin, end) of each run of consecutive numbers among values,
 * until it fails.
 */
typedef int (*tm_run_fn) (struct space_map *sm, block_t begin, block_t end);
int tm_for_each_run (struct space_map *sm, tm_run_fn fn, const le64 *values,
                     unsigned n);

#endif /* NBDM_TRANSACTION_MANAGER_H */
