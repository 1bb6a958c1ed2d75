#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: one thin pool, in the hands of the kernel and of nbdm by turns.
#
#   thin-handover.sh [ROUNDS]
#
# In each round thins are compared with files, worked on, snapshots are taken
# and deleted; then whoever has the pool hands it over.
set -eu
. "$(dirname "$0")/lib.sh"
# The guest vanishes: unmounting a broken device could only hang.
trap - EXIT

rounds=${1:-20}
thin_mib=6
data_mib=96
RANDOM=1
thins=()

# The kernel on loop devices, nbdm on the files themselves.
take_kernel ()
{
    dm=dmsetup
    losetup /dev/loop0 "$tmp/meta"
    losetup /dev/loop1 "$tmp/data"
    meta=/dev/loop0 data=/dev/loop1 pool=/dev/mapper/pool
}

take_nbdm ()
{
    dm=nbdmsetup meta=$tmp/meta data=$tmp/data pool=pool
}

give ()
{
    $dm remove pool
    [ $dm = nbdmsetup ] || losetup -d /dev/loop0 /dev/loop1
}

# thin_check wants direct I/O, which tmpfs has not.
check_metadata ()
{
    losetup -r /dev/loop0 "$tmp/meta"
    thin_check -q /dev/loop0 || fail "thin_check: what $dm left is damaged"
    losetup -d /dev/loop0
}

# Sets $device.
activate ()
{
    $dm create "t$1" --table "0 $((thin_mib * 2048)) thin $pool $1"
    device=/dev/mapper/t$1
    if [ $dm = nbdmsetup ]; then
        device=/dev/nbd$1
        nbd-client -unix "$tmp/nbd" -N "t$1" "$device" >/dev/null
    fi
}

deactivate ()
{
    if [ $dm = nbdmsetup ]; then
        nbd-client -d "/dev/nbd$1" >/dev/null
        # The server needs a moment to see the connection end.
        wait_until 10 nbdmsetup remove "t$1" 2>/dev/null
    else
        dmsetup remove "t$1"
    fi
}

work ()
{
    "$compat/thin-work.py" $RANDOM $((RANDOM % 40)) "$device" "$tmp/image$1"
}

# A snapshot of the active thin $1 is thin $2.
snapshot ()
{
    $dm suspend "t$1"
    $dm message pool 0 "create_snap $2 $1"
    $dm resume "t$1"
    cp --sparse=always "$tmp/image$1" "$tmp/image$2"
}

# The lowest number that no thin has.
free_number ()
{
    local n=0
    while [[ " ${thins[*]} " = *" $n "* ]]; do
        n=$((n + 1))
    done
    echo $n
}

make_thin ()
{
    local n
    n=$(free_number)
    $dm message pool 0 "create_thin $n"
    truncate -s ${thin_mib}M "$tmp/image$n"
    thins+=("$n")
}

delete_thin ()
{
    local n=${thins[$1]}
    $dm message pool 0 "delete $n"
    rm "$tmp/image$n"
    unset "thins[$1]"
    thins=("${thins[@]}")
}

round ()
{
    local id new
    $dm create pool --table "0 $((data_mib * 2048)) thin-pool $meta $data 128 0"
    [ ${#thins[@]} -lt 6 ] || delete_thin $((RANDOM % ${#thins[@]}))
    [ ${#thins[@]} -ge 3 ] || make_thin
    for id in "${thins[@]}"; do
        activate "$id"
        work "$id"
        if [ $((RANDOM % 3)) = 0 ] && [ ${#thins[@]} -lt 8 ]; then
            new=$(free_number)
            snapshot "$id" "$new"
            thins+=("$new")
            work "$id"
        fi
        deactivate "$id"
    done
    $dm status pool
}

modprobe dm-thin-pool
modprobe loop
modprobe nbd nbds_max=16
start_nbdm
truncate -s 4M "$tmp/meta"
truncate -s ${data_mib}M "$tmp/data"
for ((i = 0; i < rounds; i++)); do
    if [ $((i % 2)) = 0 ]; then take_nbdm; else take_kernel; fi
    round
    give
    check_metadata
done
