/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of bios through the gate: checked, parked, pushed back. */

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

TestSuite (gate, .init = setup, .fini = teardown, .timeout = 60);

/* ------------------------------------------------------------------
 * What a bio is checked for.
 */

Test (gate, a_bio_is_checked_against_size_mode_and_limits)
{
  struct mapped_device *md;

  disk->limits.logical_block_bytes = 4096;
  disk->limits.discard = false;
  md = rig_start (reg, "a", "0 64 linear disk 0");
  cr_expect_eq (io_run (&md->bdev, BIO_READ, 64, 8, 0), -EIO);
  cr_expect_eq (io_run (&md->bdev, BIO_READ, UINT64_MAX - 7, 8, 0), -EIO);
  cr_expect_eq (io_run (&md->bdev, BIO_READ, 4, 8, 0), -EINVAL);
  cr_expect_eq (io_run (&md->bdev, BIO_READ, 8, 4, 0), -EINVAL);
  cr_expect_eq (io_run (&md->bdev, BIO_DISCARD, 0, 8, 0), -EOPNOTSUPP);
  cr_expect_eq (io_run (&md->bdev, BIO_WRITE_ZEROES, 0, 8, 0), 0);
  cr_expect_eq (rig_try_load (reg, "a", "0 64 linear disk 0",
                              DM_READONLY_FLAG, NULL), 0);
  rig_resume (reg, "a");
  cr_expect (dm_is_readonly (md));
  cr_expect_eq (io_run (&md->bdev, BIO_WRITE, 0, 8, 0), -EPERM);
  cr_expect_eq (io_run (&md->bdev, BIO_WRITE_ZEROES, 0, 8, 0), -EPERM);
  cr_expect_eq (io_run (&md->bdev, BIO_READ, 0, 8, 0), 0);
  cr_expect_eq (io_run (&md->bdev, BIO_FLUSH, 0, 0, 0), 0);
  rig_stop (md);
}

Test (gate, without_a_table_io_fails_at_once_even_if_suspended)
{
  struct mapped_device *md;

  rig_create (reg, "a");
  md = registry_find_name (reg, "a");
  cr_assert_eq (io_run (&md->bdev, BIO_FLUSH, 0, 0, 0), -EIO);
  rig_suspend (reg, "a");
  cr_assert_eq (io_run (&md->bdev, BIO_FLUSH, 0, 0, 0), -EIO);
  cr_assert_eq (io_run (&md->bdev, BIO_READ, 0, 1, 0), -EIO);
  md_put (md);
}

/* ------------------------------------------------------------------
 * Parked.
 */

Test (gate, parked_io_meets_the_new_table_and_its_size)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct io fits, beyond;

  rig_suspend (reg, "a");
  cr_assert_eq (io_run (&md->bdev, BIO_WRITE, 16, 1, 'x'), -EIO);
  io_start (&fits, &md->bdev, BIO_WRITE, 0, 1, 'x');
  io_start (&beyond, &md->bdev, BIO_WRITE, 8, 1, 'x');
  cr_assert (EVENTUALLY (rig_parked (md) == 2));
  rig_load (reg, "a", "0 8 linear other 0");
  rig_resume (reg, "a");
  cr_assert_eq (io_join (&fits), 0);
  cr_assert_eq (io_join (&beyond), -EIO);
  cr_assert_eq (disk->data[0], 0);
  cr_assert_eq (other->data[0], 'x');
  rig_stop (md);
}

Test (gate, parked_writes_to_one_block_run_one_by_one_in_order)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct io io[6], elsewhere;
  unsigned i;

  rig_suspend (reg, "a");
  for (i = 0; i < 6; i++) {
    io_start (&io[i], &md->bdev, BIO_WRITE, 0, 2, '0' + i);
    cr_assert (EVENTUALLY (rig_parked (md) == i + 1));
  }
  io_start (&elsewhere, &md->bdev, BIO_READ, 2, 1, 0);
  cr_assert (EVENTUALLY (rig_parked (md) == 7));
  disk->stalled = true;
  rig_resume (reg, "a");
  /* The first write and the read that overlaps none. */
  cr_assert (EVENTUALLY (disk->waiting == 2));
  cr_assert_eq (rig_parked (md), 5);
  disk->stalled = false;
  for (i = 0; i < 6; i++)
    cr_assert_eq (io_join (&io[i]), 0);
  cr_assert_eq (io_join (&elsewhere), 0);
  cr_assert_eq (disk->data[0], '5');
  rig_stop (md);
}

