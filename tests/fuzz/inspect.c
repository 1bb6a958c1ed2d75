/* SPDX-License-Identifier: BSD-3-Clause */
/* nbdm-inspect on an image in memory, for the fuzz targets. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clients/inspect.h"
#include "tests/fuzz/fuzz.h"

static void
inspect_as (const struct inspect_format *format, const char *path,
            bool metadata_snapshot)
{
  struct inspect_options options = { .data = "d", .pool = "p", .origin = "o",
                                     .metadata_snapshot = metadata_snapshot };
  unsigned char first[INSPECT_PROBE_BYTES];
  struct inspect_image image;
  static FILE *null;
  json_t *report;

  if (null == NULL)
    null = fopen ("/dev/null", "w");
  if (inspect_image_open (&image, path) < 0 ||
      pread (image.fd, first, sizeof first, 0) != sizeof first)
    abort ();
  if (format->probe (first)) {
    report = json_object ();
    format->report (&image, &options, report);
    format->print (report, null);
    json_decref (report);
  }
  inspect_image_close (&image);
}

void
fuzz_inspect (const void *data, size_t bytes, bool is_pool)
{
  char path[32];
  int fd = memfd_create ("image", MFD_CLOEXEC);

  if (fd < 0 || write (fd, data, bytes) != (ssize_t) bytes)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  inspect_as (is_pool ? &inspect_thin_format : &inspect_cow_format, path,
              false);
  if (is_pool)
    inspect_as (&inspect_thin_format, path, true);
  close (fd);
}
