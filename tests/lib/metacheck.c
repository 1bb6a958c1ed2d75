/* SPDX-License-Identifier: BSD-3-Clause */
/* A checker of thin-pool metadata that shares no code with pdata/. */

#include "tests/lib/metacheck.h"

#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/crc32c.h"

#define BLOCK 4096u
#define PER_BITMAP 16320u
#define SALT_SUPER 160774
#define SALT_NODE 121107
#define SALT_BITMAP 240779
#define SALT_INDEX 160478

/* Called for each entry of a leaf that is seen for the first time (first), or
 * again by way of another root.
 */
typedef void (*leaf_fn) (struct metacheck *c, void *context, uint64_t key,
                         const char *value, bool first);

__attribute__ ((format (printf, 2, 3))) static void
complain (struct metacheck *c, const char *fmt, ...)
{
  va_list ap;

  if (c->errors++ > 0)
    return;
  va_start (ap, fmt);
  vsnprintf (c->first_error, sizeof c->first_error, fmt, ap);
  va_end (ap);
}

static uint32_t
get32 (const char *p)
{
  le32 v;

  memcpy (&v, p, sizeof v);
  return from_le32 (v);
}

static uint64_t
get64 (const char *p)
{
  le64 v;

  memcpy (&v, p, sizeof v);
  return from_le64 (v);
}

/* A block that has the salt and its own number in it; NULL if not. */
static const char *
get_block (struct metacheck *c, uint64_t nr, uint32_t salt)
{
  const char *b = c->data + nr * BLOCK;

  if (nr >= c->nr_metadata) {
    complain (c, "block %lu is beyond the end", (unsigned long) nr);
    return NULL;
  }
  if ((crc32c (~0u, b + 4, BLOCK - 4) ^ salt) != get32 (b)) {
    complain (c, "block %lu: wrong checksum or kind", (unsigned long) nr);
    return NULL;
  }
  if (get64 (b + 8) != nr)
    complain (c, "block %lu says it is another", (unsigned long) nr);
  return b;
}

/* One more pointer to a metadata block; true if it is the first. */
static bool
count_ref (struct metacheck *c, uint64_t nr)
{
  bool first;

  if (nr >= c->nr_metadata)
    return false;
  first = !c->seen[nr];
  c->seen[nr] = true;
  c->metadata_refs[nr]++;
  return first;
}

struct range {
  uint64_t low, high; /* high is exclusive; 0: none */
};

struct walk {
  uint32_t value_size;
  leaf_fn fn;
  void *context;
};

static void
check_node (struct metacheck *c, uint64_t nr, const char *b, uint32_t size,
            bool root, struct range range)
{
  uint32_t flags = get32 (b + 4), n = get32 (b + 16), max = get32 (b + 20);
  uint32_t vs = get32 (b + 24), i;

  if (vs != (flags == 1 ? 8 : size) || (flags != 1 && flags != 2) ||
      max != (BLOCK - 32) / (8 + vs) / 3 * 3 || n > max)
    complain (c, "node %lu: bad header", (unsigned long) nr);
  else if (!root && n < max / 3)
    complain (c, "node %lu: %u of %u entries", (unsigned long) nr, n, max);
  for (i = 1; i < n; i++)
    if (get64 (b + 32 + 8 * i - 8) >= get64 (b + 32 + 8 * i))
      complain (c, "node %lu: keys not in order", (unsigned long) nr);
  if (n > 0 && (get64 (b + 32) < range.low ||
                (range.high && get64 (b + 32 + 8 * n - 8) >= range.high)))
    complain (c, "node %lu: keys out of range", (unsigned long) nr);
}

static void
walk_node (struct metacheck *c, const struct walk *w, uint64_t nr, bool root,
           struct range range, bool counted, unsigned depth)
{
  bool first = counted && count_ref (c, nr);
  const char *b = depth < 16 ? get_block (c, nr, SALT_NODE) : NULL;
  struct range below;
  const char *values;
  uint32_t i, n;

  if (b == NULL)
    return;
  check_node (c, nr, b, w->value_size, root, range);
  if (c->errors)
    return;
  n = get32 (b + 16);
  values = b + 32 + 8 * get32 (b + 20);
  for (i = 0; i < n; i++) {
    below.low = get64 (b + 32 + 8 * i);
    below.high = i + 1 < n ? get64 (b + 32 + 8 * i + 8) : range.high;
    if (get32 (b + 4) == 1)
      walk_node (c, w, get64 (values + 8 * i), false, below, first, depth + 1);
    else
      w->fn (c, w->context, below.low, values + w->value_size * i, first);
  }
}

