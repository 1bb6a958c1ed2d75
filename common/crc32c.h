/* SPDX-License-Identifier: BSD-3-Clause */
/* The CRC-32C (Castagnoli) checksum. */

#ifndef NBDM_CRC32C_H
#define NBDM_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Feed len bytes into crc and return the new state.  The register is used as
 * it is: nothing is inverted before or after, which is what the formats of
 * the kernel's persistent-data library want (they start at 0xffffffff and
 * store the state xor a constant; Linux 6.1).  The checksum that other
 * programs call crc32c is ~crc32c (~0, p, len): 0xe3069283 for "123456789".
 *
 * Feeding a buffer in pieces gives the same as feeding it whole.  Uses the
 * processor's instruction where there is one.  Any thread, never blocks.
 */
uint32_t crc32c (uint32_t crc, const void *data, size_t len);

/* The same without the instruction; for tests. */
uint32_t crc32c_portable (uint32_t crc, const void *data, size_t len);

#endif /* NBDM_CRC32C_H */
