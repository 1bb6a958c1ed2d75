#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The dmsetup commands that a kernel and nbdm must answer alike.
#
# "lower" is the first device made, so that whoever reads the kernel's
# transcript knows its number.
set -u
. "$(dirname "$0")/transcript.sh"

section nothing there
t version
t ls
t info
t info -c
t table
t status
t deps
t ls --target linear

section wrong command lines
t
t frobnicate
t create
t create one two three --notable
t create one --bogus
t create one --notable --table "0 8 zero"
t remove
t suspend
t resume
t clear
t load
t load one two three
t rename
t rename one
t rename one --setuuid
t message one
t message one 0
t message one x hello
t wait
t wait one 1 2
t version x
t remove_all x
t target-version

section no such device
t info missing
t info -u missing
t info -c missing
t table missing
t status missing
t deps missing
t load missing --table "0 8 zero"
t suspend missing
t resume missing
t clear missing
t rename missing new
t rename missing --setuuid NEW
t message missing 0 hello
t wait missing
t remove missing
t remove -u missing
t remove --deferred missing

section targets
for type in linear striped zero error delay flakey; do
    t target-version $type
done
t target-version linear zero
t target-version nosuch
t target-version linear nosuch zero

section a device from create to remove
t create lower --table "0 8192 linear $DEV0 0"
t info lower
t info -c lower
t info -c
t info -c --noheadings lower
t info -c -o name,attr,open,segments,events,uuid
t info -c --noheadings -o name,attr
t table lower
t table
t status lower
t status
t deps lower
t deps
t ls
t create lower --table "0 8 zero"
t create other -u UUID-1 --table "0 8 error" --readonly
t info other
t info -u UUID-1
t info -c
t table -u UUID-1
t create third -u UUID-1 --table "0 8 zero"
t info third
t ls
t ls --target linear
t ls --target error
t ls --target nosuch
t table --target error
t status --target linear
t status -v other
t table -v lower
t info other missing lower
t table other missing lower
t remove -u UUID-1
t ls

section bad names
t create a/b --table "0 8 zero"
t create "$(printf %0128d 0)" --table "0 8 zero"
t create "$(printf %0127d 0)" --table "0 8 zero"
t remove "$(printf %0127d 0)"
t create longuuid -u "$(printf %0129d 0)" --table "0 8 zero"
t create slashuuid -u A/B --table "0 8 zero"
t info slashuuid
t remove slashuuid

section where a table comes from
cat >two.table <<TABLE
# a comment, then an empty line

  0 100 linear $DEV0 8
100 100 zero
TABLE
echo "0 8 linear $DEV0 8 # the end" >cut.table
printf '0 8 zero\nrubbish\n' >bad.table
printf '0 eight zero\n' >number.table
: >empty.table
t create file two.table
t table file
t info file
t remove file
t create cut cut.table
t table cut
t remove cut
t create bad bad.table
t create bad number.table
t create bad missing.table
t create bad --table "0 8"
t create bad --table "0 8 zero
8 x error"
t info bad
t create none empty.table
t info none
t load none empty.table
t remove none
t_in "0 16 zero
16 16 error" create stdin
t table stdin
t remove stdin
t_in "0 rubbish" create stdin
t_in "0 16 zero" load lower
t table --inactive lower
t clear lower
t load lower two.table
t table --inactive lower
t clear lower

section tables that fail at create leave nothing behind
t create bad --table "0 8 nosuch $DEV0 0"
t create bad --table "0 0 zero"
t create bad --table "8 8 zero"
t create bad --table "0 8 zero
16 8 zero"
t create bad --table "0 8 zero
4 8 zero"
t create bad --table "0 18014398509481984 zero"
t create bad --table "0 8 linear $DEV0"
t create bad --table "0 8 linear /dev/nosuch 0"
t create bad --table "0 16385 linear $DEV0 0"
t create bad --table "0 8 linear $DEV0 16384"
t create bad --table "0 8 linear $DEV0 16377"
t ls

