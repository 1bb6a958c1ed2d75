#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What a kernel and nbdm must answer alike: thin pools and thins.
#
# IO NAME r|w|d SECTOR COUNT does one such request on a device.  DEV0 is the
# data device, DEV1 has the metadata.
set -u
: "${IO:?}"
. "$(dirname "$0")/transcript.sh"

blank ()
{
    dd if=/dev/zero of="$DEV1" bs=1M count=8 conv=notrunc,fsync status=none
}

# say WORD...: a message to the pool.
say ()
{
    t message pool 0 "$@"
}

# io NAME OP BLOCK [COUNT]: one request of whole blocks.
io ()
{
    show io "$@"
    $IO "$1" "$2" $(($3 * 128)) $((${4:-1} * 128)) >/dev/null 2>&1
    echo "-> $(($? != 0))"
}

events ()
{
    t info -c --noheadings -o name,events
}

pool ()
{
    t create pool --table "0 16384 thin-pool $DEV1 $DEV0 128 $*"
}

section versions
t target-version thin-pool
t target-version thin

section lines of a pool
blank
t create px --notable
each_table px <<TABLES
0 16384 thin-pool
0 16384 thin-pool $DEV1 $DEV0 128
0 16384 thin-pool $DEV1 $DEV1 128 0
0 16384 thin-pool $DEV1 $DEV0 64 0
0 16384 thin-pool $DEV1 $DEV0 129 0
0 16384 thin-pool $DEV1 $DEV0 0 0
0 16384 thin-pool $DEV1 $DEV0 4194304 0
0 16384 thin-pool $DEV1 $DEV0 128 x
0 16384 thin-pool $DEV1 $DEV0 128 -1
0 16384 thin-pool $DEV1 $DEV0 128 0 1 bogus
0 16384 thin-pool $DEV1 $DEV0 128 0 5 a b c d e
0 16384 thin-pool $DEV1 $DEV0 128 0 2 read_only
0 16384 thin-pool $DEV1 $DEV0 128 0 1 read_only
0 16384 thin-pool /dev/nosuch $DEV0 128 0
0 16384 thin-pool $DEV1 /dev/nosuch 128 0
8 16384 thin-pool $DEV1 $DEV0 128 0
TABLES
t load px --readonly --table "0 16384 thin-pool $DEV1 $DEV0 128 0"
t remove px
t create px --notable
t load px --table "0 16384 thin-pool $DEV1 $DEV0 128 7 0 foo"
t table --inactive px
t status --inactive px
t remove px

section a new pool
blank
pool 16
t status pool
t table pool
t deps pool
t create px --table "0 16384 thin-pool $DEV1 $DEV0 128 0"
t remove px
t load pool --table "0 16384 linear $DEV0 0"

section messages
say create_thin 0
say create_thin 0
say create_thin 16777216
say create_thin 16777215
say create_thin abc
say create_thin -1
say create_thin 0x5
say create_thin +7
say create_thin 007
say create_thin
say create_thin 1 2
say create_snap 1 0
say create_snap 1 0
say create_snap 2 99
say create_snap 2
say delete 99
say delete 16777215
say set_transaction_id 0 5
say set_transaction_id 0 5
say set_transaction_id x 5
say set_transaction_id 5 6 7
say release_metadata_snap
say reserve_metadata_snap
say reserve_metadata_snap
say release_metadata_snap
say bogus
say CREATE_THIN 3
say delete 3
t status pool
events

section lines of a thin
t create t0 --table "0 16384 thin /dev/mapper/pool 0"
t status t0
t table t0
t create lin --table "0 8 linear $DEV0 0"
t create tx --notable
each_table tx <<TABLES
0 16384 thin
0 16384 thin /dev/mapper/pool
0 16384 thin /dev/mapper/pool 0 $DEV0 x
0 16384 thin /dev/mapper/pool 0 /dev/mapper/pool
0 16384 thin /dev/mapper/pool 0 /dev/nosuch
0 16384 thin /dev/nosuch 0
0 16384 thin /dev/mapper/pool x
0 16384 thin /dev/mapper/pool -1
0 16384 thin /dev/mapper/pool 16777216
0 16384 thin $DEV0 0
0 16384 thin /dev/mapper/lin 0
0 16384 thin /dev/mapper/pool 77
TABLES
t remove tx
t remove lin
say delete 0
t remove pool

section blocks
io t0 w 0
t status t0
io t0 w 9 2
t status t0
t status pool
t status --noflush pool
io t0 r 5
io t0 d 9
t status t0
t status pool
say create_snap 2 0
t create s2 --table "0 2048 thin /dev/mapper/pool 2"
t status s2
io t0 w 0
io s2 w 15
t status s2
t status pool
say delete 2
t remove s2
say delete 2
t status pool
events

section suspended
t suspend pool
say create_thin 8
t status pool
t create tz --table "0 16384 thin /dev/mapper/pool 8"
t resume pool
t create tz --table "0 16384 thin /dev/mapper/pool 8"
t remove tz
say delete 8
t suspend pool
t load pool --table "0 16384 thin-pool $DEV1 $DEV0 128 16 1 ignore_discard"
t load pool --table "0 16384 thin-pool $DEV1 $DEV0 128 77 2 no_discard_passdown error_if_no_space"
t resume pool
t status pool
t table pool
t load pool --table "0 16384 thin-pool $DEV1 $DEV0 128 77 1 read_only"
t resume pool
t status pool
t table pool
io t0 r 0
io t0 w 0
io t0 w 7
io t0 d 0
say create_thin 8
say bogus
t status t0
t load pool --table "0 16384 thin-pool $DEV1 $DEV0 128 0"
t resume pool
t status pool
events
t load pool --table "0 16256 thin-pool $DEV1 $DEV0 128 0"
t resume pool
t info pool
t load pool --table "0 16384 thin-pool $DEV1 $DEV0 128 0"
t resume pool
t remove t0
t remove pool

section another block size
t create px --table "0 16384 thin-pool $DEV1 $DEV0 256 0"
t remove px

section out of data space
blank
t create pool --table "0 2048 thin-pool $DEV1 $DEV0 128 4 1 error_if_no_space"
say create_thin 0
t create t0 --table "0 16384 thin /dev/mapper/pool 0"
events
io t0 w 0 11
t status pool
events
io t0 w 11
t status pool
events
io t0 w 12
t status pool
events
io t0 w 13 3
t status pool
events
io t0 w 20
t status pool
events
io t0 w 3
io t0 r 20
say create_thin 1
say delete 1
t status pool
io t0 d 0
t status pool
events
io t0 w 20
io t0 w 21
t status pool
t load pool --table "0 4096 thin-pool $DEV1 $DEV0 128 4 1 error_if_no_space"
t resume pool
io t0 w 21
t status pool
t status t0
t remove t0
t remove pool

section read-only from the start
t create pool --table "0 4096 thin-pool $DEV1 $DEV0 128 4 1 read_only"
t status pool
events
t create t0 --table "0 16384 thin /dev/mapper/pool 0"
t status t0
io t0 r 20
io t0 w 50
say create_thin 9
t remove t0
t remove pool
