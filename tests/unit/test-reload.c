/* SPDX-License-Identifier: BSD-3-Clause */
/* Table files carried out on a registry: all of it or nothing. */

#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "server/edge.h"
#include "tests/lib/folder.h"

static struct folder folder;
static struct registry *registry;
static struct reload *reload;
static struct message msg;

static void
quiet (enum log_level level, const char *fmt, va_list ap)
{
}

/* a.img and b.img of 1 MiB each, and tables.yaml to be written. */
static void
setup (void)
{
  char path[128];

  log_set_sink (quiet);
  folder_make (&folder);
  folder_sparse (&folder, "a.img", 1 << 20);
  folder_sparse (&folder, "b.img", 1 << 20);
  snprintf (path, sizeof path, "%s/tables.yaml", folder.path);
  registry = registry_new ();
  reload = reload_new (registry, path);
}

static void
teardown (void)
{
  reload_free (reload);
  registry_free (registry);
  folder_remove (&folder);
}

TestSuite (reload, .init = setup, .fini = teardown, .timeout = 60);

static void
tables (const char *text)
{
  folder_write (&folder, "tables.yaml", text);
}

/* Reload; the report must end with the summary. */
static void
expect_summary (const char *summary)
{
  char *CLEANUP_FREE report = NULL;
  char *last;

  memset (&msg, 0, sizeof msg);
  cr_assert_eq (reload_run (reload, &report, &msg), 0, "%s", msg.text);
  last = strstr (report, summary);
  cr_assert_not_null (last, "%s", report);
  cr_assert_eq (strlen (last), strlen (summary) + 1, "%s", report);
}

static void
load (const char *text, const char *summary)
{
  tables (text);
  expect_summary (summary);
}

static void
expect_refused (int err, const char *reason)
{
  memset (&msg, 0, sizeof msg);
  cr_expect_eq (reload_run (reload, NULL, &msg), -err, "%s", msg.text);
  cr_expect (strstr (msg.text, reason), "%s", msg.text);
}

static void
refuse (const char *text, int err, const char *reason)
{
  tables (text);
  expect_refused (err, reason);
}

static struct dm_info
info (const char *name)
{
  struct dm_info i;

  cr_assert_eq (dm_device_info (registry, DM_REF_NAME (name), 0, &i, &msg),
                0, "%s", msg.text);
  return i;
}

static void
expect_devices (size_t expected)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  size_t n;

  cr_assert_eq (dm_list (registry, &infos, &n), 0);
  cr_expect_eq (n, expected);
}

/* Every device is running, without anything left in its inactive slot. */
static void
expect_all_well (void)
{
  struct dm_info *CLEANUP_FREE infos = NULL;
  size_t i, n;

  cr_assert_eq (dm_list (registry, &infos, &n), 0);
  for (i = 0; i < n; i++)
    cr_expect_eq (infos[i].flags & (DM_SUSPEND_FLAG | DM_ACTIVE_PRESENT_FLAG |
                                    DM_INACTIVE_PRESENT_FLAG),
                  DM_ACTIVE_PRESENT_FLAG, "%s", infos[i].name);
}

static void
expect_table (const char *name, const char *expected)
{
  char *CLEANUP_FREE text = NULL;

  cr_assert_eq (dm_table_text (registry, DM_REF_NAME (name), 0, &text, &msg),
                0, "%s", msg.text);
  cr_expect (strstr (text, expected), "%s", text);
}

/* Replace a live table behind the files' back. */
static void
operator_loads (const char *name, const char *type)
{
  char params[] = "";
  struct dm_target_line line = { 0, 8, type, params };

  cr_assert_eq (dm_table_load (registry, DM_REF_NAME (name), 0, &line, 1,
                               NULL, NULL, &msg), 0, "%s", msg.text);
  cr_assert_eq (dm_device_resume (registry, DM_REF_NAME (name), 0, NULL, NULL,
                                  &msg), 0, "%s", msg.text);
}

/* ------------------------------------------------------------------ */

