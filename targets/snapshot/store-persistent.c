/* SPDX-License-Identifier: BSD-3-Clause */
/* The persistent exception store: loading, space, invalidation. */

#include "targets/snapshot/store-persistent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "targets/snapshot/store-lost.h"

#define LOAD_ERROR "Failed to read snapshot metadata: "

/* Of a new store for which the table asks no size (Linux 6.1). */
#define DEFAULT_CHUNK_SECTORS 32

int
persistent_repair (struct persistent *s)
{
  uint32_t chunk_sectors = s->store.chunk_sectors;
  uint64_t first = persistent_block_start (s, s->stale_from);
  uint64_t end = (s->page_nr + 1) * s->page_entries;
  int r = cow_write_entries (s->store.cow, chunk_sectors, first,
                             &s->page[first % s->page_entries], end - first,
                             0);

  if (r == 0 && end % cow_entries_per_area (chunk_sectors) != 0)
    r = cow_zero_area_from (s->store.cow, chunk_sectors, end);
  if (r == 0)
    r = bdev_flush (s->store.cow);
  s->stale = r < 0;
  return r;
}

int
persistent_select_page (struct persistent *s, uint64_t entry)
{
  uint64_t page_nr = entry / s->page_entries;
  uint64_t first = page_nr * s->page_entries, used;
  int r;

  if (page_nr == s->page_nr)
    return 0;
  r = s->stale ? persistent_repair (s) : 0;
  if (r < 0)
    return r;
  r = cow_read_page (s->store.cow, s->store.chunk_sectors, page_nr, s->page);
  s->page_nr = r < 0 ? UINT64_MAX : page_nr;
  used = s->nr_entries - first;
  if (r == 0 && used < s->page_entries)
    memset (&s->page[used], 0, (s->page_entries - used) * sizeof *s->page);
  return r;
}

/* Under gate. */
static int
persistent_write_invalid (struct persistent *s)
{
  struct cow_header header = { false, s->store.chunk_sectors };
  int r = cow_write_header (s->store.cow, s->header, s->store.block_bytes,
                            &header);

  if (r == 0)
    r = bdev_flush (s->store.cow);
  s->marked = r == 0;
  if (r == 0)
    lost_store_forget (s->store.cow);
  return r;
}

/* ------------------------------------------------------------------
 * Loading.
 */

struct load {
  struct persistent *s;
  struct exception_table *table;
  struct message *msg;
  uint32_t asked; /* chunk size of the table */
  uint64_t nr_chunks, duplicates;
};

static int
load_insert (struct load *load, const struct exception *e)
{
  int r = exception_table_reserve (load->table, e->old_chunk);

  if (r == 0)
    r = exception_table_insert (load->table, e->old_chunk, e->new_chunk);
  if (r == -EEXIST) {
    load->duplicates++;
    r = 0;
  }
  return r < 0 ? message_set (load->msg, -r, LOAD_ERROR "out of memory") : r;
}

static int
load_entry (void *opaque, uint64_t nr, const struct exception *e)
{
  struct load *load = opaque;
  struct persistent *s = load->s;
  uint32_t chunk_sectors = s->store.chunk_sectors;
  const char *problem = cow_new_chunk_problem (chunk_sectors, load->nr_chunks,
                                               e->new_chunk);

  if (problem)
    return message_set (load->msg, EILSEQ, LOAD_ERROR "exception %" PRIu64
                        " is at chunk %" PRIu64 ", which %s", nr,
                        e->new_chunk, problem);
  if (e->new_chunk >= s->next_free)
    s->next_free = e->new_chunk + 1;
  if (e->new_chunk != cow_identity_chunk (chunk_sectors, nr))
    s->in_order = false;
  return load_insert (load, e);
}

static int
load_error (struct load *load, int r, const char *what)
{
  return message_set (load->msg, -r, LOAD_ERROR "%s: %s", what,
                      strerror (-r));
}

static int
load_entries (struct load *load)
{
  struct persistent *s = load->s;
  uint32_t chunk_sectors = s->store.chunk_sectors;
  struct cow_end end;
  int r;

  load->nr_chunks = cow_nr_chunks (s->store.cow, chunk_sectors);
  r = cow_read_entries (s->store.cow, chunk_sectors, load_entry, load, &end);
  if (r < 0)
    return load_error (load, r, "cannot read exceptions");
  s->next_free = cow_next_data (chunk_sectors, s->next_free);
  s->nr_entries = s->next_entry = end.nr_entries;
  r = persistent_select_page (s, s->nr_entries);
  if (r < 0)
    return load_error (load, r, "cannot read exceptions");
  s->stale = end.stale;
  s->stale_from = end.nr_entries;
  if (load->duplicates)
    log_error ("snapshot: %" PRIu64 " exceptions repeat an earlier one, which "
               "counts", load->duplicates);
  return 0;
}

