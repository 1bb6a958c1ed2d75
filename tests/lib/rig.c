/* SPDX-License-Identifier: BSD-3-Clause */
/* A registry on memory devices, a target that tells what it is asked, I/O on
 * threads of its own.
 */

#include "tests/lib/rig.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/vector.h"

static void
rig_check (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "rig: %s failed\n", what);
  abort ();
}

/* ------------------------------------------------------------------
 * The probe.
 */
struct probe probe;

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char log_text[4096];

struct probe_target {
  struct dm_dev *dev;
  sector_t start;
  char tag[16];
};

static void
probe_note (struct dm_target *ti, const char *what)
{
  struct probe_target *p = ti->private;
  size_t len;

  pthread_mutex_lock (&log_mutex);
  len = strlen (log_text);
  snprintf (log_text + len, sizeof log_text - len, " %s:%s", what, p->tag);
  pthread_mutex_unlock (&log_mutex);
}

char *
probe_log (void)
{
  char *copy;

  pthread_mutex_lock (&log_mutex);
  copy = strdup (log_text);
  log_text[0] = '\0';
  pthread_mutex_unlock (&log_mutex);
  return copy;
}

static int
probe_ctr (struct dm_target *ti, struct args *args)
{
  struct probe_target *p = ti->private;

  probe.constructed++;
  if (args->argc < 2 || args_parse_u64 (args->argv[1], &p->start) < 0)
    return dm_target_error (ti, EINVAL, "Invalid arguments");
  if (args->argc > 2)
    snprintf (p->tag, sizeof p->tag, "%s", args->argv[2]);
  ti->num_flush_bios = 1;
  ti->num_discard_bios = 1;
  ti->num_write_zeroes_bios = 1;
  probe_note (ti, "ctr");
  return dm_get_device (ti, args->argv[0], &p->dev);
}

static void
probe_dtr (struct dm_target *ti)
{
  probe_note (ti, "dtr");
  probe.constructed--;
}

static int
probe_map (struct dm_target *ti, struct bio *bio)
{
  struct probe_target *p = ti->private;

  probe.waiting++;
  rig_check (EVENTUALLY (!probe.stalled), "leaving map");
  probe.waiting--;
  if (probe.push_back)
    return DM_MAPIO_REQUEUE;
  bio->bdev = p->dev->bdev;
  if (bio->op != BIO_FLUSH)
    bio->sector = p->start + dm_target_offset (ti, bio->sector);
  return DM_MAPIO_REMAPPED;
}

static void
probe_presuspend (struct dm_target *ti)
{
  probe_note (ti, "presuspend");
  rig_check (EVENTUALLY (!probe.hold), "leaving presuspend");
}

static void
probe_presuspend_undo (struct dm_target *ti)
{
  probe_note (ti, "presuspend_undo");
}

static void
probe_postsuspend (struct dm_target *ti)
{
  probe_note (ti, "postsuspend");
}

static int
probe_preresume (struct dm_target *ti, struct message *msg)
{
  probe_note (ti, "preresume");
  return probe.preresume_error;
}

static void
probe_resume (struct dm_target *ti)
{
  probe_note (ti, "resume");
}

static void
probe_status (struct dm_target *ti, enum dm_status_type type, unsigned flags,
              FILE *out)
{
  struct probe_target *p = ti->private;

  if (type == DM_STATUS_INFO) {
    fputs (flags & DM_STATUS_NOFLUSH ? "noflush" : "fine", out);
    return;
  }
  dm_device_print (out, p->dev);
  fprintf (out, " %" PRIu64 " %s", p->start, p->tag);
}

/* "event" raises one, "fail" fails, anything else is answered. */
static int
probe_message (struct dm_target *ti, struct args *args, FILE *reply)
{
  const char *word = args_shift (args);

  if (args_word_is (word, "fail"))
    return dm_target_error (ti, ENOENT, "no %s today", word);
  if (args_word_is (word, "event"))
    dm_target_event (ti);
  else
    fprintf (reply, "%s to you", word);
  return 0;
}

static int
probe_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  struct probe_target *p = ti->private;

  return fn (ti, p->dev, p->start, ti->len, data);
}

#define PROBE_CALLS                             \
  .version = { 1, 2, 3 },                       \
  .summary = "tells what it is asked",          \
  .private_size = sizeof (struct probe_target), \
  .ctr = probe_ctr,                             \
  .dtr = probe_dtr,                             \
  .map = probe_map,                             \
  .presuspend = probe_presuspend,               \
  .presuspend_undo = probe_presuspend_undo,     \
  .postsuspend = probe_postsuspend,             \
  .preresume = probe_preresume,                 \
  .resume = probe_resume,                       \
  .status = probe_status,                       \
  .message = probe_message,                     \
  .iterate_devices = probe_iterate_devices

static const struct target_type probe_target = {
  .name = "probe", PROBE_CALLS
};

static const struct target_type frozen_target = {
  .name = "frozen", .features = DM_TARGET_IMMUTABLE, PROBE_CALLS
};

extern const struct target_type delay_target, error_target, linear_target,
  zero_target;

const struct target_type *const target_types[] = {
  &probe_target, &frozen_target, &delay_target, &zero_target, &linear_target,
  &error_target, NULL
};

/* ------------------------------------------------------------------
 * Verbs.
 */

struct registry *
rig_new (void)
{
  struct registry *reg = registry_new ();

  rig_check (reg != NULL, "registry_new");
  return reg;
}

void
rig_free (struct registry *reg)
{
  registry_free (reg);
  rig_check (probe.constructed == 0, "destroying every target");
}