#define STACK(type)                                                     \
  "devices:\n"                                                          \
  "  top: {table: 0 8 linear bottom 8}\n"                               \
  "  bottom:\n"                                                         \
  "    table: |\n"                                                      \
  "      0 8 zero\n"                                                    \
  "      8 8 " type "\n"                                                \
  "  file: {table: 0 2048 linear a.img 0, readonly: true}\n"

Test (reload, the_first_load_builds_everything)
{
  load (STACK ("zero"), "0 changed, 3 new, 0 removed, 0 unchanged");
  expect_devices (3);
  expect_all_well ();
  expect_table ("file", "/a.img 0");
  cr_expect (info ("file").flags & DM_READONLY_FLAG);
  cr_expect (!(info ("top").flags & DM_READONLY_FLAG));
}

Test (reload, equal_files_change_nothing)
{
  uint32_t events;

  load (STACK ("zero"), "3 new, 0 removed, 0 unchanged");
  events = registry_event_nr (registry);
  expect_summary ("0 changed, 0 new, 0 removed, 3 unchanged");
  cr_expect_eq (registry_event_nr (registry), events);
}

Test (reload, what_differs_is_swapped)
{
  load (STACK ("zero"), "3 new, 0 removed, 0 unchanged");
  load (STACK ("error"), "1 changed, 0 new, 0 removed, 2 unchanged");
  expect_table ("bottom", "8 8 error");
  expect_all_well ();
}

Test (reload, an_entry_that_builds_the_same_table_is_left_alone)
{
  uint32_t events;

  load ("devices: {a: {table: 0 8 zero}}", "1 new, 0 removed, 0 unchanged");
  events = registry_event_nr (registry);
  load ("devices: {a: {table: 00 008 zero}}",
        "0 changed, 0 new, 0 removed, 1 unchanged");
  load ("backings: {zero: {file: a.img}}\n"
        "devices: {a: {table: 0   8 zero}}",
        "0 changed, 0 new, 0 removed, 1 unchanged");
  cr_expect_eq (registry_event_nr (registry), events);
  expect_all_well ();
}

Test (reload, another_spelling_of_the_same_device_is_left_alone)
{
  char text[256];
  uint32_t events;

  load ("devices: {a: {table: 0 8 linear a.img 0}}", "0 unchanged");
  events = registry_event_nr (registry);
  snprintf (text, sizeof text, "devices: {a: {table: 0 8 linear %s/a.img 0}}",
            folder.path);
  load (text, "0 changed, 0 new, 0 removed, 1 unchanged");
  cr_expect_eq (registry_event_nr (registry), events);
}

Test (reload, a_backing_with_other_options_changes_its_users)
{
  load ("backings: {x: {file: a.img}}\n"
        "devices: {a: {table: 0 8 linear x 0}, b: {table: 0 8 zero}}",
        "0 unchanged");
  load ("backings: {x: {file: a.img, offset: 4096}}\n"
        "devices: {a: {table: 0 8 linear x 0}, b: {table: 0 8 zero}}",
        "1 changed, 0 new, 0 removed, 1 unchanged");
  expect_all_well ();
}

Test (reload, the_mode_follows_the_file)
{
  load ("devices: {a: {table: 0 8 zero}}", "0 unchanged");
  load ("devices: {a: {table: 0 8 zero, readonly: true}}",
        "1 changed, 0 new, 0 removed, 0 unchanged");
  cr_expect (info ("a").flags & DM_READONLY_FLAG);
}

Test (reload, vanished_devices_are_removed)
{
  load (STACK ("zero"), "3 new, 0 removed, 0 unchanged");
  load ("devices: {}", "0 changed, 0 new, 3 removed, 0 unchanged");
  expect_devices (0);
}

Test (reload, an_open_device_is_removed_when_it_is_closed)
{
  struct mapped_device *md;

  load ("devices: {a: {table: 0 8 zero}}", "0 unchanged");
  cr_assert_eq (dm_open (registry, "a", &md, &msg), 0);
  load ("", "0 changed, 0 new, 1 removed, 0 unchanged");
  expect_devices (1);
  dm_close (md);
  expect_devices (0);
}

