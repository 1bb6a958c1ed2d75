/* SPDX-License-Identifier: BSD-3-Clause */
/* What `nbdmsetup snapshot` and `snapshots` of table files agree on. */

#ifndef NBDM_SNAPSHOT_H
#define NBDM_SNAPSHOT_H

/* Unless told otherwise; as lvcreate has it. */
#define SNAPSHOT_CHUNK_SECTORS 8u

/* Behind a device's name: the hidden one that has its table meanwhile. */
#define SNAPSHOT_REAL_SUFFIX "-real"

#endif /* NBDM_SNAPSHOT_H */
