/* SPDX-License-Identifier: BSD-3-Clause */
/* What a word in a table means, and what a table has open. */

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/lib/fixture.h"
#include "tests/lib/memdev.h"

static struct fixture f;
static struct memdev *a, *b;
static struct mapped_device *lower; /* "lower" of the registry */
static char folder[PATH_MAX];       /* with disk.img and sub/disk.img */

static void
make_file (const char *name)
{
  char path[PATH_MAX + 64];
  int fd;

  snprintf (path, sizeof path, "%s/%s", folder, name);
  fd = open (path, O_WRONLY | O_CREAT, 0600);
  cr_assert (fd >= 0 && ftruncate (fd, 1 << 20) == 0);
  close (fd);
}

static void
setup (void)
{
  char template[] = "/tmp/nbdm-test-XXXXXX", path[PATH_MAX + 64];

  cr_assert (mkdtemp (template) && realpath (template, folder));
  snprintf (path, sizeof path, "%s/sub", folder);
  cr_assert_eq (mkdir (path, 0700), 0);
  make_file ("disk.img");
  make_file ("sub/disk.img");

  fixture_start (&f);
  cr_assert_eq (registry_create (f.registry, "lower", "", UINT32_MAX, &lower,
                                 NULL), 0);
  a = memdev_add ("a", 4096);
  b = memdev_add ("b", 4096);
}

static void
teardown (void)
{
  static const char *const names[] = { "sub/disk.img", "disk.img", "sub",
                                       "" };
  char path[PATH_MAX + 64];
  size_t i;

  md_put (lower);
  fixture_stop (&f);
  memdev_remove (a);
  memdev_remove (b);
  for (i = 0; i < 4; i++) {
    snprintf (path, sizeof path, "%s/%s", folder, names[i]);
    cr_expect_eq (remove (path), 0, "%s", path);
  }
}

TestSuite (dm_dev, .init = setup, .fini = teardown);

/* Load linear tables, one line per word, NULL at the end. */
static int
load_words (const char *const words[])
{
  char text[8 * PATH_MAX] = "";
  unsigned i;

  for (i = 0; words[i]; i++)
    sprintf (text + strlen (text), "%u 8 linear %s 0\n", i * 8, words[i]);
  return fixture_load (&f, text);
}

#define WORDS(...) ((const char *const []) { __VA_ARGS__, NULL })

static struct block_device *
device_of (unsigned index)
{
  struct bio bio = { .op = BIO_FLUSH };

  f.table->targets[index]->type->map (f.table->targets[index], &bio);
  return bio.bdev;
}

static void
expect_word (const char *word, const char *printed)
{
  char *CLEANUP_FREE text = NULL;
  char expected[PATH_MAX + 64];

  cr_assert_eq (load_words (WORDS (word)), 0, "%s", f.msg.text);
  text = fixture_status (&f, 0, DM_STATUS_TABLE);
  snprintf (expected, sizeof expected, "%s 0", printed);
  cr_expect_str_eq (text, expected);
}

static void
expect_no_device (const char *word, int err, const char *why)
{
  char expected[200];

  cr_expect_eq (load_words (WORDS (word)), -err, "%s", word);
  snprintf (expected, sizeof expected, "vol: table line 1 (0 8 linear): "
            "Device lookup failed: %s", why);
  cr_expect_str_eq (f.msg.text, expected);
}

/* ------------------------------------------------------------------
 * Words.
 */

Test (dm_dev, a_name_of_the_registry)
{
  expect_word ("lower", "lower");
  cr_assert_eq (device_of (0), &lower->bdev);
  expect_word ("/dev/mapper/lower", "lower");
  cr_assert_eq (device_of (0), &lower->bdev);
  expect_no_device ("/dev/mapper/nosuch", ENODEV,
                    "no device 'nosuch' in the registry");
}

Test (dm_dev, a_number_of_the_registry)
{
  char word[32];

  sprintf (word, "%u:%u", DM_BLOCK_MAJOR, lower->minor);
  expect_word (word, "lower");
  cr_assert_eq (device_of (0), &lower->bdev);
  expect_no_device ("600:77", ENXIO, "no device has the number 600:77");
}

