/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fuzz targets have in common. */

#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

const char *__asan_default_options (void);

/* Inputs may ask for more memory than there is. */
const char *
__asan_default_options (void)
{
  return "allocator_may_return_null=1:max_allocation_size_mb=256";
}

void
fuzz_must (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "fuzz: %s\n", what);
  abort ();
}

static void
fuzz_log (enum log_level level, const char *fmt, va_list ap)
{
}

void
fuzz_be_quiet (void)
{
  log_set_sink (fuzz_log);
}
