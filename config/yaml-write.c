/* SPDX-License-Identifier: BSD-3-Clause */
/* Configs to YAML: the writing half of all that uses libyaml. */

#include "config/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/cleanup.h"

struct writer {
  yaml_emitter_t emitter;
  FILE *out;
  int error; /* the first one; nothing is written after it */
};

static int
writer_output (void *opaque, unsigned char *data, size_t len)
{
  struct writer *w = opaque;

  return fwrite (data, 1, len, w->out) == len;
}

/* ok: what making the event returned; it fails on text that is not UTF-8. */
static void
writer_emit (struct writer *w, yaml_event_t *event, int ok)
{
  if (!ok) {
    if (w->error == 0)
      w->error = -EILSEQ;
    return;
  }
  if (w->error) {
    yaml_event_delete (event);
    return;
  }
  if (!yaml_emitter_emit (&w->emitter, event))
    w->error = w->emitter.error == YAML_MEMORY_ERROR ? -ENOMEM : -EIO;
}

static void
writer_scalar (struct writer *w, const char *text, yaml_scalar_style_t style)
{
  yaml_event_t event;

  writer_emit (w, &event,
               yaml_scalar_event_initialize (&event, NULL, NULL,
                                             (yaml_char_t *) text,
                                             strlen (text), 1, 1, style));
}

/* Keys, booleans, numbers: quoted only where YAML demands it. */
static void
writer_word (struct writer *w, const char *text)
{
  writer_scalar (w, text, YAML_ANY_SCALAR_STYLE);
}

static void
writer_open_map (struct writer *w)
{
  yaml_event_t event;

  writer_emit (w, &event,
               yaml_mapping_start_event_initialize (&event, NULL, NULL, 1,
                                                    YAML_BLOCK_MAPPING_STYLE));
}

static void
writer_close_map (struct writer *w)
{
  yaml_event_t event;

  writer_emit (w, &event, yaml_mapping_end_event_initialize (&event));
}

/* ------------------------------------------------------------------
 * Values that are the default are left out.
 */

