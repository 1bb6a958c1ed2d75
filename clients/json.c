/* SPDX-License-Identifier: BSD-3-Clause */
/* --json: replies as one JSON text on standard output. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdio.h>

#include <jansson.h>

int
json_begin_list (struct session *s)
{
  if (!s->options.json)
    return 0;
  s->json = json_array ();
  return s->json ? 0 : -ENOMEM;
}

int
json_put (struct session *s, json_t *object)
{
  if (object == NULL)
    return -ENOMEM;
  if (json_is_array (s->json))
    return json_array_append_new (s->json, object) == 0 ? 0 : -ENOMEM;
  json_decref (s->json);
  s->json = object;
  return 0;
}

/* Names need not be UTF-8; a JSON text must be: then byte by byte, as if it
 * were Latin-1.
 */
json_t *
json_text (const char *text)
{
  json_t *string = json_string (text);
  char *utf = NULL;
  size_t bytes;
  FILE *out;

  if (string)
    return string;
  out = open_memstream (&utf, &bytes);
  if (out == NULL)
    return NULL;
  for (; *text; text++) {
    unsigned char c = *text;

    if (c >= 0x80)
      fputc (0xc0 | c >> 6, out);
    fputc (c >= 0x80 ? 0x80 | (c & 0x3f) : c, out);
  }
  if (fclose (out) == 0)
    string = json_string (utf);
  free (utf);
  return string;
}

json_t *
json_device (const struct dm_ioctl *dmi)
{
  return json_pack ("{s:o, s:o, s:i, s:i}", "name", json_text (dmi->name),
                    "uuid", json_text (dmi->uuid),
                    "major", (int) dev_major (dmi->dev),
                    "minor", (int) dev_minor (dmi->dev));
}

json_t *
json_info (const struct dm_ioctl *dmi)
{
  json_t *object = json_device (dmi), *more;

  more = json_pack ("{s:b, s:b, s:b, s:b, s:b, s:i, s:I, s:I}",
                    "suspended", dmi->flags & DM_SUSPEND_FLAG,
                    "readonly", dmi->flags & DM_READONLY_FLAG,
                    "deferred_remove", dmi->flags & DM_DEFERRED_REMOVE,
                    "live", dmi->flags & DM_ACTIVE_PRESENT_FLAG,
                    "inactive", dmi->flags & DM_INACTIVE_PRESENT_FLAG,
                    "open", (int) dmi->open_count,
                    "event_nr", (json_int_t) dmi->event_nr,
                    "targets", (json_int_t) dmi->target_count);
  if (object == NULL || more == NULL || json_object_update (object, more) < 0) {
    json_decref (object);
    object = NULL;
  }
  json_decref (more);
  return object;
}

int
json_end (struct session *s)
{
  int r = 0;

  if (s->json && (json_dumpf (s->json, stdout, JSON_INDENT (2)) < 0 ||
                  putchar ('\n') == EOF))
    r = -EIO;
  json_decref (s->json);
  s->json = NULL;
  return r;
}
