/* SPDX-License-Identifier: BSD-3-Clause */
/* targets/registry.c under another name: see types.c. */

#define target_types real_target_types
#include "targets/registry.c"
