/* SPDX-License-Identifier: BSD-3-Clause */
/* Exception stores: the words of a table line, handover. */

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/lib/store-rig.h"

static struct memdev *origin, *cow;

static void
setup (void)
{
  origin = memdev_new ("origin", 1024);
  cow = memdev_new ("cow", 2048);
}

static void
teardown (void)
{
  memdev_free (origin);
  memdev_free (cow);
}

TestSuite (exception_store, .init = setup, .fini = teardown);

static char *
print (struct exception_store *store)
{
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  cr_assert_not_null (fp);
  store_print (store, fp);
  fclose (fp);
  return text;
}

static void
accept (const char *type, const char *chunk, const char *expected)
{
  struct exception_store *store = NULL;
  struct message msg = { "" };
  char *CLEANUP_FREE text = NULL;

  cr_assert_eq (store_new (type, chunk, &origin->bdev, &cow->bdev, &store,
                           &msg), 0, "%s %s: %s", type, chunk, msg.text);
  text = print (store);
  cr_expect_str_eq (text, expected);
  cr_expect_eq (store_may_overflow (store), text[1] == 'O');
  cr_expect_eq (store_can_merge (store), text[0] == 'P');
  store_free (store);
}

static void
refuse (const char *type, const char *chunk, const char *why)
{
  static const char prefix[] = "Couldn't create exception store: ";
  struct exception_store *store = NULL;
  struct message msg = { "" };

  cr_expect_eq (store_new (type, chunk, &origin->bdev, &cow->bdev, &store,
                           &msg), -EINVAL, "%s %s", type, chunk);
  cr_expect_eq (strncmp (msg.text, prefix, sizeof prefix - 1), 0, "%s",
                msg.text);
  cr_expect_not_null (strstr (msg.text, why), "%s %s: %s", type, chunk,
                      msg.text);
}

Test (exception_store, words_that_the_kernel_takes)
{
  accept ("P", "8", "P 8");
  accept ("p", "08", "P 8");
  accept ("PO", "16", "PO 16");
  accept ("po", "1", "PO 1");
  accept ("POx", "2", "PO 2");
  accept ("N", "4", "N 4");
  accept ("Nxyz", "4", "N 4");
  accept ("NO", "4", "N 4");
  accept ("P", "0", "P 0");
  accept ("P", "2097152", "P 2097152");
}

Test (exception_store, words_that_it_refuses)
{
  refuse ("PX", "8", "Unsupported persistent store option");
  refuse ("persistent", "8", "Unsupported persistent store option");
  refuse ("", "8", "no such type");
  refuse ("X", "8", "no such type");
  refuse ("P", "24", "power of 2");
  refuse ("P", "0x8", "Invalid chunk size");
  refuse ("P", "8x", "Invalid chunk size");
  refuse ("P", "-1", "Invalid chunk size");
  refuse ("P", "", "Invalid chunk size");
  refuse ("P", "4194304", "too high");
  refuse ("N", "0", "Chunk size not set");
}

Test (exception_store, chunks_are_multiples_of_both_devices_blocks)
{
  origin->limits.logical_block_bytes = 4096;
  refuse ("P", "4", "multiple of device blocksize");
  origin->limits.logical_block_bytes = 512;
  cow->limits.logical_block_bytes = 4096;
  refuse ("P", "4", "multiple of device blocksize");
  accept ("P", "8", "P 8");
}

Test (exception_store, handover)
{
  struct memdev *other = memdev_new ("cow", 4096);
  struct exception_store *old, *young;
  struct prepared p[2] = { { .old_chunk = 5 }, { .old_chunk = 6 } };
  struct store_rig rig;
  struct store_usage usage;
  char *CLEANUP_FREE young_text = NULL, *CLEANUP_FREE old_text = NULL;

  cr_assert_eq (store_rig_open (&rig, &cow->bdev, "PO 8"), 0);
  cr_assert_eq (store_rig_add (&rig, 1, 3), 0);
  old = rig.store;
  cr_assert_eq (store_new ("P", "64", &origin->bdev, &other->bdev, &young,
                           NULL), 0);
  store_await_handover (young);
  young_text = print (young);
  cr_expect_str_eq (young_text, "P 0");
  store_usage (young, &usage);
  cr_expect_eq (usage.allocated + usage.metadata, 0);
  cr_expect_eq (usage.total, 4096);

  /* The other file stands for the same, grown: its bytes are the same. */
  memcpy (other->data, cow->data, 2048 * SECTOR_SIZE);
  store_swap (&old, &young);
  free (young_text);
  young_text = print (young);
  old_text = print (old);
  cr_expect_str_eq (young_text, "P 8");
  cr_expect_str_eq (old_text, "PO 0");
  store_usage (young, &usage);
  cr_expect_eq (usage.total, 4096);
  cr_expect_eq (usage.allocated, 5 * 8);
  store_usage (old, &usage);
  cr_expect_eq (usage.total, bdev_size (&cow->bdev));
  cr_assert_eq (store_prepare (young, p, 2), 0);
  cr_expect_eq (p[0].new_chunk, 5);
  cr_expect_eq (store_commit (young, p, 2, true), 0);
  cr_expect_eq (store_rig_entry (other->data, 8, 4).old_chunk, 6);
  cr_expect_eq (store_rig_entry (cow->data, 8, 3).new_chunk, 0,
                "the old hold is not used any more");
  rig.store = old;
  store_free (young);
  store_rig_close (&rig);
  memdev_free (other);
}
