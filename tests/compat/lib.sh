# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the compat tests share.  Sourced; leaves $compat, $top_builddir and
# $tmp set, and takes away $tmp and every process in $pids at the end.

compat=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_builddir=${abs_top_builddir:-$(cd "$compat/../.." && pwd)}
tmp=$(readlink -f "$(mktemp -d)")
pids=()

# What is recorded of a kernel and asked of nbdm: LIST.sh makes the
# transcript, LIST.kernel-6.1.txt is the kernel's.
# shellcheck disable=SC2034
command_lists=(dmsetup-commands dmsetup-more-commands options-commands
               snapshot-commands targets-commands)

clean_up ()
{
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || :
    wait
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 143' HUP INT TERM

fail ()
{
    echo "$0: $*" >&2
    exit 1
}

# Packages that could not be had leave nothing to test.
skip_without ()
{
    local program
    for program in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
            { echo "$0: skipped: no $program"; exit 77; }
    done
}

# The recordings are of this version; others have their own words.
has_recorded_dmsetup ()
{
    PATH=$PATH:/usr/sbin dmsetup --version 2>/dev/null | grep -q ' 1\.02\.185 '
}

# wait_until SECONDS COMMAND...: until it succeeds.
wait_until ()
{
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        sleep 0.1
    done
}

# Run in background what clean_up shall end.
start ()
{
    "$@" &
    pids+=($!)
}

# An empty registry behind $tmp/nbd (clients) and $NBDM_CONTROL.
start_nbdm ()
{
    export NBDM_CONTROL=$tmp/control
    start "$top_builddir/run" nbdkit -f -U "$tmp/nbd" dm \
        control="$NBDM_CONTROL"
    wait_until 30 test -S "$NBDM_CONTROL" ||
        fail "the server did not open its control socket"
}

nbdmsetup ()
{
    "$top_builddir/clients/nbdmsetup" "$@"
}
