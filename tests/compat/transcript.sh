# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# How a list of dmsetup commands becomes a transcript.  Sourced.
#
# DMSETUP is the program; DEV0 and DEV1 are two devices of 16384 sectors
# that nothing else uses, as DMSETUP's tables name them.  The transcript
# goes to standard output: a line "$ dmsetup ...", what the command wrote
# (standard error behind "! "), and "-> " with its exit status.  Nothing
# in it depends on time.
: "${DMSETUP:?}" "${DEV0:?}" "${DEV1:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# The harness is all shell builtins: processes are slow in user-mode Linux.
show ()
{
    local word line="${mark:-$} dmsetup"
    for word in "$@"; do
        case $word in
            *[[:space:]]* | '') line="$line \"$word\"" ;;
            *) line="$line $word" ;;
        esac
    done
    echo "$line"
}

# lines FILE PREFIX
lines ()
{
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "${2:-}$line"
    done <"$1"
}

report ()
{
    lines out
    lines err '! '
    echo "-> $1"
    return "$1"
}

t ()
{
    show "$@"
    "$DMSETUP" "$@" >out 2>err </dev/null
    report $?
}

# The same for what is libdm's own and nbdmsetup does not do, or does in its
# own way: the line begins with "% " and nbdmsetup is not asked.
l ()
{
    [ "${DMSETUP##*/}" = nbdmsetup ] || mark=% t "$@"
}

# The same with text on standard input.
t_in ()
{
    local text=$1
    shift
    show "$@"
    printf '%s\n' "$text" >in
    lines in '< '
    "$DMSETUP" "$@" >out 2>err <in
    report $?
}

# Start a wait, do something, show what the wait said.
t_while_waiting ()
{
    local wait=$1 pid
    shift
    show $wait "&"
    "$DMSETUP" $wait >waited 2>&1 </dev/null &
    pid=$!
    sleep 1
    t "$@"
    wait $pid
    set -- $?
    show $wait "(ended)"
    lines waited
    echo "-> $1"
}

section ()
{
    echo
    echo "# $*"
}

# Load each line of standard input into the device $1; if that succeeds,
# show how the table is printed.
each_table ()
{
    local table
    while read -r table; do
        t load "$1" --table "$table" || continue
        t table --inactive "$1"
    done
    t info "$1"
    t clear "$1"
}
