#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdm-attach with a real kernel: block devices that outlive what happens.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without nbdkit mkfs.ext4 resize2fs

UML_TIMEOUT=600 "$compat/umlrun" "$compat/attach.sh"
