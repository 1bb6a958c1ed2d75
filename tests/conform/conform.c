/* SPDX-License-Identifier: BSD-3-Clause */
/* The questions every registered target type is asked. */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "server/device-mapper.h"
#include "tests/conform/conform.h"
#include "tests/lib/dmtest.h"

#define MEM_SECTORS (64u << 11) /* what target_type.example may rely on */

static struct dmtest t;
static sector_t len; /* of the example */

/* A type that stands on a pool: %1 of its example is one, which has its data
 * on m1.
 */
#define POOL_NAME "a-pool"
static bool on_pool;

static struct criterion_test_params
all_types (void)
{
  static int index[CONFORM_MAX_TYPES];
  size_t n = 0;

  for (; conform_type (n); n++)
    index[n] = n;
  return cr_make_param_array (int, index, n);
}

static void
create_pool (void)
{
  char messages[2][16] = { "create_thin 0", "create_thin 1" }, *reply;
  unsigned i;

  dmtest_create (&t, POOL_NAME, "0 65536 thin-pool m2 m1 128 0");
  for (i = 0; i < 2; i++)
    cr_assert_eq (dm_device_message (t.reg, DM_REF_NAME (POOL_NAME), 0,
                                     messages[i], &reply, NULL, &t.msg), 0);
  conform_seen.ctrs = 0; /* only the example's count */
}

/* Take the n-th lower device away, or give it back. */
static void
hide_lower (unsigned n, bool hide)
{
  const char *from = hide ? POOL_NAME : "hidden";
  const char *to = hide ? "hidden" : POOL_NAME;

  if (on_pool)
    cr_assert_eq (dm_device_rename (t.reg, from, to, 0, NULL, NULL), 0);
  else if (hide)
    dmtest_hide (&t, n);
  else
    dmtest_show (&t, n);
}

#define ASK(question)                                                   \
  ParameterizedTestParameters (conform, question)                       \
  {                                                                     \
    return all_types ();                                                \
  }                                                                     \
  static void ask_##question (const struct target_type *type);          \
  ParameterizedTest (int *index, conform, question, .timeout = 120)     \
  {                                                                     \
    const struct target_type *type = conform_type (*index);             \
                                                                        \
    dmtest_init (&t, MEM_SECTORS);                                      \
    len = type->example_len ? type->example_len : 2048;                 \
    on_pool = strcmp (type->name, "thin") == 0 ||                       \
      strcmp (type->name, "thin-delta") == 0;                           \
    if (on_pool)                                                        \
      create_pool ();                                                   \
    ask_##question (type);                                              \
    dmtest_destroy (&t);                                                \
  }                                                                     \
  static void ask_##question (const struct target_type *type)

/* "0 LEN TYPE PARAMS" with %1 … replaced by memory devices from m(1+shift)
 * on; malloc'ed.
 */
static char *
example_line (const struct target_type *type, sector_t start, int shift)
{
  char *line = NULL;
  size_t n;
  FILE *fp = open_memstream (&line, &n);
  const char *p;

  fprintf (fp, "%llu %llu %s ", (unsigned long long) start,
           (unsigned long long) len, type->name);
  for (p = type->example; *p; p++)
    if (*p == '%' && p[1] >= '1' && p[1] <= '9')
      p++, on_pool ? fputs (POOL_NAME, fp)
                   : fprintf (fp, "m%d", *p - '0' + shift);
    else
      putc (*p, fp);
  fclose (fp);
  return line;
}

static int
lower_devices (const struct target_type *type)
{
  const char *p;
  int max = 0;

  for (p = type->example; *p; p++)
    if (*p == '%' && p[1] - '0' > max)
      max = p[1] - '0';
  return max;
}

static struct mapped_device *
open_dev (const char *name)
{
  struct mapped_device *md;

  cr_assert_eq (dm_open (t.reg, name, &md, &t.msg), 0, "%s", t.msg.text);
  return md;
}

static struct mapped_device *
create_example (const struct target_type *type)
{
  CLEANUP_FREE char *line = example_line (type, 0, 0);

  dmtest_create (&t, "ex", line);
  return open_dev ("ex");
}

static void
remove_dev (const char *name)
{
  cr_assert_eq (dm_device_remove (t.reg, DM_REF_NAME (name), 0, NULL, &t.msg),
                0, "%s", t.msg.text);
}

static unsigned
count_entries (const char *path)
{
  DIR *dir = opendir (path);
  unsigned n = 0;

  while (readdir (dir))
    n++;
  closedir (dir);
  return n;
}

