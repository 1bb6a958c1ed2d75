/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctl interface, byte by byte. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/dm-ioctl-pack.h"
#include "server/edge.h"
#include "tests/lib/request.h"

#define HEADER_SIZE sizeof (struct dm_ioctl)

static struct registry *reg;
static struct dm_wait verb_wait;
static struct dm_ioctl_call call; /* the last one */
static int fired;

static void
setup (void)
{
  reg = registry_new ();
  cr_assert_not_null (reg);
  dm_wait_init (&verb_wait);
  fired = 0;
}

static void
teardown (void)
{
  registry_shutdown (reg, 0);
  registry_free (reg);
  dm_wait_destroy (&verb_wait);
}

TestSuite (dm_ioctl, .init = setup, .fini = teardown);

static void
test_fire (struct dm_event_waiter *waiter)
{
  fired++;
}

/* Run a request of length bytes in a buffer of exactly that size, so that a
 * step beyond it is seen by the sanitizer, and copy the reply over it.
 */
static int
run_raw (uint32_t command, void *request, size_t length)
{
  int r;

  call = (struct dm_ioctl_call) {
    .command = command,
    .buffer = malloc (length > 0 ? length : 1),
    .length = length,
    .wait = &verb_wait,
    .waiter.fire = test_fire,
  };
  memcpy (call.buffer, request, length);
  r = dm_ioctl_call (reg, &call);
  if (r == -EINPROGRESS)
    return r;
  cr_assert_leq (call.length, length);
  memcpy (request, call.buffer, call.length);
  free (call.buffer);
  return r;
}

static int
run (uint32_t command, struct dm_ioctl *request)
{
  return run_raw (command, request, request->data_size);
}

/* The same, for a request that is not looked at afterwards. */
static int
run_named (uint32_t command, const char *name, uint32_t flags)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, name);
  int r;

  request->flags = flags;
  r = run (command, request);
  free (request);
  return r;
}

static void
create (const char *name, const char *uuid)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, name);

  strcpy (request->uuid, uuid);
  cr_assert_eq (run (DM_DEV_CREATE_CMD, request), 0, "%s", call.message.text);
  free (request);
}

/* A live table of so many error targets of 8 sectors. */
static void
activate (const char *name, unsigned targets)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 48 * targets, name);
  unsigned i;

  for (i = 0; i < targets; i++)
    request_add_target (request, 8 * i, 8, "error", "");
  cr_assert_eq (run (DM_TABLE_LOAD_CMD, request), 0, "%s", call.message.text);
  cr_assert_eq (run_named (DM_DEV_SUSPEND_CMD, name, 0), 0);
  free (request);
}

static uint64_t
device_number (const char *name)
{
  struct dm_info info;

  cr_assert_eq (dm_device_info (reg, DM_REF_NAME (name), 0, &info, NULL), 0);
  return info.dev;
}

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
    cr_expect_eq (run (cases[i].command, request), cases[i].result, "%zu", i);
    cr_expect_eq (request->version[0], 4);
    cr_expect_eq (request->version[1], 47);
    cr_expect_eq (request->version[2], 0);
    free (request);
  }
}

Test (dm_ioctl, a_version_request_needs_nothing_but_a_version)
{
  uint32_t version[3] = { 4, 0, 0 };

  cr_assert_eq (run_raw (DM_VERSION_CMD, version, sizeof version), 0);
  cr_assert_eq (version[1], 47);
  cr_assert_eq (call.length, sizeof version);
  cr_assert_eq (run_raw (DM_VERSION_CMD, version, sizeof version - 1),
                -EINVAL);
}

Test (dm_ioctl, a_header_is_305_bytes)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  request->data_size = 304;
  cr_assert_eq (run_raw (DM_LIST_DEVICES_CMD, request, 312), -EINVAL);
  request->data_size = 305;
  cr_assert_eq (run_raw (DM_LIST_DEVICES_CMD, request, 304), -EINVAL);
  cr_assert_eq (run_raw (DM_LIST_DEVICES_CMD, request, 305), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  free (request);
}

