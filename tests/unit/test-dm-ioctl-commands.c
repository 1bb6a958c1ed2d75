/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface: what each command does with its request. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/edge.h"
#include "tests/lib/ioctl.h"
#include "tests/lib/request.h"

#define HEADER_SIZE sizeof (struct dm_ioctl)

TestSuite (dm_ioctl_commands, .init = ioctl_setup, .fini = ioctl_teardown);

Test (dm_ioctl_commands, creating_checks_names_and_numbers)
{
  struct dm_ioctl *request;

  ioctl_create ("a", "U");
  cr_assert_eq (ioctl_run_named (DM_DEV_CREATE_CMD, "", 0), -EINVAL);
  cr_assert_eq (ioctl_run_named (DM_DEV_CREATE_CMD, "a/b", 0), -EINVAL);
  cr_assert_eq (ioctl_run_named (DM_DEV_CREATE_CMD, "a", 0), -EBUSY);
  request = request_new (HEADER_SIZE, "b");
  strcpy (request->uuid, "U");
  cr_assert_eq (ioctl_run (DM_DEV_CREATE_CMD, request), -EBUSY);
  request->uuid[0] = '\0';
  request->flags = DM_PERSISTENT_DEV_FLAG;
  request->dev = ioctl_number ("a");
  cr_assert_eq (ioctl_run (DM_DEV_CREATE_CMD, request), -ENXIO);
  request->dev++;
  cr_assert_eq (ioctl_run (DM_DEV_CREATE_CMD, request), 0);
  cr_assert_eq (request->dev, ioctl_number ("a") + 1);
  free (request);
}

Test (dm_ioctl_commands, removing_by_uuid_fills_the_name_and_keeps_the_cookie)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  ioctl_create ("a", "U");
  strcpy (request->uuid, "U");
  request->event_nr = 77;
  cr_assert_eq (ioctl_run (DM_DEV_REMOVE_CMD, request), 0);
  cr_assert_str_eq (request->name, "a");
  cr_assert_eq (request->event_nr, 77);
  cr_assert_eq (request->dev, 0);
  free (request);
}

Test (dm_ioctl_commands, renaming_returns_the_old_name)
{
  struct dm_ioctl *request = request_new (400, "a");

  ioctl_create ("a", "U");
  strcpy (request_data (request), "b");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), 0);
  cr_assert_str_eq (request->name, "a");
  cr_assert_str_eq (request->uuid, "");
  cr_assert_eq (request->dev, ioctl_number ("b"));
  free (request);
}

Test (dm_ioctl_commands, renaming_is_by_name_and_to_a_free_one)
{
  struct dm_ioctl *request = request_new (400, "a");

  ioctl_create ("a", "U");
  strcpy (request_data (request), "a");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EBUSY);
  strcpy (request_data (request), "b/c");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "b");
  request->data_start = 304;
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EINVAL);
  request->data_start = 400;
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EINVAL);
  memset (request_data (request), 'b', 400 - HEADER_SIZE);
  request->data_start = 312;
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "b");
  request->name[0] = '\0';
  strcpy (request->uuid, "U");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), -ENXIO);
  free (request);
}

/* ------------------------------------------------------------------
 * Tables.
 */

/* Two good lines, then one thing at a time made wrong. */
static int
load_spoilt (void (*spoil) (struct dm_ioctl *request))
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 96, "a");
  int r;

  request_add_target (request, 0, 8, "error", "");
  request_add_target (request, 8, 8, "error", "");
  if (spoil)
    spoil (request);
  r = ioctl_run (DM_TABLE_LOAD_CMD, request);
  free (request);
  return r;
}

static void
spoil_no_targets (struct dm_ioctl *request)
{
  request->target_count = 0;
}

static void
spoil_too_many (struct dm_ioctl *request)
{
  request->target_count = UINT32_MAX;
}

static void
spoil_start_in_header (struct dm_ioctl *request)
{
  request->data_start = 304;
}

static void
spoil_start_at_end (struct dm_ioctl *request)
{
  request->data_start = request->data_size - 40;
}

static void
spoil_start_far (struct dm_ioctl *request)
{
  request->data_start = UINT32_MAX;
}

static void
spoil_next_zero (struct dm_ioctl *request)
{
  ((struct dm_target_spec *) request_data (request))->next = 0;
}

static void
spoil_next_overlaps (struct dm_ioctl *request)
{
  ((struct dm_target_spec *) request_data (request))->next = 40;
}

static void
spoil_next_far (struct dm_ioctl *request)
{
  ((struct dm_target_spec *) request_data (request))->next = UINT32_MAX;
}

static void
spoil_no_nul (struct dm_ioctl *request)
{
  memset ((char *) request_data (request) + 88, 'x', 8);
}

