/* SPDX-License-Identifier: BSD-3-Clause */
/* A temporary folder with files of text in it. */

#ifndef NBDM_FOLDER_H
#define NBDM_FOLDER_H

#include <stdint.h>

/* All abort if the system refuses. */
struct folder {
  char path[64]; /* absolute */
};

void folder_make (struct folder *folder);

/* Write the file name, or replace it at one stroke; returns its path, valid
 * until the next call.
 */
const char *folder_write (struct folder *folder, const char *name,
                          const char *text);

/* A sparse file of so many bytes. */
const char *folder_sparse (struct folder *folder, const char *name,
                           uint64_t bytes);

/* With everything in it; folders inside must be empty. */
void folder_remove (struct folder *folder);

#endif /* NBDM_FOLDER_H */
