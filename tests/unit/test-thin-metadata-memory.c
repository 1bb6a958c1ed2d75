/* SPDX-License-Identifier: BSD-3-Clause */
/* The n-th allocation of a pool's work fails, for every n. */

/* The linker sends the program's own calls here (--wrap). */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/metacheck.h"
#include "tests/lib/thin-rig.h"

void *__real_malloc (size_t);
void *__real_calloc (size_t, size_t);
void *__real_aligned_alloc (size_t, size_t);

void *__wrap_malloc (size_t);
void *__wrap_calloc (size_t, size_t);
void *__wrap_aligned_alloc (size_t, size_t);

static atomic_long countdown; /* 0 or below: off */

static bool
alloc_fails (void)
{
  return countdown > 0 && --countdown == 0;
}

void *
__wrap_malloc (size_t n)
{
  return alloc_fails () ? NULL : __real_malloc (n);
}

void *
__wrap_calloc (size_t n, size_t size)
{
  return alloc_fails () ? NULL : __real_calloc (n, size);
}

void *
__wrap_aligned_alloc (size_t alignment, size_t n)
{
  return alloc_fails () ? NULL : __real_aligned_alloc (alignment, n);
}

static struct thin_rig rig;
static char *base; /* the image before the workload */

static void
set_up (void)
{
  unsigned i;

  rig_start (&rig, 1024);
  rig_format (&rig, 40000);
  cr_assert_eq (thin_meta_create_thin (rig.md, 1), 0);
  for (i = 0; i < 600; i++)
    cr_assert_eq (rig_provision (&rig, 1, i * 7), 0);
  cr_assert_eq (thin_meta_commit (rig.md), 0);
  base = malloc (rig_bytes (&rig));
  memcpy (base, rig.dev->data, rig_bytes (&rig));
}

static void
tear_down (void)
{
  countdown = 0;
  rig_stop (&rig);
  free (base);
}

TestSuite (thin_memory, .init = set_up, .fini = tear_down, .timeout = 300);

static void
start_again (void)
{
  rig_crash (&rig);
  memcpy (rig.dev->data, base, rig_bytes (&rig));
}

static int
workload (void)
{
  struct thin_range run;
  struct thin_device *td;
  unsigned i;
  int r;

  r = thin_meta_create_snap (rig.md, 2, 1);
  if (r == 0) /* of another bitmap */
    r = thin_meta_inc_data (rig.md, 20000, 20001);
  if (r == 0)
    r = thin_meta_dec_data (rig.md, 20000, 20001);
  for (i = 0; r == 0 && i < 30; i++)
    r = rig_provision (&rig, 2, i * 97);
  if (r == 0)
    r = thin_meta_reserve_snap (rig.md);
  if (r == 0)
    r = rig_remove (&rig, 1, 50, 1500);
  if (r == 0)
    r = thin_dev_open (rig.md, 2, &td);
  if (r == 0) {
    r = thin_dev_find_range (td, 0, 1000, &run);
    thin_dev_close (td);
  }
  if (r == 0)
    r = thin_meta_delete (rig.md, 1);
  return r < 0 ? r : thin_meta_commit (rig.md);
}

Test (thin_memory, work_without_memory_fails_and_can_go_on)
{
  unsigned n, failed = 0;
  bool all_done;
  int r;

  for (n = 1, all_done = false; !all_done; n++) {
    start_again ();
    cr_assert_eq (rig_open (&rig), 0);
    countdown = n;
    r = workload ();
    all_done = countdown > 0;
    countdown = 0;
    cr_assert (r == 0 || r == -ENOMEM, "%u: %d", n, r);
    failed += r < 0;
    if (thin_meta_is_broken (rig.md))
      cr_assert_eq (rig_abort (&rig), 0);
    cr_assert_eq (thin_meta_create_thin (rig.md, 9), 0);
    cr_assert_eq (rig_close (&rig), 0);
    metacheck_assert (rig.dev->data, rig_bytes (&rig), "gone on");
  }
  cr_assert_gt (failed, 20);
}

Test (thin_memory, opening_without_memory_fails)
{
  bool all_done = false;
  unsigned n;
  int r;

  for (n = 1; !all_done; n++) {
    start_again ();
    countdown = n;
    r = rig_open (&rig);
    all_done = countdown > 0;
    countdown = 0;
    cr_assert (r == (all_done ? 0 : -ENOMEM), "%u: %d", n, r);
  }
  cr_assert_gt (n, 5);
}

Test (thin_memory, formatting_without_memory_fails_and_can_be_done_again)
{
  bool all_done = false;
  unsigned n;
  int r;

  for (n = 1; !all_done; n++) {
    rig_stop (&rig);
    rig_start (&rig, 64);
    countdown = n;
    r = rig_open (&rig);
    all_done = countdown > 0;
    countdown = 0;
    cr_assert (r == 0 || (r == -ENOMEM && !all_done), "%u: %d", n, r);
    if (r < 0)
      cr_assert_eq (rig_open (&rig), 0);
    cr_assert_eq (rig_close (&rig), 0);
    metacheck_assert (rig.dev->data, rig_bytes (&rig), "formatted");
  }
  cr_assert_gt (n, 10);
}
