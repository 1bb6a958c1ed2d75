/* SPDX-License-Identifier: BSD-3-Clause */
/* The metadata of a thin pool: which block of which thin is where. */

#ifndef NBDM_THIN_METADATA_H
#define NBDM_THIN_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"
#include "common/message.h"
#include "pdata/block-manager.h"

/* On disk: a superblock, a tree from device id and virtual block to data
 * block, a tree of details per device, counts of all data blocks and of all
 * metadata blocks; the format of the kernel's thin-pool target 1.22.0 (Linux
 * 6.1).  A virtual block and a data block both have the pool's block size and
 * are numbered from 0, by block_t.
 *
 * Transactions.  All changes since the last commit are one transaction, which
 * reaches the disk as a whole with thin_meta_commit or not at all.  Data
 * blocks freed in it are not handed out again before it is committed, since
 * the disk still says that they are in use.
 *
 * Sharing is told by time, as in the kernel: each mapping carries the clock of
 * its insertion, each snapshot advances the clock and stamps origin and
 * snapshot.  A mapping older than its device's stamp may be shared; so "shared"
 * can be said of a block that is not any more, never the reverse.
 *
 * Errors.  Functions marked [C] change the transaction.  They say -EPERM when
 * the metadata are read-only, and -EINVAL once thin_meta_abort has failed, as
 * everything does that reads or changes metadata.  Errors that are listed for
 * a function have changed nothing.  After any other error the transaction is
 * broken: thin_meta_is_broken tells, everything but thin_meta_abort and
 * thin_meta_close gets -EIO, nothing more reaches the disk.  Anything that
 * reads may fail with -EIO, -EILSEQ, -ENOTBLK, -ENOMEM; that breaks nothing.
 *
 * Threads.  All functions but open and close may be called from any thread.
 * Two gates order them: the change gate (GATE_THIN_CHANGE: one thread changes
 * or commits at a time; a commit holds it across its I/O), and, below it, the
 * root gate (GATE_THIN_ROOT, shared and exclusive: nobody looks up while trees
 * change).  Lookups take the latter alone, shared: they run beside each other,
 * and beside a commit and an allocation.  The caller holds no latch.  Which
 * function takes what: [C] the change gate, and if it changes a mapping for a
 * moment the root gate; [L] the root gate, shared; nothing: never blocks.
 */
struct thin_metadata;

/* One thin device that is in use. */
struct thin_device;

#define THIN_MAX_ID ((1u << 24) - 1)
#define THIN_MIN_BLOCK_SECTORS 128 /* and sizes are multiples of it */
#define THIN_MAX_BLOCK_SECTORS 2097152

/* The clock stands in 24 bits of each mapping. */
#define THIN_MAX_TIME ((1u << 24) - 1)

/* The superblock's flag. */
#define THIN_NEEDS_CHECK 1

struct thin_meta_params {
  struct block_device *bdev; /* outlives the object; nobody else writes it */

  /* Of the pool; 0: whatever the superblock says (then nothing is formatted).
   */
  sector_t data_block_sectors;

  /* Nothing is written, until thin_meta_set_read_only says otherwise. */
  bool read_only;

  /* Open the metadata snapshot instead of the present state: thins, mappings,
   * clock and transaction id are its own.  Read-only for ever, and every
   * mapping is shared.  -ENODATA if there is none.
   */
  bool metadata_snapshot;

  size_t cache_blocks; /* budget of the cache; 0: THIN_META_CACHE_BLOCKS */

  /* Make durable what was written to the data device; the first step of each
   * commit, called under the change gate: it must call nothing of this
   * header.  NULL: nothing to do.  Its error becomes the commit's.
   */
  int (*flush_data) (void *context);
  void *context;
};

#define THIN_META_CACHE_BLOCKS 16384 /* 64 MiB */

/* Open the metadata on a device.  If its first block is all zeroes they are
 * made new, unless read_only: the device is punched, or filled with zeroes, so
 * that nothing of an older pool can be taken for a part of this one; then come
 * empty trees, laid out as the kernel does, and a data space of 0 blocks.
 *
 * A device that cannot be written opens read-only whatever the parameters say.
 * The needs_check flag does not prevent opening: whoever opens looks at it.
 * Nor does, read-only, damage to the map of the metadata, which lookups do not
 * need (thin_meta_map_is_damaged).
 *
 * -EINVAL   another block size than the superblock's; features unknown here
 *           (compat_ro_flags: only if the device can be written)
 * -EPERM    read-only, and nothing there
 * -ENOTBLK, -EILSEQ   no superblock of a thin pool, or a damaged one
 * -ENOSPC   too small a device; or the errno of its I/O; -ENOMEM
 */
int thin_meta_open (const struct thin_meta_params *params,
                    struct thin_metadata **md, struct message *msg);

