/* SPDX-License-Identifier: BSD-3-Clause */
/* Records in replies, honest and hostile. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "clients/reply.h"

/* A reply with n bytes of records. */
static union {
  struct dm_ioctl header;
  char bytes[2048];
} buffer;

static char *const records = (char *) (&buffer.header + 1);

static struct call
reply_of (size_t n)
{
  buffer.header.data_start = sizeof buffer.header;
  return (struct call) { .reply = &buffer.header,
                         .reply_bytes = sizeof buffer.header + n };
}

static void
put_name (size_t at, uint64_t dev, uint32_t next, const char *name)
{
  memcpy (records + at, &dev, sizeof dev);
  memcpy (records + at + 8, &next, sizeof next);
  strcpy (records + at + 12, name);
}

static void
put_target (size_t at, uint32_t next, const char *type, const char *text)
{
  struct dm_target_spec spec = { .sector_start = at, .length = 8,
                                 .next = next };

  memcpy (spec.target_type, type, strlen (type));
  memcpy (records + at, &spec, sizeof spec);
  strcpy (records + at + sizeof spec, text);
}

/* Names until the walk ends; returns how it ended. */
static int
walk_names (size_t bytes, int *count)
{
  struct call call = reply_of (bytes);
  struct reply_walk walk = reply_walk (&call);
  struct reply_name name;
  int r;

  for (*count = 0; (r = reply_next_name (&walk, &name)) > 0; ++*count)
    cr_assert_lt (*count, 100);
  return r;
}

Test (reply, names_follow_next)
{
  struct call call = reply_of (40);
  struct reply_walk walk = reply_walk (&call);
  struct reply_name name;

  put_name (0, 5, 24, "a");
  put_name (24, 6, 0, "b");
  cr_assert_eq (reply_next_name (&walk, &name), 1);
  cr_assert_str_eq (name.name, "a");
  cr_assert_eq (reply_next_name (&walk, &name), 1);
  cr_assert_str_eq (name.name, "b");
  cr_assert_eq (name.dev, 6);
  cr_assert_eq (reply_next_name (&walk, &name), 0);
}

Test (reply, an_empty_list_has_no_record_or_device_0)
{
  int count;

  cr_assert_eq (walk_names (0, &count), 0);
  cr_assert_eq (count, 0);
  put_name (0, 0, 0, "");
  cr_assert_eq (walk_names (16, &count), 0);
  cr_assert_eq (count, 0);
}

Test (reply, a_next_beyond_the_end_is_refused)
{
  int count;

  put_name (0, 5, 4000, "a");
  cr_assert_eq (walk_names (40, &count), -EPROTO);
  put_name (0, 5, UINT32_MAX, "a");
  cr_assert_eq (walk_names (40, &count), -EPROTO);
}

Test (reply, a_record_that_is_cut_is_refused)
{
  int count;

  put_name (0, 5, 32, "a");
  cr_assert_eq (walk_names (40, &count), -EPROTO);
  cr_assert_eq (count, 1);
}

Test (reply, a_string_without_its_end_is_refused)
{
  int count;

  put_name (0, 5, 0, "abc");
  cr_assert_eq (walk_names (15, &count), -EPROTO);
  cr_assert_eq (walk_names (12, &count), -EPROTO);
  cr_assert_eq (walk_names (16, &count), 0);
  cr_assert_eq (count, 1);
}

Test (reply, targets_count_next_from_the_first)
{
  struct call call = reply_of (144);
  struct reply_target target;
  struct reply_walk walk;

  buffer.header.target_count = 3;
  put_target (0, 48, "linear", "1:0 0");
  put_target (48, 96, "a-sixteen-letter", "");
  put_target (96, 0, "zero", "");
  walk = reply_walk_targets (&call);
  cr_assert_eq (reply_next_target (&walk, &target), 1);
  cr_assert_str_eq (target.text, "1:0 0");
  cr_assert_eq (reply_next_target (&walk, &target), 1);
  cr_assert_str_eq (target.type, "a-sixteen-letter");
  cr_assert_eq (reply_next_target (&walk, &target), 1);
  cr_assert_str_eq (target.type, "zero");
  cr_assert_eq (reply_next_target (&walk, &target), 0);
}

Test (reply, a_walk_back_is_refused)
{
  struct call call = reply_of (96);
  struct reply_target target;
  struct reply_walk walk;

  buffer.header.target_count = UINT32_MAX;
  put_target (0, 48, "zero", "");
  put_target (48, 48, "zero", "");
  walk = reply_walk_targets (&call);
  cr_assert_eq (reply_next_target (&walk, &target), 1);
  cr_assert_eq (reply_next_target (&walk, &target), -EPROTO);
}

Test (reply, more_targets_than_there_are_is_refused)
{
  struct call call = reply_of (0);
  struct reply_target target;
  struct reply_walk walk;

  buffer.header.target_count = 1;
  walk = reply_walk_targets (&call);
  cr_assert_eq (reply_next_target (&walk, &target), -EPROTO);
}

Test (reply, a_start_outside_the_reply_has_no_records)
{
  struct call call = reply_of (16);
  struct reply_name name;
  struct reply_walk walk;

  put_name (0, 5, 0, "a");
  for (uint32_t start = 0; start < 305; start += 61) {
    buffer.header.data_start = start;
    walk = reply_walk (&call);
    cr_assert_eq (reply_next_name (&walk, &name), 0);
  }
  buffer.header.data_start = UINT32_MAX;
  walk = reply_walk (&call);
  cr_assert_eq (reply_next_name (&walk, &name), 0);
}

Test (reply, dependencies_are_as_many_as_counted)
{
  struct call call = reply_of (24);
  struct reply_walk walk = reply_walk (&call);
  uint64_t deps[3] = { 2, 0x101, 0x102 }, dev;
  uint32_t count;

  memcpy (records, deps, sizeof deps);
  cr_assert_eq (reply_deps_count (&walk, &count), 0);
  cr_assert_eq (count, 2);
  cr_assert_eq (reply_next_dep (&walk, &dev), 1);
  cr_assert_eq (reply_next_dep (&walk, &dev), 1);
  cr_assert_eq (dev, 0x102);
  cr_assert_eq (reply_next_dep (&walk, &dev), 0);

  records[0] = 3;
  walk = reply_walk (&call);
  cr_assert_eq (reply_deps_count (&walk, &count), 0);
  reply_next_dep (&walk, &dev);
  reply_next_dep (&walk, &dev);
  cr_assert_eq (reply_next_dep (&walk, &dev), -EPROTO);
}

Test (reply, no_table_has_no_dependencies)
{
  struct call call = reply_of (0);
  struct reply_walk walk = reply_walk (&call);
  uint64_t dev;
  uint32_t count = 7;

  cr_assert_eq (reply_deps_count (&walk, &count), 0);
  cr_assert_eq (count, 0);
  cr_assert_eq (reply_next_dep (&walk, &dev), 0);
}

Test (reply, a_message_answers_only_if_it_says_so)
{
  struct call call = reply_of (4);

  strcpy (records, "yes");
  cr_assert_str_eq (reply_text (&call), "");
  buffer.header.flags = DM_DATA_OUT_FLAG;
  cr_assert_str_eq (reply_text (&call), "yes");
  call.reply_bytes--;
  cr_assert_str_eq (reply_text (&call), "");
}
