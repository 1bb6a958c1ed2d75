/* SPDX-License-Identifier: BSD-3-Clause */
/* States of mapped devices and their gate. */

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/rig.h"

static struct registry *reg;
static struct memdev *disk, *other;

static void
setup (void)
{
  reg = rig_new ();
  disk = memdev_add ("disk", 1024);
  other = memdev_add ("other", 1024);
}

static void
teardown (void)
{
  rig_free (reg);
  memdev_remove (other);
  memdev_remove (disk);
}

TestSuite (md, .init = setup, .fini = teardown, .timeout = 60);

static int
resume (const char *name)
{
  return dm_device_resume (reg, DM_REF_NAME (name), 0, NULL, NULL, NULL);
}

static int
swap (const char *name)
{
  return dm_device_swap (reg, DM_REF_NAME (name), NULL);
}

/* ------------------------------------------------------------------
 * States.
 */

Test (md, a_new_device_is_active_and_needs_a_table_only_once_suspended)
{
  rig_create (reg, "a");
  cr_assert_eq (rig_info (reg, "a").flags, 0);
  cr_assert_eq (resume ("a"), 0);
  rig_suspend (reg, "a");
  cr_assert_eq (resume ("a"), -EINVAL);
  cr_assert_eq (rig_info (reg, "a").flags, DM_SUSPEND_FLAG);
}

Test (md, suspending_twice_succeeds_and_calls_hooks_once)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  char *log;

  free (probe_log ());
  rig_suspend (reg, "a");
  cr_assert_eq (dm_device_suspend (reg, DM_REF_NAME ("a"), DM_NOFLUSH_FLAG,
                                   NULL, NULL, NULL), 0);
  cr_assert (!md->noflush_suspending);
  log = probe_log ();
  cr_assert_str_eq (log, " presuspend:A postsuspend:A");
  free (log);
  rig_stop (md);
}

Test (md, the_old_table_dies_after_the_new_one_resumed)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  char *log;

  rig_load (reg, "a", "0 8 probe disk 0 B");
  rig_resume (reg, "a");
  rig_stop (md);
  log = probe_log ();
  cr_assert_str_eq (log, " ctr:A preresume:A resume:A ctr:B presuspend:A "
                    "postsuspend:A preresume:B resume:B dtr:A presuspend:B "
                    "postsuspend:B dtr:B");
  free (log);
}

Test (md, a_suspended_device_is_removed_without_hooks)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  char *log;

  rig_load (reg, "a", "0 8 probe disk 0 B");
  rig_suspend (reg, "a");
  free (probe_log ());
  rig_stop (md);
  log = probe_log ();
  cr_assert_str_eq (log, " dtr:B dtr:A");
  free (log);
}

Test (md, limits_that_do_not_fit_leave_it_suspended_with_the_old_table)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  struct dm_info info;

  rig_load (reg, "a", "0 2000 linear disk 0");
  cr_assert_eq (resume ("a"), -EINVAL);
  info = rig_info (reg, "a");
  cr_assert_eq (info.flags, DM_SUSPEND_FLAG | DM_ACTIVE_PRESENT_FLAG);
  cr_assert_eq (bdev_size (&md->bdev), 8);
  cr_assert_eq (resume ("a"), 0);
  cr_assert_eq (io_run (&md->bdev, BIO_WRITE, 0, 8, 1), 0);
  rig_stop (md);
}

Test (md, a_failing_preresume_leaves_it_suspended_with_the_new_table)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  struct dm_info info;
  char *log;

  rig_load (reg, "a", "0 16 probe disk 0 B");
  free (probe_log ());
  probe.preresume_error = -EILSEQ;
  cr_assert_eq (resume ("a"), -EILSEQ);
  info = rig_info (reg, "a");
  cr_assert_eq (info.flags, DM_SUSPEND_FLAG | DM_ACTIVE_PRESENT_FLAG);
  cr_assert_eq (bdev_size (&md->bdev), 16);
  log = probe_log ();
  cr_assert_str_eq (log, " presuspend:A postsuspend:A preresume:B dtr:A");
  free (log);
  probe.preresume_error = 0;
  cr_assert_eq (resume ("a"), 0);
  rig_stop (md);
}