/* A type stores if a write of its example reads back. */
static bool
stores (struct mapped_device *md)
{
  char w[SECTOR_SIZE], r[SECTOR_SIZE];

  memset (w, 0xa5, sizeof w);
  memset (r, 0, sizeof r);
  return dmtest_io (md, BIO_WRITE, 0, 1, w) == 0 &&
    dmtest_io (md, BIO_READ, 0, 1, r) == 0 && memcmp (w, r, sizeof w) == 0;
}

ASK (the_type_is_described)
{
  cr_assert_not_null (type->summary);
  cr_assert_not_null (type->example);
  cr_assert_leq (strlen (type->name), 15);
  cr_assert (type->version[0] > 0);
}

/* One after the other: a second table beside the live one could be meant to
 * take over what that has (snapshot).
 */
ASK (the_table_text_builds_the_same_target)
{
  CLEANUP_FREE char *first = NULL, *second = NULL;

  dm_close (create_example (type));
  first = dmtest_table (&t, "ex", 0);
  remove_dev ("ex");
  dmtest_create (&t, "ex", first);
  second = dmtest_table (&t, "ex", 0);
  cr_assert_str_eq (first, second);
}

/* Load line; if that fails it must be with a reason. */
static void
expect_reasoned (const char *line, bool must_fail)
{
  int r = dmtest_load (&t, "ex", line, 0);

  if (r == 0) {
    cr_expect (!must_fail, "accepted: %s", line);
    return;
  }
  cr_expect (r == -EINVAL || r == -ENODEV || r == -ENXIO, "%s: %d", line, r);
  cr_expect_neq (t.msg.text[0], '\0', "no message: %s", line);
  cr_expect (strstr (t.msg.text, "ex: table line 1 ("), "%s", t.msg.text);
}

/* The line with word n (from 0, the first after the type) replaced, or left
 * out if by is NULL; NULL if there is no such word.
 */
static char *
change_word (const char *line, unsigned n, const char *by)
{
  CLEANUP_FREE char *copy = strdup (line);
  char *word, *save = NULL, *out = NULL;
  size_t size;
  FILE *fp = open_memstream (&out, &size);
  bool found = false;
  unsigned i = 0;

  for (word = strtok_r (copy, " ", &save); word;
       word = strtok_r (NULL, " ", &save), i++) {
    if (i != n + 3)
      fprintf (fp, "%s ", word);
    else if (by)
      fprintf (fp, "%s ", by);
    found |= i == n + 3;
  }
  fclose (fp);
  if (found)
    return out;
  free (out);
  return NULL;
}

ASK (a_dropped_or_garbled_argument_has_a_reason)
{
  static const char *const garbage[] = { "\\\\", "%", "-1", "0x10", "1x",
                                         "99999999999999999999999" };
  CLEANUP_FREE char *line = example_line (type, 0, 0);
  struct mapped_device *md = create_example (type);
  char *bad;
  size_t g;
  unsigned n;

  for (n = 0; (bad = change_word (line, n, NULL)) != NULL; n++) {
    expect_reasoned (bad, false);
    free (bad);
    for (g = 0; g < sizeof garbage / sizeof garbage[0]; g++) {
      bad = change_word (line, n, garbage[g]);
      expect_reasoned (bad, true);
      free (bad);
    }
  }
  cr_assert_eq (dm_table_clear (t.reg, DM_REF_NAME ("ex"), NULL, NULL), 0);
  dm_close (md);
}

ASK (a_failing_allocation_leaks_nothing)
{
  CLEANUP_FREE char *line = example_line (type, 0, 0);
  unsigned long left = 0;
  long n;
  int r;

  for (n = 1; n < 1000; n++) {
    cr_assert_eq (dm_device_create (t.reg, "ex", "", 0, 0, NULL, NULL), 0);
    left = conform_seen.ctrs - conform_seen.dtrs;
    conform_fail_alloc (n);
    r = dmtest_load (&t, "ex", line, 0);
    if (!conform_alloc_failed ()) {
      cr_assert_eq (r, 0);
      remove_dev ("ex");
      break;
    }
    /* Metadata do without some of their memory. */
    cr_expect (r < 0 || strcmp (type->name, "thin-pool") == 0,
               "allocation %ld: %d", n, r);
    remove_dev ("ex");
    cr_expect_eq (conform_seen.ctrs - conform_seen.dtrs, left);
  }
  cr_assert_lt (n, 1000);
  cr_assert_eq (conform_seen.ctrs, conform_seen.dtrs);
}

