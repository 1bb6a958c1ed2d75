/* SPDX-License-Identifier: BSD-3-Clause */
/* Stores that are lost while their COW device takes no writes. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "targets/snapshot/store-lost.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/store-rig.h"

#define ENTRIES 3

static struct memdev *cow;
static struct faultdev fault;
static struct store_rig rig;

static void
setup (void)
{
  cow = memdev_new ("cow", 1024);
  faultdev_init (&fault, &cow->bdev);
}

static void
teardown (void)
{
  memdev_free (cow);
}

TestSuite (store_lost, .init = setup, .fini = teardown);

static void
open_store (void)
{
  cr_assert_eq (store_rig_open (&rig, &fault.bdev, "P 8"), 0, "%s",
                rig.msg.text);
}

/* A store that is lost; its device has failed, and does not know. */
static void
lose (void)
{
  open_store ();
  cr_assert_eq (store_rig_add (&rig, 500, ENTRIES), 0);
  faultdev_arm (&fault, 1 << BIO_WRITE, 1, true);
  cr_expect_eq (store_invalidate (rig.store), -EIO);
}

static bool
is_marked (void)
{
  struct cow_disk_header disk;
  struct cow_header header;

  memcpy (&disk, cow->data, sizeof disk);
  cr_assert_eq (cow_header_get (&disk, &header), COW_HEADER_OK);
  return !header.valid;
}

static bool
is_remembered (void)
{
  struct lost_store lost;

  return lost_store_find (&fault.bdev, &lost);
}

Test (store_lost, does_not_load_until_the_device_knows)
{
  lose ();
  store_rig_close (&rig);
  cr_expect_not (is_marked ());
  cr_expect_eq (store_rig_open (&rig, &fault.bdev, "P 8"), -EIO);
  cr_expect (strstr (rig.msg.text, "the snapshot is lost"), "%s",
             rig.msg.text);
  faultdev_arm (&fault, 0, 0, false);
  open_store ();
  cr_expect_not (store_is_valid (rig.store));
  cr_expect_eq (store_rig_count (&rig), 0);
  cr_expect (is_marked () && !is_remembered ());
  store_rig_close (&rig);
}

Test (store_lost, a_flush_that_failed_counts_as_nothing_written)
{
  lose ();
  store_rig_close (&rig);
  faultdev_arm (&fault, 1 << BIO_FLUSH, 1, false);
  cr_expect_eq (store_rig_open (&rig, &fault.bdev, "P 8"), -EIO);
  cr_expect (is_remembered ());
}

Test (store_lost, is_marked_when_the_table_goes_if_not_before)
{
  lose ();
  faultdev_arm (&fault, 0, 0, false);
  store_rig_close (&rig);
  cr_expect (is_marked () && !is_remembered ());
}

/* Whatever is on the device now, it is not what was lost. */
static void
expect_valid (void)
{
  open_store ();
  cr_expect (store_is_valid (rig.store));
  cr_expect_not (is_remembered ());
  store_rig_close (&rig);
}

static void
lose_and_wipe (void)
{
  lose ();
  store_rig_close (&rig);
  faultdev_arm (&fault, 0, 0, false);
  cr_expect (is_remembered ());
  memset (cow->data, 0, sectors_to_bytes (1024));
}

Test (store_lost, gives_way_to_another_one)
{
  lose_and_wipe ();
  expect_valid ();
  lose_and_wipe ();
  store_rig_format (cow->data, 8, ENTRIES - 1);
  expect_valid ();
  lose_and_wipe ();
  store_rig_format (cow->data, 4, 3 * ENTRIES);
  expect_valid ();
}

/* It has no name. */
Test (store_lost, on_a_mapped_device_is_known_by_its_number)
{
  struct block_device a = { .number = 1 }, b = { .number = 2 };
  const struct lost_store store = { 8, 5 };
  struct lost_store found;

  cr_assert_eq (lost_store_remember (&a, &store), 0);
  cr_expect (lost_store_find (&a, &found));
  cr_expect_eq (found.nr_entries, 5);
  cr_expect_not (lost_store_find (&b, &found));
  cr_expect_not (lost_store_find (&cow->bdev, &found));
  lost_store_forget (&b);
  lost_store_forget (&a);
  cr_expect_not (lost_store_find (&a, &found));
}
