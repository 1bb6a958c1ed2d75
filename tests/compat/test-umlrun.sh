#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What a script may rely on in umlrun's guest.
set -eu
. "$(dirname "$0")/lib.sh"

# run SCRIPT-TEXT [ARGUMENT...]: leaves $status and $tmp/output.
run ()
{
    printf '%s\n' "$1" >"$tmp/a script"
    shift
    status=0
    "$compat/umlrun" "$tmp/a script" "$@" >"$tmp/output" 2>"$tmp/errors" ||
        status=$?
    [ $status != 77 ] || { cat "$tmp/errors"; exit 77; }
}

cd "$tmp"
echo mine >file
export UML_SHARE=$tmp MARK="a 'b' \"c\""
run 'modprobe nbd && modprobe dm-flakey && test -b /dev/nbd0 || exit 1
     printf "%s\n" "$(id -u)" "$1" "$2" "$MARK" "$(cat file)"
     echo theirs >result; touch /usr/written-in-a-guest
     exit 7' 'x  y' '$z'
[ $status = 7 ] || fail "exit status $status instead of 7"
printf '%s\n' 0 'x  y' '$z' "$MARK" mine | diff - output

# Written below UML_SHARE: here.  Written elsewhere: gone.
[ "$(cat result)" = theirs ] || fail "nothing was shared"
[ ! -e /usr/written-in-a-guest ] || fail "the guest wrote to the host"

# A dead guest and a slow one are told apart from a failed script.
run 'echo c >/proc/sysrq-trigger'
[ $status = 125 ] || fail "exit status $status of a guest that died"
UML_TIMEOUT=5 run 'sleep 60'
[ $status = 124 ] || fail "exit status $status of a guest out of time"

# No packages: skipped, and nothing half-unpacked stays behind.
mkdir bin
printf '#!/bin/sh\nexit 1\n' >bin/apt-get
cp bin/apt-get bin/sudo
chmod +x bin/*
status=0
PATH=$tmp/bin:$PATH UML_DIR=$tmp/cache "$compat/umlrun" "$tmp/a script" \
    2>/dev/null || status=$?
[ $status = 77 ] || fail "exit status $status without packages"
[ ! -e cache/root ] || fail "half a kernel was left"
