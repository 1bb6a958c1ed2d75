/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the ioctl interface, as a client would build them. */

#ifndef NBDM_REQUEST_H
#define NBDM_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include <linux/dm-ioctl.h>

/* A zeroed request of size bytes with version 4.47, data_start 312 and a name
 * (may be NULL); malloc'ed.  If size is smaller than the header the fields
 * beyond it do not exist.  Aborts without memory.
 */
struct dm_ioctl *request_new (size_t size, const char *name);

/* The payload, at offset 312. */
void *request_data (struct dm_ioctl *request);

/* Append a table line after target_count others, each padded to 8 bytes, and
 * count it.  The request must have the room.
 */
void request_add_target (struct dm_ioctl *request, uint64_t start,
                         uint64_t len, const char *type, const char *params);

#endif /* NBDM_REQUEST_H */
