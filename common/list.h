/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive doubly linked lists: a link inside each element, no allocation. */

#ifndef NBDM_LIST_H
#define NBDM_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Both the head of a list and the link in an element.  An element that is on
 * no list has a link initialised by list_init.
 */
struct list {
  struct list *next, *prev;
};

#define LIST_HEAD_INIT(name) { &(name), &(name) }

#define container_of(ptr, type, member) \
  ((type *) ((char *) (ptr) - offsetof (type, member)))

#define list_for_each(pos, head, member)                                \
  for (pos = container_of ((head)->next, __typeof__ (*pos), member);    \
       &pos->member != (head);                                          \
       pos = container_of (pos->member.next, __typeof__ (*pos), member))

/* As list_for_each, but the body may remove and free pos. */
#define list_for_each_safe(pos, tmp, head, member)                      \
  for (pos = container_of ((head)->next, __typeof__ (*pos), member),    \
         tmp = container_of (pos->member.next, __typeof__ (*pos), member); \
       &pos->member != (head);                                          \
       pos = tmp,                                                       \
         tmp = container_of (pos->member.next, __typeof__ (*pos), member))

/* The first element; the list must not be empty. */
#define list_first(head, type, member) \
  container_of ((head)->next, type, member)

static inline void
list_init (struct list *l)
{
  l->next = l->prev = l;
}

static inline bool
list_empty (const struct list *l)
{
  return l->next == l;
}

/* Insert item right before pos; with a head for pos: at the tail. */
static inline void
list_add_before (struct list *pos, struct list *item)
{
  item->prev = pos->prev;
  item->next = pos;
  pos->prev->next = item;
  pos->prev = item;
}

static inline void
list_add_tail (struct list *head, struct list *item)
{
  list_add_before (head, item);
}

static inline void
list_add_head (struct list *head, struct list *item)
{
  list_add_before (head->next, item);
}

/* Take item off its list; harmless if it is on none. */
static inline void
list_del (struct list *item)
{
  item->prev->next = item->next;
  item->next->prev = item->prev;
  list_init (item);
}

#endif /* NBDM_LIST_H */
