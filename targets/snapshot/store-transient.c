/* SPDX-License-Identifier: BSD-3-Clause */
/* The transient exception store: chunks are handed out and never noted. */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/lock.h"
#include "targets/snapshot/exception-store.h"

struct transient {
  struct exception_store store;
  atomic_bool valid;
  struct latch latch;
  chunk_t next_free; /* guarded by latch */
};

static int
transient_load (struct exception_store *store, struct exception_table *table,
                struct message *msg)
{
  return 0;
}

static int
transient_prepare (struct exception_store *store, struct prepared p[],
                   unsigned n)
{
  struct transient *t = (struct transient *) store;
  uint64_t nr_chunks = bdev_size (store->cow) / store->chunk_sectors;
  unsigned i;
  ACQUIRE_LATCH_FOR_SCOPE (&t->latch);

  if (!t->valid)
    return -EIO;
  if (t->next_free > nr_chunks || nr_chunks - t->next_free < n)
    return -ENOSPC;
  for (i = 0; i < n; i++)
    p[i].new_chunk = p[i].sequence = t->next_free++;
  return 0;
}

/* Nothing is written, so there is no order to keep. */
static int
transient_commit (struct exception_store *store, const struct prepared p[],
                  unsigned n, bool ok)
{
  struct transient *t = (struct transient *) store;

  if (!ok)
    t->valid = false;
  return t->valid ? 0 : -EIO;
}

static int
transient_invalidate (struct exception_store *store)
{
  ((struct transient *) store)->valid = false;
  return 0;
}

static bool
transient_is_valid (struct exception_store *store)
{
  return ((struct transient *) store)->valid;
}

static void
transient_usage (struct exception_store *store, struct store_usage *usage)
{
  struct transient *t = (struct transient *) store;
  ACQUIRE_LATCH_FOR_SCOPE (&t->latch);

  usage->allocated = chunk_start (t->next_free, store->chunk_sectors);
  usage->metadata = 0;
}

static void
transient_free (struct exception_store *store)
{
  struct transient *t = (struct transient *) store;

  latch_destroy (&t->latch);
  free (t);
}

static const struct store_type transient_type = {
  .letter = 'N',
  .load = transient_load,
  .prepare = transient_prepare,
  .commit = transient_commit,
  .invalidate = transient_invalidate,
  .is_valid = transient_is_valid,
  .usage = transient_usage,
  .free = transient_free,
};

struct exception_store *
store_transient_new (void)
{
  struct transient *t = calloc (1, sizeof *t);

  if (t == NULL)
    return NULL;
  t->store.type = &transient_type;
  t->valid = true;
  latch_init (&t->latch);
  return &t->store;
}
