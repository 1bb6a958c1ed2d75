/* SPDX-License-Identifier: BSD-3-Clause */
/* Stores that a kernel wrote or took: what is in them. */

#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "targets/snapshot/exception-store.h"
#include "tests/lib/image.h"
#include "tests/lib/snapshot-images.h"
#include "tests/lib/store-rig.h"

/* A store of recorded devices. */
struct open_image {
  const struct snapshot_image *image;
  struct memdev *origin, *cow;
  struct exception_store *store;
  struct exception_table *table;
};

static void
image_open (struct open_image *o, const struct snapshot_image *image)
{
  struct message msg = { "" };

  if (!image_available ())
    cr_skip_test ("no xz");
  o->image = image;
  o->origin = image_load_path (image->origin);
  o->cow = image_load_path (image->cow);
  o->table = exception_table_new ();
  cr_assert_eq (store_new ("P", "0", &o->origin->bdev, &o->cow->bdev,
                           &o->store, &msg), 0, "%s", msg.text);
  cr_assert_eq (store_load (o->store, o->table, &msg), 0, "%s: %s",
                image->cow, msg.text);
}

static void
image_close (struct open_image *o)
{
  store_free (o->store);
  exception_table_free (o->table);
  memdev_free (o->origin);
  memdev_free (o->cow);
}

/* What the snapshot shows; the caller frees. */
static char *
image_view (struct open_image *o)
{
  sector_t size = bdev_size (&o->origin->bdev), at, len;
  uint32_t cs = store_chunk_sectors (o->store);
  char *view = malloc (sectors_to_bytes (size));
  struct exception_run run;
  const char *from;

  cr_assert_not_null (view);
  for (at = 0; at < size; at += len) {
    from = o->origin->data + sectors_to_bytes (at);
    if (exception_table_lookup (o->table, chunk_of (at, cs), UINT64_MAX, &run))
      from = o->cow->data + sectors_to_bytes (chunk_start (run.new_chunk, cs));
    len = run.len * cs < size - at ? run.len * cs : size - at;
    memcpy (view + sectors_to_bytes (at), from, sectors_to_bytes (len));
  }
  return view;
}

static void
expect_view (struct open_image *o, const char *sum)
{
  char *CLEANUP_FREE view = image_view (o);
  char hex[65];

  sha256_hex (view, sectors_to_bytes (bdev_size (&o->origin->bdev)), hex);
  cr_expect_eq (strncmp (hex, sum, strlen (sum)), 0, "%s: %s instead of %s",
                o->image->cow, hex, sum);
}

static void
expect_status (struct open_image *o)
{
  struct store_usage usage;
  char status[100] = "Invalid";

  store_usage (o->store, &usage);
  if (store_is_valid (o->store))
    snprintf (status, sizeof status, "%" PRIu64 "/%" PRIu64 " %" PRIu64,
              usage.allocated, usage.total, usage.metadata);
  cr_expect_str_eq (status, o->image->status, "%s", o->image->cow);
}

Test (store_fixtures, all_of_them)
{
  struct exception_table_size size;
  struct open_image o;
  size_t i;

  for (i = 0; i < nr_snapshot_images; i++) {
    image_open (&o, &snapshot_images[i]);
    exception_table_size (o.table, &size);
    cr_expect_eq (size.exceptions, o.image->exceptions, "%s: %d",
                  o.image->cow, (int) size.exceptions);
    cr_expect_eq (store_chunk_sectors (o.store), o.image->chunk_sectors);
    cr_expect_eq (store_is_valid (o.store), o.image->view != NULL);
    expect_status (&o);
    if (o.image->view)
      expect_view (&o, o.image->view);
    cr_expect_eq (o.cow->counts[BIO_WRITE], 0, "%s: %d writes by a load",
                  o.image->cow, o.cow->counts[BIO_WRITE]);
    image_close (&o);
  }
}

/* Make the same exceptions in the same order.  False if the store is one that
 * was not written so.
 */
static bool
write_again (const struct open_image *o, struct store_rig *rig)
{
  uint32_t cs = o->image->chunk_sectors;
  struct exception e;
  uint64_t i;

  for (i = 0; i < o->image->exceptions; i++) {
    e = store_rig_entry (o->cow->data, cs, i);
    if (e.new_chunk != cow_identity_chunk (cs, i))
      return false;
    cr_assert_eq (store_rig_add (rig, e.old_chunk, 1), 0);
  }
  return true;
}