static void
walk_tree (struct metacheck *c, uint64_t root, uint32_t value_size,
           leaf_fn fn, void *context, bool counted)
{
  const struct walk w = { value_size, fn, context };

  walk_node (c, &w, root, true, (struct range) { 0, 0 }, counted, 0);
}

/* Space maps. */

struct map {
  const char *name;
  uint64_t nr_blocks, nr_allocated, nr_bitmaps, bitmap_root, count_root;
  uint32_t *counts;
  const char **entries; /* of the index */
  uint64_t nr_large, nr_in_tree;
};

static void
map_note_entry (struct metacheck *c, void *context, uint64_t key,
                const char *value, bool first)
{
  struct map *m = context;

  if (key >= m->nr_bitmaps)
    complain (c, "%s: index entry %lu", m->name, (unsigned long) key);
  else
    m->entries[key] = value;
}

static void
map_note_count (struct metacheck *c, void *context, uint64_t key,
                const char *value, bool first)
{
  struct map *m = context;

  m->nr_in_tree++;
  if (key >= m->nr_blocks || m->counts[key] != 3 || get32 (value) < 3)
    complain (c, "%s: large count of %lu", m->name, (unsigned long) key);
  else
    m->counts[key] = get32 (value);
}

static void
map_read_bitmap (struct metacheck *c, struct map *m, uint64_t i)
{
  uint64_t nr = get64 (m->entries[i]), block;
  uint32_t j, pair, used = 0, first_free = PER_BITMAP;
  const char *b;

  count_ref (c, nr);
  b = get_block (c, nr, SALT_BITMAP);
  if (b == NULL)
    return;
  for (j = 0; j < PER_BITMAP; j++) {
    pair = (uint8_t) b[16 + j / 4] >> j % 4 * 2 & 3;
    block = i * PER_BITMAP + j;
    if (pair == 0) {
      if (first_free == PER_BITMAP)
        first_free = j;
      continue;
    }
    used++;
    if (block >= m->nr_blocks) {
      complain (c, "%s: bits beyond the end", m->name);
      return;
    }
    m->counts[block] = (pair & 1) << 1 | pair >> 1;
    m->nr_large += pair == 3;
    m->nr_allocated--;
  }
  if (get32 (m->entries[i] + 8) != PER_BITMAP - used)
    complain (c, "%s: bitmap %lu: free %u, not %u", m->name, (unsigned long) i,
              PER_BITMAP - used, get32 (m->entries[i] + 8));
  if (get32 (m->entries[i] + 12) > first_free)
    complain (c, "%s: bitmap %lu: none free before %u, but %u is", m->name,
              (unsigned long) i, get32 (m->entries[i] + 12), first_free);
}

static void
map_read (struct metacheck *c, struct map *m, const char *root, bool metadata)
{
  const char *index;
  uint64_t i;

  m->nr_blocks = get64 (root);
  m->nr_allocated = get64 (root + 8);
  m->bitmap_root = get64 (root + 16);
  m->count_root = get64 (root + 24);
  m->nr_bitmaps = (m->nr_blocks + PER_BITMAP - 1) / PER_BITMAP;
  m->counts = calloc (m->nr_blocks + 1, sizeof m->counts[0]);
  m->entries = calloc (m->nr_bitmaps + 1, sizeof m->entries[0]);
  if (!metadata)
    walk_tree (c, m->bitmap_root, 16, map_note_entry, m, true);
  else if ((index = get_block (c, m->bitmap_root, SALT_INDEX)) != NULL) {
    count_ref (c, m->bitmap_root);
    for (i = 0; i < m->nr_bitmaps; i++)
      m->entries[i] = index + 16 + 16 * i;
  }
  for (i = 0; i < m->nr_bitmaps && !c->errors; i++)
    if (m->entries[i])
      map_read_bitmap (c, m, i);
    else
      complain (c, "%s: no bitmap %lu", m->name, (unsigned long) i);
  walk_tree (c, m->count_root, 4, map_note_count, m, true);
  if (m->nr_allocated != 0)
    complain (c, "%s: number of allocated blocks is off by %ld", m->name,
              (long) m->nr_allocated);
  if (m->nr_large != m->nr_in_tree)
    complain (c, "%s: a large count is missing", m->name);
}