Test (reload, devices_of_an_operator_are_left_alone)
{
  cr_assert_eq (dm_device_create (registry, "mine", "", 0, 0, NULL, &msg), 0);
  load ("devices: {a: {table: 0 8 zero}}", "1 new, 0 removed, 0 unchanged");
  load ("devices: {}", "0 changed, 0 new, 1 removed, 0 unchanged");
  expect_devices (1);
  refuse ("devices: {mine: {table: 0 8 zero}}", EINVAL,
          "tables.yaml:1:11: mine: the name is taken");
}

Test (reload, a_table_changed_by_an_operator_is_put_back)
{
  load ("devices: {a: {table: 0 8 zero}}", "0 unchanged");
  operator_loads ("a", "error");
  expect_summary ("1 changed, 0 new, 0 removed, 0 unchanged");
  expect_table ("a", "0 8 zero");
  expect_all_well ();
}

/* ------------------------------------------------------------------ */

Test (reload, a_bad_line_is_named_and_nothing_changes)
{
  load (STACK ("zero"), "3 new, 0 removed, 0 unchanged");
  refuse (STACK ("linear nowhere.img 0"), ENODEV,
          "tables.yaml:6:1: bottom: table line 2 (8 8 linear): ");
  expect_devices (3);
  expect_table ("bottom", "8 8 zero");
  expect_all_well ();
  load (STACK ("zero"), "0 changed, 0 new, 0 removed, 3 unchanged");
}

Test (reload, new_devices_go_again_if_one_of_them_cannot_be)
{
  refuse ("devices: {a: {table: 0 8 zero}, b: {table: 0 8 linear a 0},\n"
          "          c: {table: 0 8 linear}}", EINVAL,
          "tables.yaml:2:22: c: ");
  expect_devices (0);
  refuse ("devices: {a: {table: 0 8 linear b 0},\n"
          "          b: {table: 0 8 linear a 0}}", ELOOP, "tables.yaml:");
  expect_devices (0);
}

/* Limits are looked at when the devices are suspended already: a is too small
 * for b, and is swapped back.
 */
Test (reload, a_failing_swap_is_undone)
{
  load ("devices: {a: {table: 0 16 zero}, b: {table: 0 16 linear a 0}}",
        "2 new, 0 removed, 0 unchanged");
  refuse ("devices: {a: {table: 0 8 zero}, b: {table: 0 12 linear a 0},\n"
          "          c: {table: 0 8 zero}}", EINVAL, "tables.yaml:1:44: b: ");
  expect_devices (2);
  expect_table ("a", "0 16 zero");
  expect_table ("b", "0 16 linear");
  expect_all_well ();
  load ("devices: {a: {table: 0 8 zero}, b: {table: 0 8 linear a 0}}",
        "2 changed, 0 new, 0 removed, 0 unchanged");
}

Test (reload, a_bad_file_changes_nothing)
{
  load ("devices: {a: {table: 0 8 zero}}", "0 unchanged");
  refuse ("devices: {a: {tabel: 0 8 zero}}", EINVAL,
          "tables.yaml:1:15: unknown key 'tabel'");
  expect_all_well ();
}

Test (reload, the_result_can_be_asked_for_later)
{
  char *CLEANUP_FREE report = NULL;
  char *CLEANUP_FREE failed = NULL;

  cr_expect_eq (reload_status (reload, &report, &msg), -ENODATA);
  load ("devices: {a: {table: 0 8 zero}}", "0 unchanged");
  cr_expect_eq (reload_status (reload, &report, &msg), 0);
  cr_expect_str_eq (report, "create a\nload a\nswap a\nresume a\n"
                            "0 changed, 1 new, 0 removed, 0 unchanged\n");
  refuse ("rubbish", EINVAL, "tables.yaml:1:1: ");
  memset (&msg, 0, sizeof msg);
  cr_expect_eq (reload_status (reload, &failed, &msg), -EINVAL);
  cr_expect (strstr (msg.text, "tables.yaml:1:1: "));
  cr_expect (strstr (failed, "failed, nothing changed: "));
}

