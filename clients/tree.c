/* SPDX-License-Identifier: BSD-3-Clause */
/* ls --tree: what stands on what, drawn. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clients/graph.h"
#include "common/cleanup.h"

/* The lines, each two or three columns wide. */
struct symbols {
  const char *down, *blank;          /* beside what is further in */
  const char *branch, *last;         /* before one of several, the last */
  const char *only, *first;          /* the same on the parent's line */
};

static const struct symbols ascii = {
  " | ", "   ", " |-", " `-", "---", "-+-"
};
static const struct symbols utf = {
  " │ ", "   ", " ├─", " └─", "───", "─┬─"
};
static const struct symbols vt100 = {
  " \033(0x\033(B ", "   ", " \033(0tq\033(B", " \033(0mq\033(B",
  "\033(0qqq\033(B", "\033(0qwq\033(B"
};

struct tree {
  const struct symbols *symbols;
  int device, blkdevname, active, rw, open, uuid;
  int compact, inverted, notrunc;

  /* Where we are: below each level's node, is there another one to come, and
   * how far from it do its children begin?
   */
  VECTOR (struct level { bool more; size_t width; }) levels;
  char *line;              /* the one being written */
  size_t line_bytes;
  FILE *out;
  size_t width;            /* of the terminal; 0: no limit */
};

/* ------------------------------------------------------------------
 * -o
 */
static int
tree_set (struct tree *tree, const char *word, size_t len)
{
  const struct { const char *word; int *flag; int value; } flags[] = {
    { "active", &tree->active, 1 }, { "blkdevname", &tree->blkdevname, 1 },
    { "compact", &tree->compact, 1 }, { "device", &tree->device, 1 },
    { "inverted", &tree->inverted, 1 }, { "nodevice", &tree->device, 0 },
    { "notrunc", &tree->notrunc, 1 }, { "open", &tree->open, 1 },
    { "rw", &tree->rw, 1 }, { "uuid", &tree->uuid, 1 },
  };
  const struct { const char *word; const struct symbols *symbols; } sets[] = {
    { "ascii", &ascii }, { "utf", &utf }, { "vt100", &vt100 },
  };

  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if (strlen (flags[i].word) == len && !strncmp (flags[i].word, word, len)) {
      *flags[i].flag = flags[i].value;
      return 0;
    }
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
    if (strlen (sets[i].word) == len && !strncmp (sets[i].word, word, len)) {
      tree->symbols = sets[i].symbols;
      return 0;
    }
  return -EINVAL;
}

static int
tree_parse (struct tree *tree, const char *list)
{
  size_t len;

  setlocale (LC_CTYPE, "");
  tree->symbols = strcmp (nl_langinfo (CODESET), "UTF-8") ? &ascii : &utf;
  tree->device = 1;
  for (; list && *list; list += len + (list[len] == ',')) {
    len = strcspn (list, ",");
    if (tree_set (tree, list, len) < 0) {
      fprintf (stderr, "Tree options not recognised: %.*s.\n", (int) len,
               list);
      return -EINVAL;
    }
  }
  return 0;
}

int
tree_check_options (const char *list)
{
  return tree_parse (&(struct tree) { .symbols = NULL }, list);
}

/* ------------------------------------------------------------------
 * Lines.
 */

/* Columns that text takes, and up to where it fits into max of them: escape
 * sequences and what continues a character take none.
 */
static size_t
text_columns (const char *text, size_t max, size_t *fits)
{
  size_t columns = 0, i;

  *fits = 0;
  for (i = 0; text[i]; i++) {
    if (text[i] == '\033' && text[i + 1] && text[i + 2])
      i += 2;
    else if ((text[i] & 0xc0) != 0x80)
      columns++;
    if (columns <= max)
      *fits = i + 1;
  }
  return columns;
}

/* A stream that has been rewound does not end its text itself. */
static void
line_flush (struct tree *tree)
{
  fflush (tree->out);
  tree->line[tree->line_bytes] = '\0';
}

static size_t
line_columns (struct tree *tree)
{
  size_t fits;

  line_flush (tree);
  return text_columns (tree->line, 0, &fits);
}

static void
line_end (struct tree *tree)
{
  size_t fits;

  line_flush (tree);
  if (tree->width > 3 &&
      text_columns (tree->line, tree->width, &fits) > tree->width) {
    text_columns (tree->line, tree->width - 3, &fits);
    printf ("%.*s...\n", (int) fits, tree->line);
  }
  else
    printf ("%s\n", tree->line);
  rewind (tree->out);
}

