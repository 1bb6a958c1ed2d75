/* SPDX-License-Identifier: BSD-3-Clause */
/* Stores that are lost though their COW device does not say so. */

#ifndef NBDM_STORE_LOST_H
#define NBDM_STORE_LOST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block-device.h"

/* When a snapshot is lost, and the COW device takes no write to say so, the
 * origin is written to all the same.  Loaded again, such a store would be a
 * snapshot with wrong contents (as it is in Linux 6.1).  So the server
 * remembers it to the end of its life, or until the device has taken the write.
 *
 * The device is closed meanwhile: it is known again by the name that tables
 * have for it, a mapped device by its number.  Another store may have taken its
 * place by then; that it is the same one its chunk size tells, and that it has
 * no fewer entries than before.
 *
 * Any thread may call these.  A latch; no I/O.
 */
struct lost_store {
  uint32_t chunk_sectors;
  uint64_t nr_entries; /* that are on the device for certain */
};

/* 0, or -ENOMEM: it is not remembered. */
int lost_store_remember (struct block_device *cow,
                         const struct lost_store *store);

/* Is a store on this device remembered?  *store is then what it was. */
bool lost_store_find (struct block_device *cow, struct lost_store *store);

/* Nothing if there is none. */
void lost_store_forget (struct block_device *cow);

#endif /* NBDM_STORE_LOST_H */
