/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: the messages that make, show and end regions. */

#include "server/dm-stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

/* ------------------------------------------------------------------
 * @stats_create RANGE STEP [COUNT OPTION…] [PROGRAM [AUX]]
 */

/* "-", or START+LEN. */
static int
parse_range (const char *word, sector_t size, struct stats_region *r)
{
  char *CLEANUP_FREE copy = strdup (word);
  char *plus;

  if (copy == NULL)
    return -ENOMEM;
  if (strcmp (word, "-") == 0) {
    r->len = size > 0 ? size : 1;
    return 0;
  }
  plus = strchr (copy, '+');
  if (plus == NULL)
    return -EINVAL;
  *plus = '\0';
  if (args_parse_u64 (copy, &r->start) < 0 ||
      args_parse_u64 (plus + 1, &r->len) < 0 || r->len == 0 ||
      r->start + r->len < r->start)
    return -EINVAL;
  return 0;
}

/* Sectors, or "/" and how many areas there are to be. */
static int
parse_step (const char *word, struct stats_region *r)
{
  uint32_t n;

  if (word[0] == '/') {
    if (args_parse_u32 (word + 1, &n) < 0 || n == 0)
      return -EINVAL;
    r->step = r->len / n + (r->len % n > 0);
    return 0;
  }
  return args_parse_u64 (word, &r->step) < 0 || r->step == 0 ? -EINVAL : 0;
}

/* N1,N2,… ascending, above 0.  Splits text. */
static int
parse_bounds (char *text, struct stats_region *r)
{
  unsigned n = 1;
  char *p, *word;

  if (r->bounds)
    return -EINVAL;
  for (p = text; *p; p++)
    n += *p == ',';
  r->bounds = calloc (n, sizeof r->bounds[0]);
  if (r->bounds == NULL)
    return -ENOMEM;
  while ((word = strsep (&text, ",")) != NULL) {
    uint64_t *bound = &r->bounds[r->nr_bounds];

    if (args_parse_u64 (word, bound) < 0 ||
        *bound <= (r->nr_bounds > 0 ? bound[-1] : 0))
      return -EINVAL;
    r->nr_bounds++;
  }
  return 0;
}

static int
parse_option (char *word, struct stats_region *r)
{
  static const char histogram[] = "histogram:";

  if (word == NULL)
    return -EINVAL;
  if (args_word_is (word, "precise_timestamps")) {
    r->precise = true;
    return 0;
  }
  if (strncasecmp (word, histogram, strlen (histogram)) == 0)
    return parse_bounds (word + strlen (histogram), r);
  return -EINVAL;
}

/* A number says how many options follow it; other words are no options. */
static int
parse_options (struct args *args, struct stats_region *r)
{
  uint32_t n;
  int error = 0;

  if (args->argc == 0 || args_parse_u32 (args->argv[0], &n) < 0)
    return 0;
  args_shift (args);
  while (n-- > 0 && error == 0)
    error = parse_option (args_shift (args), r);
  return error;
}

static int
parse_region (struct args *args, sector_t size, struct stats_region *r)
{
  const char *range = args_shift (args), *step = args_shift (args);
  const char *program, *aux;
  int error;

  if (step == NULL)
    return -EINVAL;
  error = parse_range (range, size, r);
  if (error == 0)
    error = parse_step (step, r);
  if (error == 0)
    error = parse_options (args, r);
  if (error < 0)
    return error;
  program = args_shift (args);
  aux = args_shift (args);
  if (args->argc > 0)
    return -EINVAL;
  r->program_id = strdup (program ? program : "-");
  r->aux = strdup (aux ? aux : "-");
  return r->program_id && r->aux ? 0 : -ENOMEM;
}

/* A quarter of the memory there is, at most, for all regions of all devices
 * (Linux 6.1).
 */
static int
make_areas (struct stats_region *r)
{
  uint64_t n = r->len / r->step + (r->len % r->step > 0);
  size_t one = sizeof r->areas[0] + (r->nr_bounds + 1) * sizeof r->bins[0];
  size_t all;

  if (n == SIZE_MAX || __builtin_mul_overflow (n, one, &all))
    return -EOVERFLOW;
  if (!stats_reserve (r, all))
    return -ENOMEM;
  r->nr_areas = n;
  r->areas = calloc (n, sizeof r->areas[0]);
  if (r->nr_bounds > 0)
    r->bins = calloc (n * (r->nr_bounds + 1), sizeof r->bins[0]);
  return r->areas && (r->bins || r->nr_bounds == 0) ? 0 : -ENOMEM;
}