/* The header last: before it is there, there is no store. */
static int
load_create (struct load *load)
{
  struct persistent *s = load->s;
  struct block_device *cow = s->store.cow;
  struct cow_header header = { true, s->store.chunk_sectors };
  int r = cow_zero_area_from (cow, s->store.chunk_sectors, 0);

  if (r == 0)
    r = bdev_flush (cow);
  if (r == 0)
    r = cow_write_header (cow, s->header, s->store.block_bytes, &header);
  if (r == 0)
    r = bdev_flush (cow);
  if (r < 0)
    return message_set (load->msg, EIO, LOAD_ERROR
                        "cannot make a new store: %s", strerror (-r));
  return 0;
}

/* The header's chunk size overrides the table's. */
static int
load_chunk_size (struct load *load, uint32_t chunk_sectors)
{
  struct exception_store *store = &load->s->store;
  const char *problem = cow_chunk_size_problem (chunk_sectors,
                                                store->block_bytes);

  if (problem)
    return message_set (load->msg, EINVAL, LOAD_ERROR "%s: %" PRIu32, problem,
                        chunk_sectors);
  if (load->asked != 0 && load->asked != chunk_sectors)
    log_info ("snapshot: chunk size %" PRIu32 " of the store overrides %"
              PRIu32 " of the table", chunk_sectors, load->asked);
  store->chunk_sectors = chunk_sectors;
  return 0;
}

static int
load_allocate (struct load *load)
{
  struct persistent *s = load->s;

  s->page_entries = cow_page_entries (s->store.chunk_sectors);
  s->page = cow_alloc (cow_page_bytes (s->store.chunk_sectors));
  if (s->page == NULL)
    return load_error (load, -ENOMEM, "page");
  return 0;
}

/* After the chunk size is known. */
static int
load_contents (struct load *load, bool is_new)
{
  int r = load_allocate (load);

  if (r == 0 && is_new)
    r = load_create (load);
  if (r == 0)
    r = load_entries (load);
  return r;
}

static int
load_count (void *opaque, uint64_t nr, const struct exception *e)
{
  return 0;
}

/* Is it the store that was lost on this device when it could not be written?
 * Or else that one is gone.
 */
static bool
load_was_lost (struct load *load, bool valid)
{
  uint32_t chunk_sectors = load->s->store.chunk_sectors;
  struct block_device *cow = load->s->store.cow;
  struct lost_store lost;
  struct cow_end end;

  if (!lost_store_find (cow, &lost))
    return false;
  if (valid && lost.chunk_sectors == chunk_sectors &&
      (cow_read_entries (cow, chunk_sectors, load_count, NULL, &end) < 0 ||
       end.nr_entries >= lost.nr_entries))
    return true;
  lost_store_forget (cow);
  return false;
}

static int
load_lost (struct load *load)
{
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&load->s->gate);

  r = persistent_write_invalid (load->s);
  if (r < 0)
    return message_set (load->msg, EIO, LOAD_ERROR "the snapshot is lost, but "
                        "this cannot be written: %s", strerror (-r));
  load->s->valid = false;
  return 0;
}

static int
load_header (struct load *load, enum cow_header_kind kind,
             const struct cow_header *header)
{
  int r;

  switch (kind) {
  case COW_HEADER_NEW:
    lost_store_forget (load->s->store.cow);
    return load_contents (load, true);
  case COW_HEADER_FOREIGN:
    return message_set (load->msg, ENXIO, LOAD_ERROR
                        "the device holds something else");
  case COW_HEADER_BAD_VERSION:
    return message_set (load->msg, EINVAL, LOAD_ERROR
                        "unknown version of the format");
  case COW_HEADER_OK:
    break;
  }
  r = load_chunk_size (load, header->chunk_sectors);
  if (r < 0)
    return r;
  if (load_was_lost (load, header->valid))
    return load_lost (load);
  load->s->valid = header->valid;
  load->s->marked = !header->valid;
  return header->valid ? load_contents (load, false) : 0;
}

static void
load_default_chunk_size (struct exception_store *store)
{
  uint32_t block = bytes_to_sectors (store->block_bytes);

  if (store->chunk_sectors == 0)
    store->chunk_sectors = block > DEFAULT_CHUNK_SECTORS
      ? block : DEFAULT_CHUNK_SECTORS;
}

static int
persistent_load (struct exception_store *store, struct exception_table *table,
                 struct message *msg)
{
  struct persistent *s = (struct persistent *) store;
  struct load load = { .s = s, .table = table, .msg = msg,
                       .asked = store->chunk_sectors };
  struct cow_header header;
  enum cow_header_kind kind;
  int r;

