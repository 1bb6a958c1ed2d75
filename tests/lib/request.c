/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the ioctl interface, as a client would build them. */

#include "tests/lib/request.h"

#include <stdlib.h>
#include <string.h>

struct dm_ioctl *
request_new (size_t size, const char *name)
{
  struct dm_ioctl header = {
    .version = { 4, 47, 0 }, .data_size = size, .data_start = sizeof header,
  };
  char *request = calloc (1, size > 0 ? size : 1);

  if (request == NULL)
    abort ();
  if (name)
    memcpy (header.name, name, strnlen (name, sizeof header.name));
  memcpy (request, &header, size < sizeof header ? size : sizeof header);
  return (struct dm_ioctl *) request;
}

void *
request_data (struct dm_ioctl *request)
{
  return (char *) request + sizeof *request;
}

void
request_add_target (struct dm_ioctl *request, uint64_t start, uint64_t len,
                    const char *type, const char *params)
{
  struct dm_target_spec *spec = request_data (request);
  uint32_t i;

  for (i = 0; i < request->target_count; i++)
    spec = (struct dm_target_spec *) ((char *) spec + spec->next);
  spec->sector_start = start;
  spec->length = len;
  spec->next = (sizeof *spec + strlen (params) + 1 + 7) & ~7u;
  memcpy (spec->target_type, type, strnlen (type, sizeof spec->target_type));
  strcpy ((char *) (spec + 1), params);
  request->target_count++;
}
