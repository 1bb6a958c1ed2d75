/* SPDX-License-Identifier: BSD-3-Clause */
/* What info -c shows of a device, and what -S selects by. */

#include "clients/info-fields.h"

#include <stdlib.h>
#include <string.h>

#include "clients/nbdmsetup.h"

/* ------------------------------------------------------------------
 * Names and numbers.
 */
static const struct dm_ioctl *
row_dmi (const void *row)
{
  return ((const struct info_row *) row)->dmi;
}

static void
field_name (FILE *out, const void *row)
{
  fputs (row_dmi (row)->name, out);
}

static void
field_uuid (FILE *out, const void *row)
{
  fputs (row_dmi (row)->uuid, out);
}

static void
field_blkdevname (FILE *out, const void *row)
{
  fprintf (out, "dm-%u", dev_minor (row_dmi (row)->dev));
}

static void
field_devno (FILE *out, const void *row)
{
  fprintf (out, "%u:%u", dev_major (row_dmi (row)->dev),
           dev_minor (row_dmi (row)->dev));
}

static void
field_major (FILE *out, const void *row)
{
  fprintf (out, "%u", dev_major (row_dmi (row)->dev));
}

static void
field_minor (FILE *out, const void *row)
{
  fprintf (out, "%u", dev_minor (row_dmi (row)->dev));
}

/* ------------------------------------------------------------------
 * State.
 */
static void
field_attr (FILE *out, const void *row)
{
  uint32_t flags = row_dmi (row)->flags;

  fprintf (out, "%c%c%c%c",
           flags & DM_ACTIVE_PRESENT_FLAG ? 'L' : '-',
           flags & DM_INACTIVE_PRESENT_FLAG ? 'I' : '-',
           flags & DM_SUSPEND_FLAG ? 's' : '-',
           flags & DM_READONLY_FLAG ? 'r' : 'w');
}

static void
field_tables_loaded (FILE *out, const void *row)
{
  bool live = row_dmi (row)->flags & DM_ACTIVE_PRESENT_FLAG;
  bool inactive = row_dmi (row)->flags & DM_INACTIVE_PRESENT_FLAG;

  fputs (live && inactive ? "Both" : live ? "Live" :
         inactive ? "Inactive" : "None", out);
}

static void
field_suspended (FILE *out, const void *row)
{
  fputs (row_dmi (row)->flags & DM_SUSPEND_FLAG ? "Suspended" : "Active",
         out);
}

static void
field_readonly (FILE *out, const void *row)
{
  fputs (row_dmi (row)->flags & DM_READONLY_FLAG ? "Read-only" : "Writeable",
         out);
}

static void
field_open (FILE *out, const void *row)
{
  fprintf (out, "%d", row_dmi (row)->open_count);
}

static void
field_segments (FILE *out, const void *row)
{
  fprintf (out, "%u", row_dmi (row)->target_count);
}

static void
field_events (FILE *out, const void *row)
{
  fprintf (out, "%u", row_dmi (row)->event_nr);
}

/* ------------------------------------------------------------------
 * Relations.
 */
enum spelling { SPELL_NAME, SPELL_DEVNO, SPELL_BLKDEV };

/* What has no name has a number only. */
static void
print_node (FILE *out, const struct graph_node *node, enum spelling spelling)
{
  if (spelling == SPELL_NAME)
    fputs (node->dmi.name, out);
  else if (spelling == SPELL_BLKDEV && node->is_mapped)
    fprintf (out, "dm-%u", dev_minor (node->dev));
  else
    fprintf (out, "%u:%u", dev_major (node->dev), dev_minor (node->dev));
}

static void
print_nodes (FILE *out, struct graph_node *const *nodes, size_t n,
             enum spelling spelling)
{
  bool first = true;

  for (size_t i = 0; i < n; i++) {
    if (spelling == SPELL_NAME && !nodes[i]->is_mapped)
      continue;
    if (!first)
      fputc (',', out);
    print_node (out, nodes[i], spelling);
    first = false;
  }
}

static void
print_below (FILE *out, const void *row, enum spelling spelling)
{
  const struct graph_node *node = ((const struct info_row *) row)->node;

  if (node)
    print_nodes (out, node->below.ptr, node->below.len, spelling);
}

static void
print_above (FILE *out, const void *row, enum spelling spelling)
{
  const struct graph_node *node = ((const struct info_row *) row)->node;

  if (node)
    print_nodes (out, node->above.ptr, node->above.len, spelling);
}

static void
field_device_count (FILE *out, const void *row)
{
  const struct graph_node *node = ((const struct info_row *) row)->node;

  fprintf (out, "%zu", node ? node->below.len : 0);
}

