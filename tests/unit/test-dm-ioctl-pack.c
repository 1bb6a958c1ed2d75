/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface: the records of its replies, byte by byte. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/dm-ioctl-pack.h"
#include "server/edge.h"
#include "tests/lib/ioctl.h"
#include "tests/lib/request.h"

#define HEADER_SIZE sizeof (struct dm_ioctl)

TestSuite (dm_ioctl_pack, .init = ioctl_setup, .fini = ioctl_teardown);

Test (dm_ioctl_pack, the_room_for_one_error_target_is_360_bytes)
{
  static const struct {
    size_t size;
    uint32_t data_size;
    bool full;
  } cases[] = {
    { 305, 305, true }, { 312, 305, true }, { 313, 305, true },
    { 352, 305, true }, { 353, 305, true }, { 354, 353, true },
    { 355, 353, true }, { 356, 353, true }, { 357, 353, true },
    { 358, 353, true }, { 359, 353, true }, { 360, 353, false },
    { 361, 353, false },
  };
  size_t i;

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dm_ioctl *request = request_new (cases[i].size, "a");
    bool full;

    cr_expect_eq (ioctl_run (DM_TABLE_STATUS_CMD, request), 0);
    full = request->flags & DM_BUFFER_FULL_FLAG;
    cr_expect_eq (full, cases[i].full, "%zu", cases[i].size);
    cr_expect_eq (request->data_size, cases[i].data_size, "%zu: %u",
                  cases[i].size, request->data_size);
    cr_expect_eq (request->target_count, 1);
    cr_expect_eq (request->data_start, 312);
    free (request);
  }
}

Test (dm_ioctl_pack, next_counts_from_this_spec_in_and_the_first_one_out)
{
  struct dm_ioctl *request = request_new (1024, "a");
  struct dm_target_spec *spec = request_data (request);

  ioctl_create ("a", "");
  ioctl_activate ("a", 3); /* built with next relative to each */
  cr_assert_eq (ioctl_run (DM_TABLE_STATUS_CMD, request), 0);
  cr_assert_eq (request->target_count, 3);
  cr_assert_eq (request->data_size, 312 + 2 * 48 + 41);
  cr_assert_eq (spec[0].next, 48);
  spec = (void *) ((char *) request_data (request) + 48);
  cr_assert_eq (spec->next, 96);
  cr_assert_eq (spec->sector_start, 8);
  spec = (void *) ((char *) request_data (request) + 96);
  cr_assert_eq (spec->next, 144);
  cr_assert_eq (spec->sector_start, 16);
  cr_assert_eq (spec->length, 8);
  cr_assert_str_eq (spec->target_type, "error");
  free (request);
}

Test (dm_ioctl_pack, a_device_without_a_table_has_an_empty_status)
{
  static const uint32_t commands[] = { DM_TABLE_STATUS_CMD,
                                       DM_TABLE_DEPS_CMD };
  size_t i;

  ioctl_create ("a", "");
  for (i = 0; i < 2; i++) {
    struct dm_ioctl *request = request_new (400, "a");

    request->data_start = 320;
    cr_expect_eq (ioctl_run (commands[i], request), 0);
    cr_expect_eq (request->target_count, 0);
    cr_expect_eq (request->data_size, 305);
    cr_expect_eq (request->data_start, 320);
    free (request);
  }
}

