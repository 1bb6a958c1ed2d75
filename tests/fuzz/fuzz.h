/* SPDX-License-Identifier: BSD-3-Clause */
/* What a fuzz target is to a fuzzer, or to replay.c. */

#ifndef NBDM_FUZZ_H
#define NBDM_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's convention.  Returns 0; aborts when something is wrong. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#endif /* NBDM_FUZZ_H */