Test (dm_ioctl, a_size_beyond_the_request_is_refused)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  request->data_size = 313;
  cr_assert_eq (run_raw (DM_LIST_DEVICES_CMD, request, 312), -EINVAL);
  /* Not looked at where there is no payload. */
  cr_assert_eq (run_raw (DM_REMOVE_ALL_CMD, request, 312), 0);
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
    cr_expect_lt (run (command, request), 0, "%u", command);
    cr_expect_arr_eq (request, before, 400, "%u", command);
  }
  free (before);
  free (request);
}

Test (dm_ioctl, remove_all_and_geometry_write_nothing_back)
{
  struct dm_ioctl *request = request_new (400, "a"), *before = malloc (400);

  create ("a", "");
  activate ("a", 1);
  strcpy (request_data (request), "1 1 1 0");
  memcpy (before, request, 400);
  cr_assert_eq (run (DM_DEV_SET_GEOMETRY_CMD, request), 0);
  cr_assert_arr_eq (request, before, 400);
  cr_assert_eq (run (DM_REMOVE_ALL_CMD, request), 0);
  cr_assert_arr_eq (request, before, 400);
  cr_assert_eq (run_named (DM_DEV_STATUS_CMD, "a", 0), -ENXIO);
  free (before);
  free (request);
}

Test (dm_ioctl, reply_flags_are_cleared_and_unknown_ones_echoed)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, "a");

  create ("a", "");
  request->flags = ~(uint32_t) DM_QUERY_INACTIVE_TABLE_FLAG;
  cr_assert_eq (run (DM_DEV_STATUS_CMD, request), 0);
  cr_assert (call.secure);
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

  create ("a", "U");
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dm_ioctl *request = request_new (HEADER_SIZE, cases[i].name);

    strcpy (request->uuid, cases[i].uuid);
    request->dev = cases[i].number == 1 ? device_number ("a")
      : cases[i].number == 2 ? device_number ("a") + 1 : 0;
    cr_expect_eq (run (DM_DEV_STATUS_CMD, request), cases[i].result, "%zu", i);
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
  cr_assert_eq (run (DM_DEV_CREATE_CMD, request), 0);
  cr_assert_eq (strlen (request->name), 127);
  cr_assert_eq (run_named (DM_DEV_STATUS_CMD, request->name, 0), 0);
  free (request);
}

Test (dm_ioctl, creating_checks_names_and_numbers)
{
  struct dm_ioctl *request;

  create ("a", "U");
  cr_assert_eq (run_named (DM_DEV_CREATE_CMD, "", 0), -EINVAL);
  cr_assert_eq (run_named (DM_DEV_CREATE_CMD, "a/b", 0), -EINVAL);
  cr_assert_eq (run_named (DM_DEV_CREATE_CMD, "a", 0), -EBUSY);
  request = request_new (HEADER_SIZE, "b");
  strcpy (request->uuid, "U");
  cr_assert_eq (run (DM_DEV_CREATE_CMD, request), -EBUSY);
  request->uuid[0] = '\0';
  request->flags = DM_PERSISTENT_DEV_FLAG;
  request->dev = device_number ("a");
  cr_assert_eq (run (DM_DEV_CREATE_CMD, request), -ENXIO);
  request->dev++;
  cr_assert_eq (run (DM_DEV_CREATE_CMD, request), 0);
  cr_assert_eq (request->dev, device_number ("a") + 1);
  free (request);
}

Test (dm_ioctl, removing_by_uuid_fills_the_name_and_keeps_the_cookie)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE, NULL);

  create ("a", "U");
  strcpy (request->uuid, "U");
  request->event_nr = 77;
  cr_assert_eq (run (DM_DEV_REMOVE_CMD, request), 0);
  cr_assert_str_eq (request->name, "a");
  cr_assert_eq (request->event_nr, 77);
  cr_assert_eq (request->dev, 0);
  free (request);
}

