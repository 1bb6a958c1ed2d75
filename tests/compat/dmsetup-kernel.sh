#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: dmsetup-commands on the kernel's device-mapper.
#
# The normalised transcript goes to the file named by the argument.
set -eu
compat=$(cd "$(dirname "$0")" && pwd)

for module in dm-mod dm-zero dm-delay dm-flakey; do
    modprobe $module
done
modprobe brd rd_nr=2 rd_size=8192

DMSETUP=dmsetup DEV0=/dev/ram0 DEV1=/dev/ram1 \
    "$compat/dmsetup-commands.sh" >/dev/shm/transcript
major=$(awk '$2 == "device-mapper" {print $1}' /proc/devices)
"$compat/normalise" lower="$major:0" DEV0=/dev/ram0 DEV0=1:0 \
    DEV1=/dev/ram1 DEV1=1:1 </dev/shm/transcript >"$1"