/* What a line begins with when it is not its parent's too. */
static void
print_indent (struct tree *tree)
{
  const struct symbols *sym = tree->symbols;
  size_t n = tree->levels.len;

  for (size_t i = 0; i + 1 < n; i++) {
    bool last = i + 2 == n, more = tree->levels.ptr[i + 1].more;

    fprintf (tree->out, "%*s%s", (int) tree->levels.ptr[i].width, "",
             last ? more ? sym->branch : sym->last :
             more ? sym->down : sym->blank);
  }
}

static void
print_attributes (struct tree *tree, const struct dm_ioctl *dmi)
{
  const char *comma = "";

  fputs (" [", tree->out);
  if (tree->active) {
    fputs (dmi->flags & DM_SUSPEND_FLAG ? "SUSPENDED" : "ACTIVE", tree->out);
    comma = ", ";
  }
  if (tree->rw) {
    fprintf (tree->out, "%s%s", comma,
             dmi->flags & DM_READONLY_FLAG ? "RO" : "RW");
    comma = ", ";
  }
  if (tree->open) {
    fprintf (tree->out, "%s%d", comma, dmi->open_count);
    comma = ", ";
  }
  if (tree->uuid)
    fprintf (tree->out, "%s%s", comma, dmi->uuid);
  fputc (']', tree->out);
}

static void
print_node (struct tree *tree, const struct graph_node *node)
{
  fputs (node->dmi.name, tree->out);
  if (tree->blkdevname && node->is_mapped)
    fprintf (tree->out, " <dm-%u>", dev_minor (node->dev));
  if (tree->device)
    fprintf (tree->out, " (%u:%u)", dev_major (node->dev),
             dev_minor (node->dev));
  if (node->is_mapped &&
      (tree->active || tree->rw || tree->open || tree->uuid))
    print_attributes (tree, &node->dmi);
}

/* ------------------------------------------------------------------
 * The walk.
 */

/* What has neither a name nor a number to show is left out. */
static bool
is_shown (const struct tree *tree, const struct graph_node *node)
{
  return node->is_mapped || tree->device;
}

static size_t
count_shown (const struct tree *tree, struct graph_node *const *nodes,
             size_t n)
{
  size_t count = 0;

  for (size_t i = 0; i < n; i++)
    count += is_shown (tree, nodes[i]);
  return count;
}

/* Attributes leave no room for children on the same line. */
static bool
is_compact (const struct tree *tree)
{
  return tree->compact && !tree->active && !tree->rw && !tree->open &&
    !tree->uuid;
}

static int
draw (struct tree *tree, const struct graph_node *node, bool more,
      bool starts_line)
{
  struct graph_node *const *next = tree->inverted ? node->above.ptr :
    node->below.ptr;
  size_t n = tree->inverted ? node->above.len : node->below.len;
  size_t left = count_shown (tree, next, n), column = 0;
  bool first = is_compact (tree), compact = first;
  int r = vector_append (&tree->levels, ((struct level) { more, 0 }));

  if (r < 0)
    return r;
  if (starts_line)
    print_indent (tree);
  if (compact)
    column = line_columns (tree);
  print_node (tree, node);
  if (compact)
    tree->levels.ptr[tree->levels.len - 1].width =
      line_columns (tree) - column;
  if (left == 0 || !compact)
    line_end (tree);
  for (size_t i = 0; i < n && r == 0; i++) {
    if (!is_shown (tree, next[i]))
      continue;
    left--;
    if (first)
      fputs (left ? tree->symbols->first : tree->symbols->only, tree->out);
    r = draw (tree, next[i], left > 0, !first);
    first = false;
  }
  tree->levels.len--;
  return r;
}

static int
draw_all (struct tree *tree, const struct graph *graph)
{
  int r = 0;

  for (size_t i = 0; i < graph->met.len && r == 0; i++) {
    const struct graph_node *node = graph->met.ptr[i];

    if ((tree->inverted ? node->below.len : node->above.len) == 0 &&
        is_shown (tree, node))
      r = draw (tree, node, false, true);
  }
  return r;
}

int
cmd_ls_tree (struct session *s)
{
  struct tree tree = { .symbols = NULL };
  struct graph *graph;
  struct winsize size;
  int r = tree_parse (&tree, s->options.fields);

  if (r == 0)
    r = session_graph (s, &graph);
  if (r < 0)
    return r;
  if (!tree.notrunc && ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    tree.width = size.ws_col;
  tree.out = open_memstream (&tree.line, &tree.line_bytes);
  if (tree.out == NULL)
    return -errno;
  if (graph->nodes.len == 0)
    printf ("No devices found\n");
  r = draw_all (&tree, graph);
  fclose (tree.out);
  free (tree.line);
  vector_reset (&tree.levels);
  return r;
}