Test (reload, without_files_there_is_nothing_to_reload)
{
  struct reload *none = reload_new (registry, NULL);

  cr_expect_eq (reload_run (none, NULL, &msg), -ENOENT);
  reload_free (none);
}

/* ------------------------------------------------------------------
 * A reload that waits in a suspend.
 */
static void *
read_slowly (void *opaque)
{
  static char data[4096];
  struct mapped_device *md;
  struct bio bio = { .op = BIO_READ, .len = 8, .data = data };

  cr_assert_eq (dm_open (registry, "slow", &md, NULL), 0);
  bio.bdev = dm_block_device (md);
  bdev_submit (bio.bdev, &bio);
  dm_close (md);
  return NULL;
}

static void *
cancel_soon (void *opaque)
{
  nanosleep (&(struct timespec) { .tv_nsec = 200 * 1000 * 1000 }, NULL);
  reload_cancel (reload);
  return NULL;
}

Test (reload, the_end_of_the_server_breaks_it_off)
{
  pthread_t reader, canceller;

  /* suspend lets go of what delay holds, but not of what top waits for. */
  load ("devices: {slow: {table: 0 8 linear lower 0},\n"
        "          lower: {table: 0 8 delay a.img 0 2000}}", "0 unchanged");
  pthread_create (&reader, NULL, read_slowly, NULL);
  nanosleep (&(struct timespec) { .tv_nsec = 200 * 1000 * 1000 }, NULL);
  pthread_create (&canceller, NULL, cancel_soon, NULL);
  refuse ("devices: {slow: {table: 0 4 linear lower 0},\n"
          "          lower: {table: 0 8 delay a.img 0 2000}}", EINTR, "slow");
  expect_all_well ();
  pthread_join (canceller, NULL);
  pthread_join (reader, NULL);
}

/* ------------------------------------------------------------------ */

Test (reload, exports_are_described_by_the_files)
{
  char *text = NULL;

  cr_expect (reload_export (reload, "a", &text));
  load ("devices: {a: {table: 0 8 zero, description: first},\n"
        "          b: {table: 0 8 zero, export: false}}", "0 unchanged");
  cr_expect (reload_export (reload, "a", &text));
  cr_expect_str_eq (text, "first");
  free (text);
  cr_expect (!reload_export (reload, "b", &text));
  cr_expect_null (text);
  cr_expect (reload_export (reload, "of an operator", &text));
  cr_expect_null (text);
  load ("devices: {a: {table: 0 8 zero, description: second},\n"
        "          b: {table: 0 8 zero, export: false}}", "2 unchanged");
  reload_export (reload, "a", &text);
  cr_expect_str_eq (text, "second");
  free (text);
}

Test (reload, messages_that_fail_undo_nothing)
{
  char *CLEANUP_FREE report = NULL;

  tables ("devices: {a: {table: 0 8 zero, messages: [hello]}}");
  cr_assert_eq (reload_run (reload, &report, &msg), 0, "%s", msg.text);
  cr_expect (strstr (report, "message a \"hello\" failed: "), "%s", report);
  expect_all_well ();
}

#define POOL(data_kib, messages, more)                                  \
  "devices:\n"                                                          \
  "  pool: {table: 0 " data_kib " thin-pool b.img a.img 128 0,\n"       \
  "         messages: [" messages "]}\n"                                \
  "  vol1: {table: 0 8192 thin pool 1}\n" more
#define VOL2 "  vol2: {table: 0 8192 thin pool 2}\n"

