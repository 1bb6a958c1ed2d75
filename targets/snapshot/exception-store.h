/* SPDX-License-Identifier: BSD-3-Clause */
/* The exception store: what of a snapshot is on its COW device. */

#ifndef NBDM_EXCEPTION_STORE_H
#define NBDM_EXCEPTION_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/block-device.h"
#include "common/message.h"
#include "targets/snapshot/cow-format.h"
#include "targets/snapshot/exception-table.h"

/* A store hands out chunks of the COW device and remembers which chunk of the
 * origin each of them holds: on disk (type P, persistent) or not at all (N,
 * transient).  It neither copies data nor looks exceptions up; for that there
 * is the exception table, filled by store_load and then by the snapshot.
 *
 * A new exception, by a thread that holds the cell of the chunk exclusively:
 *
 *   exception_table_reserve     before there is something to lose
 *   store_prepare               a new chunk and its place in the order
 *   … copy or write the chunk to the COW device
 *   store_commit                on disk when it returns
 *   exception_table_insert      from now on others see it
 *
 * store_prepare, store_commit, store_invalidate, store_is_valid, store_usage
 * and store_print may be called by any number of threads at once.  store_load
 * comes first and alone; store_swap and store_free need an idle store.
 * store_merge_* are for one thread, while no chunk is prepared.
 *
 * Locks: each call may take the store's gate (GATE_COMMIT, above GATE_CELL).
 * prepare, is_valid, usage and print only take a latch: they wait for no I/O.
 *
 * Memory: 64 KiB and what is on the stacks of those who commit.
 */
struct exception_store;

/* ------------------------------------------------------------------
 * Birth and death.
 */

/* The words <P|PO|N> <chunk sectors> of a table line, as Linux 6.1 takes
 * them: of the first only the first letter counts, in either case, and for P
 * that the second, if there is one, be an O.  Chunk size 0 stands for what the
 * header says, and in a new store for 16 KiB or the block of the COW device;
 * N has to be told.  No I/O.  Both devices stay the caller's and outlive the
 * store; of the origin only the limits matter.
 *
 * 0, -ENOMEM, or -EINVAL with a message "Couldn't create exception store: …".
 */
int store_new (const char *type, const char *chunk_sectors,
               struct block_device *origin, struct block_device *cow,
               struct exception_store **store, struct message *msg);

/* NULL is fine.  No I/O, unless store_invalidate has failed: then it is tried
 * once more.
 */
void store_free (struct exception_store *store);

/* Read the COW device into the table, which is empty, or make a new store on
 * it if it starts with four zero bytes.  Afterwards the chunk size is the
 * header's.  Blocks.
 *
 * 0 even if the store is marked invalid, or should have been and is so now:
 * then the table stays empty and store_is_valid says so.  Otherwise -errno with
 * a message "Failed to read snapshot metadata: …", and the store can only be
 * freed: -EIO (unreadable, shorter than its table, not writable though new or
 * lost), -ENXIO (something else is on the device), -EINVAL (version, chunk
 * size), -EILSEQ (an exception that cannot be: Linux 6.1 loads it), -ENOMEM.
 *
 * Two exceptions for one old chunk: the first counts (Linux 6.1), and the log
 * says how many there were.
 */
int store_load (struct exception_store *store, struct exception_table *table,
                struct message *msg);

/* ------------------------------------------------------------------
 * What it is.
 */

/* 0 while the store waits for a handover. */
uint32_t store_chunk_sectors (const struct exception_store *store);

/* PO: a snapshot write that finds no room must not cost the snapshot. */
bool store_may_overflow (const struct exception_store *store);

bool store_can_merge (const struct exception_store *store); /* not N */

/* False once the disk says so, a commit failed, or store_invalidate began:
 * nothing brings it back.
 */
bool store_is_valid (struct exception_store *store);

/* Sectors.  As in the status line of Linux 6.1: all of the COW device (as
 * large as it is now), up to the next chunk to be handed out, header and
 * areas.  One consistent set.
 */
struct store_usage {
  sector_t total, allocated, metadata;
};

void store_usage (struct exception_store *store, struct store_usage *usage);

/* The words that store_new takes: "P 16".  Without a newline. */
void store_print (struct exception_store *store, FILE *out);

/* ------------------------------------------------------------------
 * New exceptions.
 */

/* What store_prepare gives out, until store_commit has returned. */
struct prepared {
  chunk_t old_chunk;  /* the caller's */
  chunk_t new_chunk;
  uint64_t sequence;
};