void
rig_create (struct registry *reg, const char *name)
{
  rig_check (dm_device_create (reg, name, "", 0, 0, NULL, NULL) == 0,
             "create");
}

void
rig_resume (struct registry *reg, const char *name)
{
  rig_check (dm_device_resume (reg, DM_REF_NAME (name), 0, NULL, NULL,
                               NULL) == 0, "resume");
}

void
rig_suspend (struct registry *reg, const char *name)
{
  rig_check (dm_device_suspend (reg, DM_REF_NAME (name), 0, NULL, NULL,
                                NULL) == 0, "suspend");
}

void
rig_remove (struct registry *reg, const char *name)
{
  rig_check (dm_device_remove (reg, DM_REF_NAME (name), 0, NULL, NULL) == 0,
             "remove");
}

int
rig_try_load (struct registry *reg, const char *name, const char *text,
              uint32_t flags, struct message *msg)
{
  VECTOR (struct dm_target_line) lines = VECTOR_INIT;
  char *CLEANUP_FREE copy = strdup (text);
  char *line, *save, *word, *rest;
  int r;

  for (line = strtok_r (copy, "\n", &save); line;
       line = strtok_r (NULL, "\n", &save)) {
    struct dm_target_line l;

    l.start = strtoull (strtok_r (line, " ", &rest), NULL, 10);
    word = strtok_r (NULL, " ", &rest);
    l.len = strtoull (word, NULL, 10);
    l.type = strtok_r (NULL, " ", &rest);
    l.params = rest;
    rig_check (vector_append (&lines, l) == 0, "malloc");
  }
  r = dm_table_load (reg, DM_REF_NAME (name), flags, lines.ptr, lines.len,
                     NULL, NULL, msg);
  vector_reset (&lines);
  return r;
}

void
rig_load (struct registry *reg, const char *name, const char *text)
{
  struct message msg = { "" };

  rig_check (rig_try_load (reg, name, text, 0, &msg) == 0, msg.text);
}

struct mapped_device *
rig_start (struct registry *reg, const char *name, const char *text)
{
  struct mapped_device *md;

  rig_create (reg, name);
  rig_load (reg, name, text);
  rig_resume (reg, name);
  rig_check (dm_open (reg, name, &md, NULL) == 0, "open");
  return md;
}

void
rig_stop (struct mapped_device *md)
{
  struct registry *reg = md->registry;
  char name[DM_NAME_LEN];

  md_copy_name (md, name);
  dm_close (md);
  rig_remove (reg, name);
}

struct dm_info
rig_info (struct registry *reg, const char *name)
{
  struct dm_info info;

  rig_check (dm_device_info (reg, DM_REF_NAME (name), 0, &info, NULL) == 0,
             "info");
  return info;
}

/* ------------------------------------------------------------------
 * Verbs on threads.
 */

static void *
rig_verb_main (void *opaque)
{
  struct rig_verb *v = opaque;
  const struct dm_ref *ref = DM_REF_NAME (v->name);

  if (v->suspend)
    v->result = dm_device_suspend (v->reg, ref, v->flags, &v->wait, NULL,
                                   NULL);
  else
    v->result = dm_device_resume (v->reg, ref, v->flags, &v->wait, NULL,
                                  NULL);
  v->done = true;
  return NULL;
}

void
rig_verb_start (struct rig_verb *v, struct registry *reg, bool suspend,
                const char *name, unsigned flags)
{
  v->reg = reg;
  v->suspend = suspend;
  v->name = name;
  v->flags = flags;
  v->done = false;
  dm_wait_init (&v->wait);
  rig_check (pthread_create (&v->thread, NULL, rig_verb_main, v) == 0,
             "thread");
}

int
rig_verb_join (struct rig_verb *v)
{
  rig_check (EVENTUALLY (v->done), "finishing a verb");
  pthread_join (v->thread, NULL);
  dm_wait_destroy (&v->wait);
  return v->result;
}

/* ------------------------------------------------------------------
 * I/O.
 */

static void *
io_main (void *opaque)
{
  struct io *io = opaque;

  io->result = bdev_submit (io->bdev, &io->bio);
  io->done = true;
  return NULL;
}

void
io_start (struct io *io, struct block_device *bdev, enum bio_op op,
          sector_t sector, sector_t len, char fill)
{
  io->bdev = bdev;
  io->bio = (struct bio) { .op = op, .bdev = bdev, .sector = sector,
                           .len = len };
  if (bio_has_data (&io->bio))
    io->bio.data = io->data;
  memset (io->data, fill, sizeof io->data);
  io->done = false;
  rig_check (pthread_create (&io->thread, NULL, io_main, io) == 0, "thread");
}

int
io_join (struct io *io)
{
  rig_check (EVENTUALLY (io->done), "finishing a bio");
  pthread_join (io->thread, NULL);
  return io->result;
}

int
io_run (struct block_device *bdev, enum bio_op op, sector_t sector,
        sector_t len, char fill)
{
  char data[SECTOR_SIZE * 16];
  struct bio bio = { .op = op, .bdev = bdev, .sector = sector, .len = len };

  if (bio_has_data (&bio))
    bio.data = data;
  memset (data, fill, sizeof data);
  return bdev_submit (bdev, &bio);
}

unsigned
rig_parked (struct mapped_device *md)
{
  struct parked_bio *p;
  unsigned n = 0;

  latch_acquire (&md->lock);
  list_for_each (p, &md->parked, link)
    if (!p->running)
      n++;
  latch_release (&md->lock);
  return n;
}

enum md_state
rig_state (struct mapped_device *md)
{
  enum md_state state;

  latch_acquire (&md->lock);
  assert_md_state (md);
  state = md->state;
  latch_release (&md->lock);
  return state;
}
