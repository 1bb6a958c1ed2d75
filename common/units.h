/* SPDX-License-Identifier: BSD-3-Clause */
/* The unit of device-mapper: the sector of 512 bytes. */

#ifndef NBDM_UNITS_H
#define NBDM_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* A position or a length counted in sectors of 512 bytes, whatever the
 * logical block size of the device is.  A name that ends in _bytes or _blocks
 * says that it counts something else.
 */
typedef uint64_t sector_t;

#define SECTOR_SHIFT 9
#define SECTOR_SIZE (1u << SECTOR_SHIFT)

/* The largest end a table may have: 2^54 - 1 sectors (Linux 6.1). */
#define SECTOR_MAX ((UINT64_C (1) << 54) - 1)

static inline uint64_t
sectors_to_bytes (sector_t n)
{
  return n << SECTOR_SHIFT;
}

/* Rounds down: the caller checks alignment where that matters. */
static inline sector_t
bytes_to_sectors (uint64_t bytes)
{
  return bytes >> SECTOR_SHIFT;
}

/* True if [sector, sector+len) does not wrap and lies in [0, size). */
static inline bool
sectors_in_range (sector_t sector, sector_t len, sector_t size)
{
  return sector <= size && len <= size - sector;
}

#endif /* NBDM_UNITS_H */
