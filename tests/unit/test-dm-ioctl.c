/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface: versions, headers, names, and nonsense. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/edge.h"
#include "tests/lib/ioctl.h"
#include "tests/lib/request.h"

#define HEADER_SIZE sizeof (struct dm_ioctl)

TestSuite (dm_ioctl, .init = ioctl_setup, .fini = ioctl_teardown);

/* ------------------------------------------------------------------
 * The dispatcher.
 */

Test (dm_ioctl, our_version_comes_back_whatever_the_result)
{
  static const struct {
    uint32_t version[3], command;
    int result;
  } cases[] = {
    { { 4, 0, 0 }, DM_VERSION_CMD, 0 },
    { { 4, 47, 99 }, DM_VERSION_CMD, 0 },
    { { 4, 48, 0 }, DM_VERSION_CMD, -EINVAL },
    { { 3, 47, 0 }, DM_VERSION_CMD, -EINVAL },
    { { 5, 0, 0 }, 99, -EINVAL },
    { { 4, 0, 0 }, 18, -ENOTTY },
    { { 4, 0, 0 }, UINT32_MAX, -ENOTTY },
    { { 4, 0, 0 }, DM_DEV_STATUS_CMD, -ENXIO },
  };
  size_t i;

  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dm_ioctl *request = request_new (HEADER_SIZE, "nosuch");

    memcpy (request->version, cases[i].version, sizeof request->version);
    cr_expect_eq (ioctl_run (cases[i].command, request), cases[i].result,
                  "%zu", i);
    cr_expect_eq (request->version[0], 4);
    cr_expect_eq (request->version[1], 47);
    cr_expect_eq (request->version[2], 0);
    free (request);
  }
}

Test (dm_ioctl, a_version_request_needs_nothing_but_a_version)
{
  uint32_t version[3] = { 4, 0, 0 };

  cr_assert_eq (ioctl_run_raw (DM_VERSION_CMD, version, sizeof version), 0);
  cr_assert_eq (version[1], 47);
  cr_assert_eq (ioctl_call.length, sizeof version);
  cr_assert_eq (ioctl_run_raw (DM_VERSION_CMD, version, sizeof version - 1),
                -EINVAL);
}

Test (dm_ioctl, a_header_is_305_bytes)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  request->data_size = 304;
  cr_assert_eq (ioctl_run_raw (DM_LIST_DEVICES_CMD, request, 312), -EINVAL);
  request->data_size = 305;
  cr_assert_eq (ioctl_run_raw (DM_LIST_DEVICES_CMD, request, 304), -EINVAL);
  cr_assert_eq (ioctl_run_raw (DM_LIST_DEVICES_CMD, request, 305), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  free (request);
}

Test (dm_ioctl, a_size_beyond_the_request_is_refused)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  request->data_size = 313;
  cr_assert_eq (ioctl_run_raw (DM_LIST_DEVICES_CMD, request, 312), -EINVAL);
  /* Not looked at where there is no payload. */
  cr_assert_eq (ioctl_run_raw (DM_REMOVE_ALL_CMD, request, 312), 0);
  free (request);
}

Test (dm_ioctl, only_the_version_changes_on_failure)
{
  struct dm_ioctl *request = request_new (400, "nosuch"), *before;
  uint32_t command;

  before = malloc (400);
  request->version[1] = 7;
  request->flags = UINT32_MAX & ~DM_QUERY_INACTIVE_TABLE_FLAG;
  request->event_nr = 5;
  memcpy (before, request, 400);
  before->version[1] = 47;
  for (command = DM_DEV_REMOVE_CMD; command <= DM_GET_TARGET_VERSION_CMD;
       command++) {
    if (command == DM_LIST_VERSIONS_CMD || command == DM_DEV_ARM_POLL_CMD)
      continue;
    request->version[1] = 7;
    cr_expect_lt (ioctl_run (command, request), 0, "%u", command);
    cr_expect_arr_eq (request, before, 400, "%u", command);
  }
  free (before);
  free (request);
}

Test (dm_ioctl, remove_all_and_geometry_write_nothing_back)
{
  struct dm_ioctl *request = request_new (400, "a"), *before = malloc (400);

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  strcpy (request_data (request), "1 1 1 0");
  memcpy (before, request, 400);
  cr_assert_eq (ioctl_run (DM_DEV_SET_GEOMETRY_CMD, request), 0);
  cr_assert_arr_eq (request, before, 400);
  cr_assert_eq (ioctl_run (DM_REMOVE_ALL_CMD, request), 0);
  cr_assert_arr_eq (request, before, 400);
  cr_assert_eq (ioctl_run_named (DM_DEV_STATUS_CMD, "a", 0), -ENXIO);
  free (before);
  free (request);
}

