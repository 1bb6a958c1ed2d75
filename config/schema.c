/* SPDX-License-Identifier: BSD-3-Clause */
/* What a table file may say: trees of nodes to structs of config.h. */

#include "config/fields.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <linux/dm-ioctl.h>

#include "common/cleanup.h"
#include "common/vector.h"

/* NBD limits every string on the wire to this. */
#define SCHEMA_MAX_DESCRIPTION 4096

/* Of a certificate; nobody's is that long. */
#define SCHEMA_MAX_NAME 4096

/* Room for n more, zeroed. */
static int
schema_grow (void **list, size_t nr, size_t n, size_t elem_bytes)
{
  void *p = reallocarray (*list, nr + n + 1, elem_bytes);

  if (p == NULL)
    return -ENOMEM;
  memset ((char *) p + nr * elem_bytes, 0, (n + 1) * elem_bytes);
  *list = p;
  return 0;
}

/* ------------------------------------------------------------------
 * Backings.
 */

static int
schema_target (struct schema *s, const struct field *field,
               const struct node *value, void *object)
{
  struct config_backing *backing = object;

  if (value->kind != NODE_SCALAR || value->text[0] == '\0')
    return config_error (&value->mark, s->msg, "'%s' must be text",
                         field->key);
  if (backing->target)
    return config_error (&value->mark, s->msg, "both 'file' and 'nbd'");
  backing->is_nbd = strcmp (field->key, "nbd") == 0;
  if (backing->is_nbd || value->text[0] == '/')
    backing->target = strdup (value->text);
  else if (asprintf (&backing->target, "%s/%s", s->dir, value->text) < 0)
    backing->target = NULL;
  return backing->target ? 0 : -ENOMEM;
}

#define BACKING(member) offsetof (struct config_backing, member)

static const struct field schema_backing_list[] = {
  { "file", schema_target },
  { "nbd", schema_target },
  { "readonly", field_bool, BACKING (readonly) },
  { "offset", field_bytes, BACKING (offset_bytes), INT64_MAX },
  { "size", field_bytes, BACKING (size_bytes), INT64_MAX },
  { "direct", field_bool, BACKING (direct) },
  { "connections", field_unsigned, BACKING (connections), 64 },
  { "reconnect", field_unsigned, BACKING (reconnect), 86400 * 365 },
  { "timeout", field_unsigned, BACKING (timeout), 86400 },
};

static const struct fields schema_backing_fields =
  FIELDS (schema_backing_list);

/* Keys that only one kind of backing has. */
static int
schema_check_backing (struct schema *s, const struct config_backing *backing,
                      const struct node *map)
{
  static const char *const file_keys[] = { "direct", NULL };
  static const char *const nbd_keys[] = { "connections", "reconnect",
                                          "timeout", NULL };
  const char *const *foreign = backing->is_nbd ? file_keys : nbd_keys;
  size_t i;

  if (backing->target == NULL)
    return config_error (&backing->mark, s->msg,
                         "backing '%s' needs 'file' or 'nbd'", backing->name);
  for (; *foreign; foreign++)
    for (i = 0; i < map->nr_children; i += 2)
      if (strcmp (map->children[i]->text, *foreign) == 0)
        return config_error (&map->children[i]->mark, s->msg,
                             "'%s' is not for a backing with '%s'", *foreign,
                             backing->is_nbd ? "nbd" : "file");
  return 0;
}

static int
schema_check_name (struct schema *s, const struct node *key, const char *bad)
{
  const char *name = key->text;
  size_t len = strlen (name);

  if (len == 0 || len >= DM_NAME_LEN)
    return config_error (&key->mark, s->msg,
                         "a name must have 1 to %d bytes", DM_NAME_LEN - 1);
  if (strpbrk (name, bad) || strcmp (name, ".") == 0 ||
      strcmp (name, "..") == 0 || strcmp (name, "control") == 0)
    return config_error (&key->mark, s->msg, "'%s' cannot be a name", name);
  return 0;
}

