/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: the COW device of a snapshot. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clients/inspect.h"
#include "common/vector.h"
#include "targets/snapshot/cow-io.h"

/* An exception, and which of all it is. */
struct inspect_entry {
  struct exception e;
  uint64_t nr;
};

struct inspect_cow {
  struct inspect_image *image;
  const struct inspect_options *options;
  json_t *report;
  uint32_t chunk_sectors;
  uint64_t nr_chunks; /* of the device */

  /* As they are in the store, then in the order of old chunks. */
  VECTOR (struct inspect_entry) entries;
  struct cow_end end;
  chunk_t next_free;

  uint64_t bad;       /* entries that cannot be */
  uint64_t nr_runs;
  uint64_t repeated;  /* entries for a chunk that has one */
};

static bool
cow_probe (const unsigned char *first)
{
  struct cow_disk_header header;

  memcpy (&header, first, sizeof header);
  return from_le32 (header.magic) == COW_MAGIC;
}

static unsigned long long
ull (uint64_t n)
{
  return n;
}

/* ------------------------------------------------------------------
 * Reading.
 */

static int
cow_note_entry (void *opaque, uint64_t nr, const struct exception *e)
{
  struct inspect_cow *c = opaque;
  const char *problem = cow_new_chunk_problem (c->chunk_sectors, c->nr_chunks,
                                               e->new_chunk);

  if (problem && c->bad++ == 0)
    inspect_problem (c->report, "exception %llu is at chunk %llu, which %s",
                     ull (nr), ull (e->new_chunk), problem);
  if (problem == NULL && e->new_chunk >= c->next_free)
    c->next_free = e->new_chunk + 1;
  return vector_append (&c->entries, ((struct inspect_entry) { *e, nr }));
}

/* What can be read is shown even if the end is missing. */
static void
cow_read (struct inspect_cow *c)
{
  int r;

  c->nr_chunks = cow_nr_chunks (&c->image->bdev, c->chunk_sectors);
  c->next_free = 2;
  r = cow_read_entries (&c->image->bdev, c->chunk_sectors, cow_note_entry, c,
                        &c->end);
  if (r < 0)
    inspect_problem (c->report, "cannot read exceptions from %llu on: %s",
                     ull (c->entries.len), strerror (-r));
  else if (c->end.stale)
    inspect_problem (c->report, "there are entries behind the last exception, "
                     "%llu, that would count if one was added",
                     ull (c->end.nr_entries));
  if (c->bad > 1)
    inspect_problem (c->report, "%llu exceptions cannot be where they are",
                     ull (c->bad));
  c->next_free = cow_next_data (c->chunk_sectors, c->next_free);
}

/* ------------------------------------------------------------------
 * Looking at all exceptions together.
 */

static int
cow_compare (uint64_t a, uint64_t b)
{
  return a < b ? -1 : a > b;
}

static int
cow_compare_old (const void *a, const void *b)
{
  const struct inspect_entry *x = a, *y = b;
  int c = cow_compare (x->e.old_chunk, y->e.old_chunk);

  return c ? c : cow_compare (x->nr, y->nr);
}

static int
cow_compare_new (const void *a, const void *b)
{
  const struct inspect_entry *x = a, *y = b;

  return cow_compare (x->e.new_chunk, y->e.new_chunk);
}

/* Two that have one chunk of the COW device. */
static void
cow_find_shared (struct inspect_cow *c)
{
  struct inspect_entry *entry = c->entries.ptr;
  uint64_t shared = 0;
  size_t i;

  qsort (entry, c->entries.len, sizeof *entry, cow_compare_new);
  for (i = 1; i < c->entries.len; i++)
    shared += entry[i].e.new_chunk == entry[i - 1].e.new_chunk;
  if (shared)
    inspect_problem (c->report, "%llu exceptions are at the chunk of another",
                     ull (shared));
}

static void
cow_find_runs (struct inspect_cow *c)
{
  struct inspect_entry *entry = c->entries.ptr;
  size_t i;

  qsort (entry, c->entries.len, sizeof *entry, cow_compare_old);
  c->nr_runs = 1;
  for (i = 1; i < c->entries.len; i++)
    if (entry[i].e.old_chunk == entry[i - 1].e.old_chunk)
      c->repeated++;
    else
      c->nr_runs += entry[i].e.old_chunk != entry[i - 1].e.old_chunk + 1 ||
        entry[i].e.new_chunk != entry[i - 1].e.new_chunk + 1;
  if (c->repeated)
    inspect_problem (c->report, "%llu exceptions repeat an earlier one, which "
                     "counts", ull (c->repeated));
}

/* ------------------------------------------------------------------
 * Reporting.
 */

