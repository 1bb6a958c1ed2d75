#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The real dmsetup, by way of nbdm-dmsetup, is answered as by a kernel.
#
# As whoever runs the test, and if that is root as an ordinary user too.
set -eu
. "$(dirname "$0")/lib.sh"
skip_without dmsetup

dmsetup=$top_builddir/clients/nbdm-dmsetup
preload=$top_builddir/clients/.libs/nbdm-dmsetup-preload.so
plugin=$top_builddir/server/.libs/nbdkit-dm-plugin.so

# compare NAME: run NAME.sh against a server of its own.
compare ()
{
    DMSETUP=$dmsetup DEV0=$tmp/dev0 DEV1=$tmp/dev1 \
        IO="$compat/io-nbd.py $tmp/nbd" \
        POLL="$dmsetup --run $compat/poll-events.py" \
        timeout 300 "$compat/$1.sh" >"$tmp/transcript" ||
        fail "the commands of $1 did not come to their end"
    "$compat/normalise" DEV0="$tmp/dev0" DEV1="$tmp/dev1" MAJ=600 \
        <"$tmp/transcript" >"$tmp/ours"
    diff -u "$compat/$1.kernel-6.1.txt" "$tmp/ours" ||
        fail "$(id -un): $1 is answered other than by the kernel"
}

# Lists that outgrow libdm's buffer of 16 KiB, so that it asks again and again.
many_devices ()
{
    printf 'many-%04d\n' {1..1000} >"$tmp/names"
    sed 's/.*/&,uuid-of-&-that-takes-some-room,,,0 8 zero/' "$tmp/names" |
        paste -sd ';' | "$dmsetup" create --concise
    "$dmsetup" ls | cut -f 1 | diff -u "$tmp/names" - ||
        fail "the list of many devices is wrong"
    sed 's/.*/&:uuid-of-&-that-takes-some-room:1/' "$tmp/names" >"$tmp/expected"
    "$dmsetup" info -c --noheadings -o name,uuid,segments --sort name |
        diff -u "$tmp/expected" - || fail "the report on many devices is wrong"
    "$dmsetup" remove_all
}

long_table ()
{
    seq 0 4999 | awk -v file="$tmp/dev0" '
        { print $1 * 8, 8, "linear", file, ($1 * 7919 % 2048) * 8 }' \
        >"$tmp/table"
    "$dmsetup" create long "$tmp/table"
    "$dmsetup" table long | cmp "$tmp/table" - ||
        fail "a long table does not come back as it was"
    "$dmsetup" status long | cut -d ' ' -f 1-3 |
        cmp <(cut -d ' ' -f 1-3 "$tmp/table") - ||
        fail "the status of a long table is wrong"
    "$dmsetup" remove long
}

truncate -s 8M "$tmp/dev0" "$tmp/dev1"
start_nbdm
if has_recorded_dmsetup; then
    for list in "${command_lists[@]}"; do
        compare "$list"
    done
fi
if python3 -c 'import nbd' 2>/dev/null; then
    compare stats-commands
    compare dmstats-commands
    compare thin-commands
fi
compare events-commands
many_devices
long_table

# Not if it may not come where this tree is.
ordinary="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(id -u)" = 0 ] &&
    $ordinary test -r "$preload" -a -r "$plugin" -a -x "$0"; then
    $ordinary "$0"
fi
