/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect: show what is in images of metadata, without a server. */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "clients/inspect.h"

static const struct inspect_format *const formats[] = {
  &inspect_cow_format,
  &inspect_thin_format,
};

#define NR_FORMATS (sizeof formats / sizeof formats[0])

static void
usage (FILE *out)
{
  fputs ("usage: nbdm-inspect [--json] [--metadata-snapshot] [--data=NAME]\n"
         "                    [--origin=NAME] [--pool=NAME] IMAGE...\n"
         "Show what is in the metadata of thin pools and on the COW devices\n"
         "of snapshots, and tables for it.\n",
         out);
}

/* 0, or the status to exit with plus 1. */
static int
parse_options (int argc, char *argv[], struct inspect_options *o)
{
  static const struct option options[] = {
    { "data", required_argument, NULL, 'd' },
    { "help", no_argument, NULL, 'h' },
    { "json", no_argument, NULL, 'j' },
    { "metadata-snapshot", no_argument, NULL, 'm' },
    { "origin", required_argument, NULL, 'o' },
    { "pool", required_argument, NULL, 'p' },
    { "version", no_argument, NULL, 'V' },
    { NULL },
  };
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'd': o->data = optarg; break;
    case 'j': o->json = true; break;
    case 'm': o->metadata_snapshot = true; break;
    case 'o': o->origin = optarg; break;
    case 'p': o->pool = optarg; break;
    case 'h': usage (stdout); return 1;
    case 'V': puts ("nbdm-inspect " PACKAGE_VERSION); return 1;
    default: usage (stderr); return 2;
    }
  if (optind < argc)
    return 0;
  usage (stderr);
  return 2;
}

/* What the image is, by its beginning; NULL: unknown, or not readable. */
static const struct inspect_format *
find_format (struct inspect_image *image, json_t *report)
{
  unsigned char first[INSPECT_PROBE_BYTES] = { 0 };
  sector_t size = bdev_size (&image->bdev);
  sector_t len = sizeof first / SECTOR_SIZE;
  struct bio bio = { .op = BIO_READ, .bdev = &image->bdev,
                     .len = size < len ? size : len, .data = (char *) first };
  size_t i;
  int r = bdev_submit (&image->bdev, &bio);

  if (r < 0) {
    inspect_problem (report, "cannot read: %s", strerror (-r));
    return NULL;
  }
  for (i = 0; i < NR_FORMATS; i++)
    if (formats[i]->probe (first))
      return formats[i];
  inspect_problem (report, "this is no metadata of a format known here");
  return NULL;
}

static void
print_report (const struct inspect_format *format, const json_t *report)
{
  json_t *problems = json_object_get (report, "problems"), *problem;
  size_t i;

  printf ("%s: %s\n", inspect_word (report, "image"),
          inspect_word (report, "format"));
  if (format)
    format->print (report, stdout);
  fflush (stdout);
  json_array_foreach (problems, i, problem)
    fprintf (stderr, "nbdm-inspect: %s: %s\n", inspect_word (report, "image"),
             json_string_value (problem));
}

/* The report belongs to the array. */
static bool
inspect_path (const char *path, const struct inspect_options *o, json_t *all)
{
  const struct inspect_format *format = NULL;
  json_t *report = json_object ();
  struct inspect_image image;
  int r;

  if (json_array_append_new (all, report) < 0)
    exit (1);
  inspect_set_text (report, "image", "%s", path);
  r = inspect_image_open (&image, path);
  if (r < 0)
    inspect_problem (report, "cannot open: %s", strerror (-r));
  else {
    format = find_format (&image, report);
    if (format) {
      inspect_set_text (report, "format", "%s", format->name);
      format->report (&image, o, report);
    }
    inspect_image_close (&image);
  }
  if (!o->json)
    print_report (format, report);
  return json_object_get (report, "problems") == NULL;
}

int
main (int argc, char *argv[])
{
  struct inspect_options o = { .data = "DATA", .pool = "pool",
                               .origin = "ORIGIN" };
  int status = parse_options (argc, argv, &o);
  json_t *all;

  if (status > 0)
    return status - 1;
  all = json_array ();
  if (all == NULL)
    return 1;
  for (; optind < argc; optind++)
    if (!inspect_path (argv[optind], &o, all))
      status = 1;
  if (o.json && (json_dumpf (all, stdout, JSON_INDENT (2)) < 0 ||
                 putchar ('\n') < 0))
    status = 1;
  json_decref (all);
  return fflush (stdout) == 0 ? status : 1;
}
