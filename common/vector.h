/* SPDX-License-Identifier: BSD-3-Clause */
/* Growable arrays of any type. */

#ifndef NBDM_VECTOR_H
#define NBDM_VECTOR_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* VECTOR (int) v = VECTOR_INIT;  elements are v.ptr[0 .. v.len-1]. */
#define VECTOR(type)                            \
  struct {                                      \
    type *ptr;                                  \
    size_t len, cap;                            \
  }

#define VECTOR_INIT { NULL, 0, 0 }

/* Append elem; 0, or -ENOMEM with the vector unchanged. */
#define vector_append(v, elem)                                          \
  (vector_reserve ((void **) &(v)->ptr, (v)->len, &(v)->cap,            \
                   sizeof *(v)->ptr) < 0                                \
   ? -ENOMEM : ((v)->ptr[(v)->len++] = (elem), 0))

/* Free the array, not what its elements point to. */
#define vector_reset(v)                         \
  do {                                          \
    free ((v)->ptr);                            \
    (v)->ptr = NULL;                            \
    (v)->len = (v)->cap = 0;                    \
  } while (0)

static inline int
vector_reserve (void **ptr, size_t len, size_t *cap, size_t elem_bytes)
{
  size_t n = *cap ? *cap * 2 : 8;
  void *p;

  if (len < *cap)
    return 0;
  p = reallocarray (*ptr, n, elem_bytes);
  if (p == NULL)
    return -ENOMEM;
  *ptr = p;
  *cap = n;
  return 0;
}

#endif /* NBDM_VECTOR_H */
