/* SPDX-License-Identifier: BSD-3-Clause */
/* Which chunks are exceptions, and where they are: a map in memory. */

#ifndef NBDM_EXCEPTION_TABLE_H
#define NBDM_EXCEPTION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "targets/snapshot/chunk.h"

/* A map from old to new chunks, kept as runs: neighbours whose new chunks are
 * neighbours, too, share 16 bytes.  It holds what is committed; a chunk that
 * is being copied is known by its cell only.
 *
 * Every function but new and free may be called by any number of threads at
 * once; each is atomic for one chunk.  Nothing blocks but on latches held for
 * a binary search.  The map orders nothing between threads: who looks a chunk
 * up and acts upon it holds the chunk's cell meanwhile.
 *
 * Cost: 16 bytes a run, up to 32 with what growing leaves free, and about 100
 * for each stretch of 4096 chunks that holds any.  Runs end at the borders of
 * such stretches.
 */
struct exception_table;

struct exception_table *exception_table_new (void); /* NULL: no memory */
void exception_table_free (struct exception_table *table); /* NULL is fine */

/* True if chunk is an exception.  In either case *run tells how it goes on:
 * old chunks [chunk, chunk+run->len) are exceptions in neighbouring new chunks
 * from run->new_chunk on, or (false) none of them is.  1 <= run->len <= max.
 * The chunk after the run may be of the same kind: to walk a range, ask again
 * from there.
 */
bool exception_table_lookup (struct exception_table *table, chunk_t chunk,
                             uint64_t max, struct exception_run *run);

/* Set memory aside for one exception of this chunk, so that it can be entered
 * when it is on disk and there is no way back.  0 or -ENOMEM.  Every
 * reservation is used up by one insert or unreserve.
 */
int exception_table_reserve (struct exception_table *table, chunk_t old_chunk);
void exception_table_unreserve (struct exception_table *table,
                                chunk_t old_chunk);

/* Enter a chunk that was reserved.  0, or -EEXIST if it is an exception
 * already: the first one stays.
 */
int exception_table_insert (struct exception_table *table, chunk_t old_chunk,
                            chunk_t new_chunk);

/* Take out the chunks of a run, last to first, as a merge does.  A chunk that
 * the table has elsewhere or not at all is left as it is: so it is with an
 * entry of the store that repeats an earlier one.  0, or -EINVAL if a chunk is
 * inside a run: cannot be if exceptions go in the reverse of the order in
 * which the store got them.
 */
int exception_table_remove (struct exception_table *table,
                            const struct exception_run *run);

/* How many chunks are exceptions, and in how many runs. */
struct exception_table_size {
  uint64_t exceptions, runs;
};

/* Consistent if nothing changes meanwhile. */
void exception_table_size (struct exception_table *table,
                           struct exception_table_size *size);

#endif /* NBDM_EXCEPTION_TABLE_H */
