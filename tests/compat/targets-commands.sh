#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# More of what a kernel and nbdm must answer alike: the testers' targets.
set -u
. "$(dirname "$0")/transcript.sh"

section versions
for type in unstriped switch dust log-writes; do
    t target-version $type
done

section unstriped
t create un --table "0 90 unstriped 3 5 1 $DEV0 7"
t table un
t status un
t deps un
t message un 0 hello
each_table un <<TABLES
0 90 unstriped
0 90 unstriped 3 5 1 $DEV0
0 90 unstriped 3 5 1 $DEV0 0 0
0 90 unstriped 0 5 1 $DEV0 0
0 90 unstriped x 5 1 $DEV0 0
0 90 unstriped 3 0 1 $DEV0 0
0 90 unstriped 3 x 1 $DEV0 0
0 90 unstriped 3 5 x $DEV0 0
0 90 unstriped 3 5 -1 $DEV0 0
0 90 unstriped 3 5 4294967296 $DEV0 0
0 90 unstriped 3 5 4 $DEV0 0
0 90 unstriped 3 5 3 $DEV0 0
0 90 unstriped 1 5 7 $DEV0 0
0 90 unstriped 3 5 1 /dev/nosuch 0
0 90 unstriped 3 5 1 $DEV0 x
0 91 unstriped 3 5 1 $DEV0 0
0 90 unstriped +3 +5 +2 $DEV1 0007
0 16380 unstriped 3 5 1 $DEV0 0
TABLES
t remove un
t create un --table "0 16385 unstriped 3 5 1 $DEV0 0"

section switch
t create sw --table "0 96 switch 3 8 0 $DEV0 0 $DEV1 8 $DEV0 16"
t table sw
t status sw
t deps sw
each_table sw <<TABLES
0 96 switch
0 96 switch 0 8 0
0 96 switch x 8 0
0 96 switch 2
0 96 switch 2 0 0 $DEV0 0 $DEV1 0
0 96 switch 2 x 0 $DEV0 0 $DEV1 0
0 96 switch 2 8
0 96 switch 2 8 1 x $DEV0 0 $DEV1 0
0 96 switch 2 8 0 $DEV0 0
0 96 switch 2 8 0 $DEV0 0 $DEV1
0 96 switch 2 8 0 $DEV0 0 $DEV1 0 $DEV0 0
0 96 switch 2 8 0 $DEV0 0 /dev/nosuch 0
0 96 switch 2 8 0 $DEV0 0 $DEV1 x
0 96 switch 1 7 0 $DEV1 8
0 96 switch 1 1000 0 $DEV0 0
TABLES
for word in 0:2 :1 0:0\ :1\ :2 A:1 R1,1 1:2\ R2,a r1,0 :0 \
    0 0: : x:0 0:x 0:1x R R,1 R1 R1, Rx,1 R1,1x \
    c:0 0:3 R2,1 R0,1 R1,c 0:2\ 1:7; do
    # shellcheck disable=SC2086
    t message sw 0 set_region_mappings $word
done
t message sw 0 set_region_mappings
t message sw 0 SET_REGION_MAPPINGS 0:0
t message sw 0 hello
t message sw 96 set_region_mappings 0:0
t table sw
t remove sw

section dust
t create du --table "0 96 dust $DEV0 16 4096"
t table du
t status du
t deps du
each_table du <<TABLES
0 96 dust
0 96 dust $DEV0 0
0 96 dust $DEV0 0 512 1
0 96 dust $DEV0 0 0
0 96 dust $DEV0 0 x
0 96 dust $DEV0 0 511
0 96 dust $DEV0 0 1536
0 96 dust $DEV0 0 65536
0 96 dust $DEV0 x 512
0 96 dust /dev/nosuch 0 512
0 96 dust $DEV1 8 +512
TABLES
for words in listbadblocks countbadblocks clearbadblocks \
    'addbadblock 60' 'addbadblock 7 3' 'ADDBADBLOCK 8 255' \
    'addbadblock 60' 'addbadblock 2048' 'addbadblock 2049' \
    'addbadblock 1 256' 'addbadblock x' 'addbadblock 1 x' \
    addbadblock removebadblock queryblock 'addbadblock 1 2 3' \
    'queryblock 60' 'queryblock 61' 'queryblock x' \
    listbadblocks countbadblocks 'removebadblock 60' 'removebadblock 60' \
    'removebadblock 7 1' listbadblocks enable quiet; do
    # shellcheck disable=SC2086
    t message du 0 $words
done
t status du
for words in quiet disable clearbadblocks countbadblocks hello 'hello 1'; do
    # shellcheck disable=SC2086
    t message du 0 $words
done
t status du
t remove du

section log-writes
t create lw --table "0 96 log-writes $DEV0 $DEV1"
t table lw
t status lw
t deps lw
each_table lw <<TABLES
0 96 log-writes
0 96 log-writes $DEV0
0 96 log-writes /dev/nosuch $DEV1
0 96 log-writes $DEV0 /dev/nosuch
0 96 log-writes $DEV0 $DEV1 extra words
0 16385 log-writes $DEV0 $DEV1
TABLES
t message lw 0 mark
t message lw 0 mark one two
t message lw 0 hello world
t message lw 0 mark one
t message lw 0 MARK two
# The kernel writes it by and by.
sleep 1
t status lw
t suspend lw
t resume lw
t status lw
t load lw --table "0 96 log-writes $DEV0 $DEV1"
t resume lw
t status lw
t remove lw
t ls
