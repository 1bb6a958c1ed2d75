#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Statistics that a kernel and nbdm must answer alike.
#
# IO NAME r|w SECTOR COUNT does one such request on a device.
set -u
: "${IO:?}"
. "$(dirname "$0")/transcript.sh"

# say DEVICE WORD...: a message.
say ()
{
    t message "$1" 0 "${@:2}"
}

# Each line of standard input is one.
each_message ()
{
    local words
    while read -r words; do
        # shellcheck disable=SC2086
        say "$1" $words
    done
}

# counts DEVICE ID: what is shown of a region but for times, and for what was
# merged, which kernels before 6.1.192 tell wrong.
counts ()
{
    show message "$1" 0 @stats_print "$2"
    "$DMSETUP" message "$1" 0 @stats_print "$2" >out 2>err </dev/null
    set -- $?
    local at reads _ rs writes ws busy
    while read -r at reads _ rs _ writes _ ws _ busy _; do
        echo "$at $reads - $rs - $writes - $ws - $busy -"
    done <out
    echo "-> $1"
}

io ()
{
    echo "# $*"
    $IO "$@" || echo "-> failed"
}

t create a --table "0 64 linear $DEV0 0
64 64 linear $DEV1 0"
t create empty --notable

section regions
each_message a <<MESSAGES
@stats_list
@stats_create - 64
@stats_create 0+64 /4 prog aux
@stats_create 10+64 64 2 precise_timestamps histogram:100,1000 p2
@stats_create 0+8 8 0 5
@stats_create 0+8 8 1 HISTOGRAM:1
@STATS_CREATE 0+8 100
@stats_create 0+10 /3 - -
@stats_list
@stats_list p2
@stats_list nosuch
@stats_list -
@stats_list dmstats x
@stats_set_aux 1 other
@stats_set_aux 1
@stats_set_aux 99 other
@stats_delete 2
@stats_delete 2
@stats_delete
@stats_delete x
@stats_delete -1
@stats_create 100+1000 64
@stats_list
@stats_print 0
@stats_print 1
@stats_print 1 1 1
@stats_print 1 1 99
@stats_print 1 - -
@stats_print 1 - 2
@stats_print 1 2 -
@stats_print 1 4 1
@stats_print 1 99 1
@stats_print 1 1
@stats_print 1 x 1
@stats_print 99
@stats_print
@stats_print 5
@stats_print_clear 5
@stats_print_clear 5 0 1
@stats_clear 5
@stats_clear 99
@stats_clear
@stats_nosuch
MESSAGES
for id in 0 1 2 3 4 5; do
    say a @stats_delete $id
done
say a @stats_list

section mistakes
each_message a <<MESSAGES
@stats_create
@stats_create -
@stats_create 0 8
@stats_create 0+0 8
@stats_create 0+8 0
@stats_create 0+8 /0
@stats_create 0+8 x
@stats_create 0+8 8x
@stats_create x+8 8
@stats_create 0+x 8
@stats_create 18446744073709551615+1 8
@stats_create 18446744073709551614+2 8
@stats_create 0+8 8 1
@stats_create 0+8 8 1 hello
@stats_create 0+8 8 1 histogram:
@stats_create 0+8 8 1 histogram:0
@stats_create 0+8 8 1 histogram:1,1
@stats_create 0+8 8 1 histogram:2,1
@stats_create 0+8 8 1 histogram:1,x
@stats_create 0+8 8 2 histogram:1 histogram:2
@stats_create 0+8 8 prog aux extra
@stats_list
MESSAGES

section a device without a table
say empty @stats_create - 8
say empty @stats_list
say empty @stats_print 0

section what is counted
say a @stats_create - 16
say a @stats_create 4+10 4
say a @stats_create - 128 1 histogram:1000000
io a r 0 8
io a r 8 8
io a w 16 8
io a w 24 16
io a r 40 8
io a r 0 8
io a w 8 8
counts a 0
counts a 1
counts a 2
# Two pieces: here the table has a seam.
io a r 60 8
counts a 0
counts a 2
say a @stats_clear 0
counts a 0
counts a 2
t suspend a
say a @stats_create - 128
t resume a
t load a --table "0 32 linear $DEV0 0"
t resume a
say a @stats_list
io a w 0 8
counts a 0
counts a 3

section dmstats
t stats create a --areas 2
t stats create a --start 8s --length 8s --areasize 4s --userdata hello
t stats create a --bounds 10us,1ms --precise --programid other
t stats create empty
t stats list
t stats list -v a
t stats list --allprograms
t stats print --allregions a
t stats group --alias two --regions 4,5 a
t stats list --allprograms
t stats ungroup --groupid 4 a
t stats clear --regionid 4 a
t stats clear --regionid 99 a
t stats delete --regionid 4 a
t stats delete --regionid 99 a
t stats delete --allregions --allprograms a
t stats list --allprograms
t stats delete --allregions --alldevices --allprograms
t stats list --allprograms
t remove a
t remove empty
