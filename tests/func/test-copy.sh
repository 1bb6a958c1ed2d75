#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Data goes in and comes out: nbdcopy, qemu-img, the files underneath.
. "$(dirname "$0")/lib.sh"
requires nbdcopy --version
requires qemu-img --version

two_exports
start_nbdkit dm "$tmp/tables.yaml"
random_file data $((64 << 20))

nbdcopy --flush "$tmp/data" "$(uri a)"
nbdcopy "$(uri a)" "$tmp/back"
cmp "$tmp/data" "$tmp/back"
cat "$tmp/1.img" "$tmp/2.img" | cmp "$tmp/data"

head -c 16M "$tmp/data" >"$tmp/small"
qemu-img convert -n -f raw -O raw "$tmp/small" "$(uri b)"
qemu-img info -f raw "$(uri b)" | grep -q '16 MiB (16777216 bytes)'
qemu-img compare -f raw -F raw "$tmp/small" "$(uri b)"

# Stripes of 64 KiB alternate.
cmp -n 65536 "$tmp/small" "$tmp/3.img"
cmp -n 65536 --ignore-initial=65536:0 "$tmp/small" "$tmp/4.img"
cmp -n 65536 --ignore-initial=131072:65536 "$tmp/small" "$tmp/3.img"

# A sparse source stays sparse.
truncate -s 64M "$tmp/hole"
nbdcopy "$tmp/hole" "$(uri a)"
nbdinfo --map "$(uri a)" | grep -q 'hole,zero'
[ "$(du -k "$tmp/1.img" | cut -f1)" -lt 1024 ]

# And a second server finds what the first has written.
nbdcopy "$tmp/data" "$(uri a)"
stop_nbdkit
start_nbdkit dm "$tmp/tables.yaml"
nbdcopy "$(uri a)" "$tmp/back"
cmp "$tmp/data" "$tmp/back"
stop_nbdkit
