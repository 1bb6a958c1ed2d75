/* SPDX-License-Identifier: BSD-3-Clause */
/* Every file and upstream that tables have open. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/lock.h"
#include "common/log.h"
#include "common/numbers.h"
#include "common/tree.h"
#include "server/bdev.h"
#include "server/dm-core.h"

struct outside {
  struct list link;          /* outside.devices, unless it failed to open */
  struct list handed_link;   /* outside.handed_in, if it is … */
  struct tree_node by_key;   /* … else in outside.by_key, unless it failed */
  struct tree_node by_number; /* outside.by_number, if it has one of ours */
  struct outside_key key;    /* owns its strings */
  bool handed_in, numbered;
  unsigned refs;

  /* Written once, by who opens it, before settled. */
  bool settled;
  int error;
  struct message message;
  struct block_device *bdev; /* NULL if it failed */
};

static int outside_compare_key (const void *key,
                                const struct tree_node *node);
static int outside_compare_number (const void *number,
                                   const struct tree_node *node);

static struct {
  struct latch latch;        /* guards all that is here, and settled, refs */
  pthread_cond_t settled;    /* some device is open or failed to */
  struct list devices, handed_in;
  struct tree by_key, by_number;
  struct numbers numbers;    /* minors of BACKING_BLOCK_MAJOR */
  bool ending;               /* devices_shutdown was called */
} outside = {
  .latch = LATCH_INIT,
  .settled = PTHREAD_COND_INITIALIZER,
  .devices = LIST_HEAD_INIT (outside.devices),
  .handed_in = LIST_HEAD_INIT (outside.handed_in),
  .by_key = TREE_INIT (outside_compare_key),
  .by_number = TREE_INIT (outside_compare_number),
};

/* ------------------------------------------------------------------
 * Finding.
 */

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int
outside_compare_options (const struct bdev_options *a,
                         const struct bdev_options *b)
{
  int c = ORDER (a->offset_bytes, b->offset_bytes);

  c = c ? c : ORDER (a->size_bytes, b->size_bytes);
  c = c ? c : ORDER (a->readonly, b->readonly);
  c = c ? c : ORDER (a->direct, b->direct);
  c = c ? c : ORDER (a->connections, b->connections);
  c = c ? c : ORDER (a->reconnect, b->reconnect);
  c = c ? c : ORDER (a->timeout, b->timeout);
  return c ? c : ORDER (a->check, b->check);
}

static int
outside_compare_key (const void *opaque, const struct tree_node *node)
{
  const struct outside_key *key = opaque;
  const struct outside *o = container_of (node, struct outside, by_key);
  int c = strcmp (key->target, o->key.target);

  c = c ? c : strcmp (key->name, o->key.name);
  c = c ? c : ORDER (key->writable, o->key.writable);
  return c ? c : outside_compare_options (&key->options, &o->key.options);
}

static int
outside_compare_number (const void *opaque, const struct tree_node *node)
{
  uint32_t number = *(const uint32_t *) opaque;

  return ORDER (number, container_of (node, struct outside,
                                      by_number)->bdev->number);
}

static struct outside *
outside_find (const struct outside_key *key)
{
  struct tree_node *node;

  assert_latch_held (&outside.latch);
  node = tree_find (&outside.by_key, key);
  return node ? container_of (node, struct outside, by_key) : NULL;
}

static struct outside *
outside_find_number (uint32_t number)
{
  struct tree_node *node;

  assert_latch_held (&outside.latch);
  node = tree_find (&outside.by_number, &number);
  return node ? container_of (node, struct outside, by_number) : NULL;
}

/* ------------------------------------------------------------------
 * The lists, under the latch.
 */

/* It is open: give it a number unless it has its own. */
static void
outside_set_number (struct outside *o)
{
  uint32_t minor = numbers_lowest (&outside.numbers);

  if (o->bdev->number == 0 && numbers_take (&outside.numbers, minor)) {
    o->bdev->number = DM_NUMBER (BACKING_BLOCK_MAJOR, minor);
    o->numbered = true;
    tree_add (&outside.by_number, &o->bdev->number, &o->by_number);
  }
}

static void
outside_list (struct outside *o)
{
  list_add_tail (&outside.devices, &o->link);
  if (o->handed_in)
    list_add_tail (&outside.handed_in, &o->handed_link);
  else
    tree_add (&outside.by_key, &o->key, &o->by_key);
}

/* Does nothing if it is not listed any more. */
static void
outside_unlist (struct outside *o)
{
  if (list_empty (&o->link))
    return;
  list_del (&o->link);
  list_del (&o->handed_link);
  if (!o->handed_in)
    tree_del (&outside.by_key, &o->key);
  if (o->numbered) {
    tree_del (&outside.by_number, &o->bdev->number);
    numbers_give_back (&outside.numbers, o->bdev->number & 0xfffff);
    o->bdev->number = 0; /* one that was handed in may come again */
  }
}

/* ------------------------------------------------------------------ */

static void
outside_free (struct outside *o)
{
  free ((char *) o->key.name);
  free ((char *) o->key.target);
  free (o);
}