  load_default_chunk_size (store);
  s->header = cow_alloc (store->block_bytes);
  if (s->header == NULL)
    return load_error (&load, -ENOMEM, "header");
  if (cow_nr_chunks (store->cow, store->chunk_sectors) == 0)
    return load_error (&load, -EIO, "no room for a header");
  r = cow_read_header (store->cow, store->block_bytes, &kind, &header);
  if (r < 0)
    return load_error (&load, r, "cannot read the header");
  return load_header (&load, kind, &header);
}

/* ------------------------------------------------------------------
 * Space.
 */

/* Hand out the chunks in p, or see that they do not all fit. */
static int
persistent_allocate (struct persistent *s, struct prepared p[], unsigned n)
{
  uint32_t chunk_sectors = s->store.chunk_sectors;
  uint64_t nr_chunks = cow_nr_chunks (s->store.cow, chunk_sectors);
  uint32_t per_area = cow_entries_per_area (chunk_sectors);
  uint64_t end = s->next_entry + n;
  chunk_t next = s->next_free;
  unsigned i;

  for (i = 0; i < n; i++) {
    p[i].new_chunk = next;
    p[i].sequence = s->next_sequence + i;
    next = cow_next_data (chunk_sectors, next + 1);
  }
  if (p[n - 1].new_chunk >= nr_chunks ||
      (end / per_area != s->next_entry / per_area &&
       cow_area_chunk (chunk_sectors, end / per_area) >= nr_chunks))
    return -ENOSPC;
  s->next_free = next;
  return 0;
}

static int
persistent_prepare (struct exception_store *store, struct prepared p[],
                    unsigned n)
{
  struct persistent *s = (struct persistent *) store;
  int r;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  if (!s->valid)
    return -EIO;
  if (n == 0)
    return 0;
  r = persistent_allocate (s, p, n);
  if (r == 0) {
    s->next_sequence += n;
    s->next_entry += n;
  }
  return r;
}

static void
persistent_usage (struct exception_store *store, struct store_usage *usage)
{
  struct persistent *s = (struct persistent *) store;
  uint32_t chunk_sectors = store->chunk_sectors;
  uint64_t area;
  ACQUIRE_LATCH_FOR_SCOPE (&s->latch);

  *usage = (struct store_usage) { 0 };
  if (chunk_sectors == 0)
    return;
  area = s->nr_entries / cow_entries_per_area (chunk_sectors);
  usage->allocated = chunk_start (s->next_free, chunk_sectors);
  usage->metadata = chunk_start (area + 2, chunk_sectors);
}

/* ------------------------------------------------------------------
 * Validity.
 */

static bool
persistent_is_valid (struct exception_store *store)
{
  return ((struct persistent *) store)->valid;
}

/* Under gate.  What failed before is written anew. */
static int
persistent_mark (struct persistent *s)
{
  struct lost_store lost = { s->store.chunk_sectors,
                             s->stale ? s->stale_from : s->nr_entries };
  int r = persistent_write_invalid (s);

  if (r < 0 && lost_store_remember (s->store.cow, &lost) < 0)
    log_error ("snapshot: out of memory: cannot remember a lost snapshot");
  return r;
}

static int
persistent_invalidate (struct exception_store *store)
{
  struct persistent *s = (struct persistent *) store;

  latch_acquire (&s->latch);
  persistent_fail (s);
  latch_release (&s->latch);

  ACQUIRE_GATE_FOR_SCOPE (&s->gate);
  return s->marked ? 0 : persistent_mark (s);
}

/* ------------------------------------------------------------------
 * Birth and death.
 */

static void
persistent_free (struct exception_store *store)
{
  struct persistent *s = (struct persistent *) store;

  /* The device may be back. */
  if (!s->valid)
    persistent_invalidate (store);
  latch_destroy (&s->latch);
  gate_destroy (&s->gate);
  free (s->header);
  free (s->page);
  free (s);
}

static const struct store_type persistent_type = {
  .letter = 'P',
  .load = persistent_load,
  .prepare = persistent_prepare,
  .commit = persistent_commit,
  .invalidate = persistent_invalidate,
  .is_valid = persistent_is_valid,
  .merge_peek = persistent_merge_peek,
  .merge_clear = persistent_merge_clear,
  .usage = persistent_usage,
  .free = persistent_free,
};

struct exception_store *
store_persistent_new (void)
{
  struct persistent *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->store.type = &persistent_type;
  s->valid = true;
  s->in_order = true;
  s->next_free = cow_next_data (1, 0);
  s->page_nr = UINT64_MAX;
  list_init (&s->waiting);
  gate_init (&s->gate, GATE_COMMIT);
  latch_init (&s->latch);
  return &s->store;
}
