/* SPDX-License-Identifier: BSD-3-Clause */
/* Thins and snapshots against a model of what may be in them. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "pdata/block-manager.h"
#include "tests/lib/metacheck.h"
#include "tests/lib/pool-rig.h"

/* NBDM_OPERATIONS operations, 4000 if it is not set; NBDM_SEED. */

#define SLOTS 6          /* thin devices that may exist, 0 to 2 at first */
#define UNIT 16          /* sectors: what a write is a multiple of */
#define BLOCKS 20
#define UNITS (BLOCKS * POOL_BLOCK / UNIT)
#define METADATA_BLOCKS 512
#define DATA_BLOCKS 512  /* more than all slots can take */

/* A unit is filled with one byte, of 0 (never written, or discarded) to 63.
 * After a crash any that it had since the last commit that concerned it can be
 * there: a bit each.
 */
struct slot {
  struct mapped_device *md; /* NULL: there is no such thin */
  unsigned char now[UNITS];
  uint64_t possible[UNITS];
};

static struct slot slots[SLOTS];
static unsigned operation;

TestSuite (thin_random, .init = pool_rig_start, .fini = pool_rig_stop);

static unsigned long
option (const char *name, unsigned long otherwise)
{
  const char *word = getenv (name);

  return word ? strtoul (word, NULL, 10) : otherwise;
}

static unsigned
below (unsigned n)
{
  return random () % n;
}

static void
settle_slot (struct slot *s)
{
  unsigned u;

  for (u = 0; u < UNITS; u++)
    s->possible[u] = UINT64_C (1) << s->now[u];
}

static void
settle_all (void)
{
  unsigned i;

  for (i = 0; i < SLOTS; i++)
    settle_slot (&slots[i]);
}

static void
set_unit (struct slot *s, unsigned u, unsigned char byte)
{
  s->now[u] = byte;
  s->possible[u] |= UINT64_C (1) << byte;
}

static void
open_slot (unsigned i)
{
  char name[8], line[80];

  snprintf (name, sizeof name, "t%u", i);
  snprintf (line, sizeof line, "0 %u thin pool %u", BLOCKS * POOL_BLOCK, i);
  cr_assert_eq (pool_rig_create (name, line), 0, "operation %u: %s",
                operation, pool_rig.msg.text);
  slots[i].md = pool_rig_open (name);
}

static void
close_slot (unsigned i)
{
  char name[8];

  snprintf (name, sizeof name, "t%u", i);
  pool_rig_close (slots[i].md, name);
  slots[i].md = NULL;
}

/* The units of [u, u + n) must be what they should, or may, be. */
static void
check_units (unsigned i, unsigned u, unsigned n, bool crashed)
{
  struct slot *s = &slots[i];
  CLEANUP_FREE char *data = malloc (n * UNIT * SECTOR_SIZE);
  unsigned k, b;

  cr_assert_eq (dmtest_io (s->md, BIO_READ, u * UNIT, n * UNIT, data), 0);
  for (k = 0; k < n; k++) {
    const char *unit = data + k * UNIT * SECTOR_SIZE;

    for (b = 1; b < UNIT * SECTOR_SIZE && unit[b] == unit[0]; b++)
      ;
    cr_assert_eq (b, UNIT * SECTOR_SIZE, "operation %u: thin %u, unit %u is "
                  "torn", operation, i, u + k);
    if (!crashed)
      cr_assert_eq (unit[0], s->now[u + k], "operation %u: thin %u, unit %u: "
                    "%d, not %d", operation, i, u + k, unit[0],
                    s->now[u + k]);
    cr_assert ((unsigned char) unit[0] < 64 &&
               s->possible[u + k] >> unit[0] & 1,
               "operation %u: thin %u, unit %u: %d after a crash", operation,
               i, u + k, unit[0]);
    s->now[u + k] = unit[0];
  }
}

/* ------------------------------------------------------------------
 * Operations on one thin.
 */

static void
write_units (struct slot *s, unsigned u, unsigned n)
{
  unsigned char byte = 1 + below (63);
  CLEANUP_FREE char *data = malloc (n * UNIT * SECTOR_SIZE);
  struct bio bio = { .op = BIO_WRITE, .flags = below (16) ? 0 : BIO_FUA,
                     .bdev = dm_block_device (s->md), .sector = u * UNIT,
                     .len = n * UNIT, .data = data };

  memset (data, byte, n * UNIT * SECTOR_SIZE);
  cr_assert_eq (bdev_submit (bio.bdev, &bio), 0);
  while (n-- > 0)
    set_unit (s, u++, byte);
}

