/* SPDX-License-Identifier: BSD-3-Clause */
/* A thin pool on memory devices, and thins in it. */

#include "tests/lib/pool-rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/cleanup.h"
#include "tests/lib/image.h"

#define MEM_SECTORS (64u << 11)

#define MAX_OPEN 8

struct dmtest pool_rig;
static struct mapped_device *opened[MAX_OPEN];

void
pool_rig_start (void)
{
  dmtest_init (&pool_rig, MEM_SECTORS);
}

void
pool_rig_stop (void)
{
  unsigned i;

  for (i = 0; i < MAX_OPEN; i++)
    if (opened[i])
      dm_close (opened[i]);
  dmtest_destroy (&pool_rig);
}

static char *
pool_rig_line (unsigned metadata_blocks, unsigned data_blocks,
               unsigned low_water, const char *features)
{
  char *line;

  pool_rig.mem[1]->bdev.size = metadata_blocks * 8;
  if (asprintf (&line, "0 %u thin-pool m2 m1 %u %u %s",
                data_blocks * POOL_BLOCK, POOL_BLOCK, low_water,
                features) < 0)
    abort ();
  return line;
}

int
pool_rig_create (const char *name, const char *table)
{
  int r = dm_device_create (pool_rig.reg, name, "", 0, 0, NULL, NULL);

  cr_assert_eq (r, 0);
  r = dmtest_load (&pool_rig, name, table, 0);
  if (r == 0)
    r = pool_rig_resume (name);
  if (r < 0)
    pool_rig_remove (name);
  return r;
}

void
pool_rig_pool (unsigned metadata_blocks, unsigned data_blocks,
               unsigned low_water, const char *features)
{
  CLEANUP_FREE char *line = pool_rig_line (metadata_blocks, data_blocks,
                                           low_water, features);

  cr_assert_eq (pool_rig_create ("pool", line), 0, "%s",
                pool_rig.msg.text);
}

int
pool_rig_reload (unsigned metadata_blocks, unsigned data_blocks,
                 unsigned low_water, const char *features)
{
  CLEANUP_FREE char *line = pool_rig_line (metadata_blocks, data_blocks,
                                           low_water, features);
  int r = dmtest_load (&pool_rig, "pool", line, 0);

  return r == 0 ? pool_rig_resume ("pool") : r;
}

void
pool_rig_remove (const char *name)
{
  struct message msg = { "" };

  cr_assert_eq (dm_device_remove (pool_rig.reg, DM_REF_NAME (name), 0, NULL,
                                  &msg), 0, "%s", msg.text);
}

void
pool_rig_suspend (const char *name, uint32_t flags)
{
  cr_assert_eq (dm_device_suspend (pool_rig.reg, DM_REF_NAME (name),
                                   flags | DM_SUSPEND_FLAG, NULL, NULL, NULL),
                0);
}

int
pool_rig_resume (const char *name)
{
  pool_rig.msg.text[0] = '\0';
  return dm_device_resume (pool_rig.reg, DM_REF_NAME (name), 0, NULL, NULL,
                           &pool_rig.msg);
}

/* The place of md, or of NULL: a free one. */
static struct mapped_device **
find_opened (struct mapped_device *md)
{
  unsigned i;

  for (i = 0; i < MAX_OPEN; i++)
    if (opened[i] == md)
      return &opened[i];
  abort ();
}

struct mapped_device *
pool_rig_open (const char *name)
{
  struct mapped_device **place = find_opened (NULL);

  cr_assert_eq (dm_open (pool_rig.reg, name, place, NULL), 0);
  return *place;
}

struct mapped_device *
pool_rig_thin (const char *name, unsigned id, unsigned blocks)
{
  char line[80];

  snprintf (line, sizeof line, "0 %u thin pool %u", blocks * POOL_BLOCK, id);
  cr_assert_eq (pool_rig_create (name, line), 0, "%s", pool_rig.msg.text);
  return pool_rig_open (name);
}

void
pool_rig_close (struct mapped_device *md, const char *name)
{
  *find_opened (md) = NULL;
  dm_close (md);
  pool_rig_remove (name);
}

int
pool_rig_message (const char *words)
{
  CLEANUP_FREE char *text = strdup (words);
  CLEANUP_FREE char *reply = NULL;

  pool_rig.msg.text[0] = '\0';
  return dm_device_message (pool_rig.reg, DM_REF_NAME ("pool"), 0, text,
                            &reply, NULL, &pool_rig.msg);
}

void
pool_rig_send (const char *words)
{
  cr_assert_eq (pool_rig_message (words), 0, "%s: %s", words,
                pool_rig.msg.text);
}

static int
pool_rig_take (void *opaque, sector_t start, sector_t len, const char *type,
               const char *text)
{
  *(char **) opaque = strdup (text);
  return 1;
}

char *
pool_rig_text (const char *name, uint32_t flags)
{
  char *text = NULL;

  cr_assert_eq (dm_table_status (pool_rig.reg, DM_REF_NAME (name), flags,
                                 pool_rig_take, &text, NULL, NULL), 0);
  cr_assert_not_null (text);
  return text;
}

void
pool_rig_expect (const char *name, const char *status)
{
  CLEANUP_FREE char *text = pool_rig_text (name, 0);

  cr_expect_str_eq (text, status, "%s: '%s', not '%s'", name, text, status);
}

uint32_t
pool_rig_events (const char *name)
{
  struct dm_info info;

  cr_assert_eq (dm_device_info (pool_rig.reg, DM_REF_NAME (name), 0, &info,
                                NULL), 0);
  return info.event_nr;
}

int
pool_rig_write (struct mapped_device *md, sector_t sector, sector_t len,
                char byte)
{
  CLEANUP_FREE char *data = malloc (sectors_to_bytes (len));

  memset (data, byte, sectors_to_bytes (len));
  return dmtest_io (md, BIO_WRITE, sector, len, data);
}

void
pool_rig_check (struct mapped_device *md, sector_t sector, sector_t len,
                char byte)
{
  CLEANUP_FREE char *data = malloc (sectors_to_bytes (len));
  size_t i;

  memset (data, ~byte, sectors_to_bytes (len));
  cr_assert_eq (dmtest_io (md, BIO_READ, sector, len, data), 0);
  for (i = 0; i < sectors_to_bytes (len) && data[i] == byte; i++)
    ;
  cr_assert_eq (i, sectors_to_bytes (len), "sector %zu of [%zu, +%zu): 0x%02x, "
                "not 0x%02x", (size_t) sector + i / SECTOR_SIZE,
                (size_t) sector, (size_t) len, (unsigned char) data[i],
                (unsigned char) byte);
}

static void *
pool_io_main (void *arg)
{
  struct pool_io *io = arg;
  CLEANUP_FREE char *data = malloc (sectors_to_bytes (io->len) + 1);

  memset (data, io->byte, sectors_to_bytes (io->len));
  io->result = dmtest_io (io->md, io->op, io->sector, io->len, data);
  io->done = true;
  return NULL;
}

void
pool_rig_start_io (struct pool_io *io, struct mapped_device *md,
                   enum bio_op op, sector_t sector, sector_t len, char byte)
{
  *io = (struct pool_io) { .md = md, .op = op, .sector = sector, .len = len,
                           .byte = byte };
  cr_assert_eq (pthread_create (&io->thread, NULL, pool_io_main, io), 0);
}

int
pool_rig_join (struct pool_io *io)
{
  cr_assert (EVENTUALLY (io->done));
  pthread_join (io->thread, NULL);
  return io->result;
}

int
pool_rig_thin_check (void)
{
  return image_run_tool (pool_rig.mem[1], "thin_check");
}