Test (dm_ioctl_pack, dependencies_of_a_table_without_any)
{
  struct dm_ioctl *request = request_new (320, "a");

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  cr_assert_eq (ioctl_run (DM_TABLE_DEPS_CMD, request), 0);
  cr_assert_eq (request->data_size, 320);
  cr_assert_eq (*(uint32_t *) request_data (request), 0);
  request->data_size = 319;
  request->dev = 0;
  cr_assert_eq (ioctl_run (DM_TABLE_DEPS_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

Test (dm_ioctl_pack, devices_are_listed_by_name_with_uuids_on_request)
{
  struct dm_ioctl *request = request_new (512, NULL);
  char *data = request_data (request);
  struct dm_name_list *entry = (struct dm_name_list *) data;

  ioctl_create ("bb", "");
  ioctl_create ("aaaa", "U");
  request->flags = DM_UUID_FLAG;
  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_str_eq (entry->name, "aaaa");
  cr_assert_eq (entry->dev, ioctl_number ("aaaa"));
  cr_assert_eq (entry->next, 40); /* 12 + 5 -> 24, + 8, + 2 -> 8 */
  cr_assert_eq (*(uint32_t *) (data + 24), 0);
  cr_assert_eq (*(uint32_t *) (data + 28), DM_NAME_LIST_FLAG_HAS_UUID);
  cr_assert_str_eq (data + 32, "U");
  entry = (struct dm_name_list *) (data + 40);
  cr_assert_str_eq (entry->name, "bb");
  cr_assert_eq (entry->next, 0);
  cr_assert_eq (*(uint32_t *) (data + 40 + 20),
                DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID);
  cr_assert_eq (request->data_size, 312 + 40 + 24);
  free (request);
}

Test (dm_ioctl_pack, a_list_fits_exactly_or_is_full)
{
  struct dm_ioctl *request = request_new (312 + 24, NULL);

  ioctl_create ("a", "U");
  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_eq (request->flags & DM_BUFFER_FULL_FLAG, 0);
  cr_assert_eq (request->data_size, 312 + 24);
  request->data_size = 312 + 23;
  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

Test (dm_ioctl_pack, an_empty_list_needs_room_for_a_number)
{
  struct dm_ioctl *request = request_new (320, NULL);

  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_eq (request->data_size, 312);
  request->data_size = 319;
  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  free (request);
}

Test (dm_ioctl_pack, a_list_can_be_narrowed_to_prefixes)
{
  struct dm_ioctl *request = request_new (512, "ab");
  struct dm_name_list *entry = request_data (request);

  ioctl_create ("abc", "LVM-1");
  ioctl_create ("abd", "LVM-2");
  ioctl_create ("xyz", "LVM-1x");
  strcpy (request->uuid, "LVM-1");
  cr_assert_eq (ioctl_run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_str_eq (entry->name, "abc");
  cr_assert_eq (entry->next, 0);
  free (request);
}

Test (dm_ioctl_pack, versions_are_linked_and_reserve_the_widest_gap)
{
  struct dm_ioctl *request = request_new (65536, NULL);
  struct dm_target_versions *v = request_data (request);
  uint32_t needed = 0, full;

  cr_assert_eq (ioctl_run (DM_LIST_VERSIONS_CMD, request), 0);
  for (;; v = (void *) ((char *) v + v->next)) {
    needed += sizeof *v + strlen (v->name) + 1 + 7;
    if (v->next == 0)
      break;
    cr_assert_eq (v->next, (sizeof *v + strlen (v->name) + 8) / 8 * 8);
  }
  cr_assert_eq (request->data_size, 312 + needed);
  full = request->data_size - 1;
  request->data_size = full;
  cr_assert_eq (ioctl_run (DM_LIST_VERSIONS_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

Test (dm_ioctl_pack, the_version_of_one_type)
{
  struct dm_ioctl *request = request_new (400, "error");
  struct dm_target_versions *v = request_data (request);

  cr_assert_eq (ioctl_run (DM_GET_TARGET_VERSION_CMD, request), 0);
  cr_assert_str_eq (v->name, "error");
  cr_assert_eq (v->version[0], 1);
  cr_assert_eq (v->next, 0);
  cr_assert_eq (request->data_size, 312 + 16 + 6 + 7);
  cr_assert_eq (ioctl_run_named (DM_GET_TARGET_VERSION_CMD, "nosuch", 0),
                -EINVAL);
  free (request);
}

Test (dm_ioctl_pack, an_answer_that_just_fits_counts_as_cut_off)
{
  char buffer[HEADER_SIZE + 4];
  struct dm_ioctl_pack pack;
  struct dm_ioctl header = { .data_size = 305 };

  dm_ioctl_pack_begin (&pack, &header, buffer, sizeof buffer);
  dm_ioctl_pack_text (&pack, "abc");
  cr_assert_eq (header.flags, DM_DATA_OUT_FLAG | DM_BUFFER_FULL_FLAG);
  cr_assert_eq (header.data_size, 305);
  header.flags = 0;
  dm_ioctl_pack_text (&pack, "ab");
  cr_assert_eq (header.flags, DM_DATA_OUT_FLAG);
  cr_assert_eq (header.data_size, 315);
  cr_assert_str_eq (buffer + HEADER_SIZE, "ab");
}
