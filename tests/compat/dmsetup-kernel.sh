#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: lists of commands on the kernel's device-mapper.
#
#   dmsetup-kernel.sh FOLDER LIST...
#
# The normalised transcript of LIST.sh goes to FOLDER/LIST.
set -eu
compat=$(cd "$(dirname "$0")" && pwd)
folder=$1
shift

case $(uname -r) in
    6.1.*) ;;
    *) echo "$0: skipped: another kernel"; exit 77 ;;
esac
for module in dm-mod dm-zero dm-delay dm-flakey dm-unstripe dm-switch \
    dm-dust dm-log-writes dm-snapshot dm-thin-pool; do
    modprobe $module
done
modprobe brd rd_nr=2 rd_size=8192
major=$(awk '$2 == "device-mapper" {print $1}' /proc/devices)

# RAM disks do not discard as files do.
modprobe loop
truncate -s 8M /dev/shm/dev0 /dev/shm/dev1
losetup /dev/loop0 /dev/shm/dev0
losetup /dev/loop1 /dev/shm/dev1

for list in "$@"; do
    kind=ram
    [ "$list" != thin-commands ] || kind=loop
    DMSETUP=dmsetup DEV0=/dev/${kind}0 DEV1=/dev/${kind}1 \
        IO=$compat/io-kernel.sh POLL=$compat/poll-events.py \
        "$compat/$list.sh" >/dev/shm/transcript
    names=(lower="$major:0")
    [ "$list" != thin-commands ] || names=(pool="$major:0")
    case $list in
        dmsetup-more-commands)
            names=(MAJ="$major" "${names[@]}" zero="$major:1"
                   middle="$major:2" upper="$major:3") ;;
        dmstats-commands | options-commands) names=(MAJ="$major" "${names[@]}") ;;
    esac
    "$compat/normalise" "${names[@]}" DEV0=/dev/ram0 DEV0=1:0 \
        DEV1=/dev/ram1 DEV1=1:1 DEV0=/dev/loop0 DEV0=7:0 DEV1=/dev/loop1 \
        DEV1=7:1 </dev/shm/transcript >"$folder/$list"
done