static void
map_compare (struct metacheck *c, struct map *m, const uint32_t *refs)
{
  uint64_t i;

  for (i = 0; i < m->nr_blocks && !c->errors; i++)
    if (m->counts[i] != refs[i])
      complain (c, "%s: block %lu has count %u, found %u", m->name,
                (unsigned long) i, m->counts[i], refs[i]);
  free (m->counts);
  free (m->entries);
}

/* Devices. */

struct device {
  uint64_t id, root, mapped;
  bool in_details, first;
};

struct devices {
  struct device *all;
  size_t nr;
  uint64_t found; /* mappings of the one being walked */
};

static void
devices_add (struct metacheck *c, void *context, uint64_t key,
             const char *value, bool first)
{
  struct devices *d = context;

  d->all = reallocarray (d->all, d->nr + 1, sizeof d->all[0]);
  if (d->all == NULL)
    abort ();
  d->all[d->nr++] = (struct device) {
    .id = key, .root = get64 (value), .first = first
  };
}

static void
devices_detail (struct metacheck *c, void *context, uint64_t key,
                const char *value, bool first)
{
  struct devices *d = context;
  size_t i;

  for (i = 0; i < d->nr; i++)
    if (d->all[i].id == key) {
      d->all[i].in_details = true;
      d->all[i].mapped = get64 (value);
      return;
    }
  complain (c, "device %lu has details, but no tree", (unsigned long) key);
}

static void
devices_mapping (struct metacheck *c, void *context, uint64_t key,
                 const char *value, bool first)
{
  struct devices *d = context;
  uint64_t block = get64 (value) >> 24;

  d->found++;
  if (block >= c->nr_data)
    complain (c, "data block %lu is beyond the end", (unsigned long) block);
  else
    c->data_refs[block] += first;
}

static void
check_devices (struct metacheck *c, const char *super)
{
  struct devices d = { NULL, 0, 0 };
  size_t i;

  walk_tree (c, get64 (super + 320), 8, devices_add, &d, true);
  walk_tree (c, get64 (super + 328), 24, devices_detail, &d, true);
  for (i = 0; i < d.nr && !c->errors; i++) {
    d.found = 0;
    walk_tree (c, d.all[i].root, 8, devices_mapping, &d, d.all[i].first);
    if (!d.all[i].in_details || d.found != d.all[i].mapped)
      complain (c, "device %lu: %lu mappings, details say %lu",
                (unsigned long) d.all[i].id, (unsigned long) d.found,
                (unsigned long) d.all[i].mapped);
  }
  free (d.all);
}

bool
metacheck_run (struct metacheck *c, const char *data, size_t len)
{
  struct map data_map = { "data" }, metadata_map = { "metadata" };
  const char *super, *held;

  memset (c, 0, sizeof *c);
  c->data = data;
  c->nr_metadata = len / BLOCK;
  c->metadata_refs = calloc (c->nr_metadata, sizeof c->metadata_refs[0]);
  c->seen = calloc (c->nr_metadata, sizeof c->seen[0]);
  super = get_block (c, 0, SALT_SUPER);
  if (super == NULL)
    return false;
  c->nr_data = get64 (super + 64);
  c->data_refs = calloc (c->nr_data + 1, sizeof c->data_refs[0]);
  count_ref (c, 0);
  map_read (c, &data_map, super + 64, false);
  map_read (c, &metadata_map, super + 192, true);
  check_devices (c, super);
  if (get64 (super + 56)) {
    count_ref (c, get64 (super + 56));
    held = get_block (c, get64 (super + 56), SALT_SUPER);
    if (held)
      check_devices (c, held);
  }
  map_compare (c, &data_map, c->data_refs);
  map_compare (c, &metadata_map, c->metadata_refs);
  return c->errors == 0;
}

void
metacheck_free (struct metacheck *c)
{
  free (c->metadata_refs);
  free (c->data_refs);
  free (c->seen);
}

void
metacheck_assert (const char *data, size_t len, const char *where)
{
  struct metacheck c;
  bool ok = metacheck_run (&c, data, len);

  metacheck_free (&c);
  cr_assert (ok, "%s: %s", where, c.first_error);
}
