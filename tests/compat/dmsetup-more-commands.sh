#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# More dmsetup commands that a kernel and nbdm must answer alike: what libdm
# makes of the answers.  Where that is of no use here, or wrong, only the real
# dmsetup is asked (l).
#
# DMSETUP is the program; DEV0 and DEV1 are two devices of 16384 sectors
# that nothing else uses, as DMSETUP's tables name them.  The transcript
# goes to standard output, see transcript.sh.  Nothing in it depends on time.
# "lower", "zero", "middle" and "upper" are the first devices made.
set -u
: "${DMSETUP:?}" "${DEV0:?}" "${DEV1:?}"
. "$(dirname "$0")/transcript.sh"
export LC_ALL=C
# Not for what is shown by commands that are run by --exec.
unset DM_DEV_DIR DM_DEFAULT_NAME_MANGLING_MODE

section a stack
t create lower -u LVM-lower --table "0 8192 linear $DEV0 0"
major=$("$DMSETUP" info -c --noheadings -o major lower)
t create zero --table "0 8192 zero"
t create middle -u LVM-middle --table "0 4096 linear /dev/mapper/lower 0
4096 4096 linear /dev/mapper/zero 0"
t create upper -u other-upper --table "0 64 linear /dev/mapper/middle 0"
t create aside --notable
t create ro --readonly --table "0 8 linear /dev/mapper/zero 0"

section ls
t ls
t ls -o devno
l ls -o devname
l ls -o blkdevname
t ls -o nosuch
t ls --target zero
t ls --target linear
t ls --target nosuch
t ls --target linear --exec echo
t ls --exec "echo word"
t ls --exec false
t ls --exec nosuch-program
for options in ascii nodevice,ascii inverted,ascii uuid,ascii open,ascii \
               active,ascii rw,ascii uuid,open,active,rw,ascii \
               notrunc,device,ascii nosuch; do
    t ls --tree -o $options
done
l ls --tree -o compact,ascii
t ls --tree -o ascii lower
t ls --tree -o inverted,ascii,nodevice lower

section info
t info -v
t info upper lower
t info -u LVM-middle
t info -j "$major" -m 0
t info -j "$major" -m 77
t info -m 0
t info /dev/mapper/lower
l info /dev/mapper/nosuch
t info --noopencount lower
t info --nolockfs lower
t info --checks lower

section reports
t info -c --noheadings -o name,mangled_name,unmangled_name
t info -c --noheadings -o uuid,mangled_uuid,unmangled_uuid
t info -c -o name,blkdevname,tables_loaded,suspended,readonly,open \
  lower middle ro
t info -c -o name,device_count,device_ref_count
t info -c -o name,devs_used,names_using_dev
t info -c -o devs_used,names_using_dev --noheadings upper middle
t info -c -o name,blkdevs_used upper
l info -c -o name,splitname_all
t info -c -o +device_count lower
l info -c -o nosuch
l info -c -o name -O nosuch
t info -c -o name,segments -O -name
t info -c -o name,segments -O segments,-name
t info -c --noheadings --separator "|" -o name,segments,attr
t info -c --separator " " -o name,segments
t info -c --nameprefixes --noheadings -o name,uuid,segments
t info -c --nameprefixes --unquoted --noheadings -o name,uuid,segments
t info -c --rows -o name,segments,attr
t info -c --rows --noheadings -o name,segments
t info -c --rows --separator ";" -o name,segments
t info -c --nameprefixes --separator " " --noheadings -o name,minor
t info -c -o name -o uuid
t info -c -O uuid,-name -o name,uuid
t info -c -O +segments,name -o name
t info -c -O -open -o name
t info -c --count 2 --interval 1 -o name,open lower
t info -c --unbuffered -o name,attr
t info -c --select "name=lower"
t info -c -S "name=~^[lm]" -o name
t info -c -S "name!=lower && segments=1" -o name
t info -c -S "uuid=~LVM-.* || open>0" -o name
t info -c -S "(segments>=1 && open=0)" -o name,segments,open
t info -c -S "readonly=read-only" -o name
t info -c -S "tables_loaded=None" -o name
t info -c -S "devs_used=middle" -o name
t info -c -S "suspended!=Suspended" -o name,selected
for selection in 'name=nosuch' '!(name=lower)' 'name="lower"' \
    '!(name=lower || name=upper) && (segments>0)' "name='upper'" \
    'name=~"^u" # name=zero' 'name = lower' 'open>=1, open<2' 'name!~er$' \
    'segments<=0' 'uuid=' 'attr=~"L..w"' 'minor>=1 && minor<=2' \
    'name=~(^l)' 'name=~[^z]' '((name=zero))' 'name=lower||name=zero' \
    'name=lower || segments=1 && open=1' 'device_count=0' \
    'names_using_dev=~ro'; do
    t info -c -S "$selection" -o name