/* Commit, unless that is impossible (read-only, broken, failed), and free
 * everything, whatever comes of it.  All devices were closed.  A pool in which
 * nothing was changed is not written to.
 */
int thin_meta_close (struct thin_metadata *md);

/* Transactions. */

/* [C] Make the transaction durable.  In this order (Linux 6.1): flush_data;
 * details of changed devices; both space maps; everything but the superblock
 * is written, and flushed; the superblock, and a flush.  If nothing was
 * changed since the last commit nothing is done, not even flush_data.  Any
 * error breaks the transaction, and leaves the state of the last one on disk
 * (or, if it was the last flush that failed, maybe the new one).
 *
 * Lookups go on meanwhile; changes wait.
 */
int thin_meta_commit (struct thin_metadata *md);

/* Drop the transaction and read everything from the disk again: clock,
 * transaction id, flags, sizes, and the details of all open devices.  Those
 * that were changed in it say so from now on (thin_dev_aborted_with_changes);
 * those that were made in it are gone, and say -ENODATA to everything.
 *
 * The metadata are read-only then: somebody may be in the middle of something,
 * with a data block that is not allocated any more.  Once nobody is,
 * thin_meta_set_read_only ends that.  An error is final: from then on
 * everything says -EINVAL.
 */
int thin_meta_abort (struct thin_metadata *md);

/* Something failed in the middle: abort. */
bool thin_meta_is_broken (struct thin_metadata *md);

/* Something was changed since the last commit. */
bool thin_meta_changed (struct thin_metadata *md);

/* [C] Set the superblock's needs_check flag at once, on disk too, also when it
 * is only an abort that has made the metadata read-only.  Nothing else of the
 * transaction gets there with it.  Tools clear it (thin_check
 * --clear-needs-check-flag).
 */
int thin_meta_set_needs_check (struct thin_metadata *md);
bool thin_meta_needs_check (struct thin_metadata *md);

/* From now on nothing is changed, or it is again.  What was changed but not
 * committed stays changed.  -EPERM: the device cannot be written, or its map
 * is damaged.
 */
int thin_meta_set_read_only (struct thin_metadata *md, bool read_only);
bool thin_meta_is_read_only (struct thin_metadata *md);
bool thin_meta_map_is_damaged (struct thin_metadata *md);

/* Thins. */

/* [C] A new thin without mappings.  -EEXIST. */
int thin_meta_create_thin (struct thin_metadata *md, uint32_t id);

/* [C] A new thin that shares all blocks of another; O(log n).  Writes to the
 * origin that are under way are the caller's concern.  -EEXIST; -ENODATA: no
 * origin; -EOVERFLOW: the clock is at its end (where the kernel would damage
 * mappings).
 */
int thin_meta_create_snap (struct thin_metadata *md, uint32_t id,
                           uint32_t origin);

/* [C] Delete a thin.  O(what it does not share), beside lookups.  -ENODATA;
 * -EBUSY: it is open.
 */
int thin_meta_delete (struct thin_metadata *md, uint32_t id);

/* Hold a thin; the same id gives the same device.  Takes the change gate.
 * -ENODATA.  Each open is undone by one close, which keeps what was changed in
 * memory until it is committed.
 */
int thin_dev_open (struct thin_metadata *md, uint32_t id,
                   struct thin_device **td);
void thin_dev_close (struct thin_device *td);

/* It was changed since the last commit: who wants its writes durable commits.
 * A change that has returned is seen; one that a commit under way contains is
 * seen until that has succeeded.
 */
bool thin_dev_changed (struct thin_device *td);

/* Changes of it were lost in an abort; it stays so while it is open. */
bool thin_dev_aborted_with_changes (struct thin_device *td);

/* Mappings of it, changes of this transaction included. */
uint64_t thin_dev_mapped_blocks (struct thin_device *td);

/* What stands in the tree of details, as changed since. */
struct thin_dev_details {
  uint64_t mapped_blocks;
  uint64_t transaction_id; /* the pool's, when it was made */
  uint32_t creation_time, snapshotted_time;
};

/* [L] */
void thin_dev_details (struct thin_device *td,
                       struct thin_dev_details *details);

/* [L] The first thin whose id is not below from: for (id = 0; thin_meta_next
 * (md, id, &id) == 0; id++) finds all.  -ENODATA: there is none.
 */
int thin_meta_next (struct thin_metadata *md, uint32_t from, uint32_t *id);

/* Mappings. */

struct thin_mapping {
  block_t data_block;
  bool shared; /* maybe: copy before writing */
};

/* [L] Where a virtual block is.  -ENODATA: nowhere. */
int thin_dev_find (struct thin_device *td, block_t block,
                   struct thin_mapping *mapping);