static int
stats_create (struct md_stats *s, sector_t size, struct args *args, FILE *out)
{
  struct stats_region *r = calloc (1, sizeof *r);
  unsigned id;
  int error;

  if (r == NULL)
    return -ENOMEM;
  error = parse_region (args, size, r);
  if (error == 0)
    error = make_areas (r);
  if (error == 0)
    error = stats_add (s, r, &id);
  if (error < 0) {
    stats_free_region (r);
    return error;
  }
  fprintf (out, "%u", id);
  return 0;
}

/* ------------------------------------------------------------------
 * @stats_list [PROGRAM]
 */

static void
list_region (struct md_stats *s, const struct stats_region *r, FILE *out)
{
  unsigned i;
  char *CLEANUP_FREE aux = NULL;

  latch_acquire (&s->latch);
  aux = strdup (r->aux);
  latch_release (&s->latch);
  fprintf (out, "%u: %" PRIu64 "+%" PRIu64 " %" PRIu64 " %s %s", r->id,
           r->start, r->len, r->step, r->program_id, aux ? aux : "-");
  if (r->precise)
    fputs (" precise_timestamps", out);
  for (i = 0; i < r->nr_bounds; i++)
    fprintf (out, "%s%" PRIu64, i == 0 ? " histogram:" : ",", r->bounds[i]);
  putc ('\n', out);
}

static int
stats_list (struct md_stats *s, struct args *args, FILE *out)
{
  const char *program = args_shift (args);
  struct stats_set *set;
  size_t i;

  if (args->argc > 0)
    return -EINVAL;
  set = stats_hold (s);
  for (i = 0; set && i < set->nr; i++)
    if (program == NULL || strcmp (set->regions[i]->program_id, program) == 0)
      list_region (s, set->regions[i], out);
  stats_put (s, set);
  return 0;
}

/* ------------------------------------------------------------------
 * @stats_print, @stats_print_clear ID [FIRST COUNT]
 */

/* Which areas of a region a message is about. */
struct range {
  size_t begin, end;
};

static uint64_t
shown_time (const struct stats_region *r, uint64_t ns)
{
  return r->precise ? ns : ns / 1000000;
}

static void
print_area (const struct stats_region *r, size_t i,
            const struct stats_area *a, const uint64_t *bins, FILE *out)
{
  unsigned d;

  fprintf (out, "%" PRIu64 "+%" PRIu64, r->start + i * r->step, r->step);
  for (d = 0; d < 2; d++)
    fprintf (out, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, a->ios[d],
             a->merges[d], a->sectors[d], shown_time (r, a->ns[d]));
  fprintf (out, " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
           a->in_flight[0] + a->in_flight[1], shown_time (r, a->busy_any_ns),
           shown_time (r, a->queue_ns), shown_time (r, a->busy_ns[0]),
           shown_time (r, a->busy_ns[1]));
  for (d = 0; r->nr_bounds > 0 && d <= r->nr_bounds; d++)
    fprintf (out, "%c%" PRIu64, d == 0 ? ' ' : ':', bins[d]);
  putc ('\n', out);
}

/* No further than there is room: there may be a lot of areas. */
static int
print_region (struct md_stats *s, struct stats_region *r,
              const struct range *range, size_t room, FILE *out)
{
  uint64_t *CLEANUP_FREE bins = calloc (r->nr_bounds + 1, sizeof bins[0]);
  struct stats_area area;
  size_t i;

  if (bins == NULL)
    return -ENOMEM;
  for (i = range->begin; i < range->end && (size_t) ftell (out) < room; i++) {
    stats_read (s, r, i, &area, bins);
    print_area (r, i, &area, bins, out);
  }
  return 0;
}

/* "-" leaves it as it is. */
static int
parse_size (const char *word, uint64_t *n)
{
  return strcmp (word, "-") == 0 ? 0 : args_parse_u64 (word, n);
}

static int
parse_areas (struct args *args, const struct stats_region *r,
             struct range *range)
{
  uint64_t first = 0, count = UINT64_MAX;

