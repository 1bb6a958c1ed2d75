#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel goes on with our snapshots and merges, and we with the kernel's.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup losetup nbdkit nbd-client python3

"$compat/umlrun" "$compat/snapshots.sh" "$@"
