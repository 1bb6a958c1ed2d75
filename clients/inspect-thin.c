/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: the metadata of a thin pool. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clients/inspect.h"
#include "common/bytes.h"
#include "common/vector.h"
#include "targets/thin/thin-metadata.h"

/* Where the superblock has its magic (Linux 6.1). */
#define THIN_MAGIC_OFFSET 32
#define THIN_MAGIC 27022010

struct inspect_thin {
  const struct inspect_options *options;
  struct thin_metadata *md;
  struct thin_meta_usage usage;
  json_t *report, *thins;

  /* How many thins use each data block: 0, 1, or 2 for more.  NULL: the pool
   * claims to have more blocks than memory can tell.
   */
  uint8_t *users;
};

/* One thin, as far as it could be read. */
struct inspect_device {
  struct thin_device *td;
  uint64_t mapped, exclusive;
  block_t highest; /* if any is mapped */
};

static bool
thin_probe (const unsigned char *first)
{
  le64 magic;

  memcpy (&magic, first + THIN_MAGIC_OFFSET, sizeof magic);
  return from_le64 (magic) == THIN_MAGIC;
}

/* Walking. */

typedef void (*thin_run_fn) (struct inspect_thin *t, struct inspect_device *d,
                             const struct thin_range *run);

/* All runs of a thin, up to the first that cannot be read, which *at tells. */
static int
thin_walk (struct inspect_thin *t, struct inspect_device *d, thin_run_fn fn,
           block_t *at)
{
  struct thin_range run;
  int r;

  *at = 0;
  while ((r = thin_dev_find_range (d->td, *at, UINT64_MAX, &run)) == 0) {
    fn (t, d, &run);
    *at = run.end;
  }
  return r == -ENODATA ? 0 : r;
}

static void
thin_count_users (struct inspect_thin *t, struct inspect_device *d,
                  const struct thin_range *run)
{
  block_t n = run->end - run->begin, i;

  for (i = run->data_begin; i < run->data_begin + n; i++)
    t->users[i] += t->users[i] < 2;
}

static void
thin_count_exclusive (struct inspect_thin *t, struct inspect_device *d,
                      const struct thin_range *run)
{
  block_t n = run->end - run->begin, i;

  d->mapped += n;
  d->highest = run->end - 1;
  for (i = run->data_begin; t->users && i < run->data_begin + n; i++)
    d->exclusive += t->users[i] == 1;
}

/* Call fn for each thin; with NULL for one that cannot be opened. */
typedef void (*thin_fn) (struct inspect_thin *t, uint32_t id,
                         struct inspect_device *d);

static int
thin_for_each (struct inspect_thin *t, thin_fn fn)
{
  struct inspect_device d;
  uint32_t id;
  int r;

  for (id = 0; (r = thin_meta_next (t->md, id, &id)) == 0; id++) {
    d = (struct inspect_device) { .td = NULL };
    r = thin_dev_open (t->md, id, &d.td);
    fn (t, id, r == 0 ? &d : NULL);
    if (r == 0)
      thin_dev_close (d.td);
  }
  return r == -ENODATA ? 0 : r;
}

static void
thin_note_users (struct inspect_thin *t, uint32_t id, struct inspect_device *d)
{
  block_t at;

  if (d)
    thin_walk (t, d, thin_count_users, &at);
}

/* Reporting. */

/* The size of a thin stands in its table only: this is enough for what it
 * holds.
 */
static void
thin_set_table (struct inspect_thin *t, json_t *object, uint32_t id,
                const struct inspect_device *d)
{
  sector_t size = thin_meta_data_block_sectors (t->md);
  block_t blocks = d->mapped ? d->highest + 1 : 1;

  if (blocks == 0 || blocks > SECTOR_MAX / size)
    inspect_set (object, "table", json_null ());
  else
    inspect_set_text (object, "table", "0 %llu thin %s %u",
                      (unsigned long long) (blocks * size), t->options->pool,
                      id);
}

static void
thin_set_details (struct inspect_thin *t, json_t *object,
                  struct inspect_device *d)
{
  struct thin_dev_details details;

  thin_dev_details (d->td, &details);
  inspect_set_number (object, "transaction_id", details.transaction_id);
  inspect_set_number (object, "creation_time", details.creation_time);
  inspect_set_number (object, "snapshotted_time", details.snapshotted_time);
  inspect_set_number (object, "mapped_blocks", d->mapped);
  if (t->users) {
    inspect_set_number (object, "exclusive_blocks", d->exclusive);
    inspect_set_number (object, "shared_blocks", d->mapped - d->exclusive);
  }
  if (d->mapped)
    inspect_set_number (object, "highest_block", d->highest);
}

static void
thin_report_device (struct inspect_thin *t, uint32_t id,
                    struct inspect_device *d)
{
  json_t *object = json_object ();
  block_t at;
  int r;

  if (object == NULL || json_array_append_new (t->thins, object) < 0)
    return inspect_problem (t->report, "out of memory");
  inspect_set_number (object, "id", id);
  if (d == NULL)
    return inspect_problem (t->report, "thin %u: cannot read its details", id);
  r = thin_walk (t, d, thin_count_exclusive, &at);
  if (r < 0)
    inspect_problem (t->report, "thin %u: cannot read its mappings from block "
                     "%llu on: %s", id, (unsigned long long) at,
                     strerror (-r));
  else if (d->mapped != thin_dev_mapped_blocks (d->td))
    inspect_problem (t->report, "thin %u: %llu blocks are mapped, but it "
                     "should be %llu", id, (unsigned long long) d->mapped,
                     (unsigned long long) thin_dev_mapped_blocks (d->td));
  thin_set_details (t, object, d);
  thin_set_table (t, object, id, d);
}

