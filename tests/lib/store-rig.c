/* SPDX-License-Identifier: BSD-3-Clause */
/* An exception store on devices in memory. */

#include "tests/lib/store-rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
rig_load (struct store_rig *rig, const char *words)
{
  char type[16], chunk[16];
  int r;

  if (sscanf (words, "%15s %15s", type, chunk) != 2)
    abort ();
  rig->table = exception_table_new ();
  if (rig->table == NULL)
    abort ();
  rig->msg.text[0] = '\0';
  r = store_new (type, chunk, &rig->origin->bdev, rig->cow, &rig->store,
                 &rig->msg);
  return r < 0 ? r : store_load (rig->store, rig->table, &rig->msg);
}

static void
rig_unload (struct store_rig *rig)
{
  store_free (rig->store);
  exception_table_free (rig->table);
  rig->store = NULL;
  rig->table = NULL;
}

int
store_rig_open (struct store_rig *rig, struct block_device *cow,
                const char *words)
{
  int r;

  memset (rig, 0, sizeof *rig);
  rig->origin = memdev_new ("origin", 8);
  rig->cow = cow;
  r = rig_load (rig, words);
  if (r < 0)
    store_rig_close (rig);
  return r;
}

void
store_rig_close (struct store_rig *rig)
{
  rig_unload (rig);
  memdev_free (rig->origin);
}

int
store_rig_reopen (struct store_rig *rig)
{
  struct block_device *cow = rig->cow;
  char words[16];

  snprintf (words, sizeof words, "P %u", store_chunk_sectors (rig->store));
  store_rig_close (rig);
  return store_rig_open (rig, cow, words);
}

static int
rig_commit (struct store_rig *rig, struct prepared p[], unsigned n)
{
  unsigned i;
  int r = store_prepare (rig->store, p, n);

  if (r == 0)
    r = store_commit (rig->store, p, n, true);
  for (i = 0; r == 0 && i < n; i++) {
    r = exception_table_reserve (rig->table, p[i].old_chunk);
    if (r == 0)
      r = exception_table_insert (rig->table, p[i].old_chunk, p[i].new_chunk);
  }
  return r;
}

int
store_rig_add (struct store_rig *rig, chunk_t old_chunk, unsigned n)
{
  struct prepared *p = calloc (n, sizeof *p);
  unsigned i;
  int r;

  if (p == NULL)
    abort ();
  for (i = 0; i < n; i++)
    p[i].old_chunk = old_chunk + i;
  r = rig_commit (rig, p, n);
  free (p);
  return r;
}

uint64_t
store_rig_count (struct store_rig *rig)
{
  struct exception_table_size size;

  exception_table_size (rig->table, &size);
  return size.exceptions;
}

struct exception
store_rig_entry (const char *data, uint32_t chunk_sectors, uint64_t nr)
{
  struct cow_disk_exception disk;

  memcpy (&disk, data + cow_entry_offset_bytes (chunk_sectors, nr),
          sizeof disk);
  return cow_exception_get (&disk);
}

void
store_rig_set_entry (char *data, uint32_t chunk_sectors, uint64_t nr,
                     struct exception e)
{
  struct cow_disk_exception disk = cow_exception_put (e);

  memcpy (data + cow_entry_offset_bytes (chunk_sectors, nr), &disk,
          sizeof disk);
}

void
store_rig_format (char *data, uint32_t chunk_sectors, uint64_t n)
{
  struct cow_header header = { true, chunk_sectors };
  struct cow_disk_header disk;
  uint64_t i;

  cow_header_put (&disk, &header);
  memcpy (data, &disk, sizeof disk);
  for (i = 0; i < n; i++)
    store_rig_set_entry (data, chunk_sectors, i, (struct exception) {
        100 + i, cow_identity_chunk (chunk_sectors, i) });
}

char *
store_rig_status (struct store_rig *rig)
{
  struct store_usage usage;
  char *text;

  store_usage (rig->store, &usage);
  if (asprintf (&text, "%" PRIu64 "/%" PRIu64 " %" PRIu64, usage.allocated,
                usage.total, usage.metadata) < 0)
    abort ();
  return text;
}
