#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel's log-writes and ours write the same log; both can be replayed.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup nbdkit nbd-client mkfs.ext4

"$compat/umlrun" "$compat/log-writes.sh"
