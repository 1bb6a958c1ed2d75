/* SPDX-License-Identifier: BSD-3-Clause */
/* Recorded origins and COW devices, and what the kernel said of them. */

#ifndef NBDM_SNAPSHOT_IMAGES_H
#define NBDM_SNAPSHOT_IMAGES_H

#include <stddef.h>

#include "tests/lib/memdev.h"

/* One pair of tests/fixtures/snapshot. */
struct snapshot_image {
  const char *origin, *cow; /* for image_load_path */
  unsigned chunk_sectors;
  unsigned exceptions;      /* entries in the store */
  const char *status;       /* after a load */
  const char *view;         /* SHA-256 of the snapshot, or how it begins; NULL:
                               invalid */
};

extern const struct snapshot_image snapshot_images[];
extern const size_t nr_snapshot_images;

/* What sha256sum (coreutils) says. */
void sha256_hex (const void *data, size_t bytes, char hex[65]);

#endif /* NBDM_SNAPSHOT_IMAGES_H */