section linear
t create lin --notable
t info lin
t table lin
t status lin
t deps lin
each_table lin <<TABLES
0 8 linear
0 8 linear $DEV0
0 8 linear $DEV0 0 0
0 8 linear $DEV0 x
0 8 linear $DEV0 -1
0 8 linear $DEV0 +1
0 8 linear $DEV0 0x10
0 8 linear $DEV0 8x
0 8 linear nosuch 0
0 801 linear $DEV0 0
0 8 linear $DEV1 0008
TABLES
t remove lin

section striped
t create str --table "0 64 striped 2 8 $DEV0 0 $DEV1 0"
t table str
t status str
t deps str
t info str
each_table str <<TABLES
0 64 striped
0 64 striped 2
0 64 striped 0 8
0 64 striped x 8 $DEV0 0
0 64 striped -1 8 $DEV0 0
0 64 striped 2 0 $DEV0 0 $DEV1 0
0 64 striped 2 x $DEV0 0 $DEV1 0
0 65 striped 2 8 $DEV0 0 $DEV1 0
0 72 striped 2 8 $DEV0 0 $DEV1 0
0 64 striped 2 8 $DEV0 0
0 64 striped 2 8 $DEV0 0 $DEV1 0 $DEV0 0
0 64 striped 2 8 $DEV0 0 $DEV1 x
0 64 striped 2 8 $DEV0 0 /dev/nosuch 0
0 90 striped 3 10 $DEV0 0 $DEV0 30 $DEV1 60
0 8 striped 1 1 $DEV1 4
TABLES
t remove str

section zero and error
t create nil --table "0 8 zero"
t table nil
t status nil
t deps nil
each_table nil <<TABLES
0 8 zero 1
0 8 error
0 8 error any arguments at all
TABLES
t remove nil

section delay
t create slow --table "0 8 delay $DEV0 0 10"
t table slow
t status slow
each_table slow <<TABLES
0 8 delay
0 8 delay $DEV0 0
0 8 delay $DEV0 0 10 $DEV1
0 8 delay $DEV0 0 10 $DEV1 0
0 8 delay $DEV0 0 10 $DEV1 0 20 $DEV0
0 8 delay $DEV0 0 10 $DEV1 0 20 $DEV0 0 30 $DEV0
0 8 delay $DEV0 x 10
0 8 delay $DEV0 0 x
0 8 delay $DEV0 0 10 $DEV1 x 20
0 8 delay $DEV0 0 10 $DEV1 8 x
0 8 delay /dev/nosuch 0 10
0 8 delay $DEV0 0 10 $DEV1 8 20
0 8 delay $DEV0 0 10 $DEV1 8 20 $DEV0 16 30
TABLES
t deps slow
t remove slow

section flakey
t create flake --table "0 8 flakey $DEV0 0 60 0"
t table flake
t status flake
each_table flake <<TABLES
0 8 flakey
0 8 flakey $DEV0 0 60
0 8 flakey $DEV0 x 60 0
0 8 flakey $DEV0 0 x 0
0 8 flakey $DEV0 0 60 x
0 8 flakey $DEV0 0 0 0
0 8 flakey $DEV0 0 4294967295 1
0 8 flakey $DEV0 0 60 1 x
0 8 flakey $DEV0 0 60 1 7 drop_writes
0 8 flakey $DEV0 0 60 1 2 drop_writes
0 8 flakey $DEV0 0 60 1 1 nosuch_feature
0 8 flakey $DEV0 0 60 1 2 drop_writes drop_writes
0 8 flakey $DEV0 0 60 1 2 error_writes error_writes
0 8 flakey $DEV0 0 60 1 2 drop_writes error_writes
0 8 flakey $DEV0 0 60 1 2 error_writes drop_writes
0 8 flakey $DEV0 0 60 1 1 corrupt_bio_byte
0 8 flakey $DEV0 0 60 1 5 corrupt_bio_byte 0 r 1 0
0 8 flakey $DEV0 0 60 1 5 corrupt_bio_byte 1 x 1 0
0 8 flakey $DEV0 0 60 1 5 corrupt_bio_byte 1 r 256 0
0 8 flakey $DEV0 0 60 1 5 corrupt_bio_byte 1 r 1 x
0 8 flakey $DEV0 0 60 1 6 drop_writes corrupt_bio_byte 1 w 1 0
0 8 flakey $DEV0 0 60 1 6 error_writes corrupt_bio_byte 1 w 1 0
0 8 flakey /dev/nosuch 0 60 1
0 8 flakey $DEV0 8 60 1 0
0 8 flakey $DEV0 8 60 1 1 drop_writes
0 8 flakey $DEV0 8 60 1 1 ERROR_WRITES
0 8 flakey $DEV0 8 60 1 6 drop_writes corrupt_bio_byte 32 r 1 32
0 8 flakey $DEV0 8 60 1 5 corrupt_bio_byte 1 w 255 0
0 8 flakey $DEV0 8 60 1 1 drop_writes trailing words
TABLES
t remove flake

