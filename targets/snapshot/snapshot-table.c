/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot as a line of a table: parsed, printed, handed over. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "common/log.h"
#include "targets/snapshot/snapshot-core.h"

/* ------------------------------------------------------------------
 * The line.
 */

static int
snapshot_parse_feature (struct snapshot *s, struct dm_target *ti,
                        const char *word)
{
  if (args_word_is (word, "discard_zeroes_cow"))
    s->zeroes_cow = true;
  else if (args_word_is (word, "discard_passdown_origin"))
    s->passes_discards = true;
  else
    return dm_target_error (ti, EINVAL, "Unrecognised feature requested: '%s'",
                            word);
  return 0;
}

/* Words behind those that were counted are ignored (Linux 6.1). */
static int
snapshot_parse_features (struct snapshot *s, struct dm_target *ti,
                         struct args *args)
{
  const char *count = args_shift (args);
  uint32_t n;
  int r = 0;

  if (count == NULL)
    return 0;
  if (args_parse_u32 (count, &n) < 0 || n > 2 || n > args->argc)
    return dm_target_error (ti, EINVAL, "Invalid number of feature arguments: "
                            "'%s'", count);
  for (; n > 0 && r == 0; n--)
    r = snapshot_parse_feature (s, ti, args_shift (args));
  if (r == 0 && s->passes_discards && !s->zeroes_cow)
    return dm_target_error (ti, EINVAL, "discard_passdown_origin feature "
                            "depends on discard_zeroes_cow");
  return r;
}

/* For writing, or for reading if that is not permitted: in the kernel the mode
 * of a table says nothing about what a target does of its own accord.
 */
static int
snapshot_open_willing (struct dm_target *ti, const char *word,
                       struct dm_dev **dev)
{
  struct message *msg = ti->message;
  bool said = message_is_set (msg);
  int r = dm_get_device_for (ti, word, true, dev);

  if (r != -EACCES && r != -EPERM && r != -EROFS)
    return r;
  if (msg && !said)
    msg->text[0] = '\0';
  return dm_get_device_for (ti, word, false, dev);
}

static int
snapshot_open (struct snapshot *s, struct dm_target *ti,
               enum origin_role role, struct args *args)
{
  const char *origin = args_shift (args), *cow = args_shift (args);
  int r;

  if (role == ORIGIN_MERGE || s->passes_discards)
    r = snapshot_open_willing (ti, origin, &s->origin);
  else
    r = dm_get_device_for (ti, origin, false, &s->origin);
  if (r < 0) {
    message_prefix (ti->message, "Cannot get origin device: ");
    return r;
  }
  if (dm_target_readonly (ti))
    r = snapshot_open_willing (ti, cow, &s->cow);
  else
    r = dm_get_device (ti, cow, &s->cow);
  if (r < 0) {
    message_prefix (ti->message, "Cannot get COW device: ");
    return r;
  }
  if (bdev_same (s->origin->bdev, s->cow->bdev))
    return dm_target_error (ti, EINVAL, "COW device cannot be the same as "
                            "origin device");
  return 0;
}

/* What the store tells of itself; it can be another one after a handover. */
static void
snapshot_note_store (struct snapshot *s)
{
  s->chunk_sectors = store_chunk_sectors (s->store);
  s->letter = s->store->type->letter;
}

/* ------------------------------------------------------------------
 * Birth and death.
 */

static int
snapshot_make_store (struct snapshot *s, struct dm_target *ti,
                     enum origin_role role, struct args *args)
{
  const char *type = args_shift (args), *chunk = args_shift (args);
  int r;

  r = store_new (type, chunk, s->origin->bdev, s->cow->bdev, &s->store,
                 ti->message);
  if (r < 0)
    return r;
  if (role == ORIGIN_MERGE && !store_can_merge (s->store))
    return dm_target_error (ti, EINVAL, "Snapshot exception store does not "
                            "support snapshot-merge.");
  s->may_overflow = store_may_overflow (s->store);
  s->table = exception_table_new ();
  return s->table ? 0 : dm_target_error (ti, ENOMEM, "out of memory");
}

static int
snapshot_join (struct snapshot *s, struct dm_target *ti,
               enum origin_role role)
{
  enum origin_pair pair;
  int r;

