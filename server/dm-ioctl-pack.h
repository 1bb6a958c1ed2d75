/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of the ioctl interface's replies: how they are laid out. */

#ifndef NBDM_DM_IOCTL_PACK_H
#define NBDM_DM_IOCTL_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/dm-ioctl.h>

#include "common/units.h"
#include "server/dm-interface.h"

/* Where the kernel puts the payload of every reply: after the header, whatever
 * data_start the request had.
 */
#define DM_IOCTL_DATA sizeof (struct dm_ioctl)

/* The smallest data_size, and that of a reply without payload: the header
 * without its padding.
 */
#define DM_IOCTL_MIN offsetof (struct dm_ioctl, data)

/* The room for payload in a request's buffer.  Every function below either
 * writes its records and sets data_size and next fields, or sets
 * DM_BUFFER_FULL_FLAG in the header, upon which clients try again with more
 * room.  Nothing is ever written beyond the room.  Where a record ends before
 * an alignment gap the gap keeps the client's own bytes, as in the kernel
 * (layouts and limits: Linux 6.1, interface 4.47).
 */
struct dm_ioctl_pack {
  struct dm_ioctl *header;
  char *out;     /* the payload, aligned to 8 */
  size_t room;   /* bytes */
  size_t at;     /* where the next record goes, a multiple of 8 */
  size_t last;   /* where the one before began */
  size_t needed; /* by records that are counted before they are written */
};

/* What there is of it in a buffer of size bytes. */
static inline size_t
dm_ioctl_pack_room (size_t size)
{
  return size > DM_IOCTL_DATA ? size - DM_IOCTL_DATA : 0;
}

/* size: bytes of buffer, which starts with the header's place.  Sets data_start
 * and nothing else.
 */
void dm_ioctl_pack_begin (struct dm_ioctl_pack *pack, struct dm_ioctl *header,
                          char *buffer, size_t size);

/* One target of a table; a dm_status_fn (opaque is the pack) that always
 * returns 0.  Unlike in all other records `next` counts from the first one.  A
 * text that fills the room to its last byte counts as cut off; the record that
 * only lacks the room for its padding is in data_size, but FULL too.
 */
int dm_ioctl_pack_target (void *opaque, sector_t start, sector_t len,
                          const char *type, const char *text);

/* Names of all devices in infos that start with the header's name and uuid,
 * with uuids if the header's flags say so (DM_UUID_FLAG).
 */
void dm_ioctl_pack_names (struct dm_ioctl_pack *pack,
                          const struct dm_info *infos, size_t n);

void dm_ioctl_pack_deps (struct dm_ioctl_pack *pack, const uint64_t *devs,
                         size_t n);

/* Target versions, dm_version_fn: first all are counted, then written. */
int dm_ioctl_count_version (void *opaque, const char *name,
                            const unsigned version[3]);
bool dm_ioctl_versions_fit (struct dm_ioctl_pack *pack);
int dm_ioctl_pack_version (void *opaque, const char *name,
                           const unsigned version[3]);

/* The answer of a message. */
void dm_ioctl_pack_text (struct dm_ioctl_pack *pack, const char *text);

#endif /* NBDM_DM_IOCTL_PACK_H */
