/* SPDX-License-Identifier: BSD-3-Clause */
/* A checker of thin-pool metadata that shares no code with pdata/. */

#ifndef NBDM_METACHECK_H
#define NBDM_METACHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the check found.  The arrays count references found by walking all
 * trees from the superblock (and from the metadata snapshot), one per block.
 */
struct metacheck {
  const char *data;
  uint64_t nr_metadata, nr_data;
  uint32_t *metadata_refs, *data_refs;
  bool *seen;       /* this metadata block was walked through */
  unsigned errors;
  char first_error[160];
};

/* Check an image of len bytes: checksums, block numbers, structure, order and
 * filling of nodes; counts of both space maps, exactly; the totals and hints
 * in their indexes; and mapped blocks per device against its details.  True if
 * there is nothing wrong; else first_error says what.  metacheck_free after
 * either.
 */
bool metacheck_run (struct metacheck *c, const char *data, size_t len);
void metacheck_free (struct metacheck *c);

/* The same for tests that only want to know: fails the running test. */
void metacheck_assert (const char *data, size_t len, const char *where);

#endif /* NBDM_METACHECK_H */