Test (dm_ioctl_commands, specs_that_do_not_lie_in_the_request_are_refused)
{
  static void (*const spoil[]) (struct dm_ioctl *) = {
    spoil_no_targets, spoil_too_many, spoil_start_in_header,
    spoil_start_at_end, spoil_start_far, spoil_next_zero, spoil_next_overlaps,
    spoil_next_far, spoil_no_nul,
  };
  size_t i;

  ioctl_create ("a", "");
  for (i = 0; i < sizeof spoil / sizeof spoil[0]; i++)
    cr_expect_eq (load_spoilt (spoil[i]), -EINVAL, "%zu", i);
  cr_assert_eq (load_spoilt (NULL), 0);
}

Test (dm_ioctl_commands, specs_need_no_alignment_and_the_last_next_is_ignored)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 96, "a");
  struct dm_target_spec spec = { .length = 8, .next = 41,
                                 .target_type = "error" };
  char *data = (char *) request + 305;

  ioctl_create ("a", "");
  request->data_start = 305;
  request->target_count = 2;
  memcpy (data, &spec, sizeof spec);
  spec.sector_start = 8;
  spec.next = UINT32_MAX;
  memcpy (data + 41, &spec, sizeof spec);
  cr_assert_eq (ioctl_run (DM_TABLE_LOAD_CMD, request), 0, "%s",
                ioctl_call.message.text);
  cr_assert (request->flags & DM_INACTIVE_PRESENT_FLAG);
  free (request);
}

Test (dm_ioctl_commands, a_type_may_fill_its_field)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 96, "a");

  ioctl_create ("a", "");
  request_add_target (request, 0, 8, "0123456789abcdef", "more");
  cr_assert_eq (ioctl_run (DM_TABLE_LOAD_CMD, request), -EINVAL);
  cr_assert_neq (ioctl_call.message.text[0], '\0');
  free (request);
}

/* ------------------------------------------------------------------
 * Messages, events.
 */

Test (dm_ioctl_commands, a_message_must_end_in_the_request)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 16, "a");

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  memset ((char *) request_data (request) + 8, 'x', 8);
  cr_assert_eq (ioctl_run (DM_TARGET_MSG_CMD, request), -EINVAL);
  request->data_start = HEADER_SIZE + 8;
  cr_assert_eq (ioctl_run (DM_TARGET_MSG_CMD, request), -EINVAL);
  request->data_start = 0;
  cr_assert_eq (ioctl_run (DM_TARGET_MSG_CMD, request), -EINVAL);
  strcpy (request->name, "nosuch");
  cr_assert_eq (ioctl_run (DM_TARGET_MSG_CMD, request), -ENXIO);
  free (request);
}

Test (dm_ioctl_commands, a_wait_for_another_number_fires_at_once)
{
  struct dm_ioctl *request = request_new (400, "a");

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  request->event_nr = 99;
  cr_assert_eq (ioctl_run (DM_DEV_WAIT_CMD, request), -EINPROGRESS);
  cr_assert_eq (ioctl_fired, 1);
  cr_assert_eq (dm_ioctl_wait_done (ioctl_registry, &ioctl_call, false), 0);
  memcpy (request, ioctl_call.buffer, ioctl_call.length);
  cr_assert_eq (request->event_nr, 0);
  cr_assert_eq (request->target_count, 1);
  cr_assert_eq (request->data_size, 353);
  free (ioctl_call.buffer);
  free (request);
}

Test (dm_ioctl_commands, a_wait_ends_with_an_event_under_its_old_name)
{
  struct dm_ioctl *request = request_new (400, "a"), *reply;
  struct dm_ioctl_call wait;

  ioctl_create ("a", "");
  ioctl_activate ("a", 1);
  cr_assert_eq (ioctl_run (DM_DEV_WAIT_CMD, request), -EINPROGRESS);
  cr_assert_eq (ioctl_fired, 0);
  cr_assert_eq (dm_ioctl_wait_done (ioctl_registry, &ioctl_call, true), -EINTR);
  cr_assert_eq (ioctl_call.length, 305);
  free (ioctl_call.buffer);

  /* The waiter is linked, so the call must stay where it is. */
  wait = (struct dm_ioctl_call) {
    .command = DM_DEV_WAIT_CMD, .buffer = malloc (400), .length = 400,
    .wait = &ioctl_wait, .waiter.fire = ioctl_fire,
  };
  memcpy (wait.buffer, request, 400);
  cr_assert_eq (dm_ioctl_call (ioctl_registry, &wait), -EINPROGRESS);
  strcpy (request_data (request), "b");
  cr_assert_eq (ioctl_run (DM_DEV_RENAME_CMD, request), 0);
  cr_assert_eq (ioctl_fired, 1);
  cr_assert_eq (dm_ioctl_wait_done (ioctl_registry, &wait, false), 0);
  reply = (struct dm_ioctl *) wait.buffer;
  cr_assert_str_eq (reply->name, "a");
  cr_assert_eq (reply->event_nr, 1);
  free (wait.buffer);
  free (request);
}

Test (dm_ioctl_commands, arming_remembers_the_event_counter)
{
  ioctl_create ("a", "");
  cr_assert_eq (ioctl_run_named (DM_DEV_ARM_POLL_CMD, "", 0), 0);
  cr_assert_eq (ioctl_call.arm_event_nr, registry_event_nr (ioctl_registry));
}
