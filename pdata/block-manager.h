/* SPDX-License-Identifier: BSD-3-Clause */
/* Checked, cached, locked blocks of 4 KiB on a block device. */

#ifndef NBDM_BLOCK_MANAGER_H
#define NBDM_BLOCK_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/block-device.h"

/* The format of the kernel's persistent-data library (Linux 6.1): metadata
 * is an array of blocks of 4096 bytes.  Each starts with a checksum, a CRC-32C
 * from its 5th byte to its end xor a constant that tells its kind, and holds
 * its own number, so that damaged and misplaced blocks are noticed.
 *
 * Block 0 is the superblock.  It alone is overwritten in place; everything
 * else is written to blocks that the superblock on disk does not reach yet.
 */
#define BM_BLOCK_BYTES 4096
#define BM_BLOCK_SECTORS (BM_BLOCK_BYTES / SECTOR_SIZE)
#define BM_SUPERBLOCK 0

/* The number of a block: its position on the device / BM_BLOCK_BYTES.  The
 * same type counts data blocks, whose size is their owner's business.
 */
typedef uint64_t block_t;

/* What makes a block of one kind valid. */
struct bm_validator {
  uint32_t salt;      /* xor'ed to the checksum */
  unsigned nr_offset; /* byte where the block's own number stands */

  /* Optional: the rest, once number and checksum are right.  0 or -errno. */
  int (*check) (const void *data);
};

/* Threads.  Any number may lock and unlock blocks at once.  A lock belongs to
 * the thread that took it.  Locks are taken parent before child.  Only one
 * thread at a time may take write locks, flush or reset: whoever owns the
 * block manager serialises them, and keeps readers of a tree out while it is
 * changed if they must not see the change half done (a gate around the root
 * does both).
 *
 * Memory.  The cache keeps to its budget; only blocks that are locked can
 * exceed it.  When dirty blocks fill it they are written early.  That harms
 * nothing, since the superblock is not among them.
 *
 * Failure.  Once writing or flushing has failed nothing can be written any
 * more (-EIO at once) until bm_reset throws away what was not committed: the
 * device may have lost any block, so the transaction cannot be saved.
 */
struct block_manager;

/* A block, locked.  Belongs to the block manager. */
struct bm_block;

/* Make a block manager for bdev, which must outlive it and which nobody else
 * writes to.  cache_blocks is the budget, of 64 blocks at least.  -ENOMEM.
 */
int bm_open (struct block_device *bdev, size_t cache_blocks,
             struct block_manager **bm);

/* Free everything; dirty blocks are lost.  No block may be locked. */
void bm_close (struct block_manager *bm);

/* The size of the device now, in blocks. */
block_t bm_nr_blocks (struct block_manager *bm);

/* Read-only: write locks and flushes get -EPERM, nothing is written.  Off at
 * first, unless the device itself is read-only.
 */
void bm_set_read_only (struct block_manager *bm, bool read_only);
bool bm_is_read_only (struct block_manager *bm);

/* Lock block nr, shared or exclusive; waits for other threads' locks and for
 * the device.  bm_write_lock_zero is for a block about to be made: it is not
 * read, its data are zeroes.  Two read locks of one block by one thread are
 * fine.
 *
 * -EIO      beyond the end, or the device cannot read or make room
 * -ENOTBLK  the block says it is another one
 * -EILSEQ   wrong checksum, or the validator says no; or this thread holds
 *           the block already, which only a loop in the metadata can cause
 * -EINVAL   in the cache as a block of another kind
 * -EPERM    write lock when read-only
 * -ENOMEM
 */
int bm_read_lock (struct block_manager *bm, block_t nr,
                  const struct bm_validator *v, struct bm_block **block);
int bm_write_lock (struct block_manager *bm, block_t nr,
                   const struct bm_validator *v, struct bm_block **block);
int bm_write_lock_zero (struct block_manager *bm, block_t nr,
                        const struct bm_validator *v, struct bm_block **block);

/* A block that was locked for writing is dirty from now on. */
void bm_unlock (struct bm_block *block);

/* The BM_BLOCK_BYTES of a locked block, aligned to as much; not to be written
 * under a read lock.  Number and checksum in them are only right on disk.
 */
void *bm_data (struct bm_block *block);
block_t bm_block_nr (struct bm_block *block);

/* Make every change durable, in this order: all dirty blocks but the
 * superblock, ascending, neighbours joined; a device flush, if anything was
 * written since the last; then, if it is dirty, the superblock and another
 * flush.  The caller holds no write lock.  -EPERM when read-only; after any
 * other error only bm_reset helps.
 */
int bm_flush (struct block_manager *bm);

/* Forget everything cached, dirty or not.  No block may be locked. */
void bm_reset (struct block_manager *bm);

/* How many blocks are in memory. */
size_t bm_nr_cached (struct block_manager *bm);

#endif /* NBDM_BLOCK_MANAGER_H */
