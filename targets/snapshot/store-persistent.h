/* SPDX-License-Identifier: BSD-3-Clause */
/* The persistent exception store, for the files that it is made of. */

#ifndef NBDM_STORE_PERSISTENT_H
#define NBDM_STORE_PERSISTENT_H

#include <stdatomic.h>

#include "common/list.h"
#include "common/lock.h"
#include "targets/snapshot/cow-io.h"
#include "targets/snapshot/exception-store.h"

/* store-persistent.c: birth, prepare, what it is, invalidation.
 * store-commit.c: commits, which append entries; the work of one at a time.
 * store-merge.c: takes entries off the end.
 *
 * The entries [0, nr_entries) are on disk.  Behind them, up to the end of
 * their area, there are zeroes.  If the load found something else there, or
 * writing failed while merging, that is so only after persistent_repair.
 *
 * The page is the one of the next entry or, while merging, of the last one: it
 * holds what is on disk, behind the last entry zeroes.
 */
struct persistent {
  struct exception_store store;

  /* Fixed by the load. */
  uint32_t page_entries;
  void *header; /* a block to write it from */

  /* What is on disk is changed under it: GATE_COMMIT. */
  struct gate gate;
  struct cow_disk_exception *page;
  uint64_t page_nr;
  bool stale;          /* the disk may differ from stale_from on, … */
  uint64_t stale_from; /* an entry of the page */
  bool marked;         /* the header says that the store is lost */

  /* Becomes false under latch and never true again. */
  atomic_bool valid;

  struct latch latch;
  /* Guarded by latch. */
  chunk_t next_free;       /* the next chunk to hand out */
  uint64_t next_sequence;  /* its number */
  uint64_t next_entry;     /* the entry it will be */
  uint64_t next_commit;    /* the first sequence that nobody writes yet */
  struct list waiting;     /* struct commit, by sequence; not yet taken */
  bool leading;            /* somebody writes for all who were taken */

  /* Changed under gate and latch, read under either. */
  uint64_t nr_entries;
  bool in_order; /* entry nr is at cow_identity_chunk (nr) */
};

/* A block of the device is the least that can be written. */
static inline uint64_t
persistent_block_start (const struct persistent *s, uint64_t entry)
{
  return entry - entry % (s->store.block_bytes / sizeof *s->page);
}

static inline uint64_t
persistent_block_end (const struct persistent *s, uint64_t entry)
{
  unsigned block = s->store.block_bytes / sizeof *s->page;

  return persistent_block_start (s, entry + block - 1);
}

/* Write what the disk should have from stale_from to the end of the area, and
 * flush.  Under gate.
 */
int persistent_repair (struct persistent *s);

/* Make the page the one of this entry: reads it if it is not, after a repair
 * of the other if need be.  Under gate.
 */
int persistent_select_page (struct persistent *s, uint64_t entry);

/* Give everybody who is waiting the news.  Under latch. */
void persistent_fail (struct persistent *s);

int persistent_commit (struct exception_store *store,
                       const struct prepared p[], unsigned n, bool ok);
int persistent_merge_peek (struct exception_store *store,
                           struct exception_run runs[], unsigned max);
int persistent_merge_clear (struct exception_store *store, uint64_t n);

#endif /* NBDM_STORE_PERSISTENT_H */