Test (dm_dev, a_number_of_an_open_device)
{
  char word[32];

  sprintf (word, "%u:%u", b->bdev.number >> 20, b->bdev.number & 0xfffff);
  expect_word (word, "b");
  expect_no_device ("601:77", ENXIO,
                    "no device with the number 601:77 is open");
}

Test (dm_dev, other_numbers)
{
  expect_no_device ("8:0", ENXIO, "no device has the number 8:0");
  expect_no_device ("4096:0", EOVERFLOW, "'4096:0' is not a device number");
  expect_no_device ("0:1048576", EOVERFLOW,
                    "'0:1048576' is not a device number");
  expect_no_device ("99999999999999999999:0", EOVERFLOW,
                    "'99999999999999999999:0' is not a device number");
  expect_no_device ("8:", ENODEV, "'8:': no such backing or device");
  expect_no_device ("8:0x", ENODEV, "'8:0x': no such backing or device");
}

Test (dm_dev, spellings_of_a_path_are_one_device)
{
  char path[PATH_MAX + 64], other[PATH_MAX + 64];

  snprintf (path, sizeof path, "%s/disk.img", folder);
  snprintf (other, sizeof other, "%s/sub/..//disk.img", folder);
  expect_word (other, path);
  cr_assert_eq (load_words (WORDS (path, other)), 0, "%s", f.msg.text);
  cr_assert_eq (device_of (0), device_of (1));
}

Test (dm_dev, a_path_that_leads_nowhere)
{
  cr_assert_eq (load_words (WORDS ("/nonexistent/x")), -ENODEV);
  cr_assert (strstr (f.msg.text, "Device lookup failed: "));
  cr_assert (strstr (f.msg.text, "/nonexistent/x"));
}

Test (dm_dev, relative_paths_start_from_the_file_of_the_table)
{
  char path[PATH_MAX + 64];

  expect_no_device ("sub/disk.img", ENODEV, "'sub/disk.img' is a relative "
                    "path, but the table is from no file");
  expect_no_device ("disk.img", ENODEV,
                    "'disk.img': no such backing or device");
  f.lookup.base_dir = folder;
  snprintf (path, sizeof path, "%s/sub/disk.img", folder);
  expect_word ("sub/disk.img", path);
  expect_word ("./sub/disk.img", path);
  snprintf (path, sizeof path, "%s/disk.img", folder);
  expect_word ("disk.img", path);
  expect_no_device ("nosuch", ENODEV,
                    "'nosuch': no such backing, device or file");
  cr_assert_eq (load_words (WORDS ("sub/nosuch")), -ENODEV);
}

Test (dm_dev, a_device_comes_before_a_file_of_the_same_name)
{
  char path[PATH_MAX + 64];

  f.lookup.base_dir = folder;
  make_file ("lower");
  expect_word ("lower", "lower");
  cr_assert_eq (device_of (0), &lower->bdev);
  snprintf (path, sizeof path, "%s/lower", folder);
  expect_word ("./lower", path);
  cr_assert_eq (remove (path), 0);
}

Test (dm_dev, an_upstream_that_does_not_answer_is_named)
{
  static const char uri[] = "nbd+unix:///?socket=/nonexistent/nbd.sock";

  cr_assert_lt (load_words (WORDS (uri)), 0);
  cr_assert (strstr (f.msg.text, "Device lookup failed: "));
}

/* A set with the one backing NAME for FILE of the folder. */
static struct dm_backings *
make_backings (const char *name, const char *file)
{
  struct dm_backings *set = calloc (1, sizeof *set);

  set->refs = 1;
  set->nr = 1;
  set->list = calloc (1, sizeof *set->list);
  set->list[0].name = strdup (name);
  cr_assert_gt (asprintf (&set->list[0].target, "%s/%s", folder, file), 0);
  return set;
}

Test (dm_dev, backings_of_the_table_come_before_those_of_the_registry)
{
  struct dm_backings *own = make_backings ("fast", "sub/disk.img");

  own->list[0].options.size_bytes = 8 * SECTOR_SIZE;
  registry_set_backings (f.registry, make_backings ("fast", "disk.img"));
  expect_word ("fast", "fast");
  cr_expect_eq (bdev_size (device_of (0)), (1 << 20) / SECTOR_SIZE);
  f.lookup.backings = own;
  expect_word ("fast", "fast");
  cr_expect_eq (bdev_size (device_of (0)), 8);
  dm_backings_put (own);
}

