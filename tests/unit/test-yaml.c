/* SPDX-License-Identifier: BSD-3-Clause */
/* Table files to configs and back.  What is refused: test-errors.c. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "config/config.h"
#include "tests/lib/folder.h"

static struct folder folder;
static struct message msg;

static void
setup (void)
{
  folder_make (&folder);
}

static void
teardown (void)
{
  folder_remove (&folder);
}

TestSuite (yaml, .init = setup, .fini = teardown);

static struct config *
read_path (const char *path)
{
  struct config *config = NULL;

  cr_assert_eq (config_read (path, &config, &msg), 0, "%s", msg.text);
  return config;
}

static struct config *
read_text (const char *text)
{
  return read_path (folder_write (&folder, "t.yaml", text));
}

static int
refuse (const char *path)
{
  struct config *config = NULL;
  int r = config_read (path, &config, &msg);

  cr_assert_lt (r, 0);
  cr_assert_null (config);
  return r;
}

Test (yaml, everything_the_schema_knows)
{
  struct config *c = read_text (
    "backings:\n"
    "  window: {file: /d.img, offset: 512, size: 1024, direct: true}\n"
    "  remote: {nbd: 'nbd://h', readonly: true, connections: 4,\n"
    "           reconnect: 30, timeout: 5}\n"
    "devices:\n"
    "  a: {uuid: LVM-1, description: first, readonly: true,\n"
    "      export: false, table: 0 8 zero, messages: [one, two]}\n");
  const struct config_backing *b = c->backings;
  const struct config_device *d = c->devices;

  cr_assert_eq (c->nr_backings, 2);
  cr_expect_str_eq (b[0].name, "window");
  cr_expect_str_eq (b[0].target, "/d.img");
  cr_expect (!b[0].is_nbd && b[0].direct && !b[0].readonly);
  cr_expect (b[0].offset_bytes == 512 && b[0].size_bytes == 1024);
  cr_expect_str_eq (b[1].target, "nbd://h");
  cr_expect (b[1].is_nbd && b[1].readonly && b[1].connections == 4);
  cr_expect (b[1].reconnect == 30 && b[1].timeout == 5);

  cr_assert_eq (c->nr_devices, 1);
  cr_expect_str_eq (d->uuid, "LVM-1");
  cr_expect_str_eq (d->description, "first");
  cr_expect (d->readonly && !d->export);
  cr_expect_str_eq (d->base_dir, folder.path);
  cr_assert_eq (d->nr_messages, 2);
  cr_expect_str_eq (d->messages[1], "two");
  config_free (c);
}

Test (yaml, defaults)
{
  struct config *c = read_text ("devices: {a: {table: 0 8 zero}}");
  const struct config_device *d = c->devices;

  cr_expect_str_eq (d->uuid, "");
  cr_expect_str_eq (d->description, "");
  cr_expect (!d->readonly && d->export && d->nr_messages == 0);
  config_free (c);
}

Test (yaml, table_lines_know_where_they_stood)
{
  struct config *c = read_text (
    "devices:\n"
    "  block:\n"
    "    table: |\n"
    "\n"
    "      # a comment\n"
    "      0 8 linear fast 0   # the first\n"
    "      8 16   error\n"
    "  list:\n"
    "    table: [ 0 8 zero,\n"
    "             \"8 8 zero\" ]\n");
  const struct config_line *line = c->devices[0].lines;

  cr_assert_eq (c->devices[0].nr_lines, 2);
  cr_expect (line[0].start == 0 && line[0].len == 8);
  cr_expect_str_eq (line[0].type, "linear");
  cr_expect_str_eq (line[0].params, "fast 0");
  cr_expect_eq (line[0].mark.line, 6);
  cr_expect (line[1].start == 8 && line[1].len == 16);
  cr_expect_str_eq (line[1].params, "");
  cr_expect_eq (line[1].mark.line, 7);

  line = c->devices[1].lines;
  cr_assert_eq (c->devices[1].nr_lines, 2);
  cr_expect (line[0].mark.line == 9 && line[0].mark.column == 14);
  cr_expect (line[1].mark.line == 10 && line[1].mark.column == 14);
  config_free (c);
}

/* ------------------------------------------------------------------
 * Snapshots.
 */

static void
expect_expanded (const char *text, const char *expected)
{
  struct config *c = read_text (text);
  char *CLEANUP_FREE out = NULL;
  size_t len;
  FILE *fp = open_memstream (&out, &len);

  cr_assert_eq (config_write (c, fp), 0);
  fclose (fp);
  cr_expect_str_eq (out, expected);
  config_free (c);
}

Test (yaml, snapshots_of_a_single_linear_line)
{
  expect_expanded (
    "devices:\n"
    "  disk:\n"
    "    snapshots:\n"
    "      monday: {cow: my cow, chunk: 65536, description: old,\n"
    "               allow: []}\n"
    "      sunday:\n"
    "    allow: [{uid: 7}]\n"
    "    table: 0 80 linear my\\ disk  0\n",
    "devices:\n"
    "  disk:\n"
    "    allow:\n"
    "    - uid: 7\n"
    "    table: |\n"
    "      0 80 snapshot-origin my\\ disk\n"
    "  monday:\n"
    "    description: \"old\"\n"
    "    allow: []\n"
    "    table: |\n"
    "      0 80 snapshot my\\ disk my\\ cow P 128\n"
    "  sunday:\n"
    "    allow:\n"
    "    - uid: 7\n"
    "    table: |\n"
    "      0 80 snapshot my\\ disk sunday.cow P 8\n");
}

