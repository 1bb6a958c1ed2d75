/* SPDX-License-Identifier: BSD-3-Clause */
/* The CRC-32C (Castagnoli) checksum. */

#include "common/crc32c.h"

#include <pthread.h>
#include <string.h>

#include "common/bytes.h"

#define CRC32C_POLYNOMIAL 0x82f63b78u /* bit-reflected */

/* [k][b]: what byte b, followed by k zero bytes, does to the register. */
static uint32_t crc32c_table[8][256];
static pthread_once_t crc32c_once = PTHREAD_ONCE_INIT;

static void
crc32c_fill_table (void)
{
  unsigned b, k, bit;
  uint32_t crc;

  for (b = 0; b < 256; b++) {
    for (crc = b, bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
    crc32c_table[0][b] = crc;
  }
  for (k = 1; k < 8; k++)
    for (b = 0; b < 256; b++) {
      crc = crc32c_table[k - 1][b];
      crc32c_table[k][b] = crc >> 8 ^ crc32c_table[0][crc & 255];
    }
}

/* Eight bytes at once: their effects on the register simply add up. */
static uint32_t
crc32c_word (uint32_t crc, uint64_t word)
{
  uint32_t sum = 0;
  unsigned k;

  word ^= crc;
  for (k = 0; k < 8; k++, word >>= 8)
    sum ^= crc32c_table[7 - k][word & 255];
  return sum;
}

uint32_t
crc32c_portable (uint32_t crc, const void *data, size_t len)
{
  const uint8_t *p = data;
  le64 word;

  pthread_once (&crc32c_once, crc32c_fill_table);
  for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
    memcpy (&word, p, sizeof word);
    crc = crc32c_word (crc, from_le64 (word));
  }
  for (; len > 0; p++, len--)
    crc = crc >> 8 ^ crc32c_table[0][(crc ^ *p) & 255];
  return crc;
}

#ifdef __x86_64__

__attribute__ ((target ("sse4.2"))) static uint32_t
crc32c_sse42 (uint32_t crc, const void *data, size_t len)
{
  const uint8_t *p = data;
  uint64_t state = crc, word;

  for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
    memcpy (&word, p, sizeof word);
    state = __builtin_ia32_crc32di (state, word);
  }
  for (; len > 0; p++, len--)
    state = __builtin_ia32_crc32qi (state, *p);
  return state;
}

uint32_t
crc32c (uint32_t crc, const void *data, size_t len)
{
  if (__builtin_cpu_supports ("sse4.2"))
    return crc32c_sse42 (crc, data, len);
  return crc32c_portable (crc, data, len);
}

#else

uint32_t
crc32c (uint32_t crc, const void *data, size_t len)
{
  return crc32c_portable (crc, data, len);
}

#endif
