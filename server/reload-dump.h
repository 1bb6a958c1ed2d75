/* SPDX-License-Identifier: BSD-3-Clause */
/* The live state of a registry as a table file. */

#ifndef NBDM_RELOAD_DUMP_H
#define NBDM_RELOAD_DUMP_H

#include "config/config.h"
#include "config/names.h"
#include "server/dm-interface.h"

/* See reload_dump (server/edge.h).  config, if not NULL, is the last that was
 * carried out, by_name its devices; both must not change meanwhile.
 */
int reload_dump_registry (struct registry *reg, const struct config *config,
                          const struct names *by_name, char **text);

#endif /* NBDM_RELOAD_DUMP_H */
