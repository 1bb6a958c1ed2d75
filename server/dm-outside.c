/* SPDX-License-Identifier: BSD-3-Clause */
/* Every file and upstream that tables have open. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/lock.h"
#include "common/log.h"
#include "server/bdev.h"
#include "server/dm-core.h"

struct outside {
  struct list link;          /* outside.devices, unless it failed to open */
  struct outside_key key;    /* owns its strings */
  bool handed_in;
  unsigned refs;

  /* Written once, by who opens it, before settled. */
  bool settled;
  int error;
  struct message message;
  struct block_device *bdev; /* NULL if it failed */
};

static struct {
  struct latch latch;        /* guards all that is here, and settled, refs */
  pthread_cond_t settled;    /* some device is open or failed to */
  struct list devices;
  bool ending;               /* devices_shutdown was called */
} outside = {
  LATCH_INIT,
  PTHREAD_COND_INITIALIZER,
  LIST_HEAD_INIT (outside.devices),
  false
};

static bool
outside_options_equal (const struct bdev_options *a,
                       const struct bdev_options *b)
{
  return a->readonly == b->readonly && a->direct == b->direct &&
    a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes &&
    a->connections == b->connections && a->reconnect == b->reconnect &&
    a->timeout == b->timeout && a->check == b->check;
}

static struct outside *
outside_find (const struct outside_key *key)
{
  struct outside *o;

  assert_latch_held (&outside.latch);
  list_for_each (o, &outside.devices, link)
    if (!o->handed_in && o->key.writable == key->writable &&
        strcmp (o->key.name, key->name) == 0 &&
        strcmp (o->key.target, key->target) == 0 &&
        outside_options_equal (&o->key.options, &key->options))
      return o;
  return NULL;
}

static struct outside *
outside_find_number (uint32_t number)
{
  struct outside *o;

  assert_latch_held (&outside.latch);
  list_for_each (o, &outside.devices, link)
    if (o->settled && o->bdev->number == number)
      return o;
  return NULL;
}

static uint32_t
outside_free_number (void)
{
  uint32_t number = DM_NUMBER (BACKING_BLOCK_MAJOR, 0);

  while (outside_find_number (number))
    number++;
  return number;
}

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
  if (r < 0)
    list_del (&o->link);
  else if (bdev->number == 0)
    bdev->number = outside_free_number ();
  o->bdev = bdev;
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
      list_add_tail (&outside.devices, &o->link);
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
  list_for_each (o, &outside.devices, link)
    if (o->handed_in && strcmp (o->key.name, name) == 0) {
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
    list_del (&o->link);
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
  if (bdev->number == 0)
    bdev->number = outside_free_number ();
  list_add_tail (&outside.devices, &o->link);
}

void
devices_remove (struct block_device *bdev)
{
  struct outside *o = outside_find_handed_in (bdev->name);

  assert (o && o->bdev == bdev && o->refs == 2);
  outside_put (o);
  outside_put (o);
}

/* The open device after prev (NULL: the first), held; prev is put. */
static struct outside *
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