Test (dm_dev, a_backing_comes_before_a_device)
{
  registry_set_backings (f.registry, make_backings ("lower", "disk.img"));
  expect_word ("lower", "lower");
  cr_assert_neq (device_of (0), &lower->bdev);
  expect_word ("/dev/mapper/lower", "/dev/mapper/lower");
  cr_assert_eq (device_of (0), &lower->bdev);
}

/* ------------------------------------------------------------------
 * Printing.
 */

static void
expect_name (const char *name, const char *word)
{
  struct mapped_device *md;

  cr_assert_eq (registry_create (f.registry, name, "", UINT32_MAX, &md, NULL),
                0);
  expect_word (word, word);
  cr_expect_eq (device_of (0), &md->bdev);
  md_put (md);
}

Test (dm_dev, names_are_printed_so_that_they_are_read_back)
{
  expect_name ("with blank", "with\\ blank");
  expect_name ("back\\slash", "back\\\\slash");
  expect_name ("8:0", "/dev/mapper/8:0");
  expect_name ("nbd:x", "/dev/mapper/nbd:x");
}

/* ------------------------------------------------------------------
 * What a table has open.
 */

static void
count_device (struct dm_dev *dev, void *opaque)
{
  char *names = opaque;

  strcat (names, dev->bdev->name ? dev->bdev->name : "lower");
  strcat (names, " ");
}

Test (dm_dev, each_device_once_newest_first)
{
  char names[100] = "";

  cr_assert_eq (load_words (WORDS ("a", "b", "a", "lower", "lower", "b")), 0);
  table_for_each_device (f.table, count_device, names);
  cr_assert_str_eq (names, "lower b a ");
  cr_assert_eq (lower->open_count, 1);
}

Test (dm_dev, what_a_failed_line_had_opened_is_closed)
{
  cr_assert_eq (fixture_load (&f, "0 16 striped 2 8 lower 0 nosuch 0"),
                -ENODEV);
  cr_assert_eq (lower->open_count, 0);
}

Test (dm_dev, a_device_cannot_stand_on_itself)
{
  cr_assert_eq (load_words (WORDS ("vol")), -ELOOP);
  cr_assert (strstr (f.msg.text, "Device lookup failed: "));
}

Test (dm_dev, a_readonly_table_opens_readonly)
{
  char text[PATH_MAX + 64];

  snprintf (text, sizeof text, "0 8 linear %s/disk.img 0", folder);
  cr_assert_eq (fixture_load_readonly (&f, text), 0, "%s", f.msg.text);
  cr_assert (device_of (0)->readonly);
  cr_assert_eq (fixture_load (&f, text), 0, "%s", f.msg.text);
  cr_assert_not (device_of (0)->readonly);
}

Test (dm_dev, a_readonly_backing_takes_a_writable_table)
{
  struct dm_backings *set = make_backings ("fast", "disk.img");

  set->list[0].options.readonly = true;
  registry_set_backings (f.registry, set);
  cr_assert_eq (load_words (WORDS ("fast")), 0, "%s", f.msg.text);
  cr_assert (device_of (0)->readonly);
}

static void
expect_mode (struct dm_dev *dev, bool writable)
{
  cr_expect_eq (dev->bdev->readonly, !writable);
}

Test (dm_dev, a_target_may_want_another_mode_than_its_table)
{
  char text[PATH_MAX + 64], *word = text + strlen ("0 8 linear ");
  struct dm_dev *dev;

  snprintf (text, sizeof text, "0 8 linear %s/disk.img 0", folder);
  cr_assert_eq (fixture_load (&f, text), 0, "%s", f.msg.text);
  snprintf (text, sizeof text, "0 8 linear %s/disk.img", folder);
  cr_assert_eq (dm_get_device_for (f.table->targets[0], word, false, &dev), 0);
  expect_mode (dev, false);
  cr_assert (bdev_same (dev->bdev, device_of (0)));
  cr_assert_eq (dm_get_device_for (f.table->targets[0], word, true, &dev), 0);
  expect_mode (dev, true);
  cr_assert_eq (dev->bdev, device_of (0));
}

Test (dm_dev, a_target_knows_the_size_of_the_table)
{
  cr_assert_eq (load_words (WORDS ("a", "b", "a")), 0);
  cr_assert_eq (dm_target_table_size (f.table->targets[1]), 24);
}
