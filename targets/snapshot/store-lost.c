/* SPDX-License-Identifier: BSD-3-Clause */
/* Stores that are lost though their COW device does not say so. */

#include "targets/snapshot/store-lost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/lock.h"

struct lost {
  struct list link;
  struct lost_store store;
  uint32_t number; /* of a mapped device */
  char name[];     /* "" for one */
};

static struct {
  struct latch latch;
  struct list list; /* struct lost */
} losts = { LATCH_INIT, LIST_HEAD_INIT (losts.list) };

/* Under latch. */
static struct lost *
lost_find (const struct block_device *cow)
{
  struct lost *lost;

  list_for_each (lost, &losts.list, link)
    if (cow->name ? strcmp (cow->name, lost->name) == 0
                  : lost->name[0] == '\0' && lost->number == cow->number)
      return lost;
  return NULL;
}

/* Under latch. */
static struct lost *
lost_new (const struct block_device *cow)
{
  const char *name = cow->name ? cow->name : "";
  struct lost *lost = malloc (sizeof *lost + strlen (name) + 1);

  if (lost) {
    lost->number = cow->number;
    strcpy (lost->name, name);
    list_add_tail (&losts.list, &lost->link);
  }
  return lost;
}

int
lost_store_remember (struct block_device *cow, const struct lost_store *store)
{
  struct lost *lost;
  ACQUIRE_LATCH_FOR_SCOPE (&losts.latch);

  lost = lost_find (cow);
  if (lost == NULL)
    lost = lost_new (cow);
  if (lost == NULL)
    return -ENOMEM;
  lost->store = *store;
  return 0;
}

bool
lost_store_find (struct block_device *cow, struct lost_store *store)
{
  const struct lost *lost;
  ACQUIRE_LATCH_FOR_SCOPE (&losts.latch);

  lost = lost_find (cow);
  if (lost)
    *store = lost->store;
  return lost != NULL;
}

void
lost_store_forget (struct block_device *cow)
{
  struct lost *lost;
  ACQUIRE_LATCH_FOR_SCOPE (&losts.latch);

  lost = lost_find (cow);
  if (lost)
    list_del (&lost->link);
  free (lost);
}
