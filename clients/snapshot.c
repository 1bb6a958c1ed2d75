/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot: snapshots of a device in use, taken, removed and merged. */

#include "clients/nbdmsetup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clients/reply.h"
#include "common/cleanup.h"
#include "common/snapshot.h"

#define SECTOR_BYTES 512u

/* ------------------------------------------------------------------
 * Devices and their tables.
 */

/* A live table; type and params are those of its only line, else empty. */
struct live {
  char *text;
  uint64_t length; /* sectors */
  uint32_t mode;   /* DM_READONLY_FLAG or 0 */
  unsigned lines;
  char type[DM_MAX_TYPE_NAME + 1];
  char *params;
};

static void
live_reset (struct live *live)
{
  free (live->text);
  free (live->params);
  *live = (struct live) { NULL };
}

static int
live_note (struct live *live, const struct reply_target *target, FILE *text)
{
  fprintf (text, "%llu %llu %s %s\n", (unsigned long long) target->start,
           (unsigned long long) target->length, target->type, target->text);
  live->length = target->start + target->length;
  free (live->params);
  live->params = strdup (live->lines ? "" : target->text);
  strcpy (live->type, live->lines ? "" : target->type);
  live->lines++;
  return live->params ? 0 : -ENOMEM;
}

/* flags: DM_STATUS_TABLE_FLAG, or 0 for the status instead of the table. */
static int
live_read (struct session *s, const char *name, uint32_t flags,
           struct live *live)
{
  struct call call = { .request.flags = flags };
  const struct device device = { .name = name };
  struct reply_target target;
  struct reply_walk walk;
  size_t bytes;
  FILE *text;
  int r;

  *live = (struct live) { NULL };
  r = device_call (s, &device, DM_TABLE_STATUS_CMD, &call);
  text = r < 0 ? NULL : open_memstream (&live->text, &bytes);
  if (r == 0 && text == NULL)
    r = -ENOMEM;
  if (r == 0) {
    live->mode = call.reply->flags & DM_READONLY_FLAG;
    walk = reply_walk_targets (&call);
    while ((r = reply_check (reply_next_target (&walk, &target))) > 0 &&
           (r = live_note (live, &target, text)) == 0)
      ;
    if (fclose (text) != 0)
      r = -ENOMEM;
  }
  call_reset (&call);
  return r;
}

static int
load_text (struct session *s, const char *name, uint32_t mode,
           const char *text)
{
  char *CLEANUP_FREE copy = strdup (text);
  struct device device = { .name = name };
  struct table table = { NULL };
  int r = copy ? table_parse_text (copy, "", &table) : -ENOMEM;

  if (r == 0) {
    struct call call = { .request.target_count = table.targets,
                         .request.flags = mode,
                         .payload = table.payload,
                         .payload_bytes = table.bytes };

    r = device_call (s, &device, DM_TABLE_LOAD_CMD, &call);
    call_reset (&call);
  }
  table_reset (&table);
  return r;
}

/* One line as long as the table that live is. */
__attribute__ ((format (printf, 5, 6))) static int
load_line (struct session *s, const char *name, const struct live *live,
           uint32_t mode, const char *fmt, ...)
{
  char *CLEANUP_FREE params = NULL;
  char *CLEANUP_FREE text = NULL;
  va_list ap;
  int n;

  va_start (ap, fmt);
  n = vasprintf (&params, fmt, ap);
  va_end (ap);
  if (n < 0 ||
      asprintf (&text, "0 %llu %s", (unsigned long long) live->length,
                params) < 0)
    return -ENOMEM;
  return load_text (s, name, mode, text);
}

static int
simple (struct session *s, const char *name, uint32_t command, uint32_t flags)
{
  return device_simple (s, &(struct device) { .name = name }, command, flags);
}

static int
suspend (struct session *s, const char *name)
{
  return simple (s, name, DM_DEV_SUSPEND_CMD, DM_SUSPEND_FLAG);
}

static int
resume (struct session *s, const char *name)
{
  return simple (s, name, DM_DEV_SUSPEND_CMD, 0);
}

/* ------------------------------------------------------------------
 * What stands below a device.
 */

struct plan {
  const char *name, *snapshot; /* the words */
  struct live live;            /* of name */
  bool layered;                /* it is a snapshot-origin already */
  char hidden[DM_NAME_LEN];    /* the device that has the table, or "" */
  char *origin;                /* the word for what is below */
};

static void
plan_reset (struct plan *plan)
{
  live_reset (&plan->live);
  free (plan->origin);
}

/* A single linear line from the start of a device needs no device of its own
 * for what the snapshot is to read.
 */
