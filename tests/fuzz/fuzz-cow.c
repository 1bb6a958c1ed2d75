/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: what is on the COW device of a snapshot. */

/* One input is the beginning of a COW device; the rest is zeroes.  It is looked
 * at, then a snapshot is made of it and used, and then merged.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/dmtest.h"

#define DEVICE_SECTORS 2048
#define MAX_BYTES (64 << 10)

static struct dmtest rig; /* m1 is the origin, m2 the COW device */

static void
fuzz_teardown (void)
{
  dmtest_destroy (&rig);
}

static void
fuzz_setup (void)
{
  fuzz_be_quiet ();
  dmtest_init (&rig, DEVICE_SECTORS);
  atexit (fuzz_teardown);
}

static bool
fuzz_make (const char *name, const char *table)
{
  const struct dm_ref *ref = DM_REF_NAME (name);

  dm_device_create (rig.reg, name, "", 0, 0, NULL, NULL);
  if (dmtest_load (&rig, name, table, 0) < 0) {
    fuzz_must (rig.msg.text[0], "refused without a message");
    return false;
  }
  return dm_device_resume (rig.reg, ref, 0, NULL, NULL, NULL) == 0;
}

static void
fuzz_ask (const char *name)
{
  struct nbdm_extent *list;
  char *text;
  size_t n;

  if (dm_table_text (rig.reg, DM_REF_NAME (name), 0, &text, NULL) == 0)
    free (text);
  if (dm_extents (rig.reg, DM_REF_NAME (name), 0, 0, NULL, &list, &n,
                  NULL) == 0)
    free (list);
}

/* Errors are fine. */
static void
fuzz_use (const char *name)
{
  static const sector_t places[] = { 0, 8, 37, 1000, DEVICE_SECTORS - 16 };
  static char data[16 * SECTOR_SIZE];
  struct mapped_device *md;
  unsigned i;

  if (dm_open (rig.reg, name, &md, NULL) < 0)
    return;
  for (i = 0; i < sizeof places / sizeof places[0]; i++) {
    dmtest_io (md, BIO_READ, places[i], 16, data);
    dmtest_io (md, BIO_WRITE, places[i] & ~7, 8, data);
  }
  dmtest_io (md, BIO_FLUSH, 0, 0, NULL);
  dm_close (md);
}

static void
fuzz_wait_for_merge (void)
{
  static const struct timespec tick = { .tv_nsec = 200000 };
  struct dm_info info;
  unsigned tries;

  /* The event is that nothing is left, or that it failed. */
  for (tries = 0; tries < 10; tries++) {
    if (dm_device_info (rig.reg, DM_REF_NAME ("o"), 0, &info, NULL) == 0 &&
        info.event_nr > 0)
      break;
    nanosleep (&tick, NULL);
  }
}

static void
fuzz_snapshot (void)
{
  fuzz_make ("o", "0 2048 snapshot-origin m1");
  if (fuzz_make ("s", "0 2048 snapshot m1 m2 P 0")) {
    fuzz_ask ("s");
    fuzz_use ("s");
    fuzz_use ("o");
    dmtest_swap (&rig, "s", "0 2048 snapshot m1 m2 P 0", 0);
    fuzz_ask ("s");
  }
  dm_remove_all (rig.reg, 0);
}

static void
fuzz_merge (void)
{
  if (fuzz_make ("o", "0 2048 snapshot-merge m1 m2 P 0")) {
    fuzz_use ("o");
    fuzz_wait_for_merge ();
    fuzz_ask ("o");
  }
  dm_remove_all (rig.reg, 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool ready;
  unsigned i;

  if (!ready)
    fuzz_setup ();
  ready = true;
  if (size > MAX_BYTES)
    return 0;
  for (i = 0; i < 2; i++)
    memset (rig.mem[i]->data, 0, DEVICE_SECTORS * SECTOR_SIZE);
  memcpy (rig.mem[1]->data, data, size);
  fuzz_inspect (rig.mem[1]->data, DEVICE_SECTORS * SECTOR_SIZE, false);
  fuzz_snapshot ();
  fuzz_merge ();
  return 0;
}
