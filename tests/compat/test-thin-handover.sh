#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel and nbdm hand a thin pool to and fro, and find what the other left.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup nbdkit nbd-client thin_check

"$compat/umlrun" "$compat/thin-handover.sh"
