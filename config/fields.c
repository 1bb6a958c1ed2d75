/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps with known keys to members of structs. */

#include "config/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/units.h"

static void *
field_member (const struct field *field, void *object)
{
  return (char *) object + field->offset;
}

/* ------------------------------------------------------------------
 * Maps.
 */

static int
fields_unknown_key (struct schema *s, const struct fields *fields,
                    const struct node *key)
{
  char allowed[256] = "";
  size_t i;

  for (i = 0; i < fields->nr; i++) {
    if (i > 0)
      strcat (allowed, ", ");
    strcat (allowed, fields->list[i].key);
  }
  return config_error (&key->mark, s->msg, "unknown key '%s' (allowed: %s)",
                       key->text, allowed);
}

static const struct field *
fields_find (const struct fields *fields, const char *key)
{
  size_t i;

  for (i = 0; i < fields->nr; i++)
    if (strcmp (fields->list[i].key, key) == 0)
      return &fields->list[i];
  return NULL;
}

bool
field_is_empty (const struct node *node)
{
  return node->kind == NODE_SCALAR && node->plain && node->text[0] == '\0';
}

int
fields_read (struct schema *s, const struct fields *fields,
             const struct node *map, void *object)
{
  const struct field *field;
  const struct node *key;
  size_t i;
  int r;

  if (map->kind != NODE_MAP)
    return config_error (&map->mark, s->msg, "expected keys and values");
  for (i = 0; i < map->nr_children; i += 2) {
    key = map->children[i];
    field = fields_find (fields, key->text);
    if (field == NULL)
      return fields_unknown_key (s, fields, key);
    r = field->read (s, field, map->children[i + 1], object);
    if (r < 0)
      return r;
  }
  return 0;
}

/* ------------------------------------------------------------------
 * Scalars.
 */

int
field_text (struct schema *s, const struct field *field,
            const struct node *value, void *object)
{
  char **text = field_member (field, object);

  if (value->kind != NODE_SCALAR)
    return config_error (&value->mark, s->msg, "'%s' must be text",
                         field->key);
  if (strlen (value->text) > field->max)
    return config_error (&value->mark, s->msg,
                         "'%s' is longer than %" PRIu64 " bytes", field->key,
                         field->max);
  free (*text);
  *text = strdup (value->text);
  return *text ? 0 : -ENOMEM;
}

int
field_bool (struct schema *s, const struct field *field,
            const struct node *value, void *object)
{
  bool *flag = field_member (field, object);
  bool is_true, is_plain = value->kind == NODE_SCALAR && value->plain;

  is_true = is_plain && strcmp (value->text, "true") == 0;
  if (!is_true && !(is_plain && strcmp (value->text, "false") == 0))
    return config_error (&value->mark, s->msg, "'%s' must be true or false",
                         field->key);
  *flag = is_true;
  return 0;
}

static int
field_number (struct schema *s, const struct field *field,
              const struct node *value, uint64_t *number)
{
  if (value->kind != NODE_SCALAR || !value->plain ||
      args_parse_u64 (value->text, number) < 0)
    return config_error (&value->mark, s->msg,
                         "'%s' must be a decimal number", field->key);
  if (*number > field->max)
    return config_error (&value->mark, s->msg,
                         "'%s' must not be greater than %" PRIu64, field->key,
                         field->max);
  return 0;
}

int
field_unsigned (struct schema *s, const struct field *field,
                const struct node *value, void *object)
{
  unsigned *number = field_member (field, object);
  uint64_t n;
  int r = field_number (s, field, value, &n);

  if (r == 0)
    *number = n;
  return r;
}

int
field_bytes (struct schema *s, const struct field *field,
             const struct node *value, void *object)
{
  int r = field_number (s, field, value, field_member (field, object));

  if (r == 0 &&
      *(uint64_t *) field_member (field, object) % SECTOR_SIZE != 0)
    return config_error (&value->mark, s->msg,
                         "'%s' must be a multiple of %u bytes", field->key,
                         SECTOR_SIZE);
  return r;
}
