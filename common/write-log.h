/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of the target log-writes as it lies on disk (Linux 6.1). */

#ifndef NBDM_WRITE_LOG_H
#define NBDM_WRITE_LOG_H

#include "common/bytes.h"

/* The log is counted in blocks of the size that the superblock names: the
 * logical block size of the device whose writes are logged.  The superblock
 * is block 0, padded with zeroes.  The entries follow from block 1 on without
 * a gap, each a block with its header and then the blocks that were written.
 */
#define WLOG_MAGIC UINT64_C (0x6a736677736872)
#define WLOG_VERSION 1

struct wlog_super {
  le64 magic, version;
  le64 nr_entries;  /* as of the last FUA write or mark: there may be more */
  le32 block_bytes;
};

enum wlog_flags {
  WLOG_FLUSH = 1 << 0,
  WLOG_FUA = 1 << 1,
  WLOG_DISCARD = 1 << 2, /* nr_blocks is a range; no data follows */
  WLOG_MARK = 1 << 3,    /* its text follows in the header's block */
  WLOG_METADATA = 1 << 4,
};

struct wlog_header {
  le64 block, nr_blocks; /* on the device */
  le64 flags;            /* enum wlog_flags */
  le64 text_bytes;       /* of a mark, without a NUL */
};

/* The mark that is written when the target is destroyed. */
#define WLOG_END_MARK "dm-log-writes-end"

#endif /* NBDM_WRITE_LOG_H */