ASK (a_failing_device_open_leaks_nothing)
{
  CLEANUP_FREE char *line = example_line (type, 0, 0);
  int n, r;

  for (n = 0; n < lower_devices (type); n++) {
    cr_assert_eq (dm_device_create (t.reg, "ex", "", 0, 0, NULL, NULL), 0);
    hide_lower (n, true);
    r = dmtest_load (&t, "ex", line, 0);
    /* unstriped and dust have one errno for everything. */
    cr_expect (r == -ENODEV || r == -EINVAL, "%d", r);
    cr_expect (strstr (t.msg.text, "Device lookup failed"), "%s", t.msg.text);
    hide_lower (n, false);
    remove_dev ("ex");
    cr_expect_eq (conform_seen.ctrs, conform_seen.dtrs);
  }
}

/* A second line before and behind, so that begin is not 0 everywhere. */
static void
create_framed (const struct target_type *type)
{
  CLEANUP_FREE char *mid = example_line (type, 1000, 0);
  CLEANUP_FREE char *table = NULL;

  if (type->features & DM_TARGET_SINGLETON)
    mid[0] = '0', memmove (mid + 1, mid + 4, strlen (mid + 4) + 1);
  if (asprintf (&table, type->features & DM_TARGET_SINGLETON ? "%s" :
                "0 1000 linear m7 0\n%s\n%llu 1000 linear m8 0", mid,
                (unsigned long long) len + 1000) < 0)
    abort ();
  dmtest_create (&t, "ex", table);
}

ASK (pieces_stay_inside_target_and_max_io_len)
{
  struct mapped_device *md;
  sector_t size;
  char *buf;
  unsigned i;

  create_framed (type);
  md = open_dev ("ex");
  size = bdev_size (dm_block_device (md));
  buf = calloc (size, SECTOR_SIZE);
  for (i = 0; i < 200; i++) {
    sector_t at = random () % size, n = 1 + random () % (size - at);
    static const enum bio_op ops[] = { BIO_READ, BIO_WRITE, BIO_DISCARD,
                                       BIO_WRITE_ZEROES, BIO_PREFETCH };

    dmtest_io (md, ops[i % 5], at, n, i % 5 < 2 ? buf : NULL);
  }
  cr_expect (conform_seen.maps > 0);
  cr_expect_eq (conform_seen.outside, 0);
  cr_expect_eq (conform_seen.too_long, 0);
  free (buf);
  dm_close (md);
}

/* A snapshot only reads its origin, a snapshot-diff whatever it has: how many
 * of the lower devices, from the first on, are not written to.
 */
static int
only_read (const struct target_type *type)
{
  if (strcmp (type->name, "snapshot-diff") == 0)
    return lower_devices (type);
  return strcmp (type->name, "snapshot") == 0;
}

/* What a pool has just committed needs no flush, so its metadata, the last
 * device, may go without.
 */
ASK (a_flush_reaches_every_device_that_is_written_to)
{
  struct mapped_device *md = create_example (type);
  int n, end = lower_devices (type) - (strcmp (type->name, "thin-pool") == 0);

  for (n = 0; n < lower_devices (type); n++)
    t.mem[n]->counts[BIO_FLUSH] = 0;
  cr_assert_eq (dmtest_io (md, BIO_FLUSH, 0, 0, NULL), 0);
  for (n = only_read (type); n < end; n++)
    cr_expect_geq (t.mem[n]->counts[BIO_FLUSH], 1, "%s: m%d", type->name,
                   n + 1);
  dm_close (md);
}

ASK (what_is_written_is_read)
{
  struct mapped_device *md;
  sector_t size, at;
  char *w, *r;

  create_framed (type);
  md = open_dev ("ex");
  size = bdev_size (dm_block_device (md));
  w = malloc (sectors_to_bytes (size));
  r = calloc (size, SECTOR_SIZE);
  for (at = 0; at < sectors_to_bytes (size); at++)
    w[at] = random ();
  if (dmtest_io (md, BIO_WRITE, 0, size, w) == 0 &&
      dmtest_io (md, BIO_READ, 1000, 1, r) == 0 &&
      memcmp (r, w + 1000 * SECTOR_SIZE, SECTOR_SIZE) == 0) {
    for (at = 0; at < size; at += 77) {
      sector_t n = size - at < 77 ? size - at : 77;

      cr_expect_eq (dmtest_io (md, BIO_READ, at, n,
                               r + sectors_to_bytes (at)), 0);
    }
    cr_expect_eq (memcmp (w, r, sectors_to_bytes (size)), 0);
  }
  free (w);
  free (r);
  dm_close (md);
}

