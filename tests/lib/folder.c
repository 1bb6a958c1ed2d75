/* SPDX-License-Identifier: BSD-3-Clause */
/* A temporary folder with files of text in it. */

#include "tests/lib/folder.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder_path[PATH_MAX];

static void
folder_must (int ok, const char *what)
{
  if (!ok) {
    perror (what);
    abort ();
  }
}

static const char *
folder_join (const struct folder *folder, const char *name)
{
  snprintf (folder_path, sizeof folder_path, "%s/%s", folder->path, name);
  return folder_path;
}

void
folder_make (struct folder *folder)
{
  strcpy (folder->path, "/tmp/nbdm-test-XXXXXX");
  folder_must (mkdtemp (folder->path) != NULL, "mkdtemp");
}

const char *
folder_write (struct folder *folder, const char *name, const char *text)
{
  const char *path = folder_join (folder, name);
  char draft[sizeof folder->path + 8];
  FILE *fp;

  snprintf (draft, sizeof draft, "%s/.draft", folder->path);
  fp = fopen (draft, "w");
  folder_must (fp != NULL, draft);
  folder_must (fputs (text, fp) >= 0 && fclose (fp) == 0, draft);
  folder_must (rename (draft, path) == 0, path);
  return path;
}

const char *
folder_sparse (struct folder *folder, const char *name, uint64_t bytes)
{
  const char *path = folder_write (folder, name, "");

  folder_must (truncate (path, bytes) == 0, path);
  return path;
}

void
folder_remove (struct folder *folder)
{
  DIR *dir = opendir (folder->path);
  struct dirent *entry;

  folder_must (dir != NULL, folder->path);
  while ((entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      folder_must (remove (folder_join (folder, entry->d_name)) == 0,
                   folder_path);
  closedir (dir);
  folder_must (rmdir (folder->path) == 0, folder->path);
}
