/* SPDX-License-Identifier: BSD-3-Clause */
/* --exec: a command for each device that is found. */

#include "clients/nbdmsetup.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/vector.h"

extern char **environ;

/* What comes of the command is its own matter, as in dmsetup. */
int
run_command (const char *command, const char *name)
{
  char *CLEANUP_FREE words = strdup (command);
  char *CLEANUP_FREE path = NULL;
  VECTOR (char *) argv = VECTOR_INIT;
  char *word, *save = NULL;
  pid_t pid;
  int r = words && asprintf (&path, "/dev/mapper/%s", name) >= 0 ? 0 : -ENOMEM;

  for (word = r < 0 ? NULL : strtok_r (words, " \t\n", &save);
       word && r == 0; word = strtok_r (NULL, " \t\n", &save))
    r = vector_append (&argv, word);
  if (r == 0 && argv.len == 0)
    r = -EINVAL;
  if (r == 0)
    r = vector_append (&argv, path);
  if (r == 0)
    r = vector_append (&argv, NULL);
  fflush (stdout);
  if (r == 0) {
    int err = posix_spawnp (&pid, argv.ptr[0], NULL, NULL, argv.ptr, environ);

    if (err)
      print_message (strerror (err));
    while (!err && waitpid (pid, NULL, 0) < 0 && errno == EINTR)
      ;
  }
  vector_reset (&argv);
  return r;
}
