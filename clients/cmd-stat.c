/* SPDX-License-Identifier: BSD-3-Clause */
/* stat: what devices do, every second. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "clients/report.h"
#include "common/vector.h"

/* All counters at one time. */
struct sample {
  VECTOR (struct nbdm_counters) devices; /* ascending by name */
  double seconds;                        /* some clock's */
};

/* A row: one device at two times. */
struct stat_row {
  const struct nbdm_counters *now, *before;
  double seconds;
};

/* ------------------------------------------------------------------
 * Fields.
 */
static const struct stat_row *
stat_row (const void *row)
{
  return row;
}

/* Whatever has grown by so much since. */
static void
print_rate (FILE *out, const void *row, uint64_t now, uint64_t before)
{
  double seconds = stat_row (row)->seconds;
  double rate = now > before && seconds > 0 ? (now - before) / seconds : 0;

  fprintf (out, rate > 0 && rate < 9.95 ? "%.1f" : "%.0f", rate);
}

#define RATE_FIELD(member, unit)                                        \
  static void                                                           \
  stat_##member (FILE *out, const void *row)                            \
  {                                                                     \
    print_rate (out, row, stat_row (row)->now->member / (unit),         \
                stat_row (row)->before->member / (unit));               \
  }

#define VALUE_FIELD(member)                                             \
  static void                                                           \
  stat_##member (FILE *out, const void *row)                            \
  {                                                                     \
    fprintf (out, "%llu",                                               \
             (unsigned long long) stat_row (row)->now->member);         \
  }

RATE_FIELD (reads, 1)
RATE_FIELD (read_sectors, 2)
RATE_FIELD (writes, 1)
RATE_FIELD (write_sectors, 2)
RATE_FIELD (discards, 1)
RATE_FIELD (discard_sectors, 2)
RATE_FIELD (flushes, 1)
RATE_FIELD (deferred, 1)
VALUE_FIELD (errors)
VALUE_FIELD (in_flight)
VALUE_FIELD (deferred_now)
VALUE_FIELD (suspends)
VALUE_FIELD (swaps)
VALUE_FIELD (size)

static void
stat_name (FILE *out, const void *row)
{
  fputs (stat_row (row)->now->name, out);
}

static const struct field stat_fields[] = {
  { "name", "Name", 16, stat_name, "Name of mapped device.", "name" },
  { "reads_per_sec", "R/s", -6, stat_reads, "Reads.", "rate" },
  { "read_kib_per_sec", "RKiB/s", -7, stat_read_sectors, "KiB read.",
    "rate" },
  { "writes_per_sec", "W/s", -6, stat_writes, "Writes.", "rate" },
  { "write_kib_per_sec", "WKiB/s", -7, stat_write_sectors, "KiB written.",
    "rate" },
  { "discards_per_sec", "D/s", -6, stat_discards,
    "Discards and zeroings.", "rate" },
  { "discard_kib_per_sec", "DKiB/s", -8, stat_discard_sectors,
    "KiB discarded or zeroed.", "rate" },
  { "flushes_per_sec", "F/s", -6, stat_flushes, "Flushes.", "rate" },
  { "deferred_per_sec", "Def/s", -6, stat_deferred,
    "Requests that had to wait for a resume.", "rate" },
  { "in_flight", "InFl", -5, stat_in_flight, "Requests under way.", "now" },
  { "deferred", "Defer", -5, stat_deferred_now,
    "Requests that wait for a resume.", "now" },
  { "errors", "Errors", -6, stat_errors,
    "Failed requests since the device was made.", "total" },
  { "suspends", "Susp", -5, stat_suspends, "Suspends since then.", "total" },
  { "swaps", "Swaps", -5, stat_swaps, "Swaps of the table since then.",
    "total" },
  { "size", "Sectors", -9, stat_size, "Size in sectors.", "total" },
};

#define DEFAULT_FIELDS "name,reads_per_sec,read_kib_per_sec,writes_per_sec," \
  "write_kib_per_sec,discards_per_sec,flushes_per_sec,in_flight,deferred," \
  "errors"

/* ------------------------------------------------------------------
 * Samples.
 */
static int
sample_take (struct session *s, struct sample *sample)
{
  struct own_call call = { .payload = NULL };
  struct nbdm_counters counters;
  struct timespec t;
  int r;

  session_connect (s);
  r = client_own_call (&s->client, NBDM_COUNTERS, &call);
  if (r < 0)
    print_message (call.message ? call.message : strerror (-r));
  clock_gettime (CLOCK_MONOTONIC, &t);
  sample->seconds = t.tv_sec + t.tv_nsec / 1e9;
  sample->devices.len = 0;
  for (size_t i = 0; i + sizeof counters <= call.reply_bytes && r == 0;
       i += sizeof counters) {
    memcpy (&counters, call.reply + i, sizeof counters);
    counters.name[sizeof counters.name - 1] = '\0';
    r = vector_append (&sample->devices, counters);
  }
  own_call_reset (&call);
  return r;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (((const struct nbdm_counters *) a)->name,
                 ((const struct nbdm_counters *) b)->name);
}

/* The same device in another sample: one that has gone and come back has its
 * number or its name only.
 */
static const struct nbdm_counters *
sample_find (const struct sample *sample, const struct nbdm_counters *device)
{
  const struct nbdm_counters *found = sample->devices.len == 0 ? NULL :
    bsearch (device, sample->devices.ptr, sample->devices.len, sizeof *device,
             compare_names);

  return found && found->dev == device->dev ? found : NULL;
}

