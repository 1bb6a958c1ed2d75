/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML files to trees of nodes: the reading half of all that uses libyaml. */

#include "config/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "common/cleanup.h"

#define YAML_MAX_FILE (16u << 20)
#define YAML_MAX_UNFOLDED (4 * (size_t) YAML_MAX_FILE)
#define YAML_MAX_DEPTH 16

static struct config_mark
yaml_mark (const char *file, const yaml_mark_t *mark)
{
  return (struct config_mark) { .file = file,
                                .line = mark->line + 1,
                                .column = mark->column + 1 };
}

/* ------------------------------------------------------------------ */

static int
yaml_read_all (int fd, char *text, size_t size)
{
  size_t done = 0;
  ssize_t n;

  while (done < size) {
    n = read (fd, text + done, size - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -errno;
    if (n == 0)
      break;
    done += n;
  }
  return done;
}

/* The whole file, malloc'ed.  O_NONBLOCK: opening a fifo must not hang. */
static int
yaml_slurp (const char *file, char **text, size_t *len, struct message *msg)
{
  int CLEANUP_CLOSE fd = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  int r;

  if (fd < 0 || fstat (fd, &st) < 0)
    return message_set (msg, errno, "%s: %s", file, strerror (errno));
  if (!S_ISREG (st.st_mode))
    return message_set (msg, EINVAL, "%s: not a regular file", file);
  if (st.st_size > YAML_MAX_FILE)
    return message_set (msg, EFBIG, "%s: larger than %u bytes", file,
                        YAML_MAX_FILE);
  *text = malloc (st.st_size + 1);
  if (*text == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", file);
  r = yaml_read_all (fd, *text, st.st_size);
  if (r < 0)
    return message_set (msg, -r, "%s: %s", file, strerror (-r));
  *len = r;
  return 0;
}

/* ------------------------------------------------------------------ */

/* Errors of the input's encoding come with a byte offset only. */
static struct config_mark
yaml_mark_at (const char *file, const char *text, size_t len, size_t offset)
{
  struct config_mark mark = { .file = file, .line = 1, .column = 1 };
  size_t i;

  for (i = 0; i < offset && i < len; i++) {
    mark.column++;
    if (text[i] == '\n') {
      mark.line++;
      mark.column = 1;
    }
  }
  return mark;
}

static int
yaml_problem (const yaml_parser_t *parser, const char *file, const char *text,
              size_t len, struct message *msg)
{
  struct config_mark mark;

  if (parser->error == YAML_MEMORY_ERROR)
    return message_set (msg, ENOMEM, "%s: out of memory", file);
  if (parser->error == YAML_READER_ERROR)
    mark = yaml_mark_at (file, text, len, parser->problem_offset);
  else
    mark = yaml_mark (file, &parser->problem_mark);
  return config_error (&mark, msg, "%s%s%s", parser->problem,
                       parser->context ? " " : "",
                       parser->context ? parser->context : "");
}

/* A second document would be silently forgotten otherwise. */
static int
yaml_expect_end (yaml_parser_t *parser, const char *file, const char *text,
                 size_t len, struct message *msg)
{
  struct config_mark mark;
  yaml_document_t more;
  int r = 0;

  if (!yaml_parser_load (parser, &more))
    return yaml_problem (parser, file, text, len, msg);
  if (yaml_document_get_root_node (&more)) {
    mark = yaml_mark (file, &more.start_mark);
    r = config_error (&mark, msg, "a second document: only one is allowed");
  }
  yaml_document_delete (&more);
  return r;
}

static int
yaml_parse (const char *file, const char *text, size_t len,
            yaml_document_t *document, struct message *msg)
{
  yaml_parser_t parser;
  int r = 0;

  if (!yaml_parser_initialize (&parser))
    return message_set (msg, ENOMEM, "%s: out of memory", file);
  yaml_parser_set_input_string (&parser, (const unsigned char *) text, len);
  if (!yaml_parser_load (&parser, document)) {
    r = yaml_problem (&parser, file, text, len, msg);
    memset (document, 0, sizeof *document);
  }
  else if (yaml_document_get_root_node (document))
    r = yaml_expect_end (&parser, file, text, len, msg);
  yaml_parser_delete (&parser);
  return r;
}

/* ------------------------------------------------------------------
 * libyaml's nodes, numbered from 1, become ours at the same place.
 */

static int
yaml_convert_scalar (const yaml_node_t *from, struct node *to,
                     struct message *msg)
{
  to->kind = NODE_SCALAR;
  to->text = (const char *) from->data.scalar.value;
  to->plain = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
  to->literal = from->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
  to->bytes = from->data.scalar.length + 1;
  if (strlen (to->text) != from->data.scalar.length)
    return config_error (&to->mark, msg, "a NUL character in a string");
  return 0;
}

static int
yaml_alloc_children (struct node *to, size_t n)
{
  to->children = calloc (n ? n : 1, sizeof to->children[0]);
  return to->children ? 0 : -ENOMEM;
}

static int
yaml_convert_list (struct node *nodes, const yaml_node_t *from,
                   struct node *to)
{
  const yaml_node_item_t *item = from->data.sequence.items.start;
  const yaml_node_item_t *top = from->data.sequence.items.top;

  to->kind = NODE_LIST;
  if (yaml_alloc_children (to, top - item) < 0)
    return -ENOMEM;
  for (; item < top; item++)
    to->children[to->nr_children++] = &nodes[*item - 1];
  return 0;
}

static int
yaml_convert_map (struct node *nodes, const yaml_node_t *from,
                  struct node *to)
{
  const yaml_node_pair_t *pair = from->data.mapping.pairs.start;
  const yaml_node_pair_t *top = from->data.mapping.pairs.top;

  to->kind = NODE_MAP;
  if (yaml_alloc_children (to, 2 * (top - pair)) < 0)
    return -ENOMEM;
  for (; pair < top; pair++) {
    to->children[to->nr_children++] = &nodes[pair->key - 1];
    to->children[to->nr_children++] = &nodes[pair->value - 1];
  }
  return 0;
}

static bool
yaml_has_default_tag (const yaml_node_t *node)
{
  const char *tag = (const char *) node->tag;

  return strcmp (tag, YAML_STR_TAG) == 0 || strcmp (tag, YAML_SEQ_TAG) == 0 ||
    strcmp (tag, YAML_MAP_TAG) == 0;
}

static int
yaml_convert (const char *file, struct node *nodes, const yaml_node_t *from,
              struct node *to, struct message *msg)
{
  to->mark = yaml_mark (file, &from->start_mark);
  if (!yaml_has_default_tag (from))
    return config_error (&to->mark, msg, "tags are not supported: '%s'",
                         (const char *) from->tag);
  switch (from->type) {
  case YAML_SCALAR_NODE: return yaml_convert_scalar (from, to, msg);
  case YAML_SEQUENCE_NODE: return yaml_convert_list (nodes, from, to);
  case YAML_MAPPING_NODE: return yaml_convert_map (nodes, from, to);
  default: return -EINVAL; /* the document ends before one of these */
  }
}

/* ------------------------------------------------------------------
 * What libyaml does not check.
 */

static int
yaml_compare_keys (const void *a, const void *b)
{
  const struct node *x = *(struct node *const *) a;
  const struct node *y = *(struct node *const *) b;
  int r = strcmp (x->text, y->text);

  return r ? r : (x->mark.line > y->mark.line) - (x->mark.line < y->mark.line);
}

static int
yaml_check_duplicates (struct node **keys, size_t n, struct message *msg)
{
  size_t i;

  qsort (keys, n, sizeof keys[0], yaml_compare_keys);
  for (i = 1; i < n; i++)
    if (strcmp (keys[i - 1]->text, keys[i]->text) == 0)
      return config_error (&keys[i]->mark, msg,
                           "duplicate key '%s' (first at line %u)",
                           keys[i]->text, keys[i - 1]->mark.line);
  return 0;
}

static int
yaml_check_map (const struct node *map, struct message *msg)
{
  size_t i, n = map->nr_children / 2;
  struct node **CLEANUP_FREE keys = calloc (n + 1, sizeof keys[0]);

  if (keys == NULL)
    return -ENOMEM;
  for (i = 0; i < n; i++) {
    keys[i] = map->children[2 * i];
    if (keys[i]->kind != NODE_SCALAR)
      return config_error (&keys[i]->mark, msg, "a key must be a word");
    if (keys[i]->plain && strcmp (keys[i]->text, "<<") == 0)
      return config_error (&keys[i]->mark, msg,
                           "merge keys ('<<') are not supported");
  }
  return yaml_check_duplicates (keys, n, msg);
}

/* Depth first: cycles, depth, and how much text a walk would meet, since a
 * few aliases of aliases can stand for terabytes.
 */
static int
yaml_check (struct node *node, unsigned depth, struct message *msg)
{
  size_t i;
  int r;

  if (node->open)
    return config_error (&node->mark, msg, "an alias inside its own anchor");
  if (depth > YAML_MAX_DEPTH)
    return config_error (&node->mark, msg, "nested too deeply");
  if (node->bytes)
    return 0;
  node->open = true;
  node->bytes = 1;
  for (i = 0; i < node->nr_children; i++) {
    r = yaml_check (node->children[i], depth + 1, msg);
    if (r < 0)
      return r;
    node->bytes += node->children[i]->bytes;
    if (node->bytes > YAML_MAX_UNFOLDED)
      return config_error (&node->mark, msg, "too much text by aliases");
  }
  node->open = false;
  return node->kind == NODE_MAP ? yaml_check_map (node, msg) : 0;
}

/* ------------------------------------------------------------------ */

static int
yaml_build (const char *file, struct node_tree *tree, struct message *msg)
{
  yaml_document_t *document = tree->document;
  size_t i, n = document->nodes.top - document->nodes.start;
  int r;

  if (n == 0)
    return 0;
  tree->nodes = calloc (n, sizeof tree->nodes[0]);
  if (tree->nodes == NULL)
    return -ENOMEM;
  tree->nr_nodes = n;
  for (i = 0; i < n; i++) {
    r = yaml_convert (file, tree->nodes, &document->nodes.start[i],
                      &tree->nodes[i], msg);
    if (r < 0)
      return r;
  }
  tree->root = &tree->nodes[0];
  return yaml_check (&tree->nodes[0], 0, msg);
}

int
yaml_read (const char *file, struct node_tree *tree, struct message *msg)
{
  char *CLEANUP_FREE text = NULL;
  size_t len = 0;
  int r;

  memset (tree, 0, sizeof *tree);
  r = yaml_slurp (file, &text, &len, msg);
  if (r < 0)
    return r;
  tree->document = calloc (1, sizeof (yaml_document_t));
  if (tree->document == NULL)
    return message_set (msg, ENOMEM, "%s: out of memory", file);
  r = yaml_parse (file, text, len, tree->document, msg);
  if (r == 0)
    r = yaml_build (file, tree, msg);
  if (r == -ENOMEM)
    message_set (msg, ENOMEM, "%s: out of memory", file);
  if (r < 0)
    yaml_release (tree);
  return r;
}

void
yaml_release (struct node_tree *tree)
{
  size_t i;

  for (i = 0; i < tree->nr_nodes; i++)
    free (tree->nodes[i].children);
  free (tree->nodes);
  if (tree->document)
    yaml_document_delete (tree->document);
  free (tree->document);
  memset (tree, 0, sizeof *tree);
}