/* Hand out a chunk for each of p[0..n-1], whose old_chunk is set: all or none.
 * The new chunks ascend and are neighbours but for a metadata area in between,
 * so that neighbours in the origin can be copied as one.
 *
 * What was prepared must be committed, by one call with the same array and
 * soon: those who prepared later wait for it.  To call it off is to commit it
 * with ok = false and to lose the snapshot.  Who has prepared chunks in
 * several stores commits to them in the one order that everybody uses.
 *
 * 0; -ENOSPC if there is no room, also if a chunk is free but the metadata
 * area that must follow is not (Linux 6.1 then breaks the store); -EIO if the
 * store is not valid.  Never blocks.
 */
int store_prepare (struct exception_store *store, struct prepared p[],
                   unsigned n);

/* The chunks are written (ok), though maybe not yet flushed, or could not be
 * written.  Blocks until the exceptions are on disk together with their data,
 * and until all that were prepared before them are: the table on disk never
 * has a hole, whenever the power fails.
 *
 * Threads share the work: one of them writes for all that are ready and next
 * in order, and only the sectors that change; those that come meanwhile are
 * the next batch.  A batch costs two flushes, one if its data was covered by
 * the flush that ended the batch before.
 *
 * 0, or -EIO: the store is not valid any more, for this one and all that come
 * after it.  No write or flush that failed is tried again.  The caller calls
 * store_invalidate before it lets anybody rely on that.
 */
int store_commit (struct exception_store *store, const struct prepared p[],
                  unsigned n, bool ok);

/* Mark the store invalid on disk: done and flushed on return.  Until then no
 * write that the snapshot should have preserved may reach the origin, or
 * after a crash the snapshot would be back with wrong contents (Linux 6.1
 * does not wait).  Later calls wait for the first.
 *
 * 0, or -errno if the header could not be written or flushed.  Then the write
 * to the origin goes on all the same, and only this process knows that the
 * store is lost.  It remembers (store-lost.h): later calls, store_free and the
 * next store_load write the header anew, and the load refuses the store while
 * they cannot.  Another process, or this one started again, takes it for valid
 * meanwhile.
 */
int store_invalidate (struct exception_store *store);

/* ------------------------------------------------------------------
 * Merging: from the newest exception backwards.
 */

/* The newest exceptions as runs, the newest first: runs[0] ends with the last
 * exception of the store.  Inside a run the store made them in ascending
 * order.  Returns how many runs, up to max; 0 when the store is empty; -errno
 * if it cannot be read.  Fewer than there are: only those that one
 * store_merge_clear can take.  -EIO if the store is not valid.  Blocks.
 */
int store_merge_peek (struct exception_store *store,
                      struct exception_run runs[], unsigned max);

/* Forget the newest n exceptions, n being the sum of the first few runs of the
 * last peek.  Their chunks are in the origin and flushed.  Blocks until that
 * is on disk.  All or nothing: after -errno the store has what it had, and
 * both peek and clear may be tried again.
 */
int store_merge_clear (struct exception_store *store, uint64_t n);

/* ------------------------------------------------------------------
 * Handover of a live store from one table to the next.
 */

/* Instead of store_load, in the table that is to take a live store over: its
 * chunk size reads as 0 from now on, as in Linux 6.1.
 */
void store_await_handover (struct exception_store *store);

/* Exchange the stores of two tables that use the same COW device.  What is on
 * disk and its state change owners; the hold on the COW device, which belongs
 * to the table, and the O of PO stay.  Both are idle: no call is under way and
 * nothing is prepared.  No I/O.
 */
void store_swap (struct exception_store **a, struct exception_store **b);

/* ------------------------------------------------------------------
 * For the two kinds of store.
 */

struct store_type {
  char letter;
  int (*load) (struct exception_store *, struct exception_table *,
               struct message *);
  int (*prepare) (struct exception_store *, struct prepared p[], unsigned n);
  int (*commit) (struct exception_store *, const struct prepared p[],
                 unsigned n, bool ok);
  int (*invalidate) (struct exception_store *);
  bool (*is_valid) (struct exception_store *);
  /* Both or none. */
  int (*merge_peek) (struct exception_store *, struct exception_run runs[],
                     unsigned max);
  int (*merge_clear) (struct exception_store *, uint64_t n);
  void (*usage) (struct exception_store *, struct store_usage *);
  void (*free) (struct exception_store *);
};

/* Embedded as the first member.  Fixed after store_load, but for store_swap. */
struct exception_store {
  const struct store_type *type;
  struct block_device *cow;
  unsigned block_bytes; /* the larger logical block of origin and cow */
  uint32_t chunk_sectors;
  bool may_overflow;
};

struct exception_store *store_persistent_new (void); /* NULL: no memory */
struct exception_store *store_transient_new (void);

#endif /* NBDM_EXCEPTION_STORE_H */