/* Those that were asked for, as they are called now; or all. */
struct wanted_name {
  char text[DM_NAME_LEN];
};
static VECTOR (struct wanted_name) wanted;
static bool all_wanted;

static int
wanted_add (struct session *s, const struct device *device, bool several)
{
  struct call call = { .reply = NULL };
  struct wanted_name name;
  int r = device_call (s, device, DM_DEV_STATUS_CMD, &call);

  if (r == 0) {
    memcpy (name.text, call.reply->name, sizeof name.text);
    r = vector_append (&wanted, name);
  }
  call_reset (&call);
  return r;
}

static int
wanted_find (struct session *s)
{
  const struct options *o = &s->options;

  all_wanted = s->argc == 0 && !o->uuid && !o->has_dev && !o->select;
  return all_wanted ? 0 : device_each (s, false, wanted_add);
}

static bool
is_wanted (const char *name)
{
  for (size_t i = 0; i < wanted.len; i++)
    if (strcmp (wanted.ptr[i].text, name) == 0)
      return true;
  return all_wanted;
}

/* ------------------------------------------------------------------
 * The page.
 */
static int
report_fill (struct report *report, const struct sample *now,
             const struct sample *before)
{
  static const struct nbdm_counters nothing;
  int r = 0;

  for (size_t i = 0; i < now->devices.len && r == 0; i++) {
    const struct nbdm_counters *device = &now->devices.ptr[i];
    const struct nbdm_counters *found = sample_find (before, device);
    const struct stat_row row = {
      device, found ? found : &nothing, now->seconds - before->seconds
    };

    if (is_wanted (device->name))
      r = report_add (report, &row);
  }
  report_sort (report);
  return r;
}

/* The page on a terminal is no larger than that. */
static void
page_print (const struct session *s, struct report *report, bool screen)
{
  const struct report_style style = {
    .noheadings = s->options.noheadings,
    .separator = s->options.separator ? s->options.separator :
      s->options.noheadings ? ":" : NULL,
  };
  size_t all = report->rows.len, shown = report->shown;
  struct winsize size = { .ws_row = 0 };

  if (screen) {
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 6)
      report_cut (report, size.ws_row - 5);
    if (size.ws_col > 0 && !style.separator)
      report_narrow (report, size.ws_col);
    printf ("\033[H\033[J%zu devices%s\n\n", all, report->shown < shown ?
            " (not all columns fit)" : "");
  }
  report_print (report, &style);
  report->shown = shown;
  if (report->rows.len < all)
    printf ("... %zu more\n", all - report->rows.len);
  fflush (stdout);
}

static void
sleep_until (double seconds)
{
  struct timespec t = {
    .tv_sec = seconds, .tv_nsec = (seconds - (time_t) seconds) * 1e9
  };

  while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
    ;
}

static int
stat_loop (struct session *s, struct report *report)
{
  bool screen = isatty (STDOUT_FILENO);
  unsigned interval = s->options.interval ? s->options.interval : 1;
  struct sample samples[2] = { { .seconds = 0 } };
  int r = sample_take (s, &samples[0]);

  for (unsigned n = 1; r == 0; n++) {
    struct sample *before = &samples[(n + 1) % 2], *now = &samples[n % 2];

    sleep_until (before->seconds + interval);
    r = sample_take (s, now);
    if (r == 0)
      r = report_fill (report, now, before);
    if (r == 0)
      page_print (s, report, screen);
    report_clear (report);
    if (ferror (stdout) || n == s->options.count)
      break;
    if (!screen)
      printf ("\n");
  }
  vector_reset (&samples[0].devices);
  vector_reset (&samples[1].devices);
  return r;
}

/* ------------------------------------------------------------------
 * The verb.
 */
static int
stat_json (struct session *s)
{
  struct sample sample = { .seconds = 0 };
  int r = json_begin_list (s);

  if (r == 0)
    r = sample_take (s, &sample);
  for (size_t i = 0; i < sample.devices.len && r == 0; i++) {
    const struct nbdm_counters *c = &sample.devices.ptr[i];

    if (is_wanted (c->name))
      r = json_put (s, json_pack (
          "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I,"
          " s:I, s:I}", "name", json_text (c->name),
          "size", (json_int_t) c->size,
          "reads", (json_int_t) c->reads,
          "read_sectors", (json_int_t) c->read_sectors,
          "writes", (json_int_t) c->writes,
          "write_sectors", (json_int_t) c->write_sectors,
          "discards", (json_int_t) c->discards,
          "discard_sectors", (json_int_t) c->discard_sectors,
          "flushes", (json_int_t) c->flushes,
          "errors", (json_int_t) c->errors,
          "deferred", (json_int_t) c->deferred,
          "in_flight", (json_int_t) c->in_flight,
          "deferred_now", (json_int_t) c->deferred_now,
          "suspends", (json_int_t) c->suspends,
          "swaps", (json_int_t) c->swaps));
  }
  vector_reset (&sample.devices);
  return r;
}

static int
stat_report (struct session *s)
{
  struct report report = { .fields = NULL };
  int r = report_init (&report, stat_fields,
                       sizeof stat_fields / sizeof stat_fields[0],
                       s->options.fields ? s->options.fields : DEFAULT_FIELDS,
                       DEFAULT_FIELDS, s->options.sort);

  if (r == 0)
    r = stat_loop (s, &report);
  report_reset (&report);
  return r;
}

int
cmd_stat (struct session *s)
{
  int r = wanted_find (s);

  if (r >= 0)
    r = s->options.json ? stat_json (s) : stat_report (s);
  vector_reset (&wanted);
  return r;
}
