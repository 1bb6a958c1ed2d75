/* SPDX-License-Identifier: BSD-3-Clause */
/* Doors: who closes one waits until nobody is inside. */

#include <criterion/criterion.h>

#include <unistd.h>

#include "targets/thin/pool-door.h"
#include "tests/lib/rig.h"

static struct door door;
static atomic_bool leave;
static atomic_int entered; /* 1: it is open; -1: had to leave */

static void
setup (void)
{
  door_init (&door);
}

static void
teardown (void)
{
  door_destroy (&door);
}

TestSuite (door, .init = setup, .fini = teardown);

static void *
enter (void *arg)
{
  bool in = door_enter (&door, &leave);

  entered = in ? 1 : -1;
  if (in)
    door_exit (&door);
  return NULL;
}

static void *
close_it (void *done)
{
  door_close (&door);
  *(atomic_bool *) done = true;
  return NULL;
}

Test (door, closing_waits_for_who_is_inside)
{
  atomic_bool closed = false;
  pthread_t thread;

  cr_expect (door_enter (&door, NULL));
  cr_assert_eq (pthread_create (&thread, NULL, close_it, &closed), 0);
  usleep (20000);
  cr_expect_not (closed);
  door_exit (&door);
  cr_expect (EVENTUALLY (closed));
  pthread_join (thread, NULL);
  door_open (&door);
}

Test (door, it_opens_when_all_who_closed_it_have_opened_it)
{
  pthread_t thread;

  door_close (&door);
  door_close (&door);
  cr_assert_eq (pthread_create (&thread, NULL, enter, NULL), 0);
  door_open (&door);
  usleep (20000);
  cr_expect_eq (entered, 0);
  door_open (&door);
  cr_expect (EVENTUALLY (entered == 1));
  pthread_join (thread, NULL);
}

Test (door, waiters_can_be_sent_away)
{
  pthread_t thread;

  door_close (&door);
  cr_assert_eq (pthread_create (&thread, NULL, enter, NULL), 0);
  usleep (20000);
  cr_expect_eq (entered, 0);
  leave = true;
  door_wake (&door);
  cr_expect (EVENTUALLY (entered == -1));
  pthread_join (thread, NULL);
  door_open (&door);
  cr_expect (door_enter (&door, &leave), "an open one lets everybody in");
  door_exit (&door);
}

/* The count is a plain one: both sides would notice a lost wake-up. */
static atomic_bool stop;
static atomic_long inside;
static atomic_uint violations;

static void *
come_and_go (void *arg)
{
  while (!stop) {
    door_enter (&door, NULL);
    inside++;
    inside--;
    door_exit (&door);
  }
  return NULL;
}

Test (door, nobody_is_inside_a_closed_one, .timeout = 60)
{
  pthread_t threads[4];
  unsigned i;

  for (i = 0; i < 4; i++)
    cr_assert_eq (pthread_create (&threads[i], NULL, come_and_go, NULL), 0);
  for (i = 0; i < 2000; i++) {
    door_close (&door);
    violations += inside != 0;
    door_open (&door);
  }
  stop = true;
  for (i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  cr_expect_eq (violations, 0);
}
