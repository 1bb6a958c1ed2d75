/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding devices and backings by name, and the words that may be names. */

#ifndef NBDM_NAMES_H
#define NBDM_NAMES_H

#include <stddef.h>

#include "config/config.h"

/* The elements of an array by name.  Whatever they are, their first member is
 * the name, a char * (config_device, config_backing, plan_live …).  The array
 * stays the caller's and must stay where it is.
 */
struct names {
  const void **sorted;
  size_t nr;
};

/* O(n log n).  0 or -ENOMEM. */
int names_make (struct names *names, const void *list, size_t nr,
                size_t elem_bytes);

/* The element, or NULL.  O(log n).  Of zeroes: NULL. */
const void *names_find (const struct names *names, const char *name);

void names_reset (struct names *names); /* harmless on zeroes */

/* Call fn for each word of the parameters in the device's table, split as the
 * constructors will split them, until it does not return 0; returns what it
 * returned last, or -ENOMEM.
 */
typedef int (*names_word_fn) (void *opaque, const char *word);
int names_for_each_word (const struct config_device *device,
                         names_word_fn fn, void *opaque);

#endif /* NBDM_NAMES_H */