/* As the kernel's status line has it. */
static void
cow_report_usage (struct inspect_cow *c)
{
  uint64_t n = c->entries.len;
  uint64_t area = n / cow_entries_per_area (c->chunk_sectors);

  inspect_set_number (c->report, "total_sectors",
                      bdev_size (&c->image->bdev));
  inspect_set_number (c->report, "allocated_sectors",
                      chunk_start (c->next_free, c->chunk_sectors));
  inspect_set_number (c->report, "metadata_sectors",
                      chunk_start (area + 2, c->chunk_sectors));
  inspect_set_number (c->report, "exceptions", n - c->repeated);
  inspect_set_number (c->report, "runs", c->nr_runs);
  if (n > 0)
    inspect_set_number (c->report, "highest_chunk",
                        c->entries.ptr[n - 1].e.old_chunk);
}

/* The size of a snapshot stands in its table only.  That of the origin, if it
 * is at hand, and else enough for what has changed.  0: too large.
 */
static sector_t
cow_table_len (struct inspect_cow *c, sector_t origin_sectors)
{
  uint64_t n = c->entries.len;
  chunk_t last = n > 0 ? c->entries.ptr[n - 1].e.old_chunk : 0;
  bool fits = last < SECTOR_MAX / c->chunk_sectors;

  if (origin_sectors == 0)
    return fits ? chunk_start (last + 1, c->chunk_sectors) : 0;
  if (n > 0 && (!fits ||
                chunk_start (last, c->chunk_sectors) >= origin_sectors))
    inspect_problem (c->report, "chunk %llu is beyond the end of the origin",
                     ull (last));
  return origin_sectors;
}

static void
cow_set_table (struct inspect_cow *c, const char *key, const char *type,
               sector_t len, const char *origin)
{
  if (len == 0)
    inspect_set (c->report, key, json_null ());
  else
    inspect_set_text (c->report, key, "0 %llu %s %s %s P %u", ull (len), type,
                      origin, c->image->table_path, c->chunk_sectors);
}

static void
cow_report_tables (struct inspect_cow *c)
{
  const char *name = c->options->origin;
  struct inspect_image origin;
  bool found = inspect_image_open (&origin, name) == 0;
  sector_t len = cow_table_len (c, found ? bdev_size (&origin.bdev) : 0);

  if (found)
    name = origin.table_path;
  cow_set_table (c, "table", "snapshot", len, name);
  cow_set_table (c, "merge_table", "snapshot-merge", len, name);
  if (found)
    inspect_image_close (&origin);
}

static void
cow_report_contents (struct inspect_cow *c)
{
  cow_read (c);
  if (c->entries.len > 0) {
    cow_find_shared (c);
    cow_find_runs (c);
  }
  cow_report_usage (c);
  cow_report_tables (c);
  vector_reset (&c->entries);
}

/* 0 if the header is good, or there is a problem in the report. */
static int
cow_report_header (struct inspect_cow *c, struct cow_header *header)
{
  enum cow_header_kind kind;
  const char *problem;
  int r = cow_read_header (&c->image->bdev, SECTOR_SIZE, &kind, header);

  if (r < 0)
    problem = strerror (-r);
  else if (kind == COW_HEADER_BAD_VERSION)
    problem = "unknown version of the format";
  else {
    problem = cow_chunk_size_problem (header->chunk_sectors, SECTOR_SIZE);
    inspect_set (c->report, "valid", json_boolean (header->valid));
    inspect_set_number (c->report, "chunk_sectors", header->chunk_sectors);
  }
  if (problem == NULL)
    return 0;
  inspect_problem (c->report, "header: %s", problem);
  return -EINVAL;
}

static void
cow_report (struct inspect_image *image, const struct inspect_options *options,
            json_t *report)
{
  struct inspect_cow c = { .image = image, .options = options,
                           .report = report };
  struct cow_header header;

  if (cow_report_header (&c, &header) < 0 || !header.valid)
    return;
  c.chunk_sectors = header.chunk_sectors;
  cow_report_contents (&c);
}

/* ------------------------------------------------------------------
 * Printing.
 */

static void
cow_print_contents (const json_t *report, FILE *out)
{
  fprintf (out, "  %s exceptions in %s runs, highest chunk %s\n",
           inspect_word (report, "exceptions"), inspect_word (report, "runs"),
           inspect_word (report, "highest_chunk"));
  fprintf (out, "  used: %s of %s sectors, %s of them for metadata\n",
           inspect_word (report, "allocated_sectors"),
           inspect_word (report, "total_sectors"),
           inspect_word (report, "metadata_sectors"));
  fprintf (out, "  tables:\n    snapshot: %s\n    merged: %s\n",
           inspect_word (report, "table"),
           inspect_word (report, "merge_table"));
}

static void
cow_print (const json_t *report, FILE *out)
{
  const json_t *valid = json_object_get (report, "valid");

  if (valid == NULL)
    return;
  fprintf (out, "  %s, chunks of %s sectors\n",
           json_is_true (valid) ? "valid" : "invalid: the snapshot is lost",
           inspect_word (report, "chunk_sectors"));
  if (json_object_get (report, "exceptions"))
    cow_print_contents (report, out);
}

const struct inspect_format inspect_cow_format = {
  .name = "snapshot-cow",
  .probe = cow_probe,
  .report = cow_report,
  .print = cow_print,
};
