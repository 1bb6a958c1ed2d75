/* SPDX-License-Identifier: BSD-3-Clause */
/* The verb that tells what a device holds. */

#include <errno.h>
#include <inttypes.h>

#include "common/vector.h"
#include "server/dm-core.h"

_Static_assert (NBDM_EXTENT_HOLE == EXTENT_HOLE &&
                NBDM_EXTENT_ZERO == EXTENT_ZERO, "the wire's flags are ours");

struct extents {
  struct extent_sink sink;
  VECTOR (struct nbdm_extent) list;
  sector_t at, end;      /* what is still to be told */
};

static int
extents_add (struct extent_sink *sink, sector_t len, unsigned flags)
{
  struct extents *e = container_of (sink, struct extents, sink);
  struct nbdm_extent extent = { .begin = e->at, .len = len, .flags = flags };
  struct nbdm_extent *last = e->list.len > 0 ? &e->list.ptr[e->list.len - 1]
    : NULL;

  if (len > e->end - e->at)
    extent.len = e->end - e->at;
  if (extent.len == 0)
    return e->at == e->end;
  if (last && last->flags == flags)
    last->len += extent.len;
  else if (e->list.len == DM_MAX_EXTENTS)
    return 1;
  else if (vector_append (&e->list, extent) < 0)
    return -ENOMEM;
  e->at += extent.len;
  return e->at == e->end;
}

/* Devices may stop early. */
static int
extents_collect (struct mapped_device *md, struct extents *e)
{
  sector_t before;
  int r = 0;

  while (r == 0 && e->at < e->end && e->list.len < DM_MAX_EXTENTS) {
    before = e->at;
    r = bdev_extents (&md->bdev, e->at, e->end - e->at, &e->sink);
    if (r == 0 && e->at == before)
      r = -EIO;
  }
  return r;
}

static int
extents_range (struct mapped_device *md, sector_t begin, sector_t len,
               struct extents *e, struct message *msg)
{
  sector_t size = bdev_size (&md->bdev);
  char name[DM_NAME_LEN];
  struct dm_info info;

  /* The caller's hold goes on. */
  md_hold (md);
  verb_end (md, 0, 0, &info);
  if (!(info.flags & DM_ACTIVE_PRESENT_FLAG))
    return message_set (msg, ENODEV, "%s: no table has been resumed yet",
                        md_copy_name (md, name));
  if (begin > size || len > size - begin)
    return message_set (msg, EINVAL, "%s: %" PRIu64 "+%" PRIu64 " is beyond "
                        "the end, which is %" PRIu64, md_copy_name (md, name),
                        begin, len, size);
  e->at = begin;
  e->end = len > 0 ? begin + len : size;
  return 0;
}

int
dm_extents (struct registry *reg, const struct dm_ref *ref, sector_t begin,
            sector_t len, struct dm_wait *wait, struct nbdm_extent **list,
            size_t *n, struct message *msg)
{
  struct extents e = { .sink.add = extents_add, .list = VECTOR_INIT };
  struct mapped_device *md;
  int r = verb_begin (reg, ref, &md, msg);

  *list = NULL;
  *n = 0;
  if (r < 0)
    return r;
  r = extents_range (md, begin, len, &e, msg);
  md_ask_with (wait);
  if (r == 0)
    r = extents_collect (md, &e);
  md_ask_with (NULL);
  verb_explain (md, "extents", r, msg);
  if (r < 0)
    vector_reset (&e.list);
  *list = e.list.ptr;
  *n = e.list.len;
  return verb_end (md, r, 0, NULL);
}