  if (args->argc != 0 && args->argc != 2)
    return -EINVAL;
  if (args->argc == 2 &&
      (parse_size (args->argv[0], &first) < 0 ||
       parse_size (args->argv[1], &count) < 0))
    return -EINVAL;
  if (r == NULL)
    return -ENOENT;
  range->begin = first < r->nr_areas ? first : r->nr_areas;
  range->end = count < r->nr_areas - range->begin ? range->begin + count
    : r->nr_areas;
  return 0;
}

static int
parse_id (struct args *args, uint32_t *id)
{
  const char *word = args_shift (args);

  return word == NULL || args_parse_u32 (word, id) < 0 || *id > INT32_MAX
    ? -EINVAL : 0;
}

/* A text that the client has no room for is not cleared: it will ask again. */
static int
stats_print (struct md_stats *s, struct args *args, bool clear, size_t room,
             FILE *out)
{
  struct stats_set *set;
  struct stats_region *r;
  struct range range;
  uint32_t id;
  int error = parse_id (args, &id);

  if (error < 0)
    return error;
  set = stats_hold (s);
  r = stats_find (set, id);
  error = parse_areas (args, r, &range);
  if (error == 0)
    error = print_region (s, r, &range, room, out);
  if (error == 0 && clear && (size_t) ftell (out) + 1 < room)
    stats_clear (s, r, range.begin, range.end);
  stats_put (s, set);
  return error;
}

/* ------------------------------------------------------------------
 * The rest.
 */

/* @stats_clear ID */
static int
stats_clear_all (struct md_stats *s, struct args *args)
{
  struct stats_set *set;
  struct stats_region *r;
  uint32_t id;

  if (parse_id (args, &id) < 0 || args->argc > 0)
    return -EINVAL;
  set = stats_hold (s);
  r = stats_find (set, id);
  if (r)
    stats_clear (s, r, 0, r->nr_areas);
  stats_put (s, set);
  return r ? 0 : -ENOENT;
}

/* @stats_delete ID */
static int
stats_delete (struct md_stats *s, struct args *args)
{
  uint32_t id;

  if (parse_id (args, &id) < 0 || args->argc > 0)
    return -EINVAL;
  return stats_remove (s, id);
}

/* @stats_set_aux ID AUX */
static int
stats_set_aux (struct md_stats *s, struct args *args)
{
  struct stats_set *set;
  struct stats_region *r;
  char *aux, *old;
  uint32_t id;

  if (parse_id (args, &id) < 0 || args->argc != 1)
    return -EINVAL;
  aux = strdup (args->argv[0]);
  if (aux == NULL)
    return -ENOMEM;
  set = stats_hold (s);
  r = stats_find (set, id);
  old = aux;
  if (r) {
    latch_acquire (&s->latch);
    old = r->aux;
    r->aux = aux;
    latch_release (&s->latch);
  }
  free (old);
  stats_put (s, set);
  return r ? 0 : -ENOENT;
}

/* 1: what was written to out, perhaps nothing, is the answer; 0: none. */
static int
stats_run (struct md_stats *s, sector_t size, const char *word,
           struct args *args, size_t room, FILE *out)
{
  if (args_word_is (word, "@stats_create"))
    return stats_create (s, size, args, out) ?: 1;
  if (args_word_is (word, "@stats_list"))
    return stats_list (s, args, out) ?: 1;
  if (args_word_is (word, "@stats_print"))
    return stats_print (s, args, false, room, out) ?: 1;
  if (args_word_is (word, "@stats_print_clear"))
    return stats_print (s, args, true, room, out) ?: 1;
  if (args_word_is (word, "@stats_clear"))
    return stats_clear_all (s, args) ?: 1;
  if (args_word_is (word, "@stats_delete"))
    return stats_delete (s, args);
  if (args_word_is (word, "@stats_set_aux"))
    return stats_set_aux (s, args);
  return -EOPNOTSUPP;
}

int
stats_message (struct md_stats *s, sector_t size, struct args *args,
               size_t room, char **reply)
{
  const char *word = args_shift (args);
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream (&text, &len);
  int r;

  *reply = NULL;
  if (out == NULL)
    return -ENOMEM;
  r = stats_run (s, size, word, args, room, out);
  if (fclose (out) != 0 && r >= 0)
    r = -ENOMEM;
  if (r == 1)
    *reply = text;
  else
    free (text);
  return r < 0 ? r : 0;
}