Test (yaml, snapshots_of_another_table)
{
  expect_expanded (
    "devices:\n"
    "  d:\n"
    "    readonly: true\n"
    "    table: [0 8 linear a 8, 8 8 zero]\n"
    "    messages: [hello]\n"
    "    snapshots: {s: {export: false}}\n"
    "  after: {table: 0 8 zero}\n",
    "devices:\n"
    "  d:\n"
    "    readonly: true\n"
    "    table: |\n"
    "      0 16 snapshot-origin d-real\n"
    "  after:\n"
    "    table: |\n"
    "      0 8 zero\n"
    "  d-real:\n"
    "    readonly: true\n"
    "    export: false\n"
    "    table: |\n"
    "      0 8 linear a 8\n"
    "      8 8 zero\n"
    "    messages:\n"
    "    - \"hello\"\n"
    "  s:\n"
    "    export: false\n"
    "    table: |\n"
    "      0 16 snapshot d-real s.cow P 8\n");
}

Test (yaml, snapshots_of_what_is_an_origin_already)
{
  expect_expanded (
    "devices: {o: {table: 0 8 snapshot-origin a, snapshots: {s: }}}\n",
    "devices:\n"
    "  o:\n"
    "    table: |\n"
    "      0 8 snapshot-origin a\n"
    "  s:\n"
    "    table: |\n"
    "      0 8 snapshot a s.cow P 8\n");
}

Test (yaml, aliases_stand_for_their_anchor)
{
  struct config *c = read_text (
    "devices:\n"
    "  a: &a {table: &t [0 8 zero]}\n"
    "  b: *a\n"
    "  c: {table: *t}\n");

  cr_assert_eq (c->nr_devices, 3);
  cr_expect_str_eq (c->devices[1].lines[0].type, "zero");
  cr_expect_str_eq (c->devices[2].lines[0].type, "zero");
  config_free (c);
}

Test (yaml, files_without_content_are_empty_configs)
{
  static const char *const texts[] = { "", "# only a comment\n", "---\n",
                                       "devices:\nbackings:\n",
                                       "devices: {}\n" };
  struct config *c;
  size_t i;

  for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    c = read_text (texts[i]);
    cr_expect (c->nr_devices == 0 && c->nr_backings == 0, "%s", texts[i]);
    config_free (c);
  }
}

Test (yaml, a_folder_is_its_yaml_files_in_lexical_order)
{
  struct config *c;

  folder_write (&folder, "20-b.yaml", "devices: {b: {table: 0 8 zero}}");
  folder_write (&folder, "10-z.yaml", "devices: {z: {table: 0 8 zero}}");
  folder_write (&folder, ".hidden.yaml", "rubbish");
  folder_write (&folder, "30-c.yaml.bak", "rubbish");
  c = read_path (folder.path);
  cr_assert_eq (c->nr_files, 2);
  cr_assert_eq (c->nr_devices, 2);
  cr_expect_str_eq (c->devices[0].name, "z");
  cr_expect_str_eq (c->devices[1].name, "b");
  config_free (c);
}

Test (yaml, a_name_in_two_files_is_refused_naming_both)
{
  char expected[256];

  folder_write (&folder, "1.yaml", "devices: {a: {table: 0 8 zero}}");
  folder_write (&folder, "2.yaml", "devices:\n  a: {table: 0 8 zero}");
  cr_assert_eq (refuse (folder.path), -EINVAL);
  snprintf (expected, sizeof expected,
            "%s/2.yaml:2:3: device 'a' is used already by the device at "
            "%s/1.yaml:1:11", folder.path, folder.path);
  cr_assert_str_eq (msg.text, expected);
}

Test (yaml, relative_files_of_backings_start_at_the_folder)
{
  struct config *c = read_text ("backings: {a: {file: sub/a.img}}");
  char expected[128];

  snprintf (expected, sizeof expected, "%s/sub/a.img", folder.path);
  cr_assert_str_eq (c->backings[0].target, expected);
  config_free (c);
}

Test (yaml, what_cannot_be_read_is_named)
{
  char path[128];

  snprintf (path, sizeof path, "%s/none.yaml", folder.path);
  cr_expect_eq (refuse (path), -ENOENT);
  cr_expect (strstr (msg.text, "none.yaml: No such file"));
}

Test (yaml, a_fifo_is_refused_and_does_not_hang)
{
  char path[128];

  snprintf (path, sizeof path, "%s/fifo.yaml", folder.path);
  cr_assert_eq (mkfifo (path, 0600), 0);
  cr_expect_eq (refuse (path), -EINVAL);
}

Test (yaml, a_huge_file_is_refused)
{
  cr_expect_eq (refuse (folder_sparse (&folder, "huge.yaml", 17 << 20)),
                -EFBIG);
}

