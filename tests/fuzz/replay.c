/* SPDX-License-Identifier: BSD-3-Clause */
/* Run a fuzz target on files, without a fuzzer. */

#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define MAX_INPUT (1u << 20)

int
main (int argc, char **argv)
{
  uint8_t *data = malloc (MAX_INPUT);
  size_t size;
  FILE *fp;
  int i;

  for (i = 1; i < argc; i++) {
    fp = fopen (argv[i], "rb");
    if (fp == NULL || data == NULL) {
      perror (argv[i]);
      return EXIT_FAILURE;
    }
    size = fread (data, 1, MAX_INPUT, fp);
    fclose (fp);
    LLVMFuzzerTestOneInput (data, size);
  }
  printf ("%d inputs replayed\n", argc - 1);
  free (data);
  return EXIT_SUCCESS;
}