Test (dm_ioctl, renaming_returns_the_old_name)
{
  struct dm_ioctl *request = request_new (400, "a");

  create ("a", "U");
  strcpy (request_data (request), "b");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), 0);
  cr_assert_str_eq (request->name, "a");
  cr_assert_str_eq (request->uuid, "");
  cr_assert_eq (request->dev, device_number ("b"));
  free (request);
}

Test (dm_ioctl, renaming_is_by_name_and_to_a_free_one)
{
  struct dm_ioctl *request = request_new (400, "a");

  create ("a", "U");
  strcpy (request_data (request), "a");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EBUSY);
  strcpy (request_data (request), "b/c");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "b");
  request->data_start = 304;
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EINVAL);
  request->data_start = 400;
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EINVAL);
  memset (request_data (request), 'b', 400 - HEADER_SIZE);
  request->data_start = 312;
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -EINVAL);
  strcpy (request_data (request), "b");
  request->name[0] = '\0';
  strcpy (request->uuid, "U");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), -ENXIO);
  free (request);
}

/* ------------------------------------------------------------------
 * Tables.
 */

Test (dm_ioctl, the_room_for_one_error_target_is_360_bytes)
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

  create ("a", "");
  activate ("a", 1);
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct dm_ioctl *request = request_new (cases[i].size, "a");
    bool full;

    cr_expect_eq (run (DM_TABLE_STATUS_CMD, request), 0);
    full = request->flags & DM_BUFFER_FULL_FLAG;
    cr_expect_eq (full, cases[i].full, "%zu", cases[i].size);
    cr_expect_eq (request->data_size, cases[i].data_size, "%zu: %u",
                  cases[i].size, request->data_size);
    cr_expect_eq (request->target_count, 1);
    cr_expect_eq (request->data_start, 312);
    free (request);
  }
}

Test (dm_ioctl, next_counts_from_this_spec_in_and_the_first_one_out)
{
  struct dm_ioctl *request = request_new (1024, "a");
  struct dm_target_spec *spec = request_data (request);

  create ("a", "");
  activate ("a", 3); /* built with next relative to each */
  cr_assert_eq (run (DM_TABLE_STATUS_CMD, request), 0);
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

Test (dm_ioctl, a_device_without_a_table_has_an_empty_status)
{
  static const uint32_t commands[] = { DM_TABLE_STATUS_CMD,
                                       DM_TABLE_DEPS_CMD };
  size_t i;

  create ("a", "");
  for (i = 0; i < 2; i++) {
    struct dm_ioctl *request = request_new (400, "a");

    request->data_start = 320;
    cr_expect_eq (run (commands[i], request), 0);
    cr_expect_eq (request->target_count, 0);
    cr_expect_eq (request->data_size, 305);
    cr_expect_eq (request->data_start, 320);
    free (request);
  }
}

Test (dm_ioctl, dependencies_of_a_table_without_any)
{
  struct dm_ioctl *request = request_new (320, "a");

  create ("a", "");
  activate ("a", 1);
  cr_assert_eq (run (DM_TABLE_DEPS_CMD, request), 0);
  cr_assert_eq (request->data_size, 320);
  cr_assert_eq (*(uint32_t *) request_data (request), 0);
  request->data_size = 319;
  request->dev = 0;
  cr_assert_eq (run (DM_TABLE_DEPS_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

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
  r = run (DM_TABLE_LOAD_CMD, request);
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

Test (dm_ioctl, specs_that_do_not_lie_in_the_request_are_refused)
{
  static void (*const spoil[]) (struct dm_ioctl *) = {
    spoil_no_targets, spoil_too_many, spoil_start_in_header,
    spoil_start_at_end, spoil_start_far, spoil_next_zero, spoil_next_overlaps,
    spoil_next_far, spoil_no_nul,
  };
  size_t i;

  create ("a", "");
  for (i = 0; i < sizeof spoil / sizeof spoil[0]; i++)
    cr_expect_eq (load_spoilt (spoil[i]), -EINVAL, "%zu", i);
  cr_assert_eq (load_spoilt (NULL), 0);
}

Test (dm_ioctl, specs_need_no_alignment_and_the_last_next_is_ignored)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 96, "a");
  struct dm_target_spec spec = { .length = 8, .next = 41,
                                 .target_type = "error" };
  char *data = (char *) request + 305;

  create ("a", "");
  request->data_start = 305;
  request->target_count = 2;
  memcpy (data, &spec, sizeof spec);
  spec.sector_start = 8;
  spec.next = UINT32_MAX;
  memcpy (data + 41, &spec, sizeof spec);
  cr_assert_eq (run (DM_TABLE_LOAD_CMD, request), 0, "%s", call.message.text);
  cr_assert (request->flags & DM_INACTIVE_PRESENT_FLAG);
  free (request);
}

Test (dm_ioctl, a_type_may_fill_its_field)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 96, "a");

  create ("a", "");
  request_add_target (request, 0, 8, "0123456789abcdef", "more");
  cr_assert_eq (run (DM_TABLE_LOAD_CMD, request), -EINVAL);
  cr_assert_neq (call.message.text[0], '\0');
  free (request);
}

