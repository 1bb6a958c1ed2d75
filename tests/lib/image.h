/* SPDX-License-Identifier: BSD-3-Clause */
/* Recorded metadata images: unpacking them, and their dumps. */

#ifndef NBDM_IMAGE_H
#define NBDM_IMAGE_H

#include <stdio.h>

#include "tests/lib/memdev.h"

/* The files are in tests/fixtures below $top_srcdir (or, when run by
 * hand, below ".", ".." ... until found).  xz (Debian: xz-utils) unpacks them;
 * the caller asks image_available first and skips without.
 */
bool image_available (void);

/* PATH.img.xz, or thin/NAME.img.xz, as a device in memory; fails the test if it
 * cannot be read.
 */
struct memdev *image_load_path (const char *path);
struct memdev *image_load (const char *name);

/* The text of thin/FILE.xz; pclose it. */
FILE *image_open_text (const char *file);

/* Write a device's bytes to a new temporary file whose name is put in path,
 * and run program on it.  The exit status; -1 if there is no such program.
 */
int image_run_tool (const struct memdev *m, const char *program);

/* Fails the running test unless the device holds the same bytes as NAME.img.xz;
 * or, of a pool, the same trees of mappings and details, wherever their nodes
 * are.
 */
void image_expect_same (const struct memdev *dev, const char *name);
void image_expect_same_trees (const struct memdev *dev, const char *name);

/* The number of 64 bits at p. */
uint64_t image_u64 (const char *p);

/* Recompute the checksum of a block of whatever kind it was before it was
 * damaged: salt is the constant of the kind.
 */
uint32_t image_block_salt (const char *block);
void image_reseal (char *block, uint32_t salt);

#endif /* NBDM_IMAGE_H */
