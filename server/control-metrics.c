/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters as text for monitoring systems. */

#include "server/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/cleanup.h"

/* OpenMetrics 1.0; names as node_exporter's for disks where it has the same. */
static const struct metric {
  const char *name, *unit, *help;
  size_t offset;      /* into struct nbdm_counters */
  unsigned factor;
  bool gauge;
} metrics[] = {
#define FIELD(f) offsetof (struct nbdm_counters, f)
  { "device_reads_completed", NULL, "Reads that have ended.", FIELD (reads),
    1 },
  { "device_read_bytes", "bytes", "Bytes of these reads.",
    FIELD (read_sectors), SECTOR_SIZE },
  { "device_writes_completed", NULL, "Writes that have ended.",
    FIELD (writes), 1 },
  { "device_written_bytes", "bytes", "Bytes of these writes.",
    FIELD (write_sectors), SECTOR_SIZE },
  { "device_discards_completed", NULL,
    "Discards and write-zeroes that have ended.", FIELD (discards), 1 },
  { "device_discarded_bytes", "bytes",
    "Bytes of these discards and write-zeroes.", FIELD (discard_sectors),
    SECTOR_SIZE },
  { "device_flush_requests", NULL, "Flushes that have ended.",
    FIELD (flushes), 1 },
  { "device_errors", NULL, "Requests that have failed.", FIELD (errors), 1 },
  { "device_deferred_requests", NULL,
    "Requests that found the device suspended.", FIELD (deferred), 1 },
  { "device_suspends", NULL, "How often it was suspended.", FIELD (suspends),
    1 },
  { "device_table_swaps", NULL, "How often a table became live.",
    FIELD (swaps), 1 },
  { "device_requests_now", NULL, "Requests under way.", FIELD (in_flight), 1,
    true },
  { "device_deferred_requests_now", NULL, "Requests that wait for a resume.",
    FIELD (deferred_now), 1, true },
  { "device_size_bytes", "bytes", "Size of the live table.", FIELD (size),
    SECTOR_SIZE, true },
};

static void
metric_head (FILE *out, const char *name, const char *type, const char *unit,
             const char *help)
{
  fprintf (out, "# TYPE nbdm_%s %s\n", name, type);
  if (unit)
    fprintf (out, "# UNIT nbdm_%s %s\n", name, unit);
  fprintf (out, "# HELP nbdm_%s %s\n", name, help);
}

/* A name can have any bytes; what is not ASCII text is shown in hexadecimal,
 * since the format has to be UTF-8.
 */
static void
metric_label (FILE *out, const char *value)
{
  for (; *value; value++)
    if (*value == '"' || *value == '\\')
      fprintf (out, "\\%c", *value);
    else if (*value < ' ' || *value > '~')
      fprintf (out, "\\\\x%02x", (unsigned char) *value);
    else
      putc (*value, out);
}

static void
metric_print (FILE *out, const struct metric *m,
              const struct nbdm_counters *list, size_t n)
{
  const char *suffix = m->gauge ? "" : "_total";
  uint64_t value;
  size_t i;

  metric_head (out, m->name, m->gauge ? "gauge" : "counter", m->unit,
               m->help);
  for (i = 0; i < n; i++) {
    value = *(const uint64_t *) ((const char *) &list[i] + m->offset);
    fprintf (out, "nbdm_%s%s{device=\"", m->name, suffix);
    metric_label (out, list[i].name);
    fprintf (out, "\"} %" PRIu64 "\n", value * m->factor);
  }
}

static void
metric_upstream (const struct dm_outside_counters *c, void *opaque)
{
  FILE *out = opaque;

  fputs ("nbdm_upstream_reconnects_total{upstream=\"", out);
  metric_label (out, c->name);
  fprintf (out, "\"} %" PRIu64 "\n", c->reconnects);
}

static void
metrics_print (FILE *out, const struct nbdm_counters *list, size_t n)
{
  size_t i;

  for (i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
    metric_print (out, &metrics[i], list, n);
  metric_head (out, "upstream_reconnects", "counter", NULL,
               "Connections to files' and upstreams' servers that came back.");
  dm_outside_counters (metric_upstream, out);
  fputs ("# EOF\n", out);
}

int
control_metrics (struct registry *reg, char **text, size_t *length)
{
  struct nbdm_counters *CLEANUP_FREE list = NULL;
  size_t n;
  FILE *out;
  int r = dm_counters (reg, &list, &n);

  if (r < 0)
    return r;
  out = open_memstream (text, length);
  if (out == NULL)
    return -ENOMEM;
  metrics_print (out, list, n);
  if (fclose (out) != 0) {
    free (*text);
    *text = NULL;
    return -ENOMEM;
  }
  return 0;
}
