#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# io-kernel.sh NAME r|w|d SECTOR COUNT: one request on the kernel's device.
set -eu
file=/dev/mapper/$1 at=$(($3 * 512)) bytes=$(($4 * 512))
case $2 in
    r) dd if="$file" of=/dev/null iflag=direct,skip_bytes skip=$at \
        bs=$bytes count=1 status=none ;;
    w) dd if=/dev/zero of="$file" oflag=direct,seek_bytes seek=$at \
        bs=$bytes count=1 conv=notrunc status=none ;;
    d) blkdiscard -o $at -l $bytes "$file" ;;
esac
