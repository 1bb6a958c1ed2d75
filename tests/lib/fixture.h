/* SPDX-License-Identifier: BSD-3-Clause */
/* One mapped device, "vol", and a table for it, without the verbs. */

#ifndef NBDM_FIXTURE_H
#define NBDM_FIXTURE_H

#include "server/dm-core.h"

struct fixture {
  struct registry *registry;
  struct mapped_device *md; /* held */
  struct dm_table *table;   /* NULL before fixture_load */
  struct dm_lookup lookup;  /* what fixture_load passes on; zeroes at first */
  struct message msg;       /* of the last call that failed */
};

/* Abort without memory. */
void fixture_start (struct fixture *f);
void fixture_stop (struct fixture *f); /* destroys the table too */

/* Build a table of "START LEN TYPE PARAMS" lines, in place of the one there
 * was.  0, or -errno with f->msg set and no table.
 */
int fixture_load (struct fixture *f, const char *text);
int fixture_load_readonly (struct fixture *f, const char *text);

/* Status text of one target; the caller frees. */
char *fixture_status (struct fixture *f, unsigned index,
                      enum dm_status_type type);

/* Send a message to the first target.  *reply is malloc'ed, whatever comes of
 * it.  0, or -errno with f->msg set.
 */
int fixture_message (struct fixture *f, const char *words, char **reply);

/* Fails the running test unless the message is answered with reply, or is
 * refused with EINVAL and a text that begins with error.
 */
void fixture_answer (struct fixture *f, const char *words, const char *reply);
void fixture_refuse_message (struct fixture *f, const char *words,
                             const char *error);

/* Fails the running test unless the line is refused with err, and the text
 * after "vol: table line 1 (START LEN TYPE): " begins with message.
 */
void fixture_refuse (struct fixture *f, const char *line, int err,
                     const char *message);

/* Fails the running test unless the line loads with these status texts. */
void fixture_golden (struct fixture *f, const char *line, const char *table,
                     const char *info);

/* table_map_bio; data may be NULL for ops without. */
int fixture_io (struct fixture *f, enum bio_op op, sector_t sector,
                sector_t len, void *data);

#endif /* NBDM_FIXTURE_H */
