/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of the ioctl interface's replies: how they are laid out. */

#include "server/dm-ioctl-pack.h"

#include <string.h>

static size_t
pack_align (size_t n)
{
  return (n + 7) & ~(size_t) 7;
}

static void
pack_full (struct dm_ioctl_pack *pack)
{
  pack->header->flags |= DM_BUFFER_FULL_FLAG;
}

static bool
pack_is_full (const struct dm_ioctl_pack *pack)
{
  return pack->header->flags & DM_BUFFER_FULL_FLAG;
}

/* data_size for a payload of so many bytes. */
static void
pack_set_size (struct dm_ioctl_pack *pack, size_t payload)
{
  pack->header->data_size = DM_IOCTL_DATA + payload;
}

void
dm_ioctl_pack_begin (struct dm_ioctl_pack *pack, struct dm_ioctl *header,
                     char *buffer, size_t size)
{
  header->data_start = DM_IOCTL_DATA;
  *pack = (struct dm_ioctl_pack) {
    .header = header,
    .out = buffer + DM_IOCTL_DATA,
    .room = dm_ioctl_pack_room (size),
  };
}

int
dm_ioctl_pack_target (void *opaque, sector_t start, sector_t len,
                      const char *type, const char *text)
{
  struct dm_ioctl_pack *pack = opaque;
  struct dm_target_spec spec = { .sector_start = start, .length = len };
  size_t text_size = strlen (text) + 1;
  size_t left = pack->room - pack->at, next;

  if (pack_is_full (pack))
    return 0;
  if (left <= sizeof spec || left - sizeof spec <= text_size) {
    pack_full (pack);
    return 0;
  }
  pack_set_size (pack, pack->at + sizeof spec + text_size);
  next = pack_align (pack->at + sizeof spec + text_size);
  if (next > pack->room)
    pack_full (pack);
  else
    spec.next = next;
  strncpy (spec.target_type, type, sizeof spec.target_type - 1);
  memcpy (pack->out + pack->at, &spec, sizeof spec);
  memcpy (pack->out + pack->at + sizeof spec, text, text_size);
  pack->at = next;
  return 0;
}

/* ------------------------------------------------------------------ */

static bool
pack_has_prefix (const char *string, const char *prefix)
{
  return strncmp (string, prefix, strlen (prefix)) == 0;
}

static bool
pack_name_wanted (const struct dm_ioctl_pack *pack, const struct dm_info *info)
{
  return pack_has_prefix (info->name, pack->header->name) &&
    pack_has_prefix (info->uuid, pack->header->uuid);
}

/* Offset of event_nr and flags, which follow the name. */
static size_t
pack_name_tail (const struct dm_info *info)
{
  return pack_align (offsetof (struct dm_name_list, name)
                     + strlen (info->name) + 1);
}

static size_t
pack_name_size (const struct dm_ioctl_pack *pack, const struct dm_info *info)
{
  size_t size = pack_name_tail (info) + 2 * sizeof (uint32_t);

  if ((pack->header->flags & DM_UUID_FLAG) && info->uuid[0])
    size += pack_align (strlen (info->uuid) + 1);
  return size;
}

static void
pack_name (struct dm_ioctl_pack *pack, const struct dm_info *info, bool last)
{
  size_t size = pack_name_size (pack, info);
  struct dm_name_list record = { .dev = info->dev, .next = last ? 0 : size };
  uint32_t tail[2] = { info->event_nr, 0 };
  char *out = pack->out + pack->at, *end = out + pack_name_tail (info);

  memcpy (out, &record, offsetof (struct dm_name_list, name));
  strcpy (out + offsetof (struct dm_name_list, name), info->name);
  if (pack->header->flags & DM_UUID_FLAG) {
    tail[1] = info->uuid[0] ? DM_NAME_LIST_FLAG_HAS_UUID
      : DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID;
    if (info->uuid[0])
      strcpy (end + sizeof tail, info->uuid);
  }
  memcpy (end, tail, sizeof tail);
  pack->at += size;
}

void
dm_ioctl_pack_names (struct dm_ioctl_pack *pack, const struct dm_info *infos,
                     size_t n)
{
  size_t i;

  for (i = 0; i < n; i++)
    if (pack_name_wanted (pack, &infos[i]))
      pack->needed += pack_name_size (pack, &infos[i]);
  /* Even an empty list needs the room that says so. */
  if (pack->room < pack->needed || pack->room < sizeof (uint64_t)) {
    pack_full (pack);
    return;
  }
  pack_set_size (pack, pack->needed);
  for (i = 0; i < n; i++)
    if (pack_name_wanted (pack, &infos[i]))
      pack_name (pack, &infos[i],
                 pack->at + pack_name_size (pack, &infos[i]) == pack->needed);
}

/* ------------------------------------------------------------------ */

void
dm_ioctl_pack_deps (struct dm_ioctl_pack *pack, const uint64_t *devs, size_t n)
{
  struct dm_target_deps deps = { .count = n };

  if (pack->room < sizeof deps || (pack->room - sizeof deps) / 8 < n) {
    pack_full (pack);
    return;
  }
  memcpy (pack->out, &deps, sizeof deps);
  if (n > 0)
    memcpy (pack->out + sizeof deps, devs, n * sizeof *devs);
  pack_set_size (pack, sizeof deps + n * sizeof *devs);
}

/* ------------------------------------------------------------------ */

int
dm_ioctl_count_version (void *opaque, const char *name,
                        const unsigned version[3])
{
  struct dm_ioctl_pack *pack = opaque;

  /* The kernel reserves the largest gap for each. */
  pack->needed += sizeof (struct dm_target_versions) + strlen (name) + 1 + 7;
  return 0;
}

bool
dm_ioctl_versions_fit (struct dm_ioctl_pack *pack)
{
  if (pack->room < pack->needed) {
    pack_full (pack);
    return false;
  }
  pack_set_size (pack, pack->needed);
  return true;
}

int
dm_ioctl_pack_version (void *opaque, const char *name,
                       const unsigned version[3])
{
  struct dm_ioctl_pack *pack = opaque;
  struct dm_target_versions record = { .next = 0 };
  size_t size = pack_align (sizeof record + strlen (name) + 1);
  uint32_t next = pack->at - pack->last;

  memcpy (record.version, version, sizeof record.version);
  memcpy (pack->out + pack->at, &record, sizeof record);
  strcpy (pack->out + pack->at + sizeof record, name);
  if (pack->at > 0)
    memcpy (pack->out + pack->last, &next, sizeof next);
  pack->last = pack->at;
  pack->at += size;
  return 0;
}

void
dm_ioctl_pack_text (struct dm_ioctl_pack *pack, const char *text)
{
  size_t size = strlen (text) + 1;

  pack->header->flags |= DM_DATA_OUT_FLAG;
  if (size >= pack->room) {
    pack_full (pack);
    return;
  }
  memcpy (pack->out, text, size);
  pack_set_size (pack, size);
}