/* ------------------------------------------------------------------ */

static void
expect_equal_devices (const struct config_device *a,
                      const struct config_device *b)
{
  size_t i;

  cr_expect_str_eq (a->name, b->name);
  cr_expect_str_eq (a->uuid, b->uuid);
  cr_expect_str_eq (a->description, b->description);
  cr_expect (a->readonly == b->readonly && a->export == b->export);
  cr_assert_eq (a->nr_lines, b->nr_lines);
  for (i = 0; i < a->nr_lines; i++) {
    cr_expect_eq (a->lines[i].start, b->lines[i].start);
    cr_expect_eq (a->lines[i].len, b->lines[i].len);
    cr_expect_str_eq (a->lines[i].type, b->lines[i].type);
    cr_expect_str_eq (a->lines[i].params, b->lines[i].params);
  }
  cr_assert_eq (a->nr_messages, b->nr_messages);
  for (i = 0; i < a->nr_messages; i++)
    cr_expect_str_eq (a->messages[i], b->messages[i]);
}

static char *
written (const struct config *config)
{
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  cr_assert_eq (config_write (config, fp), 0);
  fclose (fp);
  return text;
}

Test (yaml, what_is_written_reads_back_equal)
{
  struct config *a = read_text (
    "backings:\n"
    "  true: {file: 'with: colon', readonly: true, offset: 512}\n"
    "  up: {nbd: 'nbd://h', connections: 2, reconnect: 3, timeout: 4}\n"
    "devices:\n"
    "  'no': {uuid: '12', description: \"two\\nlines # é \\x07\",\n"
    "         readonly: true, table: [0 8 zero, '8 8 linear a\\b: 0']}\n"
    "  '- x': {export: false, table: 0 8 zero, messages: ['@a: 1', 'yes']}\n");
  char *CLEANUP_FREE text = written (a);
  struct config *b = read_text (text);
  char *CLEANUP_FREE again = written (b);

  cr_assert_eq (b->nr_devices, 2);
  expect_equal_devices (&a->devices[0], &b->devices[0]);
  expect_equal_devices (&a->devices[1], &b->devices[1]);
  cr_expect_str_eq (b->backings[0].target, a->backings[0].target);
  cr_expect_str_eq (text, again);
  config_free (a);
  config_free (b);
}

Test (yaml, tables_are_written_as_dmsetup_text)
{
  struct config *c = read_text ("devices: {a: {table: [0 8 zero, 8 8 error]}}");
  char *CLEANUP_FREE text = written (c);

  cr_assert_str_eq (text,
                    "devices:\n"
                    "  a:\n"
                    "    table: |\n"
                    "      0 8 zero\n"
                    "      8 8 error\n");
  config_free (c);
}

Test (yaml, an_empty_config_is_written_as_one)
{
  struct config c = { 0 };
  char *CLEANUP_FREE text = written (&c);

  cr_assert_str_eq (text, "devices: {}\n");
}

Test (yaml, a_name_that_is_not_utf_8_cannot_be_written)
{
  struct config_line line = { .len = 8, .type = "zero", .params = "" };
  struct config_device d = { .name = "\xff", .uuid = "", .description = "",
                             .lines = &line, .nr_lines = 1 };
  struct config c = { .devices = &d, .nr_devices = 1 };
  FILE *CLEANUP_FCLOSE fp = fopen ("/dev/null", "w");

  cr_assert_eq (config_write (&c, fp), -EILSEQ);
}

Test (yaml, a_full_disk_is_noticed)
{
  struct config c = { 0 };
  FILE *CLEANUP_FCLOSE fp = fopen ("/dev/full", "w");

  cr_assert_eq (config_write (&c, fp), -EIO);
}

/* ------------------------------------------------------------------ */

static int
parse (const char *text, struct config_line *line)
{
  static char buf[256];

  strcpy (buf, text);
  memset (&msg, 0, sizeof msg);
  return config_parse_line (buf, line, &msg);
}

Test (lines, blank_and_comment_lines_are_none)
{
  struct config_line line;

  cr_expect_eq (parse ("", &line), 0);
  cr_expect_eq (parse (" \t ", &line), 0);
  cr_expect_eq (parse ("  # 0 8 zero", &line), 0);
}

Test (lines, four_parts)
{
  struct config_line line;

  cr_assert_eq (parse ("\t007 18446744073709551615 linear  a  b\\ # c # d ",
                       &line), 1);
  cr_expect (line.start == 7 && line.len == UINT64_MAX);
  cr_expect_str_eq (line.type, "linear");
  cr_expect_str_eq (line.params, "a  b\\");
}

Test (lines, rubbish_is_refused_with_a_reason)
{
  static const char *const bad[] = { "0", "0 8", "x 8 zero", "-1 8 zero",
                                     "0 0x8 zero", "0 8k zero",
                                     "0 18446744073709551616 zero" };
  struct config_line line;
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    cr_expect_eq (parse (bad[i], &line), -EINVAL, "%s", bad[i]);
    cr_expect (message_is_set (&msg), "%s", bad[i]);
  }
}
