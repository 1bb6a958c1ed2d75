#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdmsetup on our server answers as dmsetup on a kernel does.
#
# The kernel's side is recorded; test-dmsetup-kernel.sh keeps it true.
set -eu
. "$(dirname "$0")/lib.sh"

truncate -s 8M "$tmp/dev0" "$tmp/dev1"
start_nbdm
for list in "${command_lists[@]}"; do
    DMSETUP=$top_builddir/clients/nbdmsetup DEV0=$tmp/dev0 DEV1=$tmp/dev1 \
        timeout 300 "$compat/$list.sh" >"$tmp/transcript" ||
        fail "the commands did not come to their end"
    "$compat/normalise" DEV0="$tmp/dev0" DEV1="$tmp/dev1" MAJ=600 \
        <"$tmp/transcript" >"$tmp/ours"
    # What only libdm is asked is left out.
    sed '/^% /,/^-> /d' "$compat/$list.kernel-6.1.txt" >"$tmp/kernels"
    diff -u "$tmp/kernels" "$tmp/ours" ||
        fail "we answer other than the kernel does"
done
