/* SPDX-License-Identifier: BSD-3-Clause */
/* Little-endian integers of a disk format, as types of their own. */

#ifndef NBDM_BYTES_H
#define NBDM_BYTES_H

#include <endian.h>
#include <stdint.h>

/* A field of a structure as it lies on disk.  Being structures these types
 * neither mix with integers of the host nor compare with ==: the only ways
 * in and out are to_leN and from_leN.  They have the size and the alignment
 * of the integer, so that a format's structures can be written down with
 * them; the all-zero value is 0.
 */
typedef struct {
  uint16_t raw;
} le16;

typedef struct {
  uint32_t raw;
} le32;

typedef struct {
  uint64_t raw;
} le64;

static inline le16
to_le16 (uint16_t v)
{
  return (le16) { htole16 (v) };
}

static inline uint16_t
from_le16 (le16 v)
{
  return le16toh (v.raw);
}

static inline le32
to_le32 (uint32_t v)
{
  return (le32) { htole32 (v) };
}

static inline uint32_t
from_le32 (le32 v)
{
  return le32toh (v.raw);
}

static inline le64
to_le64 (uint64_t v)
{
  return (le64) { htole64 (v) };
}

static inline uint64_t
from_le64 (le64 v)
{
  return le64toh (v.raw);
}

#endif /* NBDM_BYTES_H */
