#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The recorded transcripts are what a kernel answers today.
#
# With RECORD=1 the recordings are replaced instead.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup
has_recorded_dmsetup || { echo "$0: skipped: another dmsetup"; exit 77; }

lists=("${command_lists[@]}" dmstats-commands events-commands stats-commands
       thin-commands)
UML_SHARE=$tmp "$compat/umlrun" "$compat/dmsetup-kernel.sh" "$tmp" "${lists[@]}"
for list in "${lists[@]}"; do
    recorded=$compat/$list.kernel-6.1.txt
    [ -z "${RECORD:-}" ] || cp "$tmp/$list" "$recorded"
    diff -u "$recorded" "$tmp/$list" ||
        fail "the kernel's answers are not the recorded ones"
done
