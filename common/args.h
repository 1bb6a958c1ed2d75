/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of a table line or a message, and the numbers in them. */

#ifndef NBDM_ARGS_H
#define NBDM_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

/* Words still to be read.  The strings belong to whoever split them. */
struct args {
  unsigned argc;
  char **argv;
};

/* Split text in place at ASCII white space.  A backslash quotes the next
 * character and is removed; one at the very end stays (Linux 6.1
 * dm_split_args).  *argv is a malloc'ed array of pointers into text that the
 * caller frees.  0 or -ENOMEM.
 */
int args_split (char *text, struct args *args);

/* The next word, or NULL when there is none. */
char *args_shift (struct args *args);

/* Decimal digits only: no sign, blank, prefix or suffix.  Unlike the kernel,
 * which wraps silently, a number that does not fit is refused.  0 or -EINVAL,
 * *out unchanged.
 */
int args_parse_u64 (const char *word, uint64_t *out);
int args_parse_u32 (const char *word, uint32_t *out);

/* As above for the words that the kernel reads with its strict parser
 * (kstrtouint): one leading '+' and one trailing newline are allowed.
 */
int args_parse_strict_u32 (const char *word, uint32_t *out);

/* True if the words are equal without regard to ASCII case, as message words
 * and feature names are compared.
 */
bool args_word_is (const char *word, const char *expected);

#endif /* NBDM_ARGS_H */