/* ------------------------------------------------------------------
 * Lists.
 */

Test (dm_ioctl, devices_are_listed_by_name_with_uuids_on_request)
{
  struct dm_ioctl *request = request_new (512, NULL);
  char *data = request_data (request);
  struct dm_name_list *entry = (struct dm_name_list *) data;

  create ("bb", "");
  create ("aaaa", "U");
  request->flags = DM_UUID_FLAG;
  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_str_eq (entry->name, "aaaa");
  cr_assert_eq (entry->dev, device_number ("aaaa"));
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

Test (dm_ioctl, a_list_fits_exactly_or_is_full)
{
  struct dm_ioctl *request = request_new (312 + 24, NULL);

  create ("a", "U");
  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_eq (request->flags & DM_BUFFER_FULL_FLAG, 0);
  cr_assert_eq (request->data_size, 312 + 24);
  request->data_size = 312 + 23;
  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

Test (dm_ioctl, an_empty_list_needs_room_for_a_number)
{
  struct dm_ioctl *request = request_new (320, NULL);

  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_eq (request->data_size, 312);
  request->data_size = 319;
  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  free (request);
}

Test (dm_ioctl, a_list_can_be_narrowed_to_prefixes)
{
  struct dm_ioctl *request = request_new (512, "ab");
  struct dm_name_list *entry = request_data (request);

  create ("abc", "LVM-1");
  create ("abd", "LVM-2");
  create ("xyz", "LVM-1x");
  strcpy (request->uuid, "LVM-1");
  cr_assert_eq (run (DM_LIST_DEVICES_CMD, request), 0);
  cr_assert_str_eq (entry->name, "abc");
  cr_assert_eq (entry->next, 0);
  free (request);
}

Test (dm_ioctl, versions_are_linked_and_reserve_the_widest_gap)
{
  struct dm_ioctl *request = request_new (65536, NULL);
  struct dm_target_versions *v = request_data (request);
  uint32_t needed = 0, full;

  cr_assert_eq (run (DM_LIST_VERSIONS_CMD, request), 0);
  for (;; v = (void *) ((char *) v + v->next)) {
    needed += sizeof *v + strlen (v->name) + 1 + 7;
    if (v->next == 0)
      break;
    cr_assert_eq (v->next, (sizeof *v + strlen (v->name) + 8) / 8 * 8);
  }
  cr_assert_eq (request->data_size, 312 + needed);
  full = request->data_size - 1;
  request->data_size = full;
  cr_assert_eq (run (DM_LIST_VERSIONS_CMD, request), 0);
  cr_assert (request->flags & DM_BUFFER_FULL_FLAG);
  cr_assert_eq (request->data_size, 305);
  free (request);
}

Test (dm_ioctl, the_version_of_one_type)
{
  struct dm_ioctl *request = request_new (400, "error");
  struct dm_target_versions *v = request_data (request);

  cr_assert_eq (run (DM_GET_TARGET_VERSION_CMD, request), 0);
  cr_assert_str_eq (v->name, "error");
  cr_assert_eq (v->version[0], 1);
  cr_assert_eq (v->next, 0);
  cr_assert_eq (request->data_size, 312 + 16 + 6 + 7);
  cr_assert_eq (run_named (DM_GET_TARGET_VERSION_CMD, "nosuch", 0), -EINVAL);
  free (request);
}

/* ------------------------------------------------------------------
 * Messages, events.
 */

Test (dm_ioctl, a_message_must_end_in_the_request)
{
  struct dm_ioctl *request = request_new (HEADER_SIZE + 16, "a");

  create ("a", "");
  activate ("a", 1);
  memset ((char *) request_data (request) + 8, 'x', 8);
  cr_assert_eq (run (DM_TARGET_MSG_CMD, request), -EINVAL);
  request->data_start = HEADER_SIZE + 8;
  cr_assert_eq (run (DM_TARGET_MSG_CMD, request), -EINVAL);
  request->data_start = 0;
  cr_assert_eq (run (DM_TARGET_MSG_CMD, request), -EINVAL);
  strcpy (request->name, "nosuch");
  cr_assert_eq (run (DM_TARGET_MSG_CMD, request), -ENXIO);
  free (request);
}

Test (dm_ioctl, an_answer_that_just_fits_counts_as_cut_off)
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

Test (dm_ioctl, a_wait_for_another_number_fires_at_once)
{
  struct dm_ioctl *request = request_new (400, "a");

  create ("a", "");
  activate ("a", 1);
  request->event_nr = 99;
  cr_assert_eq (run (DM_DEV_WAIT_CMD, request), -EINPROGRESS);
  cr_assert_eq (fired, 1);
  cr_assert_eq (dm_ioctl_wait_done (reg, &call, false), 0);
  memcpy (request, call.buffer, call.length);
  cr_assert_eq (request->event_nr, 0);
  cr_assert_eq (request->target_count, 1);
  cr_assert_eq (request->data_size, 353);
  free (call.buffer);
  free (request);
}

Test (dm_ioctl, a_wait_ends_with_an_event_and_the_name_of_its_beginning)
{
  struct dm_ioctl *request = request_new (400, "a"), *reply;
  struct dm_ioctl_call wait;

  create ("a", "");
  activate ("a", 1);
  cr_assert_eq (run (DM_DEV_WAIT_CMD, request), -EINPROGRESS);
  cr_assert_eq (fired, 0);
  cr_assert_eq (dm_ioctl_wait_done (reg, &call, true), -EINTR);
  cr_assert_eq (call.length, 305);
  free (call.buffer);

  /* The waiter is linked, so the call must stay where it is. */
  wait = (struct dm_ioctl_call) {
    .command = DM_DEV_WAIT_CMD, .buffer = malloc (400), .length = 400,
    .wait = &verb_wait, .waiter.fire = test_fire,
  };
  memcpy (wait.buffer, request, 400);
  cr_assert_eq (dm_ioctl_call (reg, &wait), -EINPROGRESS);
  strcpy (request_data (request), "b");
  cr_assert_eq (run (DM_DEV_RENAME_CMD, request), 0);
  cr_assert_eq (fired, 1);
  cr_assert_eq (dm_ioctl_wait_done (reg, &wait, false), 0);
  reply = (struct dm_ioctl *) wait.buffer;
  cr_assert_str_eq (reply->name, "a");
  cr_assert_eq (reply->event_nr, 1);
  free (wait.buffer);
  free (request);
}

Test (dm_ioctl, arming_remembers_the_event_counter)
{
  create ("a", "");
  cr_assert_eq (run_named (DM_DEV_ARM_POLL_CMD, "", 0), 0);
  cr_assert_eq (call.arm_event_nr, registry_event_nr (reg));
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
    if (run_raw (command, request, length) == -EINPROGRESS) {
      dm_ioctl_wait_done (reg, &call, rand () % 2);
      free (call.buffer);
    }
    free (request);
  }
}