/* Its name is one word of a table, and neither path, URI nor MAJOR:MINOR. */
static int
schema_backing (struct schema *s, const struct node *key,
                const struct node *value)
{
  struct config_backing *backing =
    &s->config->backings[s->config->nr_backings++];
  int r = schema_check_name (s, key, "/:#\\ \t\n\v\f\r");

  if (r < 0)
    return r;
  backing->mark = key->mark;
  backing->name = strdup (key->text);
  if (backing->name == NULL)
    return -ENOMEM;
  r = fields_read (s, &schema_backing_fields, value, backing);
  return r < 0 ? r : schema_check_backing (s, backing, value);
}

/* ------------------------------------------------------------------
 * Devices.
 */

static int
schema_table_line (struct schema *s, struct config_device *device,
                   const struct config_mark *mark, char *text)
{
  struct config_line line = { .mark = *mark }, *slot;
  struct message problem = { "" };
  int r = config_parse_line (text, &line, &problem);

  if (r < 0)
    return config_error (mark, s->msg, "%s", problem.text);
  if (r == 0)
    return 0;
  if (vector_reserve ((void **) &device->lines, device->nr_lines,
                      &s->lines_cap, sizeof line) < 0)
    return -ENOMEM;
  slot = &device->lines[device->nr_lines++];
  *slot = line;
  slot->type = strdup (line.type);
  slot->params = strdup (line.params);
  return slot->type && slot->params ? 0 : -ENOMEM;
}

static int
schema_table_text (struct schema *s, struct config_device *device,
                   const struct node *node)
{
  char *CLEANUP_FREE text = strdup (node->text);
  struct config_mark mark = node->mark;
  char *line, *rest = text;
  int r = 0;

  if (text == NULL)
    return -ENOMEM;
  while (r == 0 && (line = strsep (&rest, "\n")) != NULL) {
    if (node->literal) {
      mark.line++;
      mark.column = 1;
    }
    r = schema_table_line (s, device, &mark, line);
  }
  return r;
}

static int
schema_table (struct schema *s, const struct field *field,
              const struct node *value, void *object)
{
  size_t i;
  int r = 0;

  if (value->kind == NODE_SCALAR)
    return schema_table_text (s, object, value);
  if (value->kind != NODE_LIST)
    return config_error (&value->mark, s->msg,
                         "'table' must be text or a list of lines");
  for (i = 0; r == 0 && i < value->nr_children; i++) {
    if (value->children[i]->kind != NODE_SCALAR)
      return config_error (&value->children[i]->mark, s->msg,
                           "a table line must be text");
    r = schema_table_text (s, object, value->children[i]);
  }
  return r;
}

static int
schema_messages (struct schema *s, const struct field *field,
                 const struct node *value, void *object)
{
  struct config_device *device = object;
  const struct node *item;
  size_t i;

  if (value->kind != NODE_LIST)
    return config_error (&value->mark, s->msg, "'messages' must be a list");
  device->messages = calloc (value->nr_children + 1, sizeof (char *));
  if (device->messages == NULL)
    return -ENOMEM;
  for (i = 0; i < value->nr_children; i++) {
    item = value->children[i];
    if (item->kind != NODE_SCALAR || item->text[0] == '\0')
      return config_error (&item->mark, s->msg, "a message must be text");
    device->messages[i] = strdup (item->text);
    if (device->messages[i] == NULL)
      return -ENOMEM;
    device->nr_messages++;
  }
  return 0;
}

/* ------------------------------------------------------------------
 * Who may use it.
 */

static int
schema_rule_net (struct schema *s, const struct field *field,
                 const struct node *value, void *object)
{
  if (value->kind != NODE_SCALAR || access_parse_net (value->text, object) < 0)
    return config_error (&value->mark, s->msg, "'%s' must be ADDRESS/BITS "
                         "with no bits set behind them", field->key);
  return 0;
}