static char *
plan_plain_origin (const struct live *live)
{
  size_t len = strlen (live->params);

  if (strcmp (live->type, "linear") != 0 || len < 3 ||
      strcmp (live->params + len - 2, " 0") != 0)
    return NULL;
  return strndup (live->params, len - 2);
}

static int
plan_read (struct session *s, struct plan *plan)
{
  struct device device;
  int r;

  *plan = (struct plan) { .snapshot = s->argv[1] };
  r = device_select (s, s->argv[0], &device);
  if (r < 0)
    return r;
  plan->name = device.name;
  r = live_read (s, plan->name, DM_STATUS_TABLE_FLAG, &plan->live);
  if (r < 0 || plan->live.lines == 0) {
    if (r == 0)
      fprintf (stderr, "%s has no table.\n", plan->name);
    return r < 0 ? r : -ENXIO;
  }
  if ((size_t) snprintf (plan->hidden, sizeof plan->hidden,
                         "%s" SNAPSHOT_REAL_SUFFIX, plan->name) >=
      sizeof plan->hidden) {
    fprintf (stderr, "The name of %s is too long.\n", plan->name);
    return -EINVAL;
  }
  plan->layered = strcmp (plan->live.type, "snapshot-origin") == 0;
  return 0;
}

/* ------------------------------------------------------------------
 * The COW device.
 */

/* A number of sectors, or of bytes with K, M, G or T behind it. */
static int
parse_size (const char *word, uint64_t *sectors)
{
  static const char units[] = "KMGT";
  const char *unit;
  char *end;
  uint64_t n;

  errno = 0;
  n = strtoull (word, &end, 10);
  unit = *end ? strchr (units, toupper ((unsigned char) *end)) : NULL;
  if (errno || end == word || *word == '-' || n == 0 ||
      (*end && (unit == NULL || end[1]))) {
    fprintf (stderr, "Invalid size: %s\n", word);
    return -EINVAL;
  }
  *sectors = unit ? (n << 10 * (unit - units + 1)) / SECTOR_BYTES : n;
  return 0;
}

/* Room for every chunk of the origin, header and areas. */
static uint64_t
whole_size (uint64_t length)
{
  uint64_t chunks = length / SNAPSHOT_CHUNK_SECTORS + 1;
  uint64_t areas = chunks / (SNAPSHOT_CHUNK_SECTORS * SECTOR_BYTES / 16) + 2;

  return (1 + chunks + areas) * SNAPSHOT_CHUNK_SECTORS;
}

/* A new file, sparse; or a block device that is there, which begins anew: its
 * first sectors are wiped.
 */
static int
make_cow (const char *file, uint64_t sectors, bool *made)
{
  static const char zeroes[4096];
  int CLEANUP_CLOSE fd = open (file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                               0600);
  struct stat st;

  *made = fd >= 0;
  if (fd >= 0 && ftruncate (fd, sectors * SECTOR_BYTES) == 0)
    return 0;
  if (fd < 0 && errno == EEXIST && stat (file, &st) == 0 &&
      S_ISBLK (st.st_mode)) {
    fd = open (file, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && pwrite (fd, zeroes, sizeof zeroes, 0) == sizeof zeroes &&
        fsync (fd) == 0)
      return 0;
  }
  fprintf (stderr, "Cannot make %s: %s\n", file, strerror (errno));
  return -errno;
}

/* ------------------------------------------------------------------
 * Taking.
 */

/* What has been done, to be undone in reverse. */
struct done {
  bool suspended, hidden, loaded, snapshot;
};

static void
take_undo (struct session *s, const struct plan *plan, const struct done *done)
{
  if (done->snapshot)
    simple (s, plan->snapshot, DM_DEV_REMOVE_CMD, 0);
  if (done->loaded)
    simple (s, plan->name, DM_TABLE_CLEAR_CMD, 0);
  if (done->hidden)
    simple (s, plan->hidden, DM_DEV_REMOVE_CMD, 0);
  if (done->suspended)
    resume (s, plan->name);
}

/* The layer below: sets plan->origin. */
static int
take_origin (struct session *s, struct plan *plan, struct done *done)
{
  int r;

  if (plan->layered)
    plan->origin = strdup (plan->live.params);
  else
    plan->origin = plan_plain_origin (&plan->live);
  if (plan->origin)
    return 0;
  plan->origin = strdup (plan->hidden);
  if (plan->origin == NULL)
    return -ENOMEM;
  r = simple (s, plan->hidden, DM_DEV_CREATE_CMD, 0);
  if (r < 0)
    return r;
  done->hidden = true;
  r = load_text (s, plan->hidden, plan->live.mode, plan->live.text);
  return r < 0 ? r : resume (s, plan->hidden);
}