done
# Two negations count as one.
for selection in '!(!(name=zero))' 'name>lower' 'name=lower ||' '(name=lower' \
    '!name=lower' 'segments=x' 'name' 'name~x' 'name="lower' 'name=lower)' \
    '' '=x'; do
    l info -c -S "$selection" -o name
done
l info -c -S "nosuch=1"
l info -c -S "segments=~x"
t info -c -S "name="
l info -S "name=lower"
l ls -S "name=lower"
t table -S "segments=2"
t status -S "name=~er$"
t deps -S "name=upper"
t suspend -S "name=lower"
t suspend -S "name=zero"
t resume -S "suspended=Suspended && name=~^z"
t info -c -o name,suspended
t info -c --inactive -o name,tables_loaded,attr

section deps
t deps upper
t deps -o devname upper middle ro
t deps -o devno upper middle ro
t deps -o blkdevname upper middle ro
t deps -u LVM-middle -o devname
t deps aside
t deps -o nosuch

section table and status
t table -v upper
t status -v middle
t table --target zero
t table --target linear middle zero
t table --target nosuch
t status --target zero
t status --noflush lower
t table --noflush lower
t table --showkeys lower
t table --target zero --exec echo
t table --target linear --exec echo lower zero
t status --exec "echo status" upper
t table upper lower
t status upper zero
t table --inactive
t status --inactive lower
t table /dev/mapper/zero
t table -u LVM-middle
t table -j "$major" -m 1
t measure zero
t measure nosuch

section concise
t table --concise
t table --concise lower ro
t table --concise aside
t table --concise nosuch
t table --concise --target zero
t table --concise --inactive lower
t create --concise "c0,,,,0 8 zero" --notable
t create --concise "c0,,,,0 8 zero" --table "0 8 zero"
t create --concise "c0,,,,0 8 zero" -u UUID
l create --concise "c0,,,,"
t create --concise "c1,,,,0 8 zero"
t table c1
t create --concise "c2,UUID-c2,,ro,0 8 zero,8 8 error;c3,,,rw,0 8 error"
t info -c -o name,uuid,attr,segments
t table --concise c1 c2 c3
t_in "c4,,,,0 8 zero;
c5,,,,0 8 error" create --concise
t create --concise "c6,,,,0 8 zero; c7 , , , , 0 8 zero"
t create --concise "c\\,8,,,,0 8 zero"
t table --concise "c,8"
t remove "c,8"
t create --concise "c9,,,"
t create --concise "c9,,,xx,0 8 zero"
t create --concise "c9,,99999999999,,0 8 zero"
t create --concise "c9,,,,0 8 nosuch;c10,,,,0 8 zero"
t create --concise "c1,,,,0 8 zero;c10,,,,0 8 zero"
t create --concise ""
t create --concise "c11,,200,,0 8 zero"
t info -c -o name,minor c11
t create --concise "c12,,200,,0 8 zero"
t ls
t remove c1 c2 c3 c4 c5 c6 c7 c11
t ls

section ways to create
t_in "# a comment

   0 8 zero
8 8 error  # another
" create stdin
t table stdin
printf '0 8 zero\n8 8 zero\n' >file
t create file file
t table file
t create file2 nosuch-file
t_in "0 8" create short
t_in "" create empty
t info empty
t create "-v" verbose --table "0 8 zero"
t create minor -m 300 --table "0 8 zero"
t info -c -o name,minor minor
t create minor2 -m 300 --table "0 8 zero"
t create minor2 -j "$major" -m 301 --table "0 8 zero"
t info -c -o name,minor minor2
t create minor3 -j "$major" --notable
t create node --addnodeoncreate --table "0 8 zero"
t create node2 --addnodeonresume --table "0 8 zero"
t create owner --uid 1 --gid 1 --mode 0640 --table "0 8 zero"
l create owner2 --mode 9 --table "0 8 zero"
t create ahead --readahead nosuch --table "0 8 zero"
t create ahead --readahead auto --table "0 8 zero"
t create nosync --noudevsync --noudevrules --verifyudev --table "0 8 zero"
t create uuid /dev/null -u "a uuid with blanks"
t info -c -u "a uuid with blanks"
t info uuid
t create "a b" -n
t create clash -u LVM-lower -n
t create dev/mapper -n
t create .dot -n
t ls
t remove stdin file empty verbose minor minor2 node node2 owner ahead nosync
t remove uuid .dot minor3

