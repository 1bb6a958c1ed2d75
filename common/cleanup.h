/* SPDX-License-Identifier: BSD-3-Clause */
/* Resources that are released when their variable goes out of scope. */

#ifndef NBDM_CLEANUP_H
#define NBDM_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_free (void *ptr)
{
  free (*(void **) ptr);
}

static inline void
cleanup_fclose (FILE **fp)
{
  if (*fp)
    fclose (*fp);
}

static inline void
cleanup_close (int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

/* char *CLEANUP_FREE p = NULL;   The variable must be initialised. */
#define CLEANUP_FREE __attribute__ ((cleanup (cleanup_free)))
#define CLEANUP_FCLOSE __attribute__ ((cleanup (cleanup_fclose)))
#define CLEANUP_CLOSE __attribute__ ((cleanup (cleanup_close)))

#endif /* NBDM_CLEANUP_H */