static int
schema_rule_tls (struct schema *s, const struct field *field,
                 const struct node *value, void *object)
{
  struct access_rule *rule = object;
  struct field flag = { field->key, field_bool, 0, 0 };
  bool tls = false;
  int r = field_bool (s, &flag, value, &tls);

  rule->tls = tls ? ACCESS_TLS_YES : ACCESS_TLS_NO;
  return r;
}

/* Distinguished names, which not every nbdkit tells. */
static int
schema_rule_name (struct schema *s, const struct field *field,
                  const struct node *value, void *object)
{
  if (!HAVE_DECL_NBDKIT_PEER_TLS_DN)
    return config_error (&value->mark, s->msg, "'%s' needs a newer nbdkit "
                         "than this was built for: it does not tell the names "
                         "in certificates", field->key);
  if (value->kind == NODE_SCALAR && value->text[0] == '\0')
    return config_error (&value->mark, s->msg, "'%s' must not be empty",
                         field->key);
  return field_text (s, field, value, object);
}

#define RULE(member) offsetof (struct access_rule, member)

static const struct field schema_rule_list[] = {
  { "uid", field_unsigned, RULE (uid), ACCESS_ANY - 1 },
  { "gid", field_unsigned, RULE (gid), ACCESS_ANY - 1 },
  { "net", schema_rule_net },
  { "tls", schema_rule_tls },
  { "tls-dn", schema_rule_name, RULE (tls_dn), SCHEMA_MAX_NAME },
  { "tls-issuer-dn", schema_rule_name, RULE (tls_issuer_dn),
    SCHEMA_MAX_NAME },
};

static const struct fields schema_rule_fields = FIELDS (schema_rule_list);

static int
schema_allow (struct schema *s, const struct field *field,
              const struct node *value, void *object)
{
  struct config_device *device = object;
  struct access_rule *rule;
  size_t i;
  int r = 0;

  if (value->kind != NODE_LIST)
    return config_error (&value->mark, s->msg, "'allow' must be a list");
  device->restricted = true;
  device->rules = calloc (value->nr_children + 1, sizeof device->rules[0]);
  if (device->rules == NULL)
    return -ENOMEM;
  for (i = 0; r == 0 && i < value->nr_children; i++) {
    rule = &device->rules[device->nr_rules++];
    rule->uid = rule->gid = rule->prefix = ACCESS_ANY;
    r = fields_read (s, &schema_rule_fields, value->children[i], rule);
  }
  return r;
}

/* ------------------------------------------------------------------
 * Its snapshots.
 */

static int
schema_init_device (struct schema *s, struct config_device *device,
                    const struct node *key)
{
  int r = schema_check_name (s, key, "/");

  if (r < 0)
    return r;
  device->mark = key->mark;
  device->export = true;
  device->name = strdup (key->text);
  device->uuid = strdup ("");
  device->description = strdup ("");
  device->base_dir = strdup (s->dir);
  return device->name && device->uuid && device->description &&
    device->base_dir ? 0 : -ENOMEM;
}

#define DEVICE(member) offsetof (struct config_device, member)
#define SNAPSHOT(member) offsetof (struct config_snapshot, member)

/* Those of everything that is a device in the end. */
#define SCHEMA_DEVICE_FIELDS                                            \
  { "uuid", field_text, DEVICE (uuid), DM_UUID_LEN - 1 },               \
  { "description", field_text, DEVICE (description),                    \
    SCHEMA_MAX_DESCRIPTION },                                           \
  { "readonly", field_bool, DEVICE (readonly) },                        \
  { "export", field_bool, DEVICE (export) },                            \
  { "allow", schema_allow }

static const struct field schema_snapshot_list[] = {
  { "cow", field_text, SNAPSHOT (cow), PATH_MAX },
  { "chunk", field_bytes, SNAPSHOT (chunk_bytes), INT32_MAX },
  SCHEMA_DEVICE_FIELDS,
};

