#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# More of what a kernel and nbdm must answer alike: snapshots.
#
# What needs I/O on a snapshot is in snapshots.sh.
set -u
. "$(dirname "$0")/transcript.sh"

# Make the COW device a new one.
fresh ()
{
    dd if=/dev/zero of="$DEV1" bs=4k count=4 conv=notrunc,fsync 2>/dev/null
}

# Load each line of standard input on a new COW device.
each_fresh_table ()
{
    local table
    while read -r table; do
        fresh
        t load "$1" --table "$table" || continue
        t table --inactive "$1"
        t clear "$1"
    done
    t info "$1"
}

section versions
for type in snapshot snapshot-origin snapshot-merge; do
    t target-version $type
done

section snapshot-origin
t create o --table "0 16384 snapshot-origin $DEV0"
t table o
t status o
t deps o
t message o 0 hello
t load o --table "0 16384 snapshot-origin"
t load o --table "0 16384 snapshot-origin $DEV0 $DEV1"
t load o --table "0 16384 snapshot-origin /dev/nosuch"
t load o --table "0 16392 snapshot-origin $DEV0"
t remove o

section constructor of snapshot
t create s --notable
each_fresh_table s <<TABLES
0 16384 snapshot
0 16384 snapshot $DEV0
0 16384 snapshot $DEV0 $DEV1
0 16384 snapshot $DEV0 $DEV1 P
0 16384 snapshot $DEV0 $DEV1 P 16
0 16384 snapshot $DEV0 $DEV1 p 16
0 16384 snapshot $DEV0 $DEV1 PO 16
0 16384 snapshot $DEV0 $DEV1 po 16
0 16384 snapshot $DEV0 $DEV1 POx 16
0 16384 snapshot $DEV0 $DEV1 PX 16
0 16384 snapshot $DEV0 $DEV1 persistent 16
0 16384 snapshot $DEV0 $DEV1 X 16
0 16384 snapshot $DEV0 $DEV1 N 16
0 16384 snapshot $DEV0 $DEV1 n 16
0 16384 snapshot $DEV0 $DEV1 NO 16
0 16384 snapshot $DEV0 $DEV1 Nxyz 16
0 16384 snapshot $DEV0 $DEV1 N 0
0 16384 snapshot $DEV0 $DEV1 P 0
0 16384 snapshot $DEV0 $DEV1 P 1
0 16384 snapshot $DEV0 $DEV1 P 2
0 16384 snapshot $DEV0 $DEV1 P 4
0 16384 snapshot $DEV0 $DEV1 P 08
0 16384 snapshot $DEV0 $DEV1 P 3
0 16384 snapshot $DEV0 $DEV1 P 12
0 16384 snapshot $DEV0 $DEV1 P 0x8
0 16384 snapshot $DEV0 $DEV1 P 8x
0 16384 snapshot $DEV0 $DEV1 P -1
0 16384 snapshot $DEV0 $DEV1 P x
0 16384 snapshot $DEV0 $DEV1 P 4194304
0 16384 snapshot $DEV0 $DEV1 P 4294967296
0 16384 snapshot $DEV0 $DEV1 P 1024
0 16384 snapshot $DEV0 $DEV1 P 16384
0 16384 snapshot $DEV0 $DEV1 P 32768
0 16384 snapshot $DEV0 $DEV0 P 16
0 16384 snapshot /dev/nosuch $DEV1 P 16
0 16384 snapshot $DEV0 /dev/nosuch P 16
0 16392 snapshot $DEV0 $DEV1 P 16
0 100 snapshot $DEV0 $DEV1 P 16
0 16384 snapshot $DEV0 $DEV1 P 16 0
0 16384 snapshot $DEV0 $DEV1 P 16 0 junk
0 16384 snapshot $DEV0 $DEV1 P 16 junk
0 16384 snapshot $DEV0 $DEV1 P 16 1
0 16384 snapshot $DEV0 $DEV1 P 16 1 junk
0 16384 snapshot $DEV0 $DEV1 P 16 1 discard_zeroes_cow
0 16384 snapshot $DEV0 $DEV1 P 16 1 DISCARD_ZEROES_COW junk
0 16384 snapshot $DEV0 $DEV1 P 16 1 discard_passdown_origin
0 16384 snapshot $DEV0 $DEV1 P 16 2 discard_zeroes_cow
0 16384 snapshot $DEV0 $DEV1 P 16 2 discard_zeroes_cow discard_passdown_origin
0 16384 snapshot $DEV0 $DEV1 P 16 2 discard_passdown_origin discard_zeroes_cow
0 16384 snapshot $DEV0 $DEV1 P 16 3 discard_zeroes_cow discard_zeroes_cow x
TABLES
t remove s

section constructor of snapshot-merge
t create s --notable
each_fresh_table s <<TABLES
0 16384 snapshot-merge
0 16384 snapshot-merge $DEV0 $DEV1 P
0 16384 snapshot-merge $DEV0 $DEV1 P 16
0 16384 snapshot-merge $DEV0 $DEV1 PO 16
0 16384 snapshot-merge $DEV0 $DEV1 P 3
0 16384 snapshot-merge $DEV0 $DEV0 P 16
0 16384 snapshot-merge $DEV0 $DEV1 P 16 1 discard_zeroes_cow
TABLES
t remove s

section the header counts
fresh
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 64"
t status s
t remove s
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 8"
t table s
t status s
t remove s
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 0"
t table s
t remove s
printf 'xxxx' | dd of="$DEV1" conv=notrunc,fsync 2>/dev/null
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 16"

section a store that is not valid
fresh
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t remove s
printf '\0\0\0\0' | dd of="$DEV1" bs=4 seek=1 conv=notrunc,fsync 2>/dev/null
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 8"
t table s
t status s
t remove s
t create s --table "0 16384 snapshot-merge $DEV0 $DEV1 P 8"
t table s
t status s
t remove s

section handover
fresh
t create a --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t create b --notable
t load b --table "0 16384 snapshot $DEV0 $DEV1 P 64"
t table --inactive b
t status --inactive b
t create c --notable
t load c --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t resume b
t info b
t suspend a
t resume a
t info a
t resume b
t table b
t status b
t table a
t status a
t resume a
t load c --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t remove a
t load c --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t clear c
t remove c

section handover on one device
t load b --table "0 16384 snapshot $DEV0 $DEV1 PO 16 1 discard_zeroes_cow"
t suspend b
t resume b
t table b
t status b

section a handover that is called off
t create c --notable
t load c --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t suspend b
t clear c
t resume b
t status b
t load c --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t remove b
t status --inactive c
t resume c
t status c
t table c
t remove c

section merges
fresh
t create s --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t create m --notable
t load m --table "0 16384 snapshot-merge $DEV0 $DEV1 P 16"
t suspend s
t resume m
t status m
t status s
t table m
t remove s
t load m --table "0 16384 snapshot-merge $DEV0 $DEV1 P 16"
t create s --notable
t load s --table "0 16384 snapshot $DEV0 $DEV1 P 16"
t suspend m
t resume s
t status s
t status m
t remove m
t remove s