  s->user.role = role;
  s->user.bdev = s->origin->bdev;
  s->user.cow = s->cow->bdev;
  r = origin_join (&s->user, &pair, ti->message);
  if (r < 0)
    return r;
  if (pair == ORIGIN_TAKES_OVER)
    store_await_handover (s->store);
  else
    r = store_load (s->store, s->table, ti->message);
  snapshot_note_store (s);
  s->valid = store_is_valid (s->store);
  return r;
}

int
snapshot_construct (struct dm_target *ti, enum origin_role role,
                    struct args *args)
{
  struct snapshot *s = ti->private;
  struct args features;
  int r;

  s->ti = ti;
  deferred_init (&s->deferred);
  cells_init (&s->cells);
  if (args->argc < 4)
    return dm_target_error (ti, EINVAL, "requires 4 or more arguments: "
                            "<origin> <COW device> <P|PO|N> <chunk sectors> "
                            "[<number of features> <feature>...]");
  features = (struct args) { args->argc - 4, args->argv + 4 };
  r = snapshot_parse_features (s, ti, &features);
  if (r == 0)
    r = snapshot_open (s, ti, role, args);
  if (r == 0)
    r = snapshot_make_store (s, ti, role, args);
  if (r == 0 && !dm_target_is_check (ti)) /* another server may use the store */
    r = snapshot_join (s, ti, role);
  if (r < 0)
    return r;
  ti->flush_supported = true;
  ti->num_write_zeroes_bios = 1;
  ti->write_zeroes_supported = true;
  ti->num_discard_bios = s->zeroes_cow;
  ti->discards_supported = s->zeroes_cow;
  return 0;
}

void
snapshot_dtr (struct dm_target *ti)
{
  struct snapshot *s = ti->private;

  origin_leave (&s->user);
  store_free (s->store);
  exception_table_free (s->table);
  cells_destroy (&s->cells);
  deferred_destroy (&s->deferred);
}

/* ------------------------------------------------------------------
 * Becoming active.
 */

int
snapshot_preresume (struct dm_target *ti, struct message *msg)
{
  struct snapshot *s = ti->private;

  return origin_may_run (&s->user, msg);
}

/* The origin is quiet, both are suspended.  The source has nothing any more:
 * its I/O fails from now on.
 */
static void
snapshot_take_over (struct snapshot *s, struct snapshot *source)
{
  struct exception_table *table = s->table;

  store_swap (&s->store, &source->store);
  s->table = source->table;
  source->table = table;
  s->valid = source->valid;
  s->overflowed = source->overflowed;
  source->valid = false;
  snapshot_note_store (s);
  snapshot_note_store (source);
  origin_forget (&source->user);
}

/* Nothing to do for one that was active: it has been preserved all the time. */
void
snapshot_resume (struct dm_target *ti)
{
  struct snapshot *s = ti->private;
  struct origin *o = s->user.origin;
  struct origin_user *source;

  if (s->user.active)
    return;
  origin_quiesce (o);
  source = origin_find_source (&s->user);
  if (source)
    snapshot_take_over (s, container_of (source, struct snapshot, user));
  if (s->user.orphan) {
    log_error ("snapshots: Cancelling snapshot handover.");
    s->valid = false;
  }
  origin_activate (&s->user, s->chunk_sectors);
  origin_unquiesce (o);
}

void
snapshot_postsuspend (struct dm_target *ti)
{
  struct snapshot *s = ti->private;

  if (s->valid)
    snapshot_sync (s);
  origin_stopped (&s->user);
}

/* ------------------------------------------------------------------
 * Status.
 */

static void
snapshot_print_line (struct snapshot *s, FILE *out)
{
  char letter = s->letter;

  dm_device_print (out, s->origin);
  putc (' ', out);
  dm_device_print (out, s->cow);
  fprintf (out, " %c%s %u", letter, letter == 'P' && s->may_overflow ? "O" : "",
           s->chunk_sectors);
  if (s->zeroes_cow)
    fprintf (out, " %d discard_zeroes_cow%s", s->passes_discards ? 2 : 1,
             s->passes_discards ? " discard_passdown_origin" : "");
}