Test (dm_ioctl, reply_flags_are_cleared_and_unknown_ones_echoed)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, "a");

  ioctl_create ("a", "");
  request->flags = ~(uint32_t) DM_QUERY_INACTIVE_TABLE_FLAG;
  cr_assert_eq (ioctl_run (DM_DEV_STATUS_CMD, request), 0);
  cr_assert (ioctl_call.secure);
  cr_assert_eq (request->flags & (DM_BUFFER_FULL_FLAG | DM_DATA_OUT_FLAG |
                                  DM_UEVENT_GENERATED_FLAG |
                                  DM_SECURE_DATA_FLAG), 0);
  cr_assert_eq (request->flags & (DM_SUSPEND_FLAG | DM_READONLY_FLAG |
                                  DM_ACTIVE_PRESENT_FLAG |
                                  DM_INACTIVE_PRESENT_FLAG), 0);
  cr_assert_eq (request->flags & 0xfff00004, 0xfff00004);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

/* ------------------------------------------------------------------
 * Naming devices.
 */

Test (dm_ioctl, a_device_is_named_in_one_way)
{
  static const struct {
    const char *name, *uuid;
    int number; /* 1: the device's, 2: of none */
    int result;
  } cases[] = {
    { "a", "", 0, 0 }, { "", "U", 0, 0 }, { "", "", 1, 0 },
    { "a", "U", 0, -EINVAL }, { "a", "", 1, -ENXIO }, { "", "U", 1, -ENXIO },
    { "", "", 0, -ENXIO }, { "", "", 2, -ENXIO }, { "b", "", 0, -ENXIO },
    { "", "V", 0, -ENXIO }, { "A", "", 0, -ENXIO },
  };
  size_t i;

  ioctl_create ("a", "U");
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dm_ioctl *request = request_new (HEADER_SIZE, cases[i].name);

    strcpy (request->uuid, cases[i].uuid);
    request->dev = cases[i].number == 1 ? ioctl_number ("a")
      : cases[i].number == 2 ? ioctl_number ("a") + 1 : 0;
    cr_expect_eq (ioctl_run (DM_DEV_STATUS_CMD, request), cases[i].result,
                  "%zu", i);
    if (cases[i].result == 0) {
      cr_expect_str_eq (request->name, "a");
      cr_expect_str_eq (request->uuid, "U");
    }
    free (request);
  }
}

Test (dm_ioctl, a_name_that_fills_its_field_is_cut)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  memset (request->name, 'x', sizeof request->name);
  cr_assert_eq (ioctl_run (DM_DEV_CREATE_CMD, request), 0);
  cr_assert_eq (strlen (request->name), 127);
  cr_assert_eq (ioctl_run_named (DM_DEV_STATUS_CMD, request->name, 0), 0);
  free (request);
}

/* ------------------------------------------------------------------ */

/* A request of any command that is nearly right. */
static struct dm_ioctl *
random_request (uint32_t command, size_t *length)
{
  static const char *const names[] = { "a", "b", "", "error", "zero" };
  struct dm_ioctl *request;

  *length = HEADER_SIZE + rand () % 256;
  request = request_new (*length, names[rand () % 5]);
  if (command == DM_TABLE_LOAD_CMD && *length >= HEADER_SIZE + 96) {
    request_add_target (request, 0, 8, "error", "x y");
    request_add_target (request, 8, 8, "zero", "");
  }
  else if (*length >= HEADER_SIZE + 16)
    strcpy ((char *) request_data (request) + rand () % 2 * 8,
            rand () % 2 ? "b" : "1 1 1 0");
  request->flags = rand () & 0xfffff;
  return request;
}

static void
mutate (char *bytes, size_t length)
{
  static const uint32_t values[] = { 0, 1, 39, 40, 304, 305, 312, 0x7fffffff,
                                     0xfffffff0, 0xffffffff };
  uint32_t value = values[rand () % 10];

  switch (rand () % 4) {
  case 0: /* a field that says where things are */
    memcpy (bytes + 12 + 4 * (rand () % 3), &value, sizeof value);
    break;
  case 1: /* a word of the payload, `next` among them */
    if (length >= HEADER_SIZE + sizeof value)
      memcpy (bytes + HEADER_SIZE
              + rand () % ((length - HEADER_SIZE) / 4) * 4, &value,
              sizeof value);
    break;
  case 2:
    bytes[rand () % length] = rand ();
    break;
  default:
    memset (bytes + rand () % length, 'x', 1);
  }
}

Test (dm_ioctl, damaged_requests_do_no_harm)
{
  unsigned i;

  srand (1);
  for (i = 0; i < 200000; i++) {
    uint32_t command = rand () % (DM_GET_TARGET_VERSION_CMD + 2);
    size_t length;
    struct dm_ioctl *request = random_request (command, &length);
    unsigned n = rand () % 4;

    while (n-- > 0)
      mutate ((char *) request, length);
    if (rand () % 8 == 0)
      length = rand () % (length + 1);
    if (ioctl_run_raw (command, request, length) == -EINPROGRESS) {
      dm_ioctl_wait_done (ioctl_registry, &ioctl_call, rand () % 2);
      free (ioctl_call.buffer);
    }
    free (request);
  }
}