static const struct fields schema_snapshot_fields =
  FIELDS (schema_snapshot_list);

static int
schema_snapshots (struct schema *s, const struct field *field,
                  const struct node *value, void *object)
{
  struct config *config = s->config;
  struct config_snapshot *snapshot;
  size_t i;
  int r;

  if (value->kind != NODE_MAP)
    return config_error (&value->mark, s->msg, "'snapshots' must be names and "
                         "what is said of them");
  r = schema_grow ((void **) &config->snapshots, config->nr_snapshots,
                   value->nr_children / 2, sizeof config->snapshots[0]);
  for (i = 0; r == 0 && i < value->nr_children; i += 2) {
    snapshot = &config->snapshots[config->nr_snapshots++];
    snapshot->origin = (struct config_device *) object - config->devices;
    r = schema_init_device (s, &snapshot->device, value->children[i]);
    if (r == 0 && !field_is_empty (value->children[i + 1]))
      r = fields_read (s, &schema_snapshot_fields, value->children[i + 1],
                       snapshot);
  }
  return r;
}

/* ------------------------------------------------------------------
 * The device.
 */

static const struct field schema_device_list[] = {
  SCHEMA_DEVICE_FIELDS,
  { "table", schema_table },
  { "messages", schema_messages },
  { "snapshots", schema_snapshots },
};

static const struct fields schema_device_fields =
  FIELDS (schema_device_list);

static int
schema_device (struct schema *s, const struct node *key,
               const struct node *value)
{
  struct config_device *device = &s->config->devices[s->config->nr_devices++];
  int r = schema_init_device (s, device, key);

  if (r < 0)
    return r;
  s->lines_cap = 0;
  r = fields_read (s, &schema_device_fields, value, device);
  if (r == 0 && device->nr_lines == 0)
    return config_error (&key->mark, s->msg, "device '%s' has no table",
                         device->name);
  return r;
}

/* ------------------------------------------------------------------
 * Sections: maps whose keys are names.
 */

static int
schema_section (struct schema *s, const struct node *section,
                int (*entry) (struct schema *s, const struct node *key,
                              const struct node *value))
{
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < section->nr_children; i += 2)
    r = entry (s, section->children[i], section->children[i + 1]);
  return r;
}

static int
schema_check_section (struct schema *s, const struct field *field,
                      const struct node *value)
{
  if (value->kind != NODE_MAP && !field_is_empty (value))
    return config_error (&value->mark, s->msg,
                         "'%s' must be names and what they stand for",
                         field->key);
  return 0;
}

static int
schema_backings (struct schema *s, const struct field *field,
                 const struct node *value, void *object)
{
  struct config *config = object;
  int r = schema_check_section (s, field, value);

  if (r == 0)
    r = schema_grow ((void **) &config->backings, config->nr_backings,
                     value->nr_children / 2, sizeof config->backings[0]);
  return r < 0 ? r : schema_section (s, value, schema_backing);
}

static int
schema_devices (struct schema *s, const struct field *field,
                const struct node *value, void *object)
{
  struct config *config = object;
  int r = schema_check_section (s, field, value);

  if (r == 0)
    r = schema_grow ((void **) &config->devices, config->nr_devices,
                     value->nr_children / 2, sizeof config->devices[0]);
  return r < 0 ? r : schema_section (s, value, schema_device);
}

static const struct field schema_root_list[] = {
  { "backings", schema_backings },
  { "devices", schema_devices },
};

static const struct fields schema_root_fields =
  FIELDS (schema_root_list);

int
schema_read (const struct node *root, const char *dir, struct config *config,
             struct message *msg)
{
  struct schema s = { .config = config, .dir = dir, .msg = msg };

  if (field_is_empty (root))
    return 0;
  return fields_read (&s, &schema_root_fields, root, config);
}
