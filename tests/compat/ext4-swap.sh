#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: a filesystem in use while the table below it is swapped.
#
# The export consists of a linear piece on one file and a striped piece over
# another file and an upstream NBD export.  Two tables describe the same
# data in different pieces; they take turns while fio writes and verifies.
# Once the linear piece moves to a copy elsewhere, and its old place is
# spoilt, so that whoever still reads there is found out.
set -eu
. "$(dirname "$0")/lib.sh"
# The guest vanishes: unmounting a broken device could only hang.
trap - EXIT

swaps=${1:-200}
mnt=$tmp/mnt
upstream="nbd+unix:///?socket=$tmp/up"

# tables LINEAR-FILE: sets table[0] and table[1].
tables ()
{
    local striped="2 128 $tmp/b 0 $upstream 0"
    table[0]="0 131072 linear $1 0
131072 131072 striped $striped"
    table[1]="0 4096 linear $1 0
4096 100000 linear $1 4096
104096 26976 linear $1 104096
131072 131072 striped $striped"
}

# Verified writes, one pass after the other, until $tmp/enough exists.
load ()
{
    local passes=0
    until [ -e "$tmp/enough" ]; do
        fio --name=verified --directory="$mnt" --size=8m --bs=4k \
            --rw=randwrite --ioengine=libaio --iodepth=8 --direct=1 \
            --fsync=64 --verify=crc32c --verify_backlog=512 \
            --verify_fatal=1 --randseed=$((passes += 1)) \
            >"$tmp/fio.log" 2>&1 || { cat "$tmp/fio.log"; return 1; }
        echo $passes >"$tmp/passes"
    done
}

no_errors ()
{
    ! dmesg | grep -iE 'i/o error|EXT4-fs (error|warning)|block nbd0:' ||
        fail "the kernel saw errors"
}

swap ()
{
    local flush=
    [ $(($1 % 2)) = 0 ] || flush=--noflush
    nbdmsetup load disk --table "${table[$1 % 2]}"
    nbdmsetup suspend $flush disk
    nbdmsetup resume disk
}

repoint ()
{
    nbdmsetup suspend disk
    cp "$tmp/a" "$tmp/elsewhere"
    tables "$tmp/elsewhere"
    nbdmsetup load disk --table "${table[0]}"
    nbdmsetup resume disk
    tr '\0' '\377' </dev/zero | head -c 64M >"$tmp/a"
}

modprobe nbd
mkdir "$mnt"
truncate -s 64M "$tmp/a"
truncate -s 32M "$tmp/b"
start nbdkit -f -U "$tmp/up" memory 32M
wait_until 30 test -S "$tmp/up" || fail "no upstream"
start_nbdm
tables "$tmp/a"
nbdmsetup create disk --table "${table[0]}"

nbd-client -unix "$tmp/nbd" -N disk /dev/nbd0
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 "$mnt"
mkdir "$mnt/reference"
for i in 1 2 3 4 5 6 7 8; do
    head -c 4M /dev/urandom >"$mnt/reference/$i"
done
sync
(cd "$mnt/reference" && sha256sum -- ?) >"$tmp/sums"

load &
fio=$!
for ((i = 1; i <= swaps; i++)); do
    swap $i
    [ $i != $((swaps / 2)) ] || repoint
    kill -0 $fio 2>/dev/null || fail "fio ended at swap $i"
done
touch "$tmp/enough"
wait $fio || fail "fio found errors"
echo "$swaps swaps under $(cat "$tmp/passes") passes of fio"

echo 3 >/proc/sys/vm/drop_caches
(cd "$mnt/reference" && sha256sum --quiet -c "$tmp/sums") ||
    fail "the reference files changed"
umount "$mnt"
fsck.ext4 -fn /dev/nbd0 || fail "the filesystem is not clean"
no_errors
nbd-client -d /dev/nbd0
nbdmsetup remove --retry disk