Test (md, swapping_twice_undoes_the_swap)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");

  rig_load (reg, "a", "0 16 probe other 0 B");
  cr_assert_eq (swap ("a"), -EINVAL);
  rig_suspend (reg, "a");
  cr_assert_eq (swap ("a"), 0);
  cr_assert_eq (bdev_size (&md->bdev), 16);
  cr_assert_eq (swap ("a"), 0);
  cr_assert_eq (bdev_size (&md->bdev), 8);
  cr_assert_eq (probe.constructed, 2);
  cr_assert_eq (dm_device_resume (reg, DM_REF_NAME ("a"), DM_RESUME_ONLY,
                                  NULL, NULL, NULL), 0);
  cr_assert_eq (bdev_size (&md->bdev), 8);
  cr_assert (rig_info (reg, "a").flags & DM_INACTIVE_PRESENT_FLAG);
  rig_stop (md);
}

Test (md, a_swap_that_fails_changes_nothing)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");

  rig_suspend (reg, "a");
  cr_assert_eq (swap ("a"), -EINVAL);
  rig_load (reg, "a", "0 2000 linear disk 0");
  cr_assert_eq (swap ("a"), -EINVAL);
  cr_assert (rig_info (reg, "a").flags & DM_INACTIVE_PRESENT_FLAG);
  cr_assert_eq (bdev_size (&md->bdev), 8);
  rig_stop (md);
}

Test (md, a_new_device_is_suspended_by_a_swap)
{
  rig_create (reg, "a");
  rig_load (reg, "a", "0 8 linear disk 0");
  cr_assert_eq (swap ("a"), 0);
  cr_assert_eq (rig_info (reg, "a").flags,
                DM_SUSPEND_FLAG | DM_ACTIVE_PRESENT_FLAG);
  cr_assert_eq (swap ("a"), -EINVAL);
  cr_assert_eq (resume ("a"), 0);
}

Test (md, geometry_is_wiped_by_a_change_of_size_only)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");

  cr_assert_eq (dm_device_set_geometry (reg, DM_REF_NAME ("a"), "1 2 3 4",
                                        NULL), 0);
  rig_load (reg, "a", "0 8 linear other 0");
  rig_resume (reg, "a");
  cr_assert_eq (md->geometry.sectors, 3);
  rig_load (reg, "a", "0 9 linear other 0");
  rig_resume (reg, "a");
  cr_assert_eq (md->geometry.sectors, 0);
  rig_stop (md);
}

/* ------------------------------------------------------------------
 * In flight.
 */

static void
suspend_waits_for_io (unsigned flags)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  struct rig_verb v;
  struct io io;

  disk->stalled = true;
  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, true, "a", flags);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  cr_assert (!v.done);
  disk->stalled = false;
  cr_assert_eq (rig_verb_join (&v), 0);
  cr_assert (io.done || disk->data[0] == 'x');
  cr_assert_eq (io_join (&io), 0);
  rig_stop (md);
}

Test (md, a_suspend_waits_for_io_in_flight)
{
  suspend_waits_for_io (0);
}

Test (md, a_noflush_suspend_waits_as_well)
{
  suspend_waits_for_io (DM_NOFLUSH_FLAG);
}

Test (md, presuspend_lets_go_of_what_a_target_holds)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 delay disk 0 100000");
  struct io io;

  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (md_in_flight (md) == 1));
  rig_suspend (reg, "a");
  cr_assert_eq (io_join (&io), 0);
  cr_assert_eq (disk->data[0], 'x');
  rig_stop (md);
}

Test (md, a_cancelled_suspend_leaves_no_trace)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  struct io in, parked;
  struct rig_verb v;
  char *log;

  free (probe_log ());
  disk->stalled = true;
  io_start (&in, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, true, "a", 0);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  io_start (&parked, &md->bdev, BIO_WRITE, 1, 1, 'y');
  cr_assert (EVENTUALLY (rig_parked (md) == 1));
  dm_wait_cancel (&v.wait);
  cr_assert_eq (rig_verb_join (&v), -EINTR);
  cr_assert_eq (rig_state (md), MD_ACTIVE);
  cr_assert (EVENTUALLY (disk->waiting == 2));
  disk->stalled = false;
  cr_assert_eq (io_join (&in), 0);
  cr_assert_eq (io_join (&parked), 0);
  log = probe_log ();
  cr_assert_str_eq (log, " presuspend:A presuspend_undo:A");
  free (log);
  rig_suspend (reg, "a");
  rig_stop (md);
}