/* Only whole blocks go; the rest stays what it is. */
static void
discard_units (struct slot *s, unsigned u, unsigned n)
{
  const unsigned per_block = POOL_BLOCK / UNIT;
  unsigned begin = (u + per_block - 1) / per_block * per_block;
  unsigned end = (u + n) / per_block * per_block;

  cr_assert_eq (dmtest_io (s->md, BIO_DISCARD, u * UNIT, n * UNIT, NULL), 0);
  for (; begin < end; begin++)
    set_unit (s, begin, 0);
}

static void
zero_units (struct slot *s, unsigned u, unsigned n)
{
  struct bio bio = { .op = BIO_WRITE_ZEROES,
                     .flags = below (2) ? BIO_NOUNMAP : 0,
                     .bdev = dm_block_device (s->md), .sector = u * UNIT,
                     .len = n * UNIT };

  cr_assert_eq (bdev_submit (bio.bdev, &bio), 0);
  while (n-- > 0)
    set_unit (s, u++, 0);
}

static void
operate (unsigned i)
{
  struct slot *s = &slots[i];
  unsigned u = below (UNITS), n = 1 + below (below (4) ? 12 : UNITS);

  if (n > UNITS - u)
    n = UNITS - u;
  switch (below (16)) {
  case 0 ... 7:
    write_units (s, u, n);
    break;
  case 8: case 9:
    discard_units (s, u, n);
    break;
  case 10:
    zero_units (s, u, n);
    break;
  case 11:
    cr_assert_eq (dmtest_io (s->md, BIO_FLUSH, 0, 0, NULL), 0);
    settle_slot (s);
    break;
  default:
    check_units (i, u, n, false);
  }
}

/* ------------------------------------------------------------------
 * Operations on the pool.  Messages commit.
 */

static void
send (const char *format, unsigned a, unsigned b)
{
  char words[40];

  snprintf (words, sizeof words, format, a, b);
  pool_rig_send (words);
  settle_all ();
}

/* Thin i comes from thin origin, or out of nothing. */
static void
make_slot (unsigned i, unsigned origin)
{
  if (slots[origin].md) {
    memcpy (slots[i].now, slots[origin].now, sizeof slots[i].now);
    send ("create_snap %u %u", i, origin);
  }
  else {
    memset (slots[i].now, 0, sizeof slots[i].now);
    send ("create_thin %u", i, 0);
  }
  open_slot (i);
}

static void
delete_slot (unsigned i)
{
  close_slot (i);
  send ("delete %u", i, 0);
}

/* What is on the disks now is what there is after the crash. */
static void
crash (void)
{
  struct memdev **mem = pool_rig.mem;
  size_t bytes[2] = { DATA_BLOCKS * POOL_BLOCK_BYTES,
                      METADATA_BLOCKS * BM_BLOCK_BYTES };
  char *image[2];
  bool exists[SLOTS];
  unsigned i;

  for (i = 0; i < 2; i++) {
    image[i] = malloc (bytes[i]);
    memcpy (image[i], mem[i]->data, bytes[i]);
  }
  for (i = 0; i < SLOTS; i++) {
    exists[i] = slots[i].md;
    if (exists[i])
      close_slot (i);
  }
  pool_rig_remove ("pool");
  for (i = 0; i < 2; i++) {
    memcpy (mem[i]->data, image[i], bytes[i]);
    free (image[i]);
  }
  metacheck_assert (mem[1]->data, bytes[1], "after a crash");
  cr_assert_leq (pool_rig_thin_check (), 0, "operation %u", operation);
  pool_rig_pool (METADATA_BLOCKS, DATA_BLOCKS, 0, "");
  for (i = 0; i < SLOTS; i++)
    if (exists[i]) {
      open_slot (i);
      check_units (i, 0, UNITS, true);
    }
  settle_all ();
}

static void
operate_on_pool (void)
{
  unsigned i = below (SLOTS);

  switch (below (8)) {
  case 0 ... 2:
    if (slots[i].md)
      delete_slot (i);
    else
      make_slot (i, below (SLOTS));
    break;
  case 3:
    free (pool_rig_text ("pool", 0));
    settle_all ();
    break;
  case 4:
    pool_rig_suspend ("pool", 0);
    cr_assert_eq (pool_rig_resume ("pool"), 0);
    settle_all ();
    break;
  default:
    crash ();
  }
}

Test (thin_random, a_model_agrees, .timeout = 36000)
{
  unsigned long n = option ("NBDM_OPERATIONS", 4000);
  unsigned i;

  srandom (option ("NBDM_SEED", 1));
  pool_rig_pool (METADATA_BLOCKS, DATA_BLOCKS, 0, "");
  for (i = 0; i < 3; i++)
    make_slot (i, i);
  for (operation = 0; operation < n; operation++) {
    i = below (SLOTS);
    if (below (20) == 0)
      operate_on_pool ();
    else if (slots[i].md)
      operate (i);
  }
  crash ();
}