section the two table slots
t create two --notable
t resume two
t load two --table "0 64 linear $DEV0 0"
t info two
t info -c two
t info --inactive two
t table two
t deps two
t deps --inactive two
t ls --inactive
t clear two
t clear two
t info two
t reload two --table "0 64 linear $DEV0 0"
t resume two
t info two
t load two --table "0 64 linear $DEV0 64
64 64 linear $DEV1 0"
t info two
t info --inactive two
t table two
t table --inactive two
t table
t table --inactive
t deps two
t deps --inactive two
t clear two
t info two
t load two --table "0 128 zero"
t load two --table "0 8 linear /dev/nosuch 0"
t table --inactive two
t load two --table "0 8 error" --readonly
t info --inactive two
t resume two
t info two
t table two
t load two --table "0 8 error"
t resume two
t info -c two

section suspend and resume
t suspend two
t info two
t info -c two
t suspend two
t suspend --noflush two
t load two --table "0 8 zero"
t info two
t status two
t table two
t message two 0 hello
t resume two
t table two
t resume two
t suspend --nolockfs two
t resume --noflush --nolockfs two
t suspend two missing lower
t info -c two lower
t resume two lower
t remove two

section resume can fail
t create late --notable
t suspend late
t info late
t resume late
t info late
t load late --table "0 8 linear $DEV0 0"
t resume late
t load late --table "0 16385 linear $DEV0 0"
t resume late
t info late
t table late
t resume late
t info late
t remove late

section names and uuids
t create name --table "0 8 zero"
t rename name name
t rename name lower
t rename name a/b
t rename name "$(printf %0128d 0)"
t rename name renamed
t info name
t info renamed
t rename renamed --setuuid UUID-2
t info renamed
t rename renamed --setuuid UUID-3
t rename renamed --setuuid UUID-2
t create second --table "0 8 zero"
t rename second --setuuid UUID-2
t rename second a b c
t suspend -u UUID-2
t info -c -u UUID-2
t resume -u UUID-2
t remove second
t remove -u UUID-2
t create bare --notable
t rename bare naked
t info naked
t remove naked

section events
t create event --table "0 8 zero"
t wait event 7
t wait -v event 7
t_while_waiting "wait event 0" rename event happened
t info happened
t wait happened
t wait happened 0
t load happened --table "0 16 zero"
t suspend happened
t resume happened
t info happened
t_while_waiting "wait happened 1" remove happened

section messages
t message lower 0 hello
t message lower 9999 hello
t message lower 0 @nosuch
t message lower 0 @cancel_deferred_remove
t message lower 0 @cancel_deferred_remove now

section stacks
t create upper --table "0 64 linear /dev/mapper/lower 8
64 64 striped 2 8 /dev/mapper/lower 1024 $DEV1 0"
t table upper
t deps upper
t info lower
t info -c
t remove lower
t remove lower upper
t info -c
t create big --table "0 8193 linear /dev/mapper/lower 0"
t remove upper
t info lower

section deferred removal
t create held --table "0 8 zero"
t create holder --table "0 8 linear /dev/mapper/held 0"
t remove --deferred held
t info held
t info -c held
t message held 0 @cancel_deferred_remove
t info held
t remove --deferred held
t ls
t remove holder
sleep 1
t info held
t remove --deferred lower
t ls

section several at once
t create one --table "0 8 zero"
t create two --table "0 8 zero"
t create three --table "0 8 linear $DEV0 0"
t suspend one two
t resume one two three
t remove one missing two
t ls
t remove --deferred two
t remove -f three
t create left --table "0 8 zero"
t create notable --notable
t create above --table "0 8 linear /dev/mapper/left 0"
t remove_all
t ls
