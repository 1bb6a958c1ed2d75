/* SPDX-License-Identifier: BSD-3-Clause */
/* Cached mappings. */

#include <criterion/criterion.h>

#include "targets/thin/thin-cache.h"

static struct thin_cache cache;

static void
setup (void)
{
  cr_assert_eq (thin_cache_init (&cache), 0);
}

static void
teardown (void)
{
  thin_cache_destroy (&cache);
}

TestSuite (thin_cache, .init = setup, .fini = teardown);

static void
note (block_t block, block_t data_block, bool shared)
{
  struct thin_mapping mapping = { data_block, shared };

  thin_cache_note (&cache, cache.epoch, block, &mapping);
}

static void
expect (block_t block, block_t data_block, bool shared)
{
  struct thin_mapping mapping;

  cr_assert (thin_cache_find (&cache, block, &mapping));
  cr_expect_eq (mapping.data_block, data_block);
  cr_expect_eq (mapping.shared, shared);
}

static void
expect_nothing (block_t block)
{
  struct thin_mapping mapping;

  cr_expect_not (thin_cache_find (&cache, block, &mapping));
}

Test (thin_cache, what_was_noted_is_found)
{
  expect_nothing (0);
  note (0, 0, false);
  expect (0, 0, false);
  note (0, 5, true);
  expect (0, 5, true);
  note ((block_t) 0xffffff << THIN_CACHE_BITS, ((block_t) 1 << 39) - 2, true);
  expect ((block_t) 0xffffff << THIN_CACHE_BITS, ((block_t) 1 << 39) - 2,
          true);
  expect_nothing (0);
}

/* It may be forgotten, never mistaken for another. */
Test (thin_cache, blocks_of_one_slot_are_told_apart)
{
  note (7, 1, false);
  note (7 + THIN_CACHE_SLOTS, 2, false);
  expect_nothing (7);
  expect (7 + THIN_CACHE_SLOTS, 2, false);
}

Test (thin_cache, numbers_that_do_not_fit_are_not_kept)
{
  note (7, ((block_t) 1 << 39) - 1, false);
  expect_nothing (7);
  note ((block_t) 1 << (24 + THIN_CACHE_BITS), 1, false);
  expect_nothing ((block_t) 1 << (24 + THIN_CACHE_BITS));
  expect_nothing (0);
}

Test (thin_cache, forgetting)
{
  block_t block;

  for (block = 10; block < 20; block++)
    note (block, block, false);
  thin_cache_forget (&cache, 12, 15);
  expect (11, 11, false);
  for (block = 12; block < 15; block++)
    expect_nothing (block);
  expect (15, 15, false);
  thin_cache_forget_all (&cache);
  expect_nothing (15);
}

/* Of what was looked up before all was forgotten nothing stays. */
Test (thin_cache, a_late_note_is_taken_back)
{
  struct thin_mapping mapping = { 3, false };
  unsigned epoch = cache.epoch;

  thin_cache_forget_all (&cache);
  thin_cache_note (&cache, epoch, 1, &mapping);
  expect_nothing (1);
}