Test (md, a_resume_that_cannot_suspend_puts_its_table_back)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 linear disk 0");
  struct rig_verb v;
  struct io io;

  rig_load (reg, "a", "0 8 linear other 0");
  disk->stalled = true;
  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, false, "a", 0);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  cr_assert (!(rig_info (reg, "a").flags & DM_INACTIVE_PRESENT_FLAG));
  dm_wait_cancel (&v.wait);
  cr_assert_eq (rig_verb_join (&v), -EINTR);
  cr_assert (rig_info (reg, "a").flags & DM_INACTIVE_PRESENT_FLAG);
  disk->stalled = false;
  cr_assert_eq (io_join (&io), 0);
  rig_stop (md);
}

Test (md, a_table_staged_meanwhile_is_not_overwritten_by_the_one_put_back)
{
  struct mapped_device *md = rig_start (reg, "a", "0 8 probe disk 0 A");
  struct rig_verb v;
  struct io io;
  char *text;

  rig_load (reg, "a", "0 8 probe other 0 B");
  disk->stalled = true;
  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, false, "a", 0);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  rig_load (reg, "a", "0 8 probe other 0 C");
  dm_wait_cancel (&v.wait);
  cr_assert_eq (rig_verb_join (&v), -EINTR);
  cr_assert_eq (probe.constructed, 2);
  cr_assert_eq (dm_table_text (reg, DM_REF_NAME ("a"),
                               DM_QUERY_INACTIVE_TABLE_FLAG, &text, NULL), 0);
  cr_assert_str_eq (text, "0 8 probe other 0 C\n");
  free (text);
  disk->stalled = false;
  cr_assert_eq (io_join (&io), 0);
  rig_stop (md);
}

Test (md, a_resume_alone_suspends_and_no_write_is_lost)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct io io[8];
  unsigned i;

  for (i = 0; i < 8; i++)
    io_start (&io[i], &md->bdev, BIO_WRITE, i, 1, 'a' + i);
  rig_load (reg, "a", "0 16 linear other 0");
  rig_resume (reg, "a");
  for (i = 0; i < 8; i++) {
    cr_assert_eq (io_join (&io[i]), 0);
    cr_assert_neq (disk->data[i * SECTOR_SIZE] == 'a' + (char) i,
                   other->data[i * SECTOR_SIZE] == 'a' + (char) i);
  }
  cr_assert (rig_info (reg, "a").flags == DM_ACTIVE_PRESENT_FLAG);
  rig_stop (md);
}

/* ------------------------------------------------------------------
 * The end of the server.
 */

Test (md, shutdown_wakes_what_is_parked_anywhere_in_a_stack)
{
  struct mapped_device *low = rig_start (reg, "low", "0 16 linear disk 0");
  struct mapped_device *top = rig_start (reg, "top", "0 16 probe low 0 T");
  struct io below, direct;
  char *log;

  rig_suspend (reg, "low");
  io_start (&below, &top->bdev, BIO_WRITE, 0, 1, 'x');
  io_start (&direct, &low->bdev, BIO_WRITE, 1, 1, 'x');
  cr_assert (EVENTUALLY (rig_parked (low) == 2));
  free (probe_log ());
  cr_assert (registry_shutdown (reg, monotonic_ns () + 5000000000));
  cr_assert_eq (io_join (&below), -ESHUTDOWN);
  cr_assert_eq (io_join (&direct), -ESHUTDOWN);
  cr_assert_eq (io_run (&top->bdev, BIO_READ, 0, 1, 0), -ESHUTDOWN);
  cr_assert_eq (resume ("low"), -ESHUTDOWN);
  log = probe_log ();
  cr_assert_str_eq (log, " presuspend:T postsuspend:T");
  free (log);
  cr_assert (registry_shutdown (reg, 0));
  dm_close (top);
  dm_close (low);
}

Test (md, shutdown_lets_io_in_flight_end_but_not_for_ever)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 probe disk 0 A");
  struct io io;
  char *log;

  probe.stalled = true;
  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (probe.waiting == 1));
  free (probe_log ());
  cr_assert (!registry_shutdown (reg, monotonic_ns () + 20000000));
  probe.stalled = false;
  cr_assert_eq (io_join (&io), 0);
  cr_assert (registry_shutdown (reg, monotonic_ns () + 5000000000));
  log = probe_log ();
  cr_assert_str_eq (log, " presuspend:A postsuspend:A");
  free (log);
  dm_close (md);
}

