/* SPDX-License-Identifier: BSD-3-Clause */
/* extents: what a device holds, as a client of its export sees it. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* A line of the answer as it grows: replies may cut what belongs together. */
struct extent_line {
  const char *prefix;      /* the device and ": ", if there are several */
  json_t *list;            /* of --json, else NULL */
  struct nbdm_extent extent;
};

static int
line_print (struct extent_line *line)
{
  const struct nbdm_extent *e = &line->extent;
  bool hole = e->flags & NBDM_EXTENT_HOLE, zero = e->flags & NBDM_EXTENT_ZERO;

  if (e->len == 0)
    return 0;
  if (line->list)
    return json_array_append_new (line->list, json_pack (
        "{s:I, s:I, s:b, s:b}", "start", (json_int_t) e->begin,
        "length", (json_int_t) e->len, "hole", hole, "zero", zero));
  printf ("%s%llu %llu %s\n", line->prefix, (unsigned long long) e->begin,
          (unsigned long long) e->len, hole && zero ? "hole,zero" :
          hole ? "hole" : zero ? "zero" : "data");
  return 0;
}

static int
line_add (struct extent_line *line, const struct nbdm_extent *e)
{
  int r = 0;

  if (line->extent.len > 0 && line->extent.flags == e->flags)
    line->extent.len += e->len;
  else {
    r = line_print (line);
    line->extent = *e;
  }
  return r;
}

/* The extents of one reply; returns where they end, or -EPROTO. */
static int
reply_extents (struct extent_line *line, const struct own_call *call,
               uint64_t *at, uint64_t end)
{
  const uint64_t begin = *at;
  struct nbdm_extent e;
  int r = 0;

  for (size_t i = 0; i + sizeof e <= call->reply_bytes && r == 0;
       i += sizeof e) {
    memcpy (&e, call->reply + i, sizeof e);
    if (e.begin != *at || e.len == 0 || e.len > end - *at)
      return -EPROTO;
    *at += e.len;
    r = line_add (line, &e);
  }
  return r < 0 ? -ENOMEM : *at == begin ? -EPROTO : 0;
}

static int
extents_run (struct session *s, const char *name, uint64_t length,
             struct extent_line *line)
{
  uint64_t at = 0;
  int r = 0;

  while (at < length && r == 0) {
    struct nbdm_extents request = { .begin = at, .len = length - at };
    struct own_call call = {
      .payload = &request, .payload_bytes = sizeof request
    };

    strcpy (request.name, name);
    r = client_own_call (&s->client, NBDM_EXTENTS, &call);
    if (r < 0)
      print_message (call.message ? call.message : strerror (-r));
    else
      r = reply_check (reply_extents (line, &call, &at, length));
    own_call_reset (&call);
  }
  return r < 0 ? r : line_print (line);
}

static int
extents_one (struct session *s, const struct device *device, bool several)
{
  char name[DM_NAME_LEN], prefix[DM_NAME_LEN + 2] = "";
  struct extent_line line = { .prefix = prefix };
  uint64_t length;
  int r = device_measure (s, device, name, &length);

  if (r < 0)
    return r;
  if (several)
    snprintf (prefix, sizeof prefix, "%s: ", name);
  if (s->options.json)
    line.list = json_array ();
  r = extents_run (s, name, length, &line);
  if (r == 0 && line.list)
    r = json_put (s, json_pack ("{s:o, s:O}", "name", json_text (name),
                                "extents", line.list));
  json_decref (line.list);
  return r;
}

int
cmd_extents (struct session *s)
{
  int r = json_begin_list (s);

  return r < 0 ? r : device_each (s, true, extents_one);
}