/* What messages make is there before what stands on it is resumed. */
Test (reload, thins_beside_the_pool_that_they_are_made_in)
{
  load (POOL ("1024", "create_thin 1", ""),
        "0 changed, 2 new, 0 removed, 0 unchanged");
  load (POOL ("1024", "create_thin 1", ""),
        "0 changed, 0 new, 0 removed, 2 unchanged");
  load (POOL ("1024", "create_thin 1, create_thin 2", VOL2),
        "1 changed, 1 new, 0 removed, 1 unchanged");
  load (POOL ("2048", "create_thin 1, create_thin 2", VOL2),
        "1 changed, 0 new, 0 removed, 2 unchanged");
  expect_all_well ();
}

Test (reload, a_thin_that_nobody_makes)
{
  refuse (POOL ("1024", "create_thin 1", VOL2), ENODATA,
          "Couldn't open thin internal device 2");
  expect_devices (0);
}

Test (reload, a_check_formats_no_pool)
{
  char path[128], block[4096];
  FILE *fp;
  size_t i;

  tables (POOL ("1024", "create_thin 1", ""));
  cr_assert_eq (reload_check (reload, NULL, &msg), 0, "%s", msg.text);
  snprintf (path, sizeof path, "%s/b.img", folder.path);
  cr_assert_not_null (fp = fopen (path, "r"));
  cr_assert_eq (fread (block, sizeof block, 1, fp), 1);
  fclose (fp);
  for (i = 0; i < sizeof block && block[i] == 0; i++)
    ;
  cr_expect_eq (i, sizeof block);
}

Test (reload, a_check_changes_nothing)
{
  char *CLEANUP_FREE text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  tables (STACK ("zero"));
  cr_assert_eq (reload_check (reload, fp, &msg), 0, "%s", msg.text);
  fclose (fp);
  cr_expect (strstr (text, "  top:\n    table: |\n      0 8 linear bottom 8\n"),
             "%s", text);
  expect_devices (0);
}

Test (reload, a_check_finds_what_only_resume_would)
{
  tables ("devices: {a: {table: 0 8 zero}, b: {table: 0 9 linear a 0}}");
  cr_expect_eq (reload_check (reload, NULL, &msg), -EINVAL);
  cr_expect (strstr (msg.text, "tables.yaml:1:44: b: "), "%s", msg.text);
}

Test (reload, a_dump_of_the_live_state_reads_back)
{
  char *CLEANUP_FREE first = NULL;
  char *CLEANUP_FREE second = NULL;

  load ("backings: {x: {file: a.img, offset: 512}}\n"
        "devices: {a: {table: 0 8 linear x 0, uuid: u, readonly: true,\n"
        "              description: d, export: false},\n"
        "          b: {table: 0 8 linear b.img 0}}", "0 unchanged");
  operator_loads ("b", "error");
  cr_assert_eq (reload_dump (reload, &first), 0);
  cr_expect (strstr (first, "0 8 error"));
  cr_expect (strstr (first, "uuid: \"u\"") && strstr (first, "\"d\""));
  load (first, "0 changed, 0 new, 0 removed, 2 unchanged");
  cr_assert_eq (reload_dump (reload, &second), 0);
  cr_expect_str_eq (first, second);
}

static void *
ask_exports (void *opaque)
{
  char *text;
  int i;

  for (i = 0; i < 10000; i++) {
    reload_export (reload, "top", &text);
    free (text);
  }
  return NULL;
}

static void *
reload_often (void *opaque)
{
  int i;

  for (i = 0; i < 50; i++)
    cr_expect_eq (reload_run (reload, NULL, NULL), 0);
  return NULL;
}

Test (reload, reloads_take_turns)
{
  pthread_t threads[4];
  int i;

  load (STACK ("zero"), "0 unchanged");
  for (i = 0; i < 4; i++)
    pthread_create (&threads[i], NULL, i < 2 ? reload_often : ask_exports,
                    NULL);
  for (i = 0; i < 50; i++) {
    tables (i % 2 ? STACK ("zero") : STACK ("error"));
    reload_run (reload, NULL, NULL);
  }
  for (i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  expect_devices (3);
  expect_all_well ();
}
