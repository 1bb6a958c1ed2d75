#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A thin pool from a table file: copies, snapshots, rescue by an ordinary user.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

truncate -s 4M "$tmp/meta.img"
truncate -s 64M "$tmp/data.img"
cat >"$tmp/tables.yaml" <<END
devices:
  pool:
    export: false
    table: 0 131072 thin-pool meta.img data.img 128 0
    messages: [create_thin 1]
  vol:
    table: 0 2147483648 thin pool 1
END

checked ()
{
  ! command -v thin_check >/dev/null || thin_check -q "$tmp/meta.img" ||
    fail "thin_check finds fault with the metadata"
}

# A mebibyte in a tebibyte: only that is copied, and it stays sparse.
random_file mib 1M
start_nbdkit dm "$tmp/tables.yaml"
[ "$(stat -c %b "$tmp/data.img")" -eq 0 ] || fail "a new pool takes space"
/usr/bin/python3 -m nbd -u "$(uri vol)" -c "
h.pwrite (open ('$tmp/mib', 'rb').read (), 7 << 30)
h.flush ()"
nbdinfo --map "$(uri vol)" >"$tmp/map"
awk '$3 == 0 {n++; size += $2} END {exit !(n == 1 && size == 1048576)}' \
  "$tmp/map" || fail "the map is wrong: $(cat "$tmp/map")"
nbdmsetup message pool 0 create_snap 2 1
nbdmsetup create snap --table "0 2147483648 thin pool 2"
truncate -s 1T "$tmp/copy"
nbdcopy --destination-is-zero "$(uri snap)" "$tmp/copy"
cmp "$tmp/mib" <(dd if="$tmp/copy" bs=1M skip=7168 count=1 status=none) ||
  fail "the copy of the snapshot differs"
[ "$(stat -c %b "$tmp/copy")" -le 2100 ] || fail "the copy is not sparse"
stop_nbdkit
checked

# Who may only read the files can still read the thins; nothing is written.
md5sum "$tmp"/*.img >"$tmp/sums"
chmod 444 "$tmp"/*.img
sed -i -e 's/ 128 0$/ 128 0 1 read_only/' -e '/messages:/d' "$tmp/tables.yaml"
start_nbdkit dm "$tmp/tables.yaml"
nbdmsetup status pool | grep -q ' ro ' || fail "the pool is not read-only"
/usr/bin/python3 -m nbd -u "$(uri vol)" -c "
import os
if h.pread (1 << 20, 7 << 30) != open ('$tmp/mib', 'rb').read ():
    os._exit (1)
try:
    h.pwrite (bytes (512), 0)
    os._exit (2)
except nbd.Error:
    pass" || fail "the rescued thin is not what it was, or can be written"
stop_nbdkit
md5sum --quiet -c "$tmp/sums" || fail "the rescue has written"