static void
field_device_ref_count (FILE *out, const void *row)
{
  const struct graph_node *node = ((const struct info_row *) row)->node;

  fprintf (out, "%zu", node ? node->above.len : 0);
}

static void
field_devs_used (FILE *out, const void *row)
{
  print_below (out, row, SPELL_NAME);
}

static void
field_devnos_used (FILE *out, const void *row)
{
  print_below (out, row, SPELL_DEVNO);
}

static void
field_blkdevs_used (FILE *out, const void *row)
{
  print_below (out, row, SPELL_BLKDEV);
}

static void
field_names_using_dev (FILE *out, const void *row)
{
  print_above (out, row, SPELL_NAME);
}

static void
field_devnos_using_dev (FILE *out, const void *row)
{
  print_above (out, row, SPELL_DEVNO);
}

/* Every row that is shown has been selected. */
static void
field_selected (FILE *out, const void *row)
{
  fputc ('1', out);
}

/* ------------------------------------------------------------------
 * The fields.
 */
const struct field info_fields[] = {
  { "name", "Name", 16, field_name, "Name of mapped device.", "name" },
  { "mangled_name", "MangledName", 16, field_name, "The same.", "name" },
  { "unmangled_name", "UnmangledName", 16, field_name, "The same.", "name" },
  { "uuid", "UUID", 32, field_uuid, "Unique (optional) identifier.", "name" },
  { "mangled_uuid", "MangledUUID", 32, field_uuid, "The same.", "name" },
  { "unmangled_uuid", "UnmangledUUID", 32, field_uuid, "The same.", "name" },
  { "blkdevname", "BlkDevName", 16, field_blkdevname,
    "The name a kernel would give to the block device.", "info" },
  { "attr", "Stat", 4, field_attr,
    "(L)ive, (I)nactive, (s)uspended, (r)ead-only, read-(w)rite.", "info" },
  { "tables_loaded", "Tables", 6, field_tables_loaded,
    "Which of the two table slots are filled.", "info" },
  { "suspended", "Suspended", 9, field_suspended, "Suspended or Active.",
    "info" },
  { "readonly", "Read-only", 9, field_readonly, "Read-only or Writeable.",
    "info" },
  { "devno", "DevNo", 5, field_devno, "Major and minor number.", "info" },
  { "major", "Maj", -3, field_major, "Major number.", "info" },
  { "minor", "Min", -3, field_minor, "Minor number.", "info" },
  { "open", "Open", -4, field_open, "Number of openers.", "info" },
  { "segments", "Targ", -4, field_segments, "Number of targets.", "info" },
  { "events", "Event", -6, field_events, "Number of most recent event.",
    "info" },
  { "device_count", "#Devs", -5, field_device_count,
    "Number of devices used by this one.", "deps" },
  { "devs_used", "DevNamesUsed", 16, field_devs_used,
    "Names of mapped devices used by this one.", "deps" },
  { "devnos_used", "DevNosUsed", 16, field_devnos_used,
    "Numbers of devices used by this one.", "deps" },
  { "blkdevs_used", "BlkDevNamesUsed", 16, field_blkdevs_used,
    "The same as names of a kernel's block devices.", "deps" },
  { "device_ref_count", "#Refs", -5, field_device_ref_count,
    "Number of mapped devices using this one.", "deps" },
  { "names_using_dev", "RefNames", 8, field_names_using_dev,
    "Names of mapped devices using this one.", "deps" },
  { "devnos_using_dev", "RefDevNos", 9, field_devnos_using_dev,
    "Numbers of mapped devices using this one.", "deps" },
  { "selected", "Selected", -8, field_selected,
    "1 for what -S selects, and nothing else is shown.", "" },
};

const size_t info_nr_fields = sizeof info_fields / sizeof info_fields[0];

/* ------------------------------------------------------------------
 * Selections.
 */
static int
source_find (const char *id, size_t len)
{
  return field_find (info_fields, info_nr_fields, id, len);
}

static bool
source_is_number (int field)
{
  return info_fields[field].width < 0;
}

static const char *
source_text (const void *row, int field)
{
  static char *text;

  free (text);
  text = field_text (&info_fields[field], row);
  return text;
}

const struct select_source info_select_source = {
  source_find, source_is_number, source_text
};

bool
info_selection_needs_graph (const struct selection *selection)
{
  for (size_t i = 0; i < info_nr_fields; i++)
    if (strcmp (info_fields[i].group, "deps") == 0 &&
        selection_uses (selection, i))
      return true;
  return false;
}
