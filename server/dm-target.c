/* SPDX-License-Identifier: BSD-3-Clause */
/* Target types by name, and what targets call. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/device-mapper.h"
#include "server/dm-core.h"

const struct target_type *
target_type_find (const char *name)
{
  unsigned i;

  for (i = 0; target_types[i]; i++)
    if (strcmp (target_types[i]->name, name) == 0)
      return target_types[i];
  return NULL;
}

int
dm_target_error (struct dm_target *ti, int err, const char *fmt, ...)
{
  struct message m;
  va_list ap;

  va_start (ap, fmt);
  vsnprintf (m.text, sizeof m.text, fmt, ap);
  va_end (ap);
  return message_set (ti->message, err, "%s", m.text);
}

int
dm_read_arg (struct dm_target *ti, struct args *args, uint32_t min,
             uint32_t max, const char *error, uint32_t *value)
{
  const char *word = args_shift (args);

  if (word == NULL)
    return dm_target_error (ti, EINVAL, "%s: missing", error);
  if (args_parse_u32 (word, value) < 0 || *value < min || *value > max)
    return dm_target_error (ti, EINVAL, "%s: '%s'", error, word);
  return 0;
}

const char *
md_copy_name (struct mapped_device *md, char buf[DM_NAME_LEN])
{
  ACQUIRE_LATCH_FOR_SCOPE (&md->registry->latch);
  memcpy (buf, md->name, DM_NAME_LEN);
  return buf;
}

const char *
dm_target_md_name (struct dm_target *ti, char buf[128])
{
  return md_copy_name (ti->table->md, buf);
}

struct block_device *
dm_target_bdev (struct dm_target *ti)
{
  return &ti->table->md->bdev;
}

bool
dm_target_is_check (struct dm_target *ti)
{
  return ti->table->lookup && ti->table->lookup->check;
}

bool
dm_target_is_ending (struct dm_target *ti)
{
  struct mapped_device *md = ti->table->md;
  ACQUIRE_LATCH_FOR_SCOPE (&md->lock);

  return md->registry->dying || md->state == MD_DYING;
}

void
dm_target_event (struct dm_target *ti)
{
  struct dm_table *t = ti->table;
  bool is_live;

  latch_acquire (&t->md->lock);
  is_live = t->is_live;
  latch_release (&t->md->lock);
  if (is_live)
    md_event (t->md);
}

bool
dm_target_readonly (struct dm_target *ti)
{
  return ti->table->readonly;
}

sector_t
dm_target_table_size (const struct dm_target *ti)
{
  return ti->table->size;
}

bool
dm_target_noflush_suspending (struct dm_target *ti)
{
  return ti->table->md->noflush_suspending;
}

static int
extent_clip_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct extent_clip *clip = container_of (sink, struct extent_clip, sink);
  int r;

  if (len > clip->left)
    len = clip->left;
  clip->left -= len;
  r = len > 0 ? clip->out->add (clip->out, len, flags) : 0;
  clip->enough = r != 0;
  return r == 0 && clip->left == 0 ? 1 : r;
}

void
extent_clip_init (struct extent_clip *clip, struct extent_sink *out,
                  sector_t len)
{
  clip->sink.add = extent_clip_add;
  clip->out = out;
  clip->left = len;
  clip->enough = false;
}

int
extent_clip_result (const struct extent_clip *clip, int r)
{
  return r < 0 ? r : clip->enough || clip->left > 0;
}

int
dm_device_extents (struct dm_dev *dev, sector_t sector, sector_t len,
                   struct extent_sink *sink)
{
  struct extent_clip clip;
  int r;

  extent_clip_init (&clip, sink, len);
  r = bdev_extents (dev->bdev, sector, len, &clip.sink);
  return extent_clip_result (&clip, r);
}