static void
writer_text_field (struct writer *w, const char *key, const char *text)
{
  if (text[0] == '\0')
    return;
  writer_word (w, key);
  writer_scalar (w, text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void
writer_bool_field (struct writer *w, const char *key, bool value,
                   bool default_value)
{
  if (value == default_value)
    return;
  writer_word (w, key);
  writer_word (w, value ? "true" : "false");
}

/* Unlike other numbers 0 is one. */
static void
writer_id_field (struct writer *w, const char *key, unsigned id)
{
  char digits[16];

  snprintf (digits, sizeof digits, "%u", id);
  writer_word (w, key);
  writer_word (w, digits);
}

static void
writer_number_field (struct writer *w, const char *key, uint64_t value)
{
  char digits[24];

  if (value == 0)
    return;
  snprintf (digits, sizeof digits, "%" PRIu64, value);
  writer_word (w, key);
  writer_word (w, digits);
}

static void
writer_backing (struct writer *w, const struct config_backing *b)
{
  writer_word (w, b->name);
  writer_open_map (w);
  writer_text_field (w, b->is_nbd ? "nbd" : "file", b->target);
  writer_bool_field (w, "readonly", b->readonly, false);
  writer_number_field (w, "offset", b->offset_bytes);
  writer_number_field (w, "size", b->size_bytes);
  writer_bool_field (w, "direct", b->direct, false);
  writer_number_field (w, "connections", b->connections);
  writer_number_field (w, "reconnect", b->reconnect);
  writer_number_field (w, "timeout", b->timeout);
  writer_close_map (w);
}

static void
writer_table (struct writer *w, const struct config_device *d)
{
  char *CLEANUP_FREE text = NULL;
  const struct config_line *line;
  size_t i, len;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL) {
    w->error = -ENOMEM;
    return;
  }
  for (i = 0; i < d->nr_lines; i++) {
    line = &d->lines[i];
    fprintf (fp, "%" PRIu64 " %" PRIu64 " %s%s%s\n", line->start, line->len,
             line->type, line->params[0] ? " " : "", line->params);
  }
  if (fclose (fp) != 0) {
    w->error = -ENOMEM;
    return;
  }
  writer_word (w, "table");
  writer_scalar (w, text, YAML_LITERAL_SCALAR_STYLE);
}

static void
writer_messages (struct writer *w, const struct config_device *d)
{
  yaml_event_t event;
  size_t i;

  if (d->nr_messages == 0)
    return;
  writer_word (w, "messages");
  writer_emit (w, &event,
               yaml_sequence_start_event_initialize (
                 &event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
  for (i = 0; i < d->nr_messages; i++)
    writer_scalar (w, d->messages[i], YAML_DOUBLE_QUOTED_SCALAR_STYLE);
  writer_emit (w, &event, yaml_sequence_end_event_initialize (&event));
}

static void
writer_rule (struct writer *w, const struct access_rule *rule)
{
  char net[ACCESS_NET_LEN];

  writer_open_map (w);
  if (rule->uid != ACCESS_ANY)
    writer_id_field (w, "uid", rule->uid);
  if (rule->gid != ACCESS_ANY)
    writer_id_field (w, "gid", rule->gid);
  if (rule->prefix != ACCESS_ANY) {
    access_print_net (rule, net);
    writer_text_field (w, "net", net);
  }
  if (rule->tls != ACCESS_TLS_ANY) {
    writer_word (w, "tls");
    writer_word (w, rule->tls == ACCESS_TLS_YES ? "true" : "false");
  }
  if (rule->tls_dn)
    writer_text_field (w, "tls-dn", rule->tls_dn);
  if (rule->tls_issuer_dn)
    writer_text_field (w, "tls-issuer-dn", rule->tls_issuer_dn);
  writer_close_map (w);
}

static void
writer_rules (struct writer *w, const struct config_device *d)
{
  yaml_event_t event;
  size_t i;

  if (!d->restricted)
    return;
  writer_word (w, "allow");
  writer_emit (w, &event,
               yaml_sequence_start_event_initialize (
                 &event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
  for (i = 0; i < d->nr_rules; i++)
    writer_rule (w, &d->rules[i]);
  writer_emit (w, &event, yaml_sequence_end_event_initialize (&event));
}

static void
writer_device (struct writer *w, const struct config_device *d)
{
  writer_word (w, d->name);
  writer_open_map (w);
  writer_text_field (w, "uuid", d->uuid);
  writer_text_field (w, "description", d->description);
  writer_bool_field (w, "readonly", d->readonly, false);
  writer_bool_field (w, "export", d->export, true);
  writer_rules (w, d);
  writer_table (w, d);
  writer_messages (w, d);
  writer_close_map (w);
}

static void
writer_config (struct writer *w, const struct config *config)
{
  size_t i;

  writer_open_map (w);
  if (config->nr_backings > 0) {
    writer_word (w, "backings");
    writer_open_map (w);
    for (i = 0; i < config->nr_backings; i++)
      writer_backing (w, &config->backings[i]);
    writer_close_map (w);
  }
  writer_word (w, "devices");
  writer_open_map (w);
  for (i = 0; i < config->nr_devices; i++)
    writer_device (w, &config->devices[i]);
  writer_close_map (w);
  writer_close_map (w);
}

/* ------------------------------------------------------------------ */

static void
writer_document (struct writer *w, const struct config *config)
{
  yaml_event_t event;

  writer_emit (w, &event,
               yaml_stream_start_event_initialize (&event,
                                                   YAML_UTF8_ENCODING));
  writer_emit (w, &event,
               yaml_document_start_event_initialize (&event, NULL, NULL, NULL,
                                                     1));
  writer_config (w, config);
  writer_emit (w, &event, yaml_document_end_event_initialize (&event, 1));
  writer_emit (w, &event, yaml_stream_end_event_initialize (&event));
}

int
config_write (const struct config *config, FILE *out)
{
  struct writer w = { .out = out };

  if (!yaml_emitter_initialize (&w.emitter))
    return -ENOMEM;
  yaml_emitter_set_output (&w.emitter, writer_output, &w);
  yaml_emitter_set_width (&w.emitter, -1);
  yaml_emitter_set_unicode (&w.emitter, 1);
  writer_document (&w, config);
  yaml_emitter_delete (&w.emitter);
  if (w.error == 0 && fflush (out) != 0)
    w.error = -EIO;
  return w.error;
}
