/* SPDX-License-Identifier: BSD-3-Clause */
/* Merging a persistent exception store: its newest entries go first. */

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "targets/snapshot/store-persistent.h"

/* The run that ends with an entry of the page, and starts there, too, or
 * before.  -EILSEQ if it is no entry.
 */
static int
merge_run_before (struct persistent *s, uint32_t end,
                       struct exception_run *run)
{
  struct exception e = cow_exception_get (&s->page[end - 1]);
  uint32_t chunk_sectors = s->store.chunk_sectors;

  if (cow_new_chunk_problem (chunk_sectors,
                             cow_nr_chunks (s->store.cow, chunk_sectors),
                             e.new_chunk))
    return -EILSEQ;
  *run = (struct exception_run) { e.old_chunk, e.new_chunk, 1 };
  while (run->len < end) {
    e = cow_exception_get (&s->page[end - 1 - run->len]);
    if (e.new_chunk == 0 || e.old_chunk + 1 != run->old_chunk ||
        e.new_chunk + 1 != run->new_chunk)
      break;
    run->old_chunk--;
    run->new_chunk--;
    run->len++;
  }
  return 0;
}

int
persistent_merge_peek (struct exception_store *store,
                       struct exception_run runs[], unsigned max)
{
  struct persistent *s = (struct persistent *) store;
  uint32_t end;
  unsigned n;
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&s->gate);

  if (!s->valid)
    return -EIO;
  if (s->nr_entries == 0)
    return 0;
  r = persistent_select_page (s, s->nr_entries - 1);
  end = (s->nr_entries - 1) % s->page_entries + 1;
  for (n = 0; r == 0 && n < max && end > 0; n++) {
    r = merge_run_before (s, end, &runs[n]);
    end -= r < 0 ? 0 : runs[n].len;
  }
  return r < 0 ? r : (int) n;
}

/* The order in which chunks are handed out again. */
static void
merge_forget (struct persistent *s, uint64_t first)
{
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  s->nr_entries = s->next_entry = first;
  if (first == 0)
    s->in_order = true;
  if (s->in_order)
    s->next_free = cow_identity_chunk (s->store.chunk_sectors, first);
}

/* The blocks of the page with entries [first, end) as they will be, from a
 * copy: the page is what is on disk until they are there.
 */
static int
merge_write_cleared (struct persistent *s, uint64_t first, uint64_t end)
{
  uint64_t start = persistent_block_start (s, first);
  uint32_t n = persistent_block_end (s, end) - start;
  struct cow_disk_exception *CLEANUP_FREE copy =
    cow_alloc (n * sizeof *copy);
  int r;

  if (copy == NULL)
    return -ENOMEM;
  memcpy (copy, &s->page[start % s->page_entries],
          (first - start) * sizeof *copy);
  r = cow_write_entries (s->store.cow, s->store.chunk_sectors, start, copy, n,
                         0);
  return r < 0 ? r : bdev_flush (s->store.cow);
}

/* Some of it may be on disk.  Who writes to a chunk in place from now on must
 * find it after a crash, so the entries are put back at once; if that fails,
 * too, then before the next commit.
 */
static int
merge_restore (struct persistent *s, uint64_t first, int error)
{
  s->stale = true;
  s->stale_from = first;
  persistent_repair (s);
  return error;
}

int
persistent_merge_clear (struct exception_store *store, uint64_t n)
{
  struct persistent *s = (struct persistent *) store;
  uint64_t first;
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&s->gate);

  if (n > s->nr_entries || n == 0)
    return n == 0 ? 0 : -EINVAL;
  first = s->nr_entries - n;
  if (first / s->page_entries != s->page_nr ||
      (s->nr_entries - 1) / s->page_entries != s->page_nr)
    return -EINVAL;
  r = merge_write_cleared (s, first, s->nr_entries);
  if (r < 0)
    return merge_restore (s, first, r);
  memset (&s->page[first % s->page_entries], 0, n * sizeof *s->page);
  merge_forget (s, first);
  return 0;
}
