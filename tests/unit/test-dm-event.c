/* SPDX-License-Identifier: BSD-3-Clause */
/* Event numbers and who waits for them. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (disk);
}

TestSuite (event, .init = setup, .fini = teardown, .timeout = 60);

struct waiter {
  struct dm_event_waiter w;
  atomic_int fired;
};

static void
note_fire (struct dm_event_waiter *w)
{
  container_of (w, struct waiter, w)->fired++;
}

static void
wait_for (struct waiter *w, uint32_t event_nr)
{
  w->w.event_nr = event_nr;
  w->w.fire = note_fire;
  w->fired = 0;
  cr_assert_eq (dm_wait_event (reg, DM_REF_NAME ("a"), &w->w, NULL), 0);
}

static void
raise_event (void)
{
  char text[] = "event", *reply;

  cr_assert_eq (dm_device_message (reg, DM_REF_NAME ("a"), 0, text, &reply,
                                   NULL, NULL), 0);
}

static void
start (void)
{
  dm_close (rig_start (reg, "a", "0 8 probe disk 0 A"));
}

Test (event, only_table_events_renames_and_removes_count)
{
  rig_create (reg, "a");
  cr_assert_eq (dm_device_rename (reg, "a", "b", 0, NULL, NULL), 0);
  cr_assert_eq (dm_device_rename (reg, "b", "a", 0, NULL, NULL), 0);
  cr_assert_eq (rig_info (reg, "a").event_nr, 0);
  rig_load (reg, "a", "0 8 probe disk 0 A");
  rig_resume (reg, "a");
  rig_suspend (reg, "a");
  rig_resume (reg, "a");
  cr_assert_eq (rig_info (reg, "a").event_nr, 0);
  raise_event ();
  cr_assert_eq (rig_info (reg, "a").event_nr, 1);
  cr_assert_eq (dm_device_rename (reg, "a", "U", DM_UUID_FLAG, NULL, NULL),
                0);
  cr_assert_eq (rig_info (reg, "a").event_nr, 2);
}

Test (event, a_waiter_fires_when_the_number_differs)
{
  struct waiter w;
  struct dm_info info;

  start ();
  wait_for (&w, 99);
  cr_assert_eq (w.fired, 1);
  dm_wait_event_end (&w.w, 0, NULL);

  wait_for (&w, 0);
  rig_suspend (reg, "a");
  rig_resume (reg, "a");
  cr_assert_eq (w.fired, 0);
  raise_event ();
  cr_assert_eq (w.fired, 1);
  raise_event ();
  cr_assert_eq (w.fired, 1);
  dm_wait_event_end (&w.w, 0, &info);
  cr_assert_eq (info.event_nr, 2);

  wait_for (&w, 0);
  cr_assert_eq (w.fired, 1);
  dm_wait_event_end (&w.w, 0, NULL);
}

Test (event, who_gives_up_is_not_called_any_more)
{
  struct waiter w, stays;

  start ();
  wait_for (&w, 0);
  wait_for (&stays, 0);
  dm_wait_event_end (&w.w, 0, NULL);
  raise_event ();
  cr_assert_eq (w.fired, 0);
  cr_assert_eq (stays.fired, 1);
  dm_wait_event_end (&stays.w, 0, NULL);
}

static void *
remove_main (void *opaque)
{
  rig_remove (reg, "a");
  *(atomic_bool *) opaque = true;
  return NULL;
}

static int
note_status (void *opaque, sector_t begin, sector_t len, const char *type,
             const char *text)
{
  ++*(int *) opaque;
  return 0;
}

static void
remove_with_waiter (uint32_t expected_nr, int expected_targets)
{
  atomic_bool removed = false;
  struct dm_info info;
  struct waiter w;
  pthread_t thread;
  int targets = 0;

  wait_for (&w, 0);
  cr_assert_eq (pthread_create (&thread, NULL, remove_main, &removed), 0);
  cr_assert (EVENTUALLY (w.fired == 1));
  /* Gone for everybody but him who waited. */
  cr_assert_eq (dm_device_info (reg, DM_REF_NAME ("a"), 0, NULL, NULL),
                -ENXIO);
  cr_assert (!removed);
  cr_assert_eq (dm_wait_event_status (&w.w, 0, note_status, &targets), 0);
  cr_assert_eq (targets, expected_targets);
  dm_wait_event_end (&w.w, 0, &info);
  cr_assert_eq (info.event_nr, expected_nr);
  cr_assert_str_eq (info.name, "a");
  pthread_join (thread, NULL);
}

Test (event, a_removal_wakes_waiters_and_waits_for_them)
{
  start ();
  remove_with_waiter (1, 1);
}

Test (event, a_removal_wakes_waiters_of_a_device_without_table)
{
  rig_create (reg, "a");
  remove_with_waiter (0, 0);
}

Test (event, a_rename_wakes_waiters)
{
  struct waiter w;

  start ();
  wait_for (&w, 0);
  cr_assert_eq (dm_device_rename (reg, "a", "b", 0, NULL, NULL), 0);
  cr_assert_eq (w.fired, 1);
  dm_wait_event_end (&w.w, 0, NULL);
}

Test (event, a_table_that_is_not_live_raises_none)
{
  struct dm_table *inactive;

  start ();
  rig_load (reg, "a", "0 8 probe disk 8 B");
  inactive = md_hold_table (registry_find_name (reg, "a"), true);
  dm_target_event (inactive->targets[0]);
  cr_assert_eq (rig_info (reg, "a").event_nr, 0);
  md_put (inactive->md);
  table_put (inactive);
}

#define ROUNDS 2000

static void *
raise_main (void *opaque)
{
  unsigned i;

  for (i = 0; i < ROUNDS; i++)
    md_event (opaque);
  return NULL;
}

Test (event, ending_a_wait_while_it_fires_is_safe)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  pthread_t thread;

  cr_assert_eq (pthread_create (&thread, NULL, raise_main, md), 0);
  while (rig_info (reg, "a").event_nr < ROUNDS) {
    struct waiter *w = malloc (sizeof *w);

    wait_for (w, rig_info (reg, "a").event_nr);
    dm_wait_event_end (&w->w, 0, NULL);
    cr_assert (w->fired <= 1);
    free (w);
  }
  pthread_join (thread, NULL);
  dm_close (md);
}
