#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The filter hides device numbers and nothing that a user would miss.
set -eu
. "$(dirname "$0")/lib.sh"

recorded=$compat/dmsetup-commands.kernel-6.1.txt

same ()
{
    [ "$1" = "$2" ] || fail "filtered to '$1', expected '$2'"
}

filter ()
{
    printf '%s\n' "$1" | "$compat/normalise" lower=254:0 DEV0=1:0 \
        'DEV1=/tmp/a+b/[1]'
}

# Both sides' ways to name devices come out the same.
same "$(filter '0 8 linear 254:0 8')" '0 8 linear lower 8'
same "$(filter '0 8 linear 1:0 254:01 ')" '0 8 linear DEV0 254:01 '
same "$(filter '$ dmsetup load a --table "0 8 x /tmp/a+b/[1] 1"')" \
     '$ dmsetup load a --table "0 8 x DEV1 1"'
same "$(filter 'a	(253:12)')" 'a	(MAJ:MIN)'
same "$(filter '1 dependencies	: (7, 0)')" '1 dependencies	: (MAJ, MIN)'
same "$(filter 'a                259   1024 L-sw    0')" \
     'a                MAJ MIN L-sw    0'
same "$(filter 'a:254:0:L--w:0:1:0:')" 'a:MAJ:MIN:L--w:0:1:0:'
same "$(filter '! /x/.libs/nbdmsetup: unrecognized')" \
     '! dmsetup: unrecognized'
same "$(filter '! nbdm: a: no such file')" ''

# The recordings hold nothing more to filter.
for list in "${command_lists[@]}"; do
    "$compat/normalise" <"$compat/$list.kernel-6.1.txt" |
        cmp - "$compat/$list.kernel-6.1.txt"
done

# Any other change is seen.
for change in 's/-> 1/-> 0/' 's/No such device$/Invalid argument/' \
    's/L--r/L--w/' 's/SUSPENDED/ACTIVE/' 's/ $//' 's/DEV1 8/DEV0 8/' \
    's/Event number:      1/Event number:      0/' '/^! Command failed/d'; do
    sed "$change" "$recorded" | "$compat/normalise" >"$tmp/changed"
    ! cmp -s "$tmp/changed" "$recorded" || fail "'$change' went unseen"
done