Test (md, shutdown_breaks_off_a_suspend_that_drains)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 probe disk 0 A");
  struct rig_verb v;
  struct io io;

  probe.stalled = true;
  io_start (&io, &md->bdev, BIO_WRITE, 0, 1, 'x');
  cr_assert (EVENTUALLY (probe.waiting == 1));
  rig_verb_start (&v, reg, true, "a", 0);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  cr_assert (!registry_shutdown (reg, monotonic_ns () + 20000000));
  cr_assert_eq (rig_verb_join (&v), -ESHUTDOWN);
  probe.stalled = false;
  cr_assert_eq (io_join (&io), 0);
  dm_close (md);
}

/* ------------------------------------------------------------------
 * All at once.
 */

#define HAMMER_SECONDS 5
#define HAMMER_IO 6

static atomic_bool hammer_stop;
static atomic_ulong hammered;

/* Every table leads to the same place, so what a thread has written to its own
 * sector it reads, and nothing ever fails.
 */
static void *
hammer_io (void *opaque)
{
  static atomic_uint threads;
  struct mapped_device *md = opaque;
  unsigned sector = threads++;
  unsigned char fill = 0;

  while (!hammer_stop) {
    char data[SECTOR_SIZE];
    struct bio bio = { .op = BIO_READ, .bdev = &md->bdev, .sector = sector,
                       .len = 1, .data = data };

    if (io_run (&md->bdev, BIO_WRITE, sector, 1, ++fill) != 0 ||
        io_run (&md->bdev, BIO_FLUSH, 0, 0, 0) != 0 ||
        bdev_submit (&md->bdev, &bio) != 0)
      return "I/O failed";
    if ((unsigned char) data[0] != fill)
      return "a write was lost";
    hammered++;
  }
  return NULL;
}

/* Verbs that meet may fail, as they may in the kernel: one can resume what
 * the other has suspended to swap its table.
 */
static void *
hammer_swap (void *opaque)
{
  unsigned i;

  for (i = 0; !hammer_stop; i++) {
    rig_load (reg, "a", i % 2 ? "0 16 probe low 0 A" : "0 16 linear low 0");
    if (i % 3 == 0)
      rig_suspend (reg, "a");
    resume ("a");
  }
  return NULL;
}

static void *
hammer_low (void *opaque)
{
  while (!hammer_stop) {
    rig_suspend (reg, "low");
    resume ("low");
  }
  return NULL;
}

static void *
hammer_cancel (void *opaque)
{
  while (!hammer_stop) {
    struct rig_verb v;

    rig_verb_start (&v, reg, true, "a", DM_NOFLUSH_FLAG);
    dm_wait_cancel (&v.wait);
    rig_verb_join (&v);
    resume ("a");
  }
  return NULL;
}

static void *
hammer_short_lives (void *opaque)
{
  while (!hammer_stop) {
    struct mapped_device *md = rig_start (reg, "x", "0 8 probe low 8 X");

    if (io_run (&md->bdev, BIO_WRITE, 0, 8, 1) != 0)
      return "I/O failed";
    rig_stop (md);
  }
  return NULL;
}

Test (md, io_and_verbs_of_all_kinds_at_once)
{
  static void *(*const verbs[]) (void *) = {
    hammer_swap, hammer_low, hammer_cancel, hammer_short_lives
  };
  struct mapped_device *low = rig_start (reg, "low", "0 16 linear disk 0");
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear low 0");
  const struct timespec time = { .tv_sec = HAMMER_SECONDS };
  pthread_t threads[HAMMER_IO + 4];
  unsigned i;

  for (i = 0; i < HAMMER_IO; i++)
    pthread_create (&threads[i], NULL, hammer_io, md);
  for (i = 0; i < 4; i++)
    pthread_create (&threads[HAMMER_IO + i], NULL, verbs[i], NULL);
  nanosleep (&time, NULL);
  hammer_stop = true;
  for (i = 0; i < HAMMER_IO + 4; i++) {
    void *failure;

    pthread_join (threads[i], &failure);
    cr_expect_null (failure, "%u: %s", i, (char *) failure);
  }
  cr_assert_gt (hammered, 100);
  rig_stop (md);
  rig_stop (low);
}
