/* SPDX-License-Identifier: BSD-3-Clause */
/* malloc and its kin, counted, with the n-th call failing on demand. */

/* The linker sends every call of the program's own code here (--wrap); what
 * libc allocates for itself is not seen.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conform/conform.h"

void *__real_malloc (size_t);
void *__real_calloc (size_t, size_t);
void *__real_realloc (void *, size_t);
void *__real_reallocarray (void *, size_t, size_t);
char *__real_strdup (const char *);

void *__wrap_malloc (size_t);
void *__wrap_calloc (size_t, size_t);
void *__wrap_realloc (void *, size_t);
void *__wrap_reallocarray (void *, size_t, size_t);
char *__wrap_strdup (const char *);

static atomic_long countdown; /* 0: off */
static atomic_bool failed;

void
conform_fail_alloc (long n)
{
  failed = false;
  countdown = n;
}

bool
conform_alloc_failed (void)
{
  countdown = 0;
  return failed;
}

static bool
alloc_fails (void)
{
  if (countdown == 0 || atomic_fetch_sub (&countdown, 1) != 1)
    return false;
  return failed = true;
}

void *
__wrap_malloc (size_t n)
{
  return alloc_fails () ? NULL : __real_malloc (n);
}

void *
__wrap_calloc (size_t n, size_t size)
{
  return alloc_fails () ? NULL : __real_calloc (n, size);
}

void *
__wrap_realloc (void *p, size_t n)
{
  return alloc_fails () ? NULL : __real_realloc (p, n);
}

void *
__wrap_reallocarray (void *p, size_t n, size_t size)
{
  return alloc_fails () ? NULL : __real_reallocarray (p, n, size);
}

char *
__wrap_strdup (const char *s)
{
  return alloc_fails () ? NULL : __real_strdup (s);
}
