/* SPDX-License-Identifier: BSD-3-Clause */
/* Exception stores: what both kinds have in common. */

#include "targets/snapshot/exception-store.h"

#include <errno.h>
#include <inttypes.h>

#include "common/args.h"

#define STORE_ERROR "Couldn't create exception store: "

static char
store_upper (char c)
{
  return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

static int
store_new_of_type (const char *word, struct exception_store **store,
                   struct message *msg)
{
  char letter = store_upper (word[0]);
  bool overflow = letter == 'P' && store_upper (word[1]) == 'O';

  if (letter != 'P' && letter != 'N')
    return message_set (msg, EINVAL, STORE_ERROR "no such type: '%s'", word);
  if (letter == 'P' && word[1] != '\0' && !overflow)
    return message_set (msg, EINVAL, STORE_ERROR
                        "Unsupported persistent store option: '%s'",
                        word + 1);
  *store = letter == 'P' ? store_persistent_new () : store_transient_new ();
  if (*store == NULL)
    return message_set (msg, ENOMEM, STORE_ERROR "out of memory");
  (*store)->may_overflow = overflow;
  return 0;
}

static unsigned
store_block_bytes (struct block_device *origin, struct block_device *cow)
{
  struct queue_limits a, b;

  bdev_limits (origin, &a);
  bdev_limits (cow, &b);
  return a.logical_block_bytes > b.logical_block_bytes ? a.logical_block_bytes
                                                       : b.logical_block_bytes;
}

/* 0 asks P for a size that is known later. */
static int
store_set_chunk_size (struct exception_store *store, const char *word,
                      struct message *msg)
{
  const char *problem;

  if (args_parse_strict_u32 (word, &store->chunk_sectors) < 0)
    return message_set (msg, EINVAL, STORE_ERROR "Invalid chunk size: '%s'",
                        word);
  if (store->chunk_sectors == 0 && store->type->letter == 'P')
    return 0;
  if (store->chunk_sectors == 0)
    return message_set (msg, EINVAL, STORE_ERROR "Chunk size not set");
  problem = cow_chunk_size_problem (store->chunk_sectors, store->block_bytes);
  if (problem)
    return message_set (msg, EINVAL, STORE_ERROR "%s: %s", problem, word);
  return 0;
}

int
store_new (const char *type, const char *chunk_sectors,
           struct block_device *origin, struct block_device *cow,
           struct exception_store **store, struct message *msg)
{
  int r = store_new_of_type (type, store, msg);

  if (r < 0)
    return r;
  (*store)->cow = cow;
  (*store)->block_bytes = store_block_bytes (origin, cow);
  r = store_set_chunk_size (*store, chunk_sectors, msg);
  if (r < 0) {
    store_free (*store);
    *store = NULL;
  }
  return r;
}

void
store_free (struct exception_store *store)
{
  if (store)
    store->type->free (store);
}

int
store_load (struct exception_store *store, struct exception_table *table,
            struct message *msg)
{
  return store->type->load (store, table, msg);
}

uint32_t
store_chunk_sectors (const struct exception_store *store)
{
  return store->chunk_sectors;
}

bool
store_may_overflow (const struct exception_store *store)
{
  return store->may_overflow;
}

bool
store_can_merge (const struct exception_store *store)
{
  return store->type->merge_peek != NULL;
}

bool
store_is_valid (struct exception_store *store)
{
  return store->type->is_valid (store);
}

void
store_usage (struct exception_store *store, struct store_usage *usage)
{
  store->type->usage (store, usage);
  usage->total = bdev_size (store->cow);
}

void
store_print (struct exception_store *store, FILE *out)
{
  fprintf (out, "%c%s %" PRIu32, store->type->letter,
           store->may_overflow ? "O" : "", store->chunk_sectors);
}

int
store_prepare (struct exception_store *store, struct prepared p[], unsigned n)
{
  return store->type->prepare (store, p, n);
}

int
store_commit (struct exception_store *store, const struct prepared p[],
              unsigned n, bool ok)
{
  return store->type->commit (store, p, n, ok);
}

int
store_invalidate (struct exception_store *store)
{
  return store->type->invalidate (store);
}

int
store_merge_peek (struct exception_store *store, struct exception_run runs[],
                  unsigned max)
{
  return store->type->merge_peek (store, runs, max);
}

int
store_merge_clear (struct exception_store *store, uint64_t n)
{
  return store->type->merge_clear (store, n);
}

void
store_await_handover (struct exception_store *store)
{
  store->chunk_sectors = 0;
}

void
store_swap (struct exception_store **a, struct exception_store **b)
{
  struct exception_store *store = *a;
  struct block_device *cow = store->cow;
  bool may_overflow = store->may_overflow;

  *a = *b;
  *b = store;
  store->cow = (*a)->cow;
  store->may_overflow = (*a)->may_overflow;
  (*a)->cow = cow;
  (*a)->may_overflow = may_overflow;
}
