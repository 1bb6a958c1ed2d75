#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: the kernel's log-writes and ours, and nbdm-logreplay on both.
#
# The kernel's device is /dev/mapper/disk on two RAM disks, ours the export
# disk on two files, seen through /dev/nbd0.
set -eu
. "$(dirname "$0")/lib.sh"
# The guest vanishes: unmounting a broken device could only hang.
trap - EXIT

mib=128
mnt=$tmp/mnt
export tmp

logreplay ()
{
    "$top_builddir/clients/nbdm-logreplay" "$@"
}

# Fresh devices: sets $dm (which dmsetup), $disk, $data and $log.
create_kernels ()
{
    rmmod brd 2>/dev/null || :
    modprobe brd rd_nr=2 rd_size=$((mib * 1024))
    dm=dmsetup disk=/dev/mapper/disk data=/dev/ram0 log=/dev/ram1
    dmsetup create disk --table "0 $((mib * 2048)) log-writes $data $log"
}

remove_kernels ()
{
    dmsetup remove disk
}

create_ours ()
{
    dm=nbdmsetup disk=/dev/nbd0 data=$tmp/data log=$tmp/log
    rm -f "$data" "$log"
    truncate -s ${mib}M "$data" "$log"
    nbdmsetup create disk --table "0 $((mib * 2048)) log-writes $data $log"
    nbd-client -unix "$tmp/nbd" -N disk $disk >/dev/null
}

remove_ours ()
{
    nbd-client -d $disk >/dev/null
    # The server needs a moment to see the connection end.
    wait_until 10 nbdmsetup remove disk 2>/dev/null
}

# Each kind of request, one by one.
requests ()
{
    dd if="$tmp/random" of=$disk bs=4k count=3 oflag=direct
    dd if="$tmp/random" of=$disk bs=1k seek=7 count=1 oflag=direct conv=fsync
    $dm message disk 0 mark first
    dd if="$tmp/random" of=$disk bs=512 seek=100 count=2 oflag=direct,dsync
    dd if="$tmp/random" of=$disk bs=4k skip=8 count=2 oflag=direct
    blkdiscard -o 1M -l 2M $disk
    dd if="$tmp/random" of=$disk bs=512 seek=3 count=1 oflag=direct,dsync
    $dm message disk 0 mark "$(printf %0600d 0)"
    dd if="$tmp/random" of=$disk bs=64k seek=20 count=1 oflag=direct
} 2>/dev/null

# A filesystem in use, with a mark when it has been made.
filesystem ()
{
    local i
    mkfs.ext4 -q $disk
    sync $disk
    $dm message disk 0 mark made
    mount $disk "$mnt"
    for i in 1 2 3 4 5 6 7 8; do
        mkdir "$mnt/$i"
        head -c $((i * 100000)) "$tmp/random" >"$mnt/$i/file"
        [ $((i % 2)) = 0 ] || sync "$mnt/$i/file"
        [ $((i % 3)) != 0 ] || rm -r "${mnt:?}/$((i - 1))"
    done
    umount "$mnt"
}

# At each flush there is a filesystem that can be mended, in the end that
# which is on the device.
check_replay ()
{
    rm -f "$tmp/again"
    truncate -s ${mib}M "$tmp/again"
    logreplay --replay="$tmp/again" --to-mark=made "$log"
    # shellcheck disable=SC2016
    logreplay --replay="$tmp/again" --from-mark=made --check='
        cp --sparse=always "$tmp/again" "$tmp/copy"
        e2fsck -fp "$tmp/copy" >"$tmp/e2fsck" || [ $? = 1 ] ||
            { cat "$tmp/e2fsck"; false; }' "$log"
    cmp "$tmp/again" "$data" || fail "another $data came of the log"
}

modprobe nbd
modprobe dm-log-writes
mkdir "$mnt"
head -c 1M /dev/urandom >"$tmp/random"
start_nbdm

# The same requests make the same log.
create_kernels
requests
remove_kernels
cp --sparse=always /dev/ram1 "$tmp/kernels-log"
create_ours
requests
remove_ours
logreplay "$tmp/kernels-log" >"$tmp/kernels-list"
logreplay "$tmp/log" | diff "$tmp/kernels-list" - ||
    fail "another log than the kernel's"
cmp "$tmp/kernels-log" "$tmp/log" || fail "the logs look alike but differ"
cut -c 1-60 "$tmp/kernels-list"

for whose in kernels ours; do
    create_$whose
    filesystem
    remove_$whose
    check_replay
done
