/* SPDX-License-Identifier: BSD-3-Clause */
/* What info -c shows of a device, and what -S selects by. */

#ifndef NBDM_INFO_FIELDS_H
#define NBDM_INFO_FIELDS_H

#include "clients/graph.h"
#include "clients/report.h"
#include "clients/select.h"

/* A row of these fields. */
struct info_row {
  const struct dm_ioctl *dmi;
  const struct graph_node *node; /* for the group "deps"; may be NULL */
};

extern const struct field info_fields[];
extern const size_t info_nr_fields;

/* Rows are struct info_row. */
extern const struct select_source info_select_source;

/* The selection looks at what stands on what. */
bool info_selection_needs_graph (const struct selection *selection);

#endif /* NBDM_INFO_FIELDS_H */
