/* SPDX-License-Identifier: BSD-3-Clause */
/* What snapshots cost: requests and flushes below each operation. */

/* Prints the table of docs/bench.md. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/snaptest.h"

#define SECTORS 8192

TestSuite (snapshot_costs, .timeout = 60);

/* ------------------------------------------------------------------
 * What there is before, and what is counted.
 */

static void
nothing (void)
{
}

static void
take (unsigned n, const char *const chunks[])
{
  char name[8], table[64];
  unsigned i;

  snap_create ("o", "0 8192 snapshot-origin m1");
  for (i = 0; i < n; i++) {
    snprintf (name, sizeof name, "s%u", i);
    snprintf (table, sizeof table, "0 8192 snapshot m1 m%u P %s", i + 2,
              chunks[i]);
    snap_create (name, table);
  }
}

static void
take_1 (void)
{
  static const char *const chunks[] = { "8" };

  take (1, chunks);
}

static void
take_4 (void)
{
  static const char *const chunks[] = { "8", "8", "8", "8" };

  take (4, chunks);
}

static void
take_4_sizes (void)
{
  static const char *const chunks[] = { "1", "8", "64", "128" };

  take (4, chunks);
}

static void
take_transient (void)
{
  snap_create ("o", "0 8192 snapshot-origin m1");
  snap_create ("s0", "0 8192 snapshot m1 m2 N 8");
}

static void
write_chunk (void)
{
  snap_write ("s0", 80, 8, 's');
}

static void
write_part (void)
{
  snap_write ("s0", 81, 1, 's');
}

/* Scattered: every other chunk, from behind. */
static void
write_chunks (unsigned n)
{
  while (n-- > 0)
    snap_write ("s0", n * 16, 8, 's');
}

static void
write_32 (void)
{
  write_chunks (32);
}

static void
write_run (void)
{
  snap_write ("s0", 160, 256, 's');
}

static void
read_chunk (void)
{
  cr_assert_eq (snap_io ("s0", BIO_READ, 80, 8, 0), 0);
}

static void
flush (void)
{
  cr_assert_eq (snap_io ("s0", BIO_FLUSH, 0, 0, 0), 0);
}

static void
write_32_and_flush (void)
{
  write_32 ();
  flush ();
}

static void
unflushed_chunk (void)
{
  take_1 ();
  write_chunk ();
}

static void
written_chunk (void)
{
  unflushed_chunk ();
  flush ();
}

static void
write_origin (void)
{
  snap_write ("o", 80, 8, 'o');
}

static void
write_origin_16 (void)
{
  snap_write ("o", 128, 128, 'o');
}

static void
written_origin (void)
{
  take_4 ();
  write_origin ();
}

/* ------------------------------------------------------------------
 * Merges.
 */

static void
load_merge (void (*write) (void))
{
  take_1 ();
  write ();
  snap_remove ("s0");
  snap_remove ("o");
  snap_load ("m", "0 8192 snapshot-merge m1 m2 P 8");
}

static void
load_merge_1 (void)
{
  load_merge (write_chunk);
}

static void
load_merge_run (void)
{
  load_merge (write_run);
}

static void
load_merge_32 (void)
{
  load_merge (write_32);
}

static void
write_300 (void)
{
  write_chunks (300);
}

static void
load_merge_300 (void)
{
  load_merge (write_300);
}

static void
merge (void)
{
  unsigned ticks;

  snap_resume ("m");
  for (ticks = 0; snap_events ("m") == 0; ticks++) {
    cr_assert_lt (ticks, 10000);
    usleep (1000);
  }
}

/* ------------------------------------------------------------------
 * The table: reads, writes, flushes of the origin, and of all COW devices.
 */

static const struct row {
  const char *what, *cost;
  void (*before) (void), (*act) (void);
} rows[] = {
  { "take a snapshot", "0 0 0 | 3 2 2", nothing, take_1 },

  { "first write of a chunk to the snapshot, whole", "0 0 0 | 0 1 0",
    take_1, write_chunk },
  { "… of a part", "1 0 0 | 0 1 0", take_1, write_part },
  { "a flush after one of these", "0 0 0 | 0 1 3", unflushed_chunk,
    flush },
  { "32 of these, scattered, and a flush", "0 0 0 | 0 33 3", take_1,
    write_32_and_flush },
  { "32 neighbours in one write", "0 0 0 | 0 1 0", take_1, write_run },
  { "write to an exception", "0 0 0 | 0 1 0", written_chunk, write_chunk },
  { "read of an exception", "0 0 0 | 1 0 0", written_chunk, read_chunk },
  { "read of anything else", "1 0 0 | 0 0 0", take_1, read_chunk },

  { "first write of a chunk to the origin, 1 snapshot", "1 1 0 | 0 2 2",
    take_1, write_origin },
  { "… 1 transient snapshot", "1 1 0 | 0 1 0", take_transient, write_origin },
  { "… 4 snapshots", "1 1 0 | 0 8 8", take_4, write_origin },
  { "… 4 snapshots, chunks of ½, 4, 32, 64 KiB", "1 1 0 | 0 8 8",
    take_4_sizes, write_origin },
  { "… of 16 neighbours in one write, 1 snapshot", "1 1 0 | 0 2 2", take_1,
    write_origin_16 },
  { "write to the origin again, 4 snapshots", "0 1 0 | 0 0 0",
    written_origin, write_origin },

  { "merge of a chunk", "0 1 1 | 1 1 1", load_merge_1, merge },
  { "… of 32 neighbours", "0 1 1 | 1 1 1", load_merge_run, merge },
  { "… of 32 scattered chunks", "0 32 1 | 32 1 1", load_merge_32, merge },
  { "… of 300 scattered chunks", "0 300 2 | 301 2 2", load_merge_300,
    merge },
};

struct counts {
  unsigned reads, writes, flushes;
};

static struct counts
count (unsigned first, unsigned end)
{
  struct counts n = { 0, 0, 0 };
  unsigned i;

  for (i = first; i < end; i++) {
    n.reads += snap.mem[i]->counts[BIO_READ];
    n.writes += snap.mem[i]->counts[BIO_WRITE];
    n.flushes += snap.mem[i]->counts[BIO_FLUSH];
  }
  return n;
}

static void
subtract (struct counts *n, struct counts before)
{
  n->reads -= before.reads;
  n->writes -= before.writes;
  n->flushes -= before.flushes;
}

static void
measure (const struct row *row)
{
  struct counts origin, cow, origin_before, cow_before;
  char text[80];

  snap_start (SECTORS);
  row->before ();
  origin_before = count (0, 1);
  cow_before = count (1, 8);
  row->act ();
  origin = count (0, 1);
  cow = count (1, 8);
  subtract (&origin, origin_before);
  subtract (&cow, cow_before);
  snap_stop ();
  snprintf (text, sizeof text, "%u %u %u | %u %u %u", origin.reads,
            origin.writes, origin.flushes, cow.reads, cow.writes, cow.flushes);
  printf ("| %s | %s |\n", row->what, text);
  cr_expect_str_eq (text, row->cost, "%s: %s, not %s", row->what, text,
                    row->cost);
}

Test (snapshot_costs, are_what_they_are_said_to_be)
{
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
    measure (&rows[i]);
  fflush (stdout);
}