static void
expect_same_chunk (const struct open_image *o, const struct memdev *m,
                   chunk_t chunk)
{
  uint64_t bytes = sectors_to_bytes (o->image->chunk_sectors);

  cr_expect_eq (memcmp (o->cow->data + chunk * bytes,
                        m->data + chunk * bytes, bytes), 0,
                "%s: chunk %d", o->image->cow, (int) chunk);
}

/* Byte for byte, header and areas. */
Test (store_fixtures, we_write_what_the_kernel_wrote)
{
  unsigned compared = 0, a;
  struct store_rig rig;
  struct open_image o;
  struct memdev *m;
  char words[16];
  size_t i;

  for (i = 0; i < nr_snapshot_images; i++) {
    if (snapshot_images[i].view == NULL || strstr (snapshot_images[i].cow,
                                                   "g5"))
      continue;
    image_open (&o, &snapshot_images[i]);
    m = memdev_new ("again", bdev_size (&o.cow->bdev));
    snprintf (words, sizeof words, "P %u", o.image->chunk_sectors);
    cr_assert_eq (store_rig_open (&rig, &m->bdev, words), 0);
    if (write_again (&o, &rig)) {
      expect_same_chunk (&o, m, 0);
      for (a = 0; a <= o.image->exceptions /
             cow_entries_per_area (o.image->chunk_sectors); a++)
        expect_same_chunk (&o, m,
                           cow_area_chunk (o.image->chunk_sectors, a));
      compared++;
    }
    store_rig_close (&rig);
    memdev_free (m);
    image_close (&o);
  }
  cr_expect_geq (compared, 12);
}

static void
merge_run (struct open_image *o, const struct exception_run *run)
{
  uint32_t cs = store_chunk_sectors (o->store);
  sector_t to = chunk_start (run->old_chunk, cs), len = run->len * cs;
  sector_t size = bdev_size (&o->origin->bdev);

  if (len > size - to)
    len = size - to;
  memcpy (o->origin->data + sectors_to_bytes (to),
          o->cow->data +
          sectors_to_bytes (chunk_start (run->new_chunk, cs)),
          sectors_to_bytes (len));
  cr_assert_eq (store_merge_clear (o->store, run->len), 0);
  cr_assert_eq (exception_table_remove (o->table, run), 0);
}

/* After each step the view must be what it was; at the end it is the origin,
 * and the store is as good as new.
 */
Test (store_fixtures, merging_keeps_the_view)
{
  struct exception_table_size size;
  struct store_usage usage;
  struct exception_run run;
  struct open_image o;
  size_t i;
  unsigned steps;

  for (i = 0; i < nr_snapshot_images; i++) {
    if (snapshot_images[i].view == NULL)
      continue;
    image_open (&o, &snapshot_images[i]);
    for (steps = 0; store_merge_peek (o.store, &run, 1) == 1; steps++) {
      merge_run (&o, &run);
      if (steps % 64 == 0)
        expect_view (&o, o.image->view);
    }
    expect_view (&o, o.image->view);
    exception_table_size (o.table, &size);
    cr_expect_eq (size.exceptions, 0);
    store_usage (o.store, &usage);
    cr_expect_eq (usage.allocated, 2 * o.image->chunk_sectors);
    cr_expect_eq (usage.metadata, 2 * o.image->chunk_sectors);
    image_close (&o);
  }
}

/* The kernel's next exception would have brought the stale one to life. */
Test (store_fixtures, appending_does_not_wake_stale_entries)
{
  const struct snapshot_image *g5 = snapshot_images;
  struct prepared p = { .old_chunk = 77 };
  struct exception_table_size size;
  struct exception_table *table;
  struct exception_run run;
  struct message msg = { "" };
  struct open_image o;

  while (strstr (g5->cow, "/g5") == NULL)
    g5++;
  image_open (&o, g5);
  cr_assert_eq (store_prepare (o.store, &p, 1), 0);
  cr_assert_eq (store_commit (o.store, &p, 1, true), 0);
  store_free (o.store);
  table = exception_table_new ();
  cr_assert_eq (store_new ("P", "8", &o.origin->bdev, &o.cow->bdev, &o.store,
                           &msg), 0);
  cr_assert_eq (store_load (o.store, table, &msg), 0, "%s", msg.text);
  exception_table_size (table, &size);
  cr_expect_eq (size.exceptions, 2);
  cr_expect (exception_table_lookup (table, 77, 1, &run));
  exception_table_free (table);
  image_close (&o);
}