/* Read-only, so that nothing happens to what is to be rescued. */
static void
thin_set_pool_table (struct inspect_thin *t, const struct inspect_image *image)
{
  sector_t size = thin_meta_data_block_sectors (t->md);
  block_t blocks = t->usage.data_blocks;

  if (blocks == 0 || blocks > SECTOR_MAX / size)
    inspect_set (t->report, "table", json_null ());
  else
    inspect_set_text (t->report, "table", "0 %llu thin-pool %s %s %llu 0 %s",
                      (unsigned long long) (blocks * size),
                      image->table_path, t->options->data,
                      (unsigned long long) size,
                      t->options->metadata_snapshot
                        ? "2 read_only metadata_snap" : "1 read_only");
}

static void
thin_report_pool (struct inspect_thin *t, struct inspect_image *image)
{
  block_t held = thin_meta_held_root (t->md);

  inspect_set_number (t->report, "data_block_sectors",
                      thin_meta_data_block_sectors (t->md));
  inspect_set_number (t->report, "transaction_id",
                      thin_meta_transaction_id (t->md));
  inspect_set_number (t->report, "time", thin_meta_time (t->md));
  inspect_set (t->report, "needs_check",
               json_boolean (thin_meta_needs_check (t->md)));
  inspect_set_number (t->report, "metadata_blocks", t->usage.metadata_blocks);
  inspect_set_number (t->report, "used_metadata_blocks",
                      t->usage.metadata_blocks - t->usage.metadata_free);
  inspect_set_number (t->report, "data_blocks", t->usage.data_blocks);
  inspect_set_number (t->report, "used_data_blocks",
                      t->usage.data_blocks - t->usage.data_free);
  if (held)
    inspect_set_number (t->report, "metadata_snapshot", held);
  else
    inspect_set (t->report, "metadata_snapshot", json_null ());
  thin_set_pool_table (t, image);
  if (thin_meta_map_is_damaged (t->md))
    inspect_problem (t->report, "the map of the metadata is damaged");
}

static void
thin_report_devices (struct inspect_thin *t)
{
  int r;

  t->thins = json_array ();
  inspect_set (t->report, "thins", t->thins);
  t->users = calloc (t->usage.data_blocks + 1, 1);
  if (t->users == NULL)
    inspect_problem (t->report, "too many data blocks to tell which are "
                     "shared: %llu",
                     (unsigned long long) t->usage.data_blocks);
  else
    thin_for_each (t, thin_note_users);
  r = thin_for_each (t, thin_report_device);
  if (r < 0)
    inspect_problem (t->report, "the list of thins cannot be read to its end: "
                     "%s", strerror (-r));
  free (t->users);
}

static void
thin_report (struct inspect_image *image,
             const struct inspect_options *options, json_t *report)
{
  struct inspect_thin t = { .options = options, .report = report };
  struct message msg = { "" };
  const struct thin_meta_params params = {
    .bdev = &image->bdev,
    .read_only = true,
    .metadata_snapshot = options->metadata_snapshot,
  };

  if (thin_meta_open (&params, &t.md, &msg) < 0)
    return inspect_problem (report, "%s", msg.text);
  thin_meta_usage (t.md, &t.usage);
  thin_report_pool (&t, image);
  thin_report_devices (&t);
  thin_meta_close (t.md);
}

/* Printing. */

static void
thin_print_pool (const json_t *report, FILE *out)
{
  fprintf (out, "  blocks of %s sectors, transaction %s, time %s%s\n",
           inspect_word (report, "data_block_sectors"),
           inspect_word (report, "transaction_id"),
           inspect_word (report, "time"),
           json_is_true (json_object_get (report, "needs_check"))
             ? ", needs check" : "");
  fprintf (out, "  used: data blocks %s of %s, metadata blocks %s of %s\n",
           inspect_word (report, "used_data_blocks"),
           inspect_word (report, "data_blocks"),
           inspect_word (report, "used_metadata_blocks"),
           inspect_word (report, "metadata_blocks"));
  fprintf (out, "  metadata snapshot: %s\n",
           inspect_word (report, "metadata_snapshot"));
}

static void
thin_print_device (const json_t *thin, FILE *out)
{
  fprintf (out, "  %8s %12s %12s %12s", inspect_word (thin, "id"),
           inspect_word (thin, "mapped_blocks"),
           inspect_word (thin, "exclusive_blocks"),
           inspect_word (thin, "shared_blocks"));
  fprintf (out, " %12s %8s %8s\n", inspect_word (thin, "transaction_id"),
           inspect_word (thin, "creation_time"),
           inspect_word (thin, "snapshotted_time"));
}

static void
thin_print (const json_t *report, FILE *out)
{
  const json_t *thins = json_object_get (report, "thins"), *thin;
  size_t i;

  if (thins == NULL)
    return;
  thin_print_pool (report, out);
  fprintf (out, "  %8s %12s %12s %12s %12s %8s %8s\n", "THIN", "MAPPED",
           "EXCLUSIVE", "SHARED", "TRANSACTION", "CREATED", "SNAPPED");
  json_array_foreach ((json_t *) thins, i, thin)
    thin_print_device (thin, out);
  fprintf (out, "  tables:\n    pool: %s\n", inspect_word (report, "table"));
  json_array_foreach ((json_t *) thins, i, thin)
    fprintf (out, "    %s: %s\n", inspect_word (thin, "id"),
             inspect_word (thin, "table"));
}

const struct inspect_format inspect_thin_format = {
  .name = "thin-pool",
  .probe = thin_probe,
  .report = thin_report,
  .print = thin_print,
};
