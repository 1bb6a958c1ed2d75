/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC-32C: known answers, in pieces, with and without the instruction. */

#include <criterion/criterion.h>

#include <stdlib.h>

#include "common/crc32c.h"

Test (crc32c, known_answers)
{
  static const unsigned char zeroes[32];

  cr_assert_eq (~crc32c (~0u, "123456789", 9), 0xe3069283);
  cr_assert_eq (~crc32c (~0u, zeroes, 32), 0x8a9136aa); /* RFC 3720, B.4 */
  cr_assert_eq (crc32c (7, "", 0), 7);
}

Test (crc32c, portable_code_agrees_at_every_length_and_alignment)
{
  unsigned char data[300];
  size_t i, offset, len;

  srand (1);
  for (i = 0; i < sizeof data; i++)
    data[i] = rand ();
  for (offset = 0; offset < 8; offset++)
    for (len = 0; len + offset <= sizeof data; len++)
      cr_assert_eq (crc32c (~0u, data + offset, len),
                    crc32c_portable (~0u, data + offset, len));
}

Test (crc32c, pieces_give_the_whole)
{
  static const char text[] = "pieces of a text of some length";
  size_t len = sizeof text - 1, cut;

  for (cut = 0; cut <= len; cut++)
    cr_assert_eq (crc32c (crc32c (~0u, text, cut), text + cut, len - cut),
                  crc32c (~0u, text, len));
}
