#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The recorded transcript is what a kernel answers today.
#
# With RECORD=1 the recording is replaced instead.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup

recorded=$compat/dmsetup-commands.kernel-6.1.txt
UML_SHARE=$tmp "$compat/umlrun" "$compat/dmsetup-kernel.sh" "$tmp/kernel"
[ -z "${RECORD:-}" ] || cp "$tmp/kernel" "$recorded"
diff -u "$recorded" "$tmp/kernel" ||
    fail "the kernel's answers are not the recorded ones"
