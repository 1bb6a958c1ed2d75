/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: what the formats it knows have in common. */

#ifndef NBDM_INSPECT_H
#define NBDM_INSPECT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "common/block-device.h"

/* An image is read and never written: it is opened O_RDONLY, and its device
 * refuses everything else.  Its contents are not trusted.
 */
struct inspect_image {
  const char *path;         /* as it was given */
  char *table_path;         /* absolute, and quoted as a word of a table */
  struct block_device bdev; /* its size rounded down to whole sectors */
  int fd;
};

/* 0, or -errno of opening, -ENOMEM. */
int inspect_image_open (struct inspect_image *image, const char *path);
void inspect_image_close (struct inspect_image *image);

struct inspect_options {
  bool json;
  bool metadata_snapshot; /* of a thin pool, instead of its present state */
  const char *data;       /* what tables call the data device, */
  const char *pool;       /* the pool, */
  const char *origin;     /* and the origin of a snapshot */
};

/* A format has a file of its own, clients/inspect-NAME.c, and a line in
 * nbdm-inspect.c.
 */
struct inspect_format {
  const char *name; /* "format" in the report */

  /* Whether this is such an image, by its first INSPECT_PROBE_BYTES. */
  bool (*probe) (const unsigned char *first);

  /* Fill the report, a JSON object that has "image" and "format" already.  What
   * cannot be read is told by inspect_problem, and the rest goes on.
   */
  void (*report) (struct inspect_image *image,
                  const struct inspect_options *options, json_t *report);

  /* Print a report for people, but for its problems. */
  void (*print) (const json_t *report, FILE *out);
};

#define INSPECT_PROBE_BYTES 4096

extern const struct inspect_format inspect_cow_format;
extern const struct inspect_format inspect_thin_format;

/* Reports.  The program ends if there is no memory for them. */

/* Add a line to the array "problems" of a report: the program fails then. */
void inspect_problem (json_t *report, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Set a member, whose value comes into the object's hands.  Numbers that JSON's
 * readers may not take, above INT64_MAX, become strings; so do bytes that are
 * not UTF-8, as \xNN.
 */
void inspect_set (json_t *object, const char *key, json_t *value);
void inspect_set_number (json_t *object, const char *key, uint64_t value);
void inspect_set_text (json_t *object, const char *key, const char *fmt, ...)
  __attribute__ ((format (printf, 3, 4)));

/* A member as a word for people: "-" if it is null or missing.  Valid until the
 * fourth next call.
 */
const char *inspect_word (const json_t *object, const char *key);

#endif /* NBDM_INSPECT_H */