Test (gate, parked_reads_and_flushes_run_together)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct io io[3];

  rig_suspend (reg, "a");
  io_start (&io[0], &md->bdev, BIO_READ, 0, 8, 0);
  io_start (&io[1], &md->bdev, BIO_READ, 4, 8, 0);
  io_start (&io[2], &md->bdev, BIO_FLUSH, 0, 0, 0);
  cr_assert (EVENTUALLY (rig_parked (md) == 3));
  disk->stalled = true;
  rig_resume (reg, "a");
  cr_assert (EVENTUALLY (disk->waiting == 3));
  disk->stalled = false;
  cr_assert_eq (io_join (&io[0]) | io_join (&io[1]) | io_join (&io[2]), 0);
  rig_stop (md);
}

Test (gate, what_was_not_released_keeps_its_place_in_the_next_suspend)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct io io[3], later;
  struct rig_verb v;
  unsigned i;

  rig_suspend (reg, "a");
  for (i = 0; i < 3; i++) {
    io_start (&io[i], &md->bdev, BIO_WRITE, 0, 2, '0' + i);
    cr_assert (EVENTUALLY (rig_parked (md) == i + 1));
  }
  disk->stalled = true;
  rig_resume (reg, "a");
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, true, "a", 0);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  io_start (&later, &md->bdev, BIO_WRITE, 0, 2, '9');
  cr_assert (EVENTUALLY (rig_parked (md) == 3));
  disk->stalled = false;
  cr_assert_eq (rig_verb_join (&v), 0);
  cr_assert_eq (io_join (&io[0]), 0);
  cr_assert_eq (rig_parked (md), 3);
  cr_assert_eq (disk->data[0], '0');
  rig_resume (reg, "a");
  cr_assert_eq (io_join (&io[1]) | io_join (&io[2]) | io_join (&later), 0);
  cr_assert_eq (disk->data[0], '9');
  rig_stop (md);
}

Test (gate, io_that_a_target_pushes_back_parks_at_the_head)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 probe disk 0 A");
  struct io held, queued;
  struct rig_verb v;

  disk->stalled = true;
  io_start (&held, &md->bdev, BIO_READ, 0, 1, 0);
  cr_assert (EVENTUALLY (disk->waiting == 1));
  rig_verb_start (&v, reg, true, "a", DM_NOFLUSH_FLAG);
  cr_assert (EVENTUALLY (rig_state (md) == MD_SUSPENDING));
  io_start (&queued, &md->bdev, BIO_WRITE, 8, 1, 'q');
  cr_assert (EVENTUALLY (rig_parked (md) == 1));
  disk->stalled = false;
  cr_assert_eq (rig_verb_join (&v), 0);
  cr_assert_eq (io_join (&held), 0);

  /* Now one that is pushed back while presuspend takes its time. */
  rig_resume (reg, "a");
  cr_assert_eq (io_join (&queued), 0);
  probe.push_back = probe.hold = true;
  rig_verb_start (&v, reg, true, "a", DM_NOFLUSH_FLAG);
  cr_assert (EVENTUALLY (md->noflush_suspending));
  io_start (&held, &md->bdev, BIO_WRITE, 0, 1, 'h');
  cr_assert (EVENTUALLY (rig_parked (md) == 1));
  probe.hold = false;
  cr_assert_eq (rig_verb_join (&v), 0);
  probe.push_back = false;
  cr_assert_eq (rig_parked (md), 1);
  rig_load (reg, "a", "0 16 linear other 0");
  rig_resume (reg, "a");
  cr_assert_eq (io_join (&held), 0);
  cr_assert_eq (other->data[0], 'h');
  rig_stop (md);
}

Test (gate, pushing_back_without_a_noflush_suspend_is_an_error)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 probe disk 0 A");

  probe.push_back = true;
  cr_assert_eq (io_run (&md->bdev, BIO_WRITE, 0, 1, 'h'), -EIO);
  rig_stop (md);
}

static int
count_extents (struct extent_sink *sink, sector_t len, unsigned flags)
{
  return len == 16 && flags == 0 ? 0 : -EPROTO;
}

static void *
extents_main (void *opaque)
{
  struct io *io = opaque;
  struct extent_sink sink = { count_extents };

  io->result = bdev_extents (io->bdev, 0, 16, &sink);
  io->done = true;
  return NULL;
}

Test (gate, asking_for_extents_waits_for_the_resume)
{
  struct mapped_device *md = rig_start (reg, "a", "0 16 linear disk 0");
  struct extent_sink sink = { count_extents };
  struct io io = { .bdev = &md->bdev };

  cr_assert_eq (bdev_extents (&md->bdev, 0, 17, &sink), -EIO);
  rig_suspend (reg, "a");
  cr_assert_eq (pthread_create (&io.thread, NULL, extents_main, &io), 0);
  cr_assert (EVENTUALLY (rig_parked (md) == 1));
  rig_resume (reg, "a");
  cr_assert_eq (io_join (&io), 0);
  rig_stop (md);
}
