#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel's ext4 on an export whose table is swapped 200 times under fio.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without nbdkit nbd-client mkfs.ext4 fio

UML_TIMEOUT=1200 "$compat/umlrun" "$compat/ext4-swap.sh"
