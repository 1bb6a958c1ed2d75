/* SPDX-License-Identifier: BSD-3-Clause */
/* Who belongs to one origin, who is inside it, who is preserved first. */

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "targets/snapshot/origin-registry.h"
#include "tests/lib/memdev.h"
#include "tests/lib/rig.h"

static struct memdev *a, *b, *cow[4];
static struct message msg;

static void
setup (void)
{
  unsigned i;

  a = memdev_new ("a", 8);
  b = memdev_new ("b", 8);
  for (i = 0; i < 4; i++)
    cow[i] = memdev_new ("cow", 8);
}

static void
teardown (void)
{
  unsigned i;

  memdev_free (a);
  memdev_free (b);
  for (i = 0; i < 4; i++)
    memdev_free (cow[i]);
}

TestSuite (origin_registry, .init = setup, .fini = teardown, .timeout = 60);

static void
join (struct origin_user *user, enum origin_role role, struct memdev *origin,
      struct memdev *on)
{
  enum origin_pair pair;

  memset (user, 0, sizeof *user);
  user->role = role;
  user->bdev = &origin->bdev;
  user->cow = on ? &on->bdev : NULL;
  cr_assert_eq (origin_join (user, &pair, &msg), 0, "%s", msg.text);
  cr_assert_eq (pair, ORIGIN_ALONE);
}

static void
activate (struct origin_user *user, uint32_t chunk_sectors)
{
  origin_quiesce (user->origin);
  origin_activate (user, chunk_sectors);
  origin_unquiesce (user->origin);
}

Test (origin_registry, is_keyed_by_the_device)
{
  struct origin_user o, s, other;

  join (&o, ORIGIN_ITSELF, a, NULL);
  join (&s, ORIGIN_SNAPSHOT, a, cow[0]);
  join (&other, ORIGIN_SNAPSHOT, b, cow[1]);
  cr_expect_eq (o.origin, s.origin);
  cr_expect_neq (o.origin, other.origin);
  /* Whoever goes first. */
  origin_leave (&o);
  join (&o, ORIGIN_ITSELF, a, NULL);
  cr_expect_eq (o.origin, s.origin);
  origin_leave (&s);
  origin_leave (&o);
  origin_leave (&other);
  cr_expect_null (o.origin);
}

Test (origin_registry, the_largest_chunks_are_preserved_first)
{
  static const uint32_t sizes[4] = { 8, 2, 8, 64 };
  static const unsigned order[4] = { 3, 0, 2, 1 };
  struct origin_user users[4], *user;
  unsigned i;

  for (i = 0; i < 4; i++) {
    join (&users[i], ORIGIN_SNAPSHOT, a, cow[i]);
    activate (&users[i], sizes[i]);
  }
  i = 0;
  list_for_each (user, &users[0].origin->preserved, preserved_link)
    cr_expect_eq (user, &users[order[i++]]);
  cr_expect_eq (i, 4);
  for (i = 0; i < 4; i++)
    origin_leave (&users[i]);
}

Test (origin_registry, a_merge_is_not_preserved)
{
  struct origin_user m;

  join (&m, ORIGIN_MERGE, a, cow[0]);
  activate (&m, 8);
  cr_expect (list_empty (&m.origin->preserved));
  origin_leave (&m);
}

/* ------------------------------------------------------------------
 * Inside.
 */

static atomic_bool quiet, let_go;

static void *
quiesce_thread (void *origin)
{
  origin_quiesce (origin);
  quiet = true;
  cr_expect (EVENTUALLY (let_go));
  origin_unquiesce (origin);
  return NULL;
}

static atomic_bool inside;

static void *
enter_thread (void *origin)
{
  origin_enter (origin);
  inside = true;
  origin_exit (origin);
  return NULL;
}

static void
moment (void)
{
  static const struct timespec moment = { .tv_nsec = 20000000 };

  nanosleep (&moment, NULL);
}

Test (origin_registry, quiesce_waits_for_who_is_inside_and_keeps_others_out)
{
  struct origin_user o;
  pthread_t quiescer, writer;

  join (&o, ORIGIN_ITSELF, a, NULL);
  origin_enter (o.origin);
  origin_enter (o.origin);
  cr_assert_eq (pthread_create (&quiescer, NULL, quiesce_thread, o.origin), 0);
  moment ();
  cr_expect_not (quiet);
  cr_assert_eq (pthread_create (&writer, NULL, enter_thread, o.origin), 0);
  origin_exit (o.origin);
  moment ();
  cr_expect (!quiet && !inside);
  origin_exit (o.origin);
  cr_expect (EVENTUALLY (quiet));
  moment ();
  cr_expect_not (inside);
  let_go = true;
  cr_expect (EVENTUALLY (inside));
  pthread_join (quiescer, NULL);
  pthread_join (writer, NULL);
  origin_leave (&o);
}