ASK (a_lower_error_surfaces_where_it_is_and_only_there)
{
  struct mapped_device *md = create_example (type);
  static char all[512 * SECTOR_SIZE];
  char buf[SECTOR_SIZE];
  sector_t s, bad = 0;

  if (lower_devices (type) > 0 && stores (md)) {
    t.mem[0]->bad_start = 16;
    t.mem[0]->bad_end = 24; /* 4 KiB, which ebs takes for one block */
    for (s = 0; s < 512; s++) {
      int r = dmtest_io (md, BIO_READ, s, 1, buf);

      cr_expect (r == 0 || r == -EIO, "%d", r);
      bad += r != 0;
    }
    cr_expect_eq (bad, 8);
    cr_expect_eq (dmtest_io (md, BIO_READ, 0, 512, all),
                  -EIO);
  }
  dm_close (md);
}

/* Eight threads of I/O while the device is suspended and resumed. */
static atomic_bool stop;

static void *
io_thread (void *opaque)
{
  struct mapped_device *md = opaque;
  char w[8 * SECTOR_SIZE], r[8 * SECTOR_SIZE];
  static atomic_uint ids;
  sector_t at = (ids++ % 8) * 64;
  uintptr_t failures = 0;
  bool keeps = stores (md);
  unsigned i;

  for (i = 0; !stop; i++) {
    memset (w, i, sizeof w);
    if (!keeps) {
      dmtest_io (md, BIO_WRITE, at, 8, w);
      continue;
    }
    failures += dmtest_io (md, BIO_WRITE, at + 64, 8, w) != 0 ||
      dmtest_io (md, BIO_READ, at + 64, 8, r) != 0 ||
      memcmp (w, r, sizeof w) != 0;
    if (i % 16 == 0)
      failures += dmtest_io (md, BIO_FLUSH, 0, 0, NULL) != 0;
  }
  return (void *) failures;
}

/* Without a new table. */
static int
restart (uint32_t flags)
{
  int r = dm_device_suspend (t.reg, DM_REF_NAME ("ex"),
                             flags | DM_SUSPEND_FLAG, NULL, NULL, &t.msg);

  return r < 0 ? r : dm_device_resume (t.reg, DM_REF_NAME ("ex"), flags, NULL,
                                       NULL, &t.msg);
}

/* A snapshot-merge can be suspended, but not be replaced by its like. */
static void
swap_under_load (const struct target_type *type, uint32_t flags)
{
  CLEANUP_FREE char *line = example_line (type, 0, 0);
  struct mapped_device *md = create_example (type);
  bool replaceable = strcmp (type->name, "snapshot-merge") != 0;
  pthread_t threads[8];
  void *failures;
  unsigned i;

  stop = false;
  for (i = 0; i < 8; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, io_thread, md), 0);
  for (i = 0; i < 100; i++) {
    int r = replaceable ? dmtest_swap (&t, "ex", line, flags)
                        : restart (flags);

    cr_expect_eq (r, 0, "%s", t.msg.text);
    usleep (500);
  }
  stop = true;
  for (i = 0; i < 8; i++) {
    pthread_join (threads[i], &failures);
    cr_expect_null (failures);
  }
  dm_close (md);
}

ASK (suspend_under_load_loses_nothing)
{
  swap_under_load (type, 0);
}

ASK (noflush_suspend_under_load_loses_nothing)
{
  swap_under_load (type, DM_NOFLUSH_FLAG);
}

ASK (removal_leaves_no_thread_no_fd_no_memory)
{
  struct mallinfo2 before, after;
  unsigned threads, fds, i;
  struct mapped_device *md;

  /* The first round warms up what stays for the life of the process. */
  for (i = 0; i < 3; i++) {
    md = create_example (type);
    stores (md);
    dm_close (md);
    remove_dev ("ex");
    if (i == 0) {
      threads = count_entries ("/proc/self/task");
      fds = count_entries ("/proc/self/fd");
    }
    if (i == 1)
      before = mallinfo2 ();
  }
  after = mallinfo2 ();
  cr_expect_eq (count_entries ("/proc/self/task"), threads);
  cr_expect_eq (count_entries ("/proc/self/fd"), fds);
  cr_expect_eq (after.uordblks, before.uordblks);
}
