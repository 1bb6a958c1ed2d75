/* SPDX-License-Identifier: BSD-3-Clause */
/* One mapped device, "vol", and a table for it, without the verbs. */

#include "tests/lib/fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "common/args.h"
#include "common/cleanup.h"

void
fixture_start (struct fixture *f)
{
  memset (f, 0, sizeof *f);
  f->registry = registry_new ();
  if (f->registry == NULL ||
      registry_create (f->registry, "vol", "", UINT32_MAX, &f->md, NULL) < 0)
    abort ();
}

static void
fixture_unload (struct fixture *f)
{
  if (f->table)
    table_destroy (f->table);
  f->table = NULL;
}

void
fixture_stop (struct fixture *f)
{
  fixture_unload (f);
  md_put (f->md);
  registry_free (f->registry);
}

static int
fixture_add_line (struct fixture *f, char *text)
{
  struct dm_target_line line = { 0 };
  int at = 0;
  char type[32];

  if (sscanf (text, "%" SCNu64 "%" SCNu64 "%31s%n", &line.start, &line.len,
              type, &at) != 3)
    abort ();
  line.type = type;
  line.params = text + at;
  return table_add_target (f->table, &line, &f->lookup, &f->msg);
}

static int
fixture_load_mode (struct fixture *f, const char *text, bool readonly)
{
  char *CLEANUP_FREE copy = strdup (text);
  char *line, *save = NULL;
  int r = 0;

  fixture_unload (f);
  f->msg.text[0] = '\0';
  f->table = table_new (f->md, readonly);
  if (f->table == NULL || copy == NULL)
    abort ();
  for (line = strtok_r (copy, "\n", &save); line && r == 0;
       line = strtok_r (NULL, "\n", &save))
    r = fixture_add_line (f, line);
  if (r == 0)
    r = table_complete (f->table, &f->msg);
  if (r < 0)
    fixture_unload (f);
  return r;
}

int
fixture_load (struct fixture *f, const char *text)
{
  return fixture_load_mode (f, text, false);
}

int
fixture_load_readonly (struct fixture *f, const char *text)
{
  return fixture_load_mode (f, text, true);
}

char *
fixture_status (struct fixture *f, unsigned index, enum dm_status_type type)
{
  struct dm_target *ti = f->table->targets[index];
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL)
    abort ();
  ti->type->status (ti, type, 0, fp);
  fclose (fp);
  return text;
}

int
fixture_message (struct fixture *f, const char *words, char **reply)
{
  struct dm_target *ti = f->table->targets[0];
  char *CLEANUP_FREE copy = strdup (words);
  char **CLEANUP_FREE argv = NULL;
  struct args args;
  size_t len;
  FILE *fp = open_memstream (reply, &len);
  int r;

  if (copy == NULL || fp == NULL || args_split (copy, &args) < 0)
    abort ();
  argv = args.argv;
  f->msg.text[0] = '\0';
  ti->message = &f->msg;
  r = ti->type->message (ti, &args, fp);
  ti->message = NULL;
  fclose (fp);
  return r;
}

void
fixture_answer (struct fixture *f, const char *words, const char *reply)
{
  char *CLEANUP_FREE text = NULL;

  cr_expect_eq (fixture_message (f, words, &text), 0, "%s: %s", words,
                f->msg.text);
  cr_expect_str_eq (text, reply);
}

void
fixture_refuse_message (struct fixture *f, const char *words,
                        const char *error)
{
  char *CLEANUP_FREE text = NULL;

  cr_expect_eq (fixture_message (f, words, &text), -EINVAL, "%s", words);
  cr_expect_eq (strncmp (f->msg.text, error, strlen (error)), 0, "%s: %s",
                words, f->msg.text);
}

void
fixture_refuse (struct fixture *f, const char *line, int err,
                const char *message)
{
  const char *text;

  cr_expect_eq (fixture_load (f, line), -err, "%s", line);
  text = strstr (f->msg.text, "): ");
  cr_expect (text && strncmp (text + 3, message, strlen (message)) == 0,
             "%s\n%s", line, f->msg.text);
}

void
fixture_golden (struct fixture *f, const char *line, const char *table,
                const char *info)
{
  char *CLEANUP_FREE table_text = NULL, *CLEANUP_FREE info_text = NULL;

  cr_assert_eq (fixture_load (f, line), 0, "%s", f->msg.text);
  table_text = fixture_status (f, 0, DM_STATUS_TABLE);
  info_text = fixture_status (f, 0, DM_STATUS_INFO);
  cr_expect_str_eq (table_text, table);
  cr_expect_str_eq (info_text, info);
}

int
fixture_io (struct fixture *f, enum bio_op op, sector_t sector, sector_t len,
            void *data)
{
  struct bio bio = { .op = op, .bdev = &f->md->bdev, .sector = sector,
                     .len = len, .data = data };

  return table_map_bio (f->table, &bio);
}