/* Virtual blocks [begin, end) are data blocks data_begin ... */
struct thin_range {
  block_t begin, end;
  block_t data_begin;
  bool shared; /* all alike */
};

/* [L] The first run of mapped blocks in [begin, end) that are consecutive on
 * both sides and equally shared.  A long run may be told in parts, by this call
 * and the next ones.  -ENODATA: all of [begin, end) is unmapped.
 */
int thin_dev_find_range (struct thin_device *td, block_t begin, block_t end,
                         struct thin_range *range);

/* [L] The first run [*from, *to) in [begin, end) of blocks that two thins of a
 * pool do not have in the same place, or only one of them has: what was written
 * or discarded in either since one became a snapshot of the other.  A long run
 * may be told in parts.  O(changes), and the size of the tree where the thins
 * do not share it.  -ENODATA: no difference.
 */
int thin_dev_find_difference (struct thin_device *td, struct thin_device *base,
                              block_t begin, block_t end, block_t *from,
                              block_t *to);

/* [L] The highest mapped block.  -ENODATA: none. */
int thin_dev_highest_mapped (struct thin_device *td, block_t *block);

/* [C] Map a virtual block to a data block, which was allocated and whose one
 * reference goes to the mapping.  A mapping that was there before is replaced,
 * and its data block counted once less.
 */
int thin_dev_insert (struct thin_device *td, block_t block,
                     block_t data_block);

/* [C] Unmap what is mapped of [begin, end), and count its data blocks down.
 * Large ranges go in parts, between which others get their turn, commits too.
 */
int thin_dev_remove_range (struct thin_device *td, block_t begin, block_t end);

/* Data blocks. */

/* [C] Allocate a data block, counted once; taken in ascending order, round the
 * device.  -ENOSPC: none; after a commit there may be, if any were freed since
 * the last (usage tells them as free already).  Whoever does not use it counts
 * it down.  Lookups go on beside this, and the two below.
 */
int thin_meta_alloc_data_block (struct thin_metadata *md, block_t *block);

/* [C] Count all of [begin, end) up or down. */
int thin_meta_inc_data (struct thin_metadata *md, block_t begin, block_t end);
int thin_meta_dec_data (struct thin_metadata *md, block_t begin, block_t end);

/* Whether a block's count is above 1.  Exact, unlike thin_mapping.shared, but
 * for mappings in leaves that thins share: these count once.  Takes the change
 * gate.
 */
int thin_meta_data_is_shared (struct thin_metadata *md, block_t block,
                              bool *shared);

/* Space. */

/* All counts in blocks of their kind.  metadata_free is without the reserve of
 * min (4096, a tenth), which exists so that a commit still fits when it is 0;
 * data_blocks tells growth after the commit only.
 */
struct thin_meta_usage {
  block_t metadata_blocks, metadata_free;
  block_t data_blocks, data_free;
};

/* Each number is of some moment of the call. */
void thin_meta_usage (struct thin_metadata *md,
                      struct thin_meta_usage *usage);

/* [C] Grow the data space, or the metadata (beyond SM_METADATA_MAX_BLOCKS,
 * which are 15.88 GiB, a device is ignored).  Equal: nothing is done.
 * -EINVAL: smaller than it is.
 */
int thin_meta_resize_data (struct thin_metadata *md, block_t nr_blocks);
int thin_meta_resize_metadata (struct thin_metadata *md, block_t nr_blocks);

/* Have fn called, under the change gate, when an allocation leaves so many
 * free metadata blocks (the reserve counted), or fewer, and the one before
 * left more; fn calls nothing of this header.  Holds across aborts.
 */
int thin_meta_set_threshold (struct thin_metadata *md, block_t free_blocks,
                             void (*fn) (void *context), void *context);

/* The rest of the superblock. */

sector_t thin_meta_data_block_sectors (const struct thin_metadata *md);
uint32_t thin_meta_time (struct thin_metadata *md);

/* A number for the user, who counts his own transactions with it.  [C] set:
 * -EINVAL if it is not current.
 */
uint64_t thin_meta_transaction_id (struct thin_metadata *md);
int thin_meta_set_transaction_id (struct thin_metadata *md, uint64_t current,
                                  uint64_t new_id);

/* [C] The metadata snapshot: a second superblock, somewhere, that holds the
 * trees as they are now, for tools to read while the pool works (thin_dump
 * -m).  Both commit: before, so that it holds what it should, and after.
 * reserve: -EBUSY if there is one.  release: -EINVAL if there is none;
 * O(what the present trees do not share).
 */
int thin_meta_reserve_snap (struct thin_metadata *md);
int thin_meta_release_snap (struct thin_metadata *md);

/* The block of the metadata snapshot; 0: none. */
block_t thin_meta_held_root (struct thin_metadata *md);

#endif /* NBDM_THIN_METADATA_H */
