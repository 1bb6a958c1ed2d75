/* SPDX-License-Identifier: BSD-3-Clause */
/* What the exits have in common: the window of a device. */

#include "server/bdev.h"

#include <inttypes.h>

int
bdev_window (const struct bdev_options *options, uint64_t device_bytes,
             unsigned align_bytes, uint64_t *size_bytes, struct message *msg)
{
  uint64_t offset = options->offset_bytes, size = options->size_bytes;

  if (offset % align_bytes)
    return message_set (msg, EINVAL,
                        "offset %" PRIu64 " is not a multiple of %u",
                        offset, align_bytes);
  if (size % align_bytes)
    return message_set (msg, EINVAL,
                        "size %" PRIu64 " is not a multiple of %u",
                        size, align_bytes);
  if (offset > device_bytes)
    return message_set (msg, EINVAL,
                        "offset %" PRIu64 " is beyond the end of the device "
                        "(%" PRIu64 " bytes)", offset, device_bytes);
  if (size > device_bytes - offset)
    return message_set (msg, EINVAL,
                        "a window of size %" PRIu64 " at offset %" PRIu64
                        " reaches beyond the end of the device (%" PRIu64
                        " bytes)", size, offset, device_bytes);
  if (size == 0)
    size = device_bytes - offset;
  *size_bytes = size - size % align_bytes;
  return 0;
}
