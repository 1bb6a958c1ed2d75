/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of a thin-pool. */

#include <errno.h>
#include <string.h>

#include "targets/thin/pool.h"

/* A number as the kernel's strict parser reads it: a '+' is allowed. */
static int
message_parse_u64 (const char *word, uint64_t *n)
{
  return args_parse_u64 (word[0] == '+' ? word + 1 : word, n);
}

static int
message_parse_id (struct dm_target *ti, const char *word, uint32_t *id)
{
  uint64_t n;

  if (message_parse_u64 (word, &n) < 0 || n > THIN_MAX_ID)
    return dm_target_error (ti, EINVAL,
                            "Message received with invalid device id: %s",
                            word);
  *id = n;
  return 0;
}

static int
message_create_thin (struct dm_target *ti, struct pool *pool, char **argv)
{
  uint32_t id = 0;
  int r = message_parse_id (ti, argv[1], &id);

  if (r < 0)
    return r;
  r = thin_meta_create_thin (pool->meta, id);
  return r == 0 ? 0 : dm_target_error (ti, -r, "Creation of new thinly-"
                                       "provisioned device with id %s failed: "
                                       "%s", argv[1], strerror (-r));
}

static int
message_create_snap (struct dm_target *ti, struct pool *pool, char **argv)
{
  uint32_t id = 0, origin = 0;
  int r = message_parse_id (ti, argv[1], &id);

  if (r == 0)
    r = message_parse_id (ti, argv[2], &origin);
  if (r < 0)
    return r;
  r = thin_meta_create_snap (pool->meta, id, origin);
  return r == 0 ? 0 : dm_target_error (ti, -r, "Creation of new snapshot %s "
                                       "of device %s failed: %s", argv[1],
                                       argv[2], strerror (-r));
}

static int
message_delete (struct dm_target *ti, struct pool *pool, char **argv)
{
  uint32_t id = 0;
  int r = message_parse_id (ti, argv[1], &id);

  if (r < 0)
    return r;
  pool_note_drop (pool, id);
  r = thin_meta_delete (pool->meta, id);
  return r == 0 ? 0 : dm_target_error (ti, -r, "Deletion of thin device %s "
                                       "failed: %s", argv[1], strerror (-r));
}

static int
message_set_transaction_id (struct dm_target *ti, struct pool *pool,
                            char **argv)
{
  uint64_t old_id, new_id;
  int r;

  if (message_parse_u64 (argv[1], &old_id) < 0)
    return dm_target_error (ti, EINVAL, "set_transaction_id message: "
                            "Unrecognised id %s.", argv[1]);
  if (message_parse_u64 (argv[2], &new_id) < 0)
    return dm_target_error (ti, EINVAL, "set_transaction_id message: "
                            "Unrecognised new id %s.", argv[2]);
  r = thin_meta_set_transaction_id (pool->meta, old_id, new_id);
  return r == 0 ? 0 : dm_target_error (ti, -r, "Failed to change transaction "
                                       "id from %s to %s.", argv[1], argv[2]);
}

/* They commit by themselves, so nothing may be allocated but not mapped. */
static int
message_snap (struct pool *pool, int (*fn) (struct thin_metadata *))
{
  int r;

  door_close (&pool->changers);
  r = fn (pool->meta);
  door_open (&pool->changers);
  return r;
}

static int
message_reserve_snap (struct dm_target *ti, struct pool *pool, char **argv)
{
  int r = message_snap (pool, thin_meta_reserve_snap);

  return r == 0 ? 0 : dm_target_error (ti, -r, "reserve_metadata_snap message "
                                       "failed: %s", strerror (-r));
}

static int
message_release_snap (struct dm_target *ti, struct pool *pool, char **argv)
{
  int r = message_snap (pool, thin_meta_release_snap);

  return r == 0 ? 0 : dm_target_error (ti, -r, "release_metadata_snap message "
                                       "failed: %s", strerror (-r));
}

static const struct message_kind {
  const char *name;
  unsigned argc;
  int (*run) (struct dm_target *ti, struct pool *pool, char **argv);
} message_kinds[] = {
  { "create_thin", 2, message_create_thin },
  { "create_snap", 3, message_create_snap },
  { "delete", 2, message_delete },
  { "set_transaction_id", 3, message_set_transaction_id },
  { "reserve_metadata_snap", 1, message_reserve_snap },
  { "release_metadata_snap", 1, message_release_snap },
  { NULL, 0, NULL }
};

static int
message_refused (struct dm_target *ti, struct pool *pool)
{
  if (pool->mode < POOL_OUT_OF_METADATA_SPACE)
    return 0;
  return dm_target_error (ti, EOPNOTSUPP, "unable to service pool target "
                          "messages in READ_ONLY or FAIL mode");
}

/* A commit that fails does not change what the message says; the mode does
 * (Linux 6.1).
 */
static int
message_run (struct dm_target *ti, struct pool *pool,
             const struct message_kind *kind, char **argv)
{
  int r;
  ACQUIRE_GATE_FOR_SCOPE (&pool->gate);

  r = message_refused (ti, pool);
  if (r < 0)
    return r;
  r = kind->run (ti, pool, argv);
  if (r < 0)
    pool_failed_locked (pool, kind->name, r);
  else
    pool_commit_locked (pool);
  return r;
}

/* Nothing of the origin is under way while it is taken: the kernel leaves that
 * to whoever sends the message.  It is opened, so that nobody can do so and
 * begin meanwhile.  Afterwards all its blocks are shared.
 */
static int
message_run_quiesced (struct dm_target *ti, struct pool *pool,
                      const struct message_kind *kind, char **argv)
{
  struct pool_thin *origin = NULL;
  uint32_t id = 0;
  int r;

  if (kind->run == message_create_snap &&
      message_parse_id (ti, argv[2], &id) == 0 &&
      pool_thin_open (pool, id, &origin) == 0)
    door_close (&origin->door);
  r = message_run (ti, pool, kind, argv);
  if (origin) {
    thin_cache_forget_all (&origin->cache);
    door_open (&origin->door);
    pool_thin_close (origin);
  }
  return r;
}

int
pool_message (struct dm_target *ti, struct pool *pool, struct args *args)
{
  const struct message_kind *kind = message_kinds;
  int r = message_refused (ti, pool);

  if (r < 0)
    return r;
  while (kind->name && !args_word_is (args->argv[0], kind->name))
    kind++;
  if (kind->name == NULL)
    return dm_target_error (ti, EINVAL, "Unrecognised thin pool target "
                            "message received: %s", args->argv[0]);
  if (args->argc != kind->argc)
    return dm_target_error (ti, EINVAL, "Message received with %u arguments "
                            "instead of %u.", args->argc, kind->argc);
  return message_run_quiesced (ti, pool, kind, args->argv);
}
