/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps with known keys to members of structs; what schema.c is made of. */

#ifndef NBDM_FIELDS_H
#define NBDM_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/node.h"

/* What the walk of one file carries along. */
struct schema {
  struct config *config;
  const char *dir;    /* absolute: where relative paths start */
  struct message *msg;
  size_t lines_cap;   /* room in the lines of the device being read */
};

/* A key of a map; object is the struct that the map describes. */
struct field {
  const char *key;
  /* One of those below or schema.c's own: 0, -EINVAL with s->msg set, or
   * -ENOMEM.
   */
  int (*read) (struct schema *s, const struct field *field,
               const struct node *value, void *object);
  size_t offset;      /* of the member of object */
  uint64_t max;       /* of a number, or bytes of a text */
};

struct fields {
  const struct field *list;
  size_t nr;
};

#define FIELDS(array) { (array), sizeof (array) / sizeof (array)[0] }

/* Read every key of the map.  -EINVAL for a value that is no map and for a key
 * that is not in the list; the message names those that are.
 */
int fields_read (struct schema *s, const struct fields *fields,
                 const struct node *map, void *object);

/* Nothing was written after the colon (or in the file). */
bool field_is_empty (const struct node *value);

/* Any scalar into a char *, malloc'ed; an old value is freed. */
int field_text (struct schema *s, const struct field *field,
                const struct node *value, void *object);

/* true or false, not quoted, into a bool.  No yes, on, y: YAML 1.1 and 1.2
 * disagree about them.
 */
int field_bool (struct schema *s, const struct field *field,
                const struct node *value, void *object);

/* Decimal digits, not quoted, into an unsigned. */
int field_unsigned (struct schema *s, const struct field *field,
                    const struct node *value, void *object);

/* The same into a uint64_t, a multiple of 512. */
int field_bytes (struct schema *s, const struct field *field,
                 const struct node *value, void *object);

#endif /* NBDM_FIELDS_H */