static int
take_steps (struct session *s, struct plan *plan, const char *cow,
            struct done *done)
{
  int r = suspend (s, plan->name);

  if (r < 0)
    return r;
  done->suspended = true;
  r = take_origin (s, plan, done);
  if (r == 0 && !plan->layered) {
    r = load_line (s, plan->name, &plan->live, plan->live.mode,
                   "snapshot-origin %s", plan->origin);
    done->loaded = r == 0;
  }
  if (r == 0)
    r = simple (s, plan->snapshot, DM_DEV_CREATE_CMD, 0);
  if (r < 0)
    return r;
  done->snapshot = true;
  r = load_line (s, plan->snapshot, &plan->live, 0, "snapshot %s %s P %u",
                 plan->origin, cow, SNAPSHOT_CHUNK_SECTORS);
  if (r == 0)
    r = resume (s, plan->snapshot);
  return r < 0 ? r : resume (s, plan->name);
}

static int
snapshot_take (struct session *s, struct plan *plan)
{
  uint64_t sectors = whole_size (plan->live.length);
  char *CLEANUP_FREE file = NULL;
  char *CLEANUP_FREE real = NULL;
  struct done done = { false };
  bool made = false;
  int r = 0;

  if (device_check_new_name (plan->snapshot) < 0 ||
      (s->options.size && parse_size (s->options.size, &sectors) < 0))
    return -EINVAL;
  if (asprintf (&file, s->options.cow ? "%s" : "%s.cow",
                s->options.cow ? s->options.cow : plan->snapshot) < 0)
    return -ENOMEM;
  r = make_cow (file, sectors, &made);
  if (r == 0 && (real = realpath (file, NULL)) == NULL)
    r = -errno;
  if (r == 0)
    r = take_steps (s, plan, real, &done);
  if (r < 0) {
    take_undo (s, plan, &done);
    if (made)
      unlink (file);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Taking the layer away again.
 */

/* True if the table is a snapshot's, or a merge's, of this origin. */
static bool
is_snapshot_of (const struct live *live, const char *type, const char *origin)
{
  size_t len = strlen (origin);

  return strcmp (live->type, type) == 0 &&
    strncmp (live->params, origin, len) == 0 && live->params[len] == ' ';
}

static int
count_snapshots (struct session *s, const char *origin, unsigned *n)
{
  struct call call = { .reply = NULL };
  struct reply_walk walk;
  struct reply_name name;
  struct live live;
  int r = device_call (s, &(struct device) { .name = NULL },
                       DM_LIST_DEVICES_CMD, &call);

  *n = 0;
  if (r == 0) {
    walk = reply_walk (&call);
    while ((r = reply_check (reply_next_name (&walk, &name))) > 0) {
      r = live_read (s, name.name, DM_STATUS_TABLE_FLAG, &live);
      *n += r == 0 && live.lines && is_snapshot_of (&live, "snapshot", origin);
      live_reset (&live);
      if (r < 0)
        break;
    }
  }
  call_reset (&call);
  return r;
}

/* The table that the device had before its first snapshot, or while others
 * remain that of their origin.
 */
static int
put_back (struct session *s, struct plan *plan)
{
  bool hidden = strcmp (plan->origin, plan->hidden) == 0;
  struct live below = { NULL };
  unsigned n;
  int r = count_snapshots (s, plan->origin, &n);

  if (r == 0 && n > 0) {
    if (plan->layered)
      return 0;
    hidden = false;
    r = load_line (s, plan->name, &plan->live, plan->live.mode,
                   "snapshot-origin %s", plan->origin);
  }
  else if (r == 0 && hidden) {
    r = live_read (s, plan->hidden, DM_STATUS_TABLE_FLAG, &below);
    if (r == 0)
      r = load_text (s, plan->name, below.mode, below.text);
  }
  else if (r == 0)
    r = load_line (s, plan->name, &plan->live, plan->live.mode,
                   "linear %s 0", plan->origin);
  if (r == 0)
    r = resume (s, plan->name);
  if (r == 0 && hidden)
    r = simple (s, plan->hidden, DM_DEV_REMOVE_CMD, 0);
  live_reset (&below);
  return r;
}

/* Sets plan->origin and, if cow is not NULL, what follows it in the table. */
static int
check_snapshot (struct session *s, struct plan *plan, char **rest)
{
  struct live live;
  int r = live_read (s, plan->snapshot, DM_STATUS_TABLE_FLAG, &live);

  if (r == 0 && (!plan->layered || live.lines != 1 ||
                 !is_snapshot_of (&live, "snapshot", plan->live.params))) {
    fprintf (stderr, "%s is no snapshot of %s.\n", plan->snapshot, plan->name);
    r = -EINVAL;
  }
  if (r == 0) {
    plan->origin = strdup (plan->live.params);
    if (rest)
      *rest = strdup (live.params + strlen (plan->live.params) + 1);
    if (plan->origin == NULL || (rest && *rest == NULL))
      r = -ENOMEM;
  }
  live_reset (&live);
  return r;
}

/* Negative: an error. */
static int
open_count (struct session *s, const char *name)
{
  struct call call = { .reply = NULL };
  int r = device_call (s, &(struct device) { .name = name },
                       DM_DEV_STATUS_CMD, &call);

  if (r == 0)
    r = call.reply->open_count;
  call_reset (&call);
  return r;
}

/* Its clients would get errors from now on.  That one has just hung up may take
 * the server a moment to notice.
 */
static int
check_closed (struct session *s, const char *name)
{
  static const struct timespec pause = { .tv_nsec = 100000000 };
  int r = open_count (s, name);

  for (int i = 0; r > 0 && i < 10; i++) {
    nanosleep (&pause, NULL);
    r = open_count (s, name);
  }
  if (r > 0) {
    fprintf (stderr, "%s is in use.\n", name);
    r = -EBUSY;
  }
  return r;
}

static int
snapshot_remove (struct session *s, struct plan *plan)
{
  int r = check_snapshot (s, plan, NULL);

  if (r == 0)
    r = check_closed (s, plan->snapshot);
  if (r == 0)
    r = simple (s, plan->snapshot, DM_DEV_REMOVE_CMD, 0);
  return r < 0 ? r : put_back (s, plan);
}

/* ------------------------------------------------------------------
 * Merging.
 */

static int
merge_begin (struct session *s, struct plan *plan)
{
  char *CLEANUP_FREE rest = NULL;
  int r = check_snapshot (s, plan, &rest);

  if (r == 0)
    r = check_closed (s, plan->snapshot);
  if (r < 0)
    return r;
  r = suspend (s, plan->name);
  if (r == 0)
    r = suspend (s, plan->snapshot);
  if (r == 0)
    r = load_line (s, plan->name, &plan->live, plan->live.mode,
                   "snapshot-merge %s %s", plan->origin, rest);
  if (r == 0)
    r = resume (s, plan->name);
  if (r < 0) {
    simple (s, plan->name, DM_TABLE_CLEAR_CMD, 0);
    resume (s, plan->snapshot);
    resume (s, plan->name);
    return r;
  }
  return simple (s, plan->snapshot, DM_DEV_REMOVE_CMD, 0);
}

/* How many sectors are still to be merged. */
static int
merge_left (struct session *s, const char *name, uint64_t *left)
{
  unsigned long long allocated, total, metadata;
  struct live live;
  int r = live_read (s, name, 0, &live);

  if (r == 0 && sscanf (live.params ? live.params : "", "%llu/%llu %llu",
                        &allocated, &total, &metadata) != 3) {
    fprintf (stderr, "%s: %s\n", name, live.params ? live.params : "no table");
    r = -EIO;
  }
  if (r == 0)
    *left = allocated - metadata;
  live_reset (&live);
  return r;
}

static void
merge_show (const struct plan *plan, uint64_t left, uint64_t all)
{
  if (isatty (STDERR_FILENO))
    fprintf (stderr, "\r%s: %llu%% merged%s", plan->name,
             (unsigned long long) (all ? (all - left) * 100 / all : 100),
             left ? "" : "\n");
}

static int
merge_wait (struct session *s, const struct plan *plan)
{
  static const struct timespec tick = { .tv_nsec = 200000000 };
  uint64_t left = 0, all = 0;
  int r;

  while ((r = merge_left (s, plan->name, &left)) == 0) {
    if (all == 0)
      all = left;
    merge_show (plan, left, all);
    if (left == 0)
      break;
    nanosleep (&tick, NULL);
  }
  return r;
}

/* A merge that goes on already is waited for. */
static int
snapshot_merge (struct session *s, struct plan *plan)
{
  int r = 0;

  if (strcmp (plan->live.type, "snapshot-merge") == 0)
    plan->origin = strndup (plan->live.params,
                            strcspn (plan->live.params, " "));
  else
    r = merge_begin (s, plan);
  plan->layered = false;
  if (r == 0)
    r = merge_wait (s, plan);
  return r < 0 ? r : put_back (s, plan);
}

int
cmd_snapshot (struct session *s)
{
  struct plan plan;
  int r = plan_read (s, &plan);

  if (r == 0 && s->options.remove)
    r = snapshot_remove (s, &plan);
  else if (r == 0 && s->options.merge)
    r = snapshot_merge (s, &plan);
  else if (r == 0)
    r = snapshot_take (s, &plan);
  plan_reset (&plan);
  return r;
}
