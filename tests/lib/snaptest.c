/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots of a memory device, whose sectors tell who wrote them. */

#include "tests/lib/snaptest.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

struct dmtest snap;

/* ------------------------------------------------------------------
 * Contents.
 */

static void
fill (char *data, sector_t sector, sector_t len, char letter)
{
  for (; len > 0; len--, sector++, data += SECTOR_SIZE) {
    memset (data, letter, SECTOR_SIZE);
    memcpy (data, &sector, sizeof sector);
  }
}

static void
expect_sectors (const char *data, sector_t sector, sector_t len, char letter,
                const char *where)
{
  char expected[SECTOR_SIZE];

  for (; len > 0; len--, sector++, data += SECTOR_SIZE) {
    if (letter == '0')
      memset (expected, 0, sizeof expected);
    else
      fill (expected, sector, 1, letter);
    cr_assert (memcmp (data, expected, sizeof expected) == 0,
               "%s: sector %llu is '%c', not '%c'", where,
               (unsigned long long) sector, data[SECTOR_SIZE - 1], letter);
  }
}

void
snap_start (sector_t sectors)
{
  dmtest_init (&snap, sectors);
  fill (snap.mem[0]->data, 0, sectors, 'b');
}

void
snap_stop (void)
{
  dmtest_destroy (&snap);
}

/* ------------------------------------------------------------------
 * Verbs.
 */

void
snap_create (const char *name, const char *table)
{
  dmtest_create (&snap, name, table);
}

int
snap_try_load (const char *name, const char *table)
{
  struct dm_info info;

  if (dm_device_info (snap.reg, DM_REF_NAME (name), 0, &info, NULL) < 0)
    cr_assert_eq (dm_device_create (snap.reg, name, "", 0, 0, NULL, NULL), 0);
  return dmtest_load (&snap, name, table, 0);
}

void
snap_load (const char *name, const char *table)
{
  cr_assert_eq (snap_try_load (name, table), 0, "%s", snap.msg.text);
}

int
snap_try_resume (const char *name)
{
  memset (&snap.msg, 0, sizeof snap.msg);
  return dm_device_resume (snap.reg, DM_REF_NAME (name), 0, NULL, NULL,
                           &snap.msg);
}

void
snap_resume (const char *name)
{
  cr_assert_eq (snap_try_resume (name), 0, "%s", snap.msg.text);
}

void
snap_suspend (const char *name)
{
  cr_assert_eq (dm_device_suspend (snap.reg, DM_REF_NAME (name),
                                   DM_SUSPEND_FLAG, NULL, NULL, &snap.msg), 0,
                "%s", snap.msg.text);
}

void
snap_remove (const char *name)
{
  cr_assert_eq (dm_device_remove (snap.reg, DM_REF_NAME (name), 0, NULL,
                                  &snap.msg), 0, "%s", snap.msg.text);
}

void
snap_refuse (const char *table, int err, const char *text)
{
  cr_expect_eq (snap_try_load ("refused", table), -err, "%s", table);
  cr_expect (strstr (snap.msg.text, text), "'%s' lacks '%s'", snap.msg.text,
             text);
  snap_remove ("refused");
}

void
snap_refuse_resume (const char *name, const char *text)
{
  cr_expect_eq (snap_try_resume (name), -EINVAL);
  cr_expect (strstr (snap.msg.text, text), "'%s' lacks '%s'", snap.msg.text,
             text);
}

/* ------------------------------------------------------------------
 * I/O.
 */

static struct mapped_device *
snap_open (const char *name)
{
  struct mapped_device *md;
  struct message msg = { "" };

  cr_assert_eq (dm_open (snap.reg, name, &md, &msg), 0, "%s", msg.text);
  return md;
}

int
snap_io (const char *name, enum bio_op op, sector_t sector, sector_t len,
         char letter)
{
  struct mapped_device *md = snap_open (name);
  char *CLEANUP_FREE data = malloc (sectors_to_bytes (len) + 1);
  bool has_data = op == BIO_READ || op == BIO_WRITE;
  int r;

  fill (data, sector, len, letter);
  r = dmtest_io (md, op, sector, len, has_data ? data : NULL);
  dm_close (md);
  return r;
}

void
snap_write (const char *name, sector_t sector, sector_t len, char letter)
{
  cr_assert_eq (snap_io (name, BIO_WRITE, sector, len, letter), 0,
                "%s: write of %llu", name, (unsigned long long) sector);
}

void
snap_expect (const char *name, sector_t sector, sector_t len, char letter)
{
  struct mapped_device *md = snap_open (name);
  char *CLEANUP_FREE data = calloc (len, SECTOR_SIZE);

  cr_assert_eq (dmtest_io (md, BIO_READ, sector, len, data), 0, "%s", name);
  dm_close (md);
  expect_sectors (data, sector, len, letter, name);
}

void
snap_expect_mem (unsigned m, sector_t sector, sector_t len, char letter)
{
  expect_sectors (snap.mem[m - 1]->data + sectors_to_bytes (sector), sector,
                  len, letter, snap.mem[m - 1]->bdev.name);
}

/* ------------------------------------------------------------------
 * What is told.
 */

static int
note_status (void *opaque, sector_t start, sector_t len, const char *type,
             const char *text)
{
  char **copy = opaque;

  if (*copy == NULL)
    *copy = strdup (text);
  return 0;
}

static void
expect_status (const char *name, uint32_t flags, const char *expected)
{
  char *CLEANUP_FREE text = NULL;

  if (name[0] == '*') {
    flags |= DM_QUERY_INACTIVE_TABLE_FLAG;
    name++;
  }
  cr_assert_eq (dm_table_status (snap.reg, DM_REF_NAME (name), flags,
                                 note_status, &text, NULL, &snap.msg), 0,
                "%s", snap.msg.text);
  cr_expect_str_eq (text ? text : "no table", expected);
}

void
snap_expect_info (const char *name, const char *info)
{
  expect_status (name, 0, info);
}

void
snap_expect_table (const char *name, const char *table)
{
  expect_status (name, DM_STATUS_TABLE_FLAG, table);
}

unsigned
snap_events (const char *name)
{
  struct dm_info info;

  cr_assert_eq (dm_device_info (snap.reg, DM_REF_NAME (name), 0, &info, NULL),
                0);
  return info.event_nr;
}

/* ------------------------------------------------------------------
 * Several at once.
 */

static void *
writer_thread (void *opaque)
{
  struct snap_writer *w = opaque;

  w->result = snap_io (w->name, w->op, w->sector, w->len, w->letter);
  w->done = true;
  return NULL;
}

void
snap_writer_start (struct snap_writer *w, const char *name, enum bio_op op,
                   sector_t sector, sector_t len, char letter)
{
  w->name = name;
  w->op = op;
  w->sector = sector;
  w->len = len;
  w->letter = letter;
  w->done = false;
  cr_assert_eq (pthread_create (&w->thread, NULL, writer_thread, w), 0);
}

int
snap_writer_join (struct snap_writer *w)
{
  pthread_join (w->thread, NULL);
  return w->result;
}

void
snap_wait_stalled (unsigned m, unsigned bios)
{
  static const struct timespec tick = { .tv_nsec = 1000000 };
  unsigned ticks;

  for (ticks = 0; snap.mem[m - 1]->waiting < bios; ticks++) {
    cr_assert_lt (ticks, 10000, "nobody waits on m%u", m);
    nanosleep (&tick, NULL);
  }
}

bool
snap_waits (const struct snap_writer *w)
{
  static const struct timespec moment = { .tv_nsec = 30000000 };

  nanosleep (&moment, NULL);
  return !w->done;
}