static struct outside *
outside_new (const struct outside_key *key)
{
  struct outside *o = calloc (1, sizeof *o);

  if (o == NULL)
    return NULL;
  list_init (&o->link);
  list_init (&o->handed_link);
  o->refs = 1;
  o->key = *key;
  o->key.name = strdup (key->name);
  o->key.target = strdup (key->target);
  if (o->key.name == NULL || o->key.target == NULL) {
    outside_free (o);
    return NULL;
  }
  return o;
}

/* Runs without the latch: an upstream may take its time to answer. */
static void
outside_open (struct outside *o)
{
  const struct outside_key *key = &o->key;
  struct block_device *bdev = NULL;
  bool ending;
  int r;

  r = (key->target[0] == '/' ? bdev_file_open : bdev_nbd_open)
    (key->target, key->name, key->writable, &key->options, &bdev, &o->message);

  latch_acquire (&outside.latch);
  o->bdev = bdev;
  if (r < 0)
    outside_unlist (o);
  else
    outside_set_number (o);
  o->error = r;
  o->settled = true;
  ending = outside.ending;
  pthread_cond_broadcast (&outside.settled);
  latch_release (&outside.latch);

  if (r == 0 && ending && bdev->ops->shutdown)
    bdev->ops->shutdown (bdev);
}

int
outside_get (const struct outside_key *key, struct outside **out,
             struct message *msg)
{
  struct outside *o;
  int r;

  latch_acquire (&outside.latch);
  o = outside_find (key);
  if (o) {
    o->refs++;
    while (!o->settled)
      latch_wait (&outside.latch, &outside.settled);
    latch_release (&outside.latch);
  }
  else {
    o = outside_new (key);
    if (o)
      outside_list (o);
    latch_release (&outside.latch);
    if (o == NULL)
      return message_set (msg, ENOMEM, "out of memory");
    outside_open (o);
  }
  if (o->error < 0) {
    r = message_set (msg, -o->error, "%s", o->message.text);
    outside_put (o);
    return r;
  }
  *out = o;
  return 0;
}

int
outside_get_number (uint32_t number, bool writable, struct outside **out,
                    struct message *msg)
{
  struct outside *o;
  int r;

  latch_acquire (&outside.latch);
  o = outside_find_number (number);
  if (o)
    o->refs++;
  latch_release (&outside.latch);
  if (o == NULL)
    return message_set (msg, ENXIO, "no device with the number %u:%u is open",
                        number >> 20, number & 0xfffff);
  if (!o->handed_in && o->key.writable != writable) {
    struct outside_key key = o->key;

    key.writable = writable;
    r = outside_get (&key, out, msg);
    outside_put (o);
    return r;
  }
  *out = o;
  return 0;
}

struct outside *
outside_find_handed_in (const char *name)
{
  struct outside *o;

  ACQUIRE_LATCH_FOR_SCOPE (&outside.latch);
  list_for_each (o, &outside.handed_in, handed_link)
    if (strcmp (o->key.name, name) == 0) {
      o->refs++;
      return o;
    }
  return NULL;
}

struct block_device *
outside_bdev (const struct outside *o)
{
  return o->bdev;
}

void
outside_put (struct outside *o)
{
  bool last;

  latch_acquire (&outside.latch);
  last = --o->refs == 0;
  if (last)
    outside_unlist (o);
  latch_release (&outside.latch);
  if (!last)
    return;
  if (o->bdev && !o->handed_in)
    o->bdev->ops->close (o->bdev);
  outside_free (o);
}

void
devices_add (struct block_device *bdev)
{
  struct outside_key key = { .name = bdev->name, .target = "",
                             .writable = true };
  struct outside *o = outside_new (&key);

  if (o == NULL)
    abort ();
  o->handed_in = o->settled = true;
  o->bdev = bdev;
  ACQUIRE_LATCH_FOR_SCOPE (&outside.latch);
  outside_set_number (o);
  outside_list (o);
}

void
devices_remove (struct block_device *bdev)
{
  struct outside *o = outside_find_handed_in (bdev->name);

  assert (o && o->bdev == bdev && o->refs == 2);
  outside_put (o);
  outside_put (o);
}

struct outside *
outside_next (struct outside *prev)
{
  struct outside *o, *next = NULL;

  latch_acquire (&outside.latch);
  o = container_of (prev ? prev->link.next : outside.devices.next,
                    struct outside, link);
  for (; &o->link != &outside.devices && next == NULL;
       o = container_of (o->link.next, struct outside, link))
    if (o->settled) {
      o->refs++;
      next = o;
    }
  latch_release (&outside.latch);
  if (prev)
    outside_put (prev);
  return next;
}

void
devices_shutdown (void)
{
  struct outside *o;

  latch_acquire (&outside.latch);
  outside.ending = true;
  latch_release (&outside.latch);
  for (o = outside_next (NULL); o; o = outside_next (o))
    if (o->bdev->ops->shutdown)
      o->bdev->ops->shutdown (o->bdev);
}

int
devices_flush (void)
{
  struct outside *o;
  int r, error = 0;

  for (o = outside_next (NULL); o; o = outside_next (o))
    if (o->key.writable && (r = bdev_flush (o->bdev)) < 0) {
      log_error ("%s: could not be flushed: %s", o->bdev->name, strerror (-r));
      error = r;
    }
  return error;
}
