#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: one origin and one COW file in turn under the kernel's
# snapshot targets and ours.
#
#   snapshots.sh [ROUNDS [SEED]]
#
# In each round one side activates the files, must show what the other one
# left, and writes to the origin and to the snapshot.  Then the snapshot is
# merged, in slices, by both sides.  $tmp/is-origin and $tmp/is-view are
# what the devices have to hold.
set -eu
. "$(dirname "$0")/lib.sh"
trap - EXIT

rounds=${1:-20}
seed=${2:-$RANDOM}
sectors=16384
cow_sectors=65536
RANDOM=$seed
origin=$tmp/origin cow=$tmp/cow

# kernel_activate TYPE CHUNK: $origin_dev and $view_dev are there.
kernel_activate ()
{
    losetup /dev/loop0 "$origin"
    losetup /dev/loop1 "$cow"
    case $1 in
        snapshot)
            dmsetup create view --table \
                "0 $sectors snapshot /dev/loop0 /dev/loop1 P $2"
            dmsetup create origin --table \
                "0 $sectors snapshot-origin /dev/loop0"
            origin_dev=/dev/mapper/origin ;;
        merge)
            dmsetup create slow --table \
                "0 $sectors delay /dev/loop0 0 0 /dev/loop0 0 $delay"
            dmsetup create view --table \
                "0 $sectors snapshot-merge /dev/mapper/slow /dev/loop1 P $2" ;;
    esac
    view_dev=/dev/mapper/view
}

kernel_deactivate ()
{
    [ ! -e /dev/mapper/origin ] || dmsetup remove --retry origin
    dmsetup suspend view
    last=$(kernel_status)
    dmsetup remove --retry view
    [ ! -e /dev/mapper/slow ] || dmsetup remove --retry slow
    losetup -d /dev/loop0 /dev/loop1
    # The loop devices go when nobody has them open any more.
    wait_until 10 kernel_has_let_go
    sync "$origin" "$cow"
}

kernel_has_let_go ()
{
    [ -z "$(losetup -n /dev/loop0 2>/dev/null)" ] &&
        [ -z "$(losetup -n /dev/loop1 2>/dev/null)" ]
}

kernel_status ()
{
    dmsetup status view
}

ours_activate ()
{
    case $1 in
        snapshot)
            nbdmsetup create view --table \
                "0 $sectors snapshot $origin $cow P $2"
            nbdmsetup create origin --table \
                "0 $sectors snapshot-origin $origin"
            nbd-client -unix "$tmp/nbd" -N origin /dev/nbd1 -b 512 >/dev/null
            origin_dev=/dev/nbd1 ;;
        merge)
            nbdmsetup create slow --table \
                "0 $sectors delay $origin 0 0 $origin 0 $delay"
            nbdmsetup create view --table \
                "0 $sectors snapshot-merge slow $cow P $2" ;;
    esac
    nbd-client -unix "$tmp/nbd" -N view /dev/nbd0 -b 512 >/dev/null
    view_dev=/dev/nbd0
}

ours_deactivate ()
{
    nbd-client -d /dev/nbd0 >/dev/null
    [ "${origin_dev:-}" != /dev/nbd1 ] || {
        nbd-client -d /dev/nbd1 >/dev/null
        wait_until 10 nbdmsetup remove origin 2>/dev/null
    }
    nbdmsetup suspend view
    last=$(ours_status)
    # The server needs a moment to see the connection end.
    wait_until 10 nbdmsetup remove view 2>/dev/null
    ! nbdmsetup info slow >/dev/null 2>&1 || nbdmsetup remove slow
}

ours_status ()
{
    nbdmsetup status view
}

# expect FILE DEVICE
expect ()
{
    cmp "$1" "$2" || fail "round $round, $side, chunk $chunk: $2 is wrong"
}

merge_is_done ()
{
    local status allocated metadata
    status=$("${side}_status")
    # shellcheck disable=SC2086
    set -- $status
    allocated=${4%/*} metadata=$5
    [ "$allocated" = "$metadata" ]
}

# merge_slice SIDE moment|end: slowly, or until it is done.
merge_slice ()
{
    side=$1 delay=20
    [ "$2" = moment ] || delay=0
    "${side}_activate" merge "$chunk"
    expect "$tmp/is-view" $view_dev
    "$compat/snapshot-writes.py" $RANDOM 5 "$view_dev=$tmp/is-view"
    [ "$2" = moment ] || wait_until 60 merge_is_done ||
        fail "the merge does not end"
    expect "$tmp/is-view" $view_dev
    "${side}_deactivate"
    echo "merge, $side: ${last#* * }"
}

merge ()
{
    unset origin_dev
    merge_slice kernel moment
    merge_slice ours moment
    merge_slice kernel moment
    if [ $((RANDOM % 2)) = 0 ]; then
        merge_slice ours end
    else
        merge_slice kernel end
    fi
    expect "$tmp/is-view" "$origin"
    cp "$tmp/is-view" "$tmp/is-origin"
}

start_over ()
{
    chunk=$((1 << RANDOM % 8))
    truncate -s 0 "$cow"
    truncate -s $((cow_sectors * 512)) "$cow"
    cp "$tmp/is-origin" "$tmp/is-view"
    last=new
}

modprobe nbd
modprobe loop
modprobe dm-delay
modprobe dm-snapshot
head -c $((sectors * 512)) /dev/urandom >"$origin"
cp "$origin" "$tmp/is-origin"
start_nbdm
echo "seed $seed"

round=0
start_over
while [ $((round += 1)) -le "$rounds" ]; do
    side=kernel
    [ $(((round + seed) % 2)) = 0 ] || side=ours
    "${side}_activate" snapshot "$chunk"
    status=$("${side}_status")
    [ "$last" = new ] || [ "$status" = "$last" ] ||
        fail "round $round, $side says $status, not $last"
    expect "$tmp/is-origin" $origin_dev
    expect "$tmp/is-view" $view_dev
    "$compat/snapshot-writes.py" $RANDOM 40 "$origin_dev=$tmp/is-origin" \
        "$view_dev=$tmp/is-view"
    expect "$tmp/is-origin" $origin_dev
    expect "$tmp/is-view" $view_dev
    "${side}_deactivate"
    echo "round $round, $side: ${last#* * }"
    if [ $((round % 5)) = 0 ]; then
        merge
        start_over
    fi
done
