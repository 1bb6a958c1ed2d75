/* SPDX-License-Identifier: BSD-3-Clause */
/* Several bios at once on one thread. */

#include "server/dm-io.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "common/block-device.h"

/* Start what can be started.  Returns a bit per bio that is under way; those
 * whose start failed have their result, the rest DM_IO_TO_RUN.
 */
#define DM_IO_TO_RUN 1

static uint64_t
dm_io_start (struct bio bios[], unsigned n, int results[])
{
  uint64_t started = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    struct block_device *bdev = bios[i].bdev;

    results[i] = DM_IO_TO_RUN;
    if (bdev->ops->start) {
      results[i] = bdev->ops->start (bdev, &bios[i]);
      if (results[i] == 0)
        started |= UINT64_C (1) << i;
    }
  }
  return started;
}

int
dm_io (struct bio bios[], unsigned n, int results[])
{
  struct block_device *bdevs[DM_IO_MAX]; /* the bios' own may change */
  int own[DM_IO_MAX];
  uint64_t started;
  unsigned i;
  int error = 0;

  assert (n <= DM_IO_MAX);
  if (results == NULL)
    results = own;
  for (i = 0; i < n; i++)
    bdevs[i] = bios[i].bdev;
  started = dm_io_start (bios, n, results);
  for (i = 0; i < n; i++)
    if (results[i] == DM_IO_TO_RUN)
      results[i] = bdev_submit (bdevs[i], &bios[i]);
  for (i = 0; i < n; i++) {
    if (started >> i & 1)
      results[i] = bdevs[i]->ops->finish (bdevs[i], &bios[i]);
    if (results[i] < 0)
      error = results[i];
  }
  return error;
}