section loading
t load aside file
t_in "0 16 zero" load aside
t table --inactive aside
t reload aside --table "0 8 zero" --readonly
t info --inactive aside
t load -u LVM-lower --table "0 8192 linear $DEV0 8"
t clear -u LVM-lower
t resume aside --noflush --nolockfs --addnodeonresume
t info -v aside
t suspend aside zero
t resume -j "$major" -m 1
t info -c -o name,suspended
t resume aside
t wipe_table aside
t table aside
t wipe_table aside ro
t table ro
t info -c ro
t wipe_table nosuch
t load aside --table "0 8 linear $DEV1 0" --inactive
t setgeometry aside 1 1 8 0
t setgeometry aside 1 1 8 9
t setgeometry aside 1 1 8
t setgeometry aside x 1 8 0
t setgeometry aside 70000 1 8 0
t setgeometry nosuch 1 1 8 0

section messages and events
t message aside 0 one two three
t message -u LVM-lower 0 hello
t message aside -1 hello
t message aside 0 ""
t wait --noflush aside 5
t wait -v -u LVM-lower 5
t wait --inactive aside 5
t_while_waiting "wait aside 0" rename aside beside
t_while_waiting "wait -v beside 1" rename beside --setuuid UUID-beside

section renaming
t rename -u UUID-beside aside
t rename aside aside
t rename aside upper
t rename aside "with blanks"
t ls
l rename "with blanks" aside
t rename aside ""
t rename aside --setuuid ""
t rename --setuuid aside UUID-x
l rename /dev/mapper/aside /dev/mapper/renamed
t ls
t rename renamed aside

section without devices
l splitname vg-lv
l splitname vg--x-lv--y-layer LVM
l splitname --noheadings vg-lv-layer
l splitname -o vg_name,lv_name vg-lv
l splitname --nameprefixes --noheadings vg-lv
l splitname vg-lv nosuch
l splitname
l udevflags 0x1f4567
l udevflags 20971520
l udevflags
t --version
t version --checks
l help
t mknodes
t mknodes lower
t mknodes nosuch

section removing
t create top --table "0 8 linear /dev/mapper/upper 0"
t remove upper
t remove --force upper
t table upper
t info upper
t remove --deferred upper
t info -c -o name,open,attr
t info upper
t remove top
sleep 1
t ls
t remove --retry middle
t remove --force aside
t remove -u LVM-lower
t remove -j "$major" -m 1
t remove zero ro nosuch
t ls
t create one --table "0 8 zero"
t create two --table "0 8 linear /dev/mapper/one 0"
t create three --table "0 8 linear /dev/mapper/two 0"
t suspend two
t remove_all --force
t ls
t create one --table "0 8 zero"
t create two --table "0 8 linear /dev/mapper/one 0"
t remove_all --deferred
t ls
t mknodes

section mangled names
for mode in auto hex none; do
    l create --manglename $mode "in $mode" -n
    l create --manglename $mode 'in\x20'$mode -n
    l create --manglename $mode "in*$mode" -u "uuid * $mode" -n
    l ls --manglename none
    l ls --manglename auto
    l ls --manglename hex
    l info -c --manglename none --noheadings -o name,uuid
    l info -c --manglename auto --noheadings -o name,uuid
    l info -c --manglename hex --noheadings -o name,uuid
    l info -c --noheadings -o mangled_name,unmangled_name,mangled_uuid
    l info --manglename $mode "in $mode"
    l info --manglename $mode "in*$mode"
    l info --manglename $mode -u "uuid * $mode"
    l table --manglename $mode
    l remove --manglename $mode "in $mode"
    l remove --manglename $mode 'in\x20'$mode
    l remove --manglename $mode "in*$mode"
    l ls --manglename none
done
l create --manglename none "to mangle" -n
l create --manglename none "to	tab" -u "a uuid" -n
l mangle "to mangle"
l mangle --manglename hex
l ls --manglename none
l mangle --manglename none 'to\x20mangle'
l ls --manglename none
l create --manglename nosuch x -n
l remove --manglename none 'to\x20mangle'
l remove --manglename none 'to\x09tab'
l remove_all --manglename none nosuch
l ls --manglename none

# Those with names that dmsetup itself complains of.
"$DMSETUP" remove_all >out 2>&1 || :
