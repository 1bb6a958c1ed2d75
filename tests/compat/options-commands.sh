#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every option of dmsetup in every spelling, with each verb that has a use for
# it, and with values that it cannot have, for a kernel and nbdm alike.
set -u
. "$(dirname "$0")/transcript.sh"
export LC_ALL=C

# What both know; the rest, and the order, is each one's own.
known_targets ()
{
    show targets "$@"
    "$DMSETUP" targets "$@" >all 2>err </dev/null
    set -- $?
    grep -E '^(delay|dust|error|flakey|linear|log-writes|snapshot|striped|switch|thin|thin-pool|unstriped|zero) ' \
        all | sort >out
    report "$1"
}

section spellings
t create lower --table "0 8192 linear $DEV0 0"
t create --uuid UUID-mid middle --table "0 4096 linear /dev/mapper/lower 0"
major=$("$DMSETUP" info -c --noheadings -o major lower)
l -h
l --help
l help -c
l -v -v ls
l --verbose --verbose remove nosuch
t info --columns lower
t info -C lower
t info --columns --options name,open --sort -name
t info -C -o name,uuid -O uuid
t info --uuid UUID-mid
t info --major "$major" --minor 0
t --columns info --noheadings lower
t --noheadings -c -o name info middle
t info --columns --select "name=lower" --noheadings
t create a -r --table "0 8 zero"
t info a
t load a -r --table "0 16 zero"
t info --inactive a
t clear --uuid nosuch
t clear a
t remove --yes a
t create a --major "$major" --minor 77 -U 1 -G 2 -M 0600 --notable
t remove -y a
t create a --uid 1 --gid 2 --mode 0600 --readahead 16 --table "0 8 zero"
t remove a
t create a --readahead +8 --table "0 8 zero"
t resume a --readahead none
t resume a --readahead 256 --addnodeoncreate
t remove a
t create a --checks --noopencount --noudevsync --noudevrules --verifyudev -n
l info --udevcookie 0 a
t remove -f --retry --deferred --checks a
t version -v
t --version -v
known_targets
known_targets -v

section values
t create b -j
l create b -j x -m 1 -n
l create b -j "$major" -m x -n
t create b -j "$major" -n
t create b -m 1x -n
t info -j "$major"
t info -j "$major" -m 999
l create b --mode 8 -n
l create b --mode x -n
for option in "--uid x" "--gid x" "--readahead x" "--readahead -1"; do
    # shellcheck disable=SC2086
    l create odd $option -n
    l remove odd
done
t create b --addnodeoncreate --addnodeonresume -n
t create b -n --table "0 8 zero"
t create b --table ""
t remove b
t create b --uuid "" -n
t info b
t remove b
t create b -u "$(printf %0128d 0)" -n
t info b
t remove b
l info -c --separator "" -o name,open
l info -c -o ""
t info -c -O "" -o name
t ls --target ""
t ls --exec ""
t ls -o ""
t table --target ""
t ls --manglename nosuch
t message lower "" hello
t wait lower -- -1

section verbose
t -v create v --table "0 8 zero"
t -v load v --table "0 16 zero"
t -v reload v --table "0 24 zero"
t -v clear v
t -v load v --table "0 24 zero"
t -v suspend v
t -v resume v
t -v suspend --noflush --nolockfs v
t -v resume --noflush --nolockfs v
t -v message v 0 @stats_list
t -v rename v w
t -v rename w --setuuid UUID-w
t -v setgeometry w 1 1 8 0
t -v deps w
t -v table w
t -v status w
t -v ls
t -v info w
t -v mknodes w
t -v measure w
t -v target-version zero
t -v wipe_table w
t -v remove w

section the inactive table
t load middle --table "0 64 striped 2 8 $DEV1 0 /dev/mapper/lower 0"
t load lower --table "0 16 zero"
t table --inactive --target striped
t table --inactive --target linear
t status --inactive --target striped
t status --inactive
t deps --inactive -o devno
t deps --inactive -o devname lower
t ls --inactive --target striped
t ls --inactive
l ls --inactive --tree -o ascii
t info --inactive --uuid UUID-mid
t info -c --inactive
t info -c --inactive -o name,device_count,devs_used
t load middle --readonly --table "0 64 linear /dev/mapper/lower 0"
t info -c -o name,open
t load middle --table "0 64 striped 2 8 $DEV1 0 /dev/mapper/lower 0"
t table --inactive --concise
t measure --inactive middle
t wait --inactive --noflush lower 9
t message lower 0 hello --inactive
t clear --inactive lower
t clear -v middle
l ls --inactive --tree -o ascii

section measured
t create m1 --table "0 64 linear $DEV0 8
64 64 striped 2 8 $DEV1 0 /dev/mapper/lower 16
128 8 zero
136 8 error
144 8 delay $DEV0 0 10
152 8 flakey $DEV0 0 60 0
160 90 unstriped 3 5 1 $DEV0 7
250 96 switch 3 8 0 $DEV0 0 $DEV1 8 $DEV0 16"
t measure m1
t load m1 --table "0 8 linear $DEV1 5"
t measure --inactive m1
t measure
t status m1
t remove m1
t create m2 --table "0 64 snapshot-origin $DEV0"
t create m3 --table "0 64 snapshot $DEV0 $DEV1 P 8"
t measure m2
t measure m3
t remove m3 m2

section selected
t create c1 --table "0 8 zero"
t create c2 --table "0 8 error"
t load c1 --table "0 8 error"
t load c2 --table "0 8 zero"
t suspend --select "name=~^c"
t info -c -o name,attr -S "name=~^c"
t resume -S "name=c1"
t table -S "name=~^c"
t load c1 --table "0 8 zero"
t clear -S "name=c1"
t info -c -o name,attr -S "name=~^c"
t wipe_table -S "name=c1"
t measure -S "name=c1"
t mknodes -S "name=c1"
t status c1 c2 -S "name=c2"
t table --concise -S "name=c1"
t deps -S "name=middle"
l deps -S "name=middle" -o devname
t remove -S "name=nosuch"
t remove -S "name=~^c"
t ls

section many words
t info lower nosuch middle
t info -c lower nosuch middle
t status lower nosuch middle
t deps lower nosuch middle
t suspend lower nosuch middle
t info -c -o name,attr
t resume lower middle
t clear lower nosuch middle
t wipe_table nosuch lower
t rename middle lower
t rename middle middle
t rename -u UUID-mid centre
t rename --major "$major" --minor 0 low
t message -u UUID-mid 0 hello
t message -j "$major" -m 0 0 hello
t setgeometry -u UUID-mid 1 1 8 0
t setgeometry -j "$major" -m 0 1 1 8 0
t wait -u UUID-mid 9
t wait -j "$major" -m 0 9
t load -u UUID-mid --table "0 8 zero"
t load -j "$major" -m 0 --table "0 8192 zero"
t table --inactive
t suspend -u UUID-mid
t suspend -j "$major" -m 0
t info -c
t resume -j "$major" -m 0
t resume -u UUID-mid
t clear -u UUID-mid
t clear -j "$major" -m 0
l wipe_table -u UUID-mid
t remove -u UUID-mid -u UUID-x
t remove -u UUID-mid
t remove -j "$major" -m 0
t ls
