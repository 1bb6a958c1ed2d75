/* SPDX-License-Identifier: BSD-3-Clause */
/* What a fuzz target is to a fuzzer, or to replay.c. */

#ifndef NBDM_FUZZ_H
#define NBDM_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's convention.  Returns 0; aborts when something is wrong. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Abort, saying what is wrong. */
void fuzz_must (bool ok, const char *what);

/* Log nothing from now on. */
void fuzz_be_quiet (void);

/* nbdm-inspect on an image: metadata of a thin pool, or a COW device. */
void fuzz_inspect (const void *data, size_t bytes, bool is_pool);

#endif /* NBDM_FUZZ_H */