static void
snapshot_print_info (struct snapshot *s, FILE *out)
{
  struct store_usage usage;

  if (!s->valid || s->user.orphan)
    fputs ("Invalid", out);
  else if (s->merge_failed)
    fputs ("Merge failed", out);
  else if (s->overflowed)
    fputs ("Overflow", out);
  else {
    store_usage (s->store, &usage);
    fprintf (out, "%" PRIu64 "/%" PRIu64 " %" PRIu64, usage.allocated,
             usage.total, usage.metadata);
  }
}

/* The table line waits for nothing.  The figures are inside the origin, where
 * the store cannot change hands.
 */
void
snapshot_status (struct dm_target *ti, enum dm_status_type type,
                 unsigned flags, FILE *out)
{
  struct snapshot *s = ti->private;

  if (type == DM_STATUS_TABLE) {
    snapshot_print_line (s, out);
    return;
  }
  origin_enter (s->user.origin);
  if (s->valid && !(flags & DM_STATUS_NOFLUSH))
    snapshot_sync (s);
  snapshot_print_info (s, out);
  origin_exit (s->user.origin);
}

void
snapshot_measure (struct dm_target *ti, FILE *out)
{
  struct snapshot *s = ti->private;

  fputs (",snap_origin_name=", out);
  dm_device_print (out, s->origin);
  fputs (",snap_cow_name=", out);
  dm_device_print (out, s->cow);
  origin_enter (s->user.origin);
  fprintf (out, ",snap_valid=%c,snap_merge_failed=%c,snapshot_overflowed=%c",
           s->valid ? 'y' : 'n', s->merge_failed ? 'y' : 'n',
           s->overflowed ? 'y' : 'n');
  origin_exit (s->user.origin);
}

/* ------------------------------------------------------------------
 * Limits and extents.
 */

/* The sectors of the target are those of the origin, begin or not (Linux
 * 6.1).
 */
int
snapshot_iterate_devices (struct dm_target *ti, dm_iterate_fn fn, void *data)
{
  const struct snapshot *s = ti->private;
  int r = fn (ti, s->origin, 0, ti->len, data);

  return r ? r : fn (ti, s->cow, 0, bdev_size (s->cow->bdev), data);
}

/* Linux 6.1 gives the chunk's sectors as if they were bytes. */
void
snapshot_io_hints (struct dm_target *ti, struct queue_limits *limits)
{
  const struct snapshot *s = ti->private;

  if (!s->zeroes_cow)
    return;
  limits->discard_granularity_bytes = sectors_to_bytes (s->chunk_sectors);
  limits->max_discard_sectors = s->chunk_sectors;
}

/* What the origin has is asked in a cell, like a read: a write could make a
 * hole there that the snapshot has not.
 */
static int
snapshot_extents_of_piece (struct snapshot *s, sector_t sector, sector_t *len,
                           struct extent_sink *sink)
{
  struct snapshot_piece piece;
  struct cell cell;
  int r;

  snapshot_look_up (s, sector, *len, &piece);
  if (piece.excepted) {
    *len = piece.len;
    return dm_device_extents (s->cow, piece.cow_sector, piece.len, sink);
  }
  cell_acquire (&s->cells, &cell, piece.chunk, piece.end_chunk, false);
  snapshot_look_up (s, sector, piece.len, &piece);
  *len = piece.len;
  if (piece.excepted)
    r = dm_device_extents (s->cow, piece.cow_sector, piece.len, sink);
  else
    r = dm_device_extents (s->origin, sector, piece.len, sink);
  cell_release (&s->cells, &cell);
  return r;
}

/* A merge whose store is lost is the origin. */
int
snapshot_extents (struct dm_target *ti, sector_t sector, sector_t len,
                  struct extent_sink *sink)
{
  struct snapshot *s = ti->private;
  sector_t part;
  int r = 0;

  for (; len > 0 && r == 0; sector += part, len -= part) {
    part = len;
    if (s->valid)
      r = snapshot_extents_of_piece (s, sector, &part, sink);
    else if (s->user.role == ORIGIN_MERGE)
      r = dm_device_extents (s->origin, sector, part, sink);
    else
      r = -EIO;
  }
  return r < 0 ? r : 0;
}
