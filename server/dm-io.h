/* SPDX-License-Identifier: BSD-3-Clause */
/* Several bios at once on one thread. */

#ifndef NBDM_DM_IO_H
#define NBDM_DM_IO_H

#include "common/bio.h"

#define DM_IO_MAX 64

/* Carry out bios[0..n-1], n <= DM_IO_MAX, each on its bdev.  What the devices
 * can start (block_device_ops.start) is under way before anything is waited
 * for; the rest runs in order on this thread.  Blocks until all are done.
 *
 * Returns 0 if all succeeded, otherwise the error of the last failing bio in
 * array order; every bio is tried.  results, if not NULL, receives each bio's
 * own result.
 */
int dm_io (struct bio bios[], unsigned n, int results[]);

#endif /* NBDM_DM_IO_H */
