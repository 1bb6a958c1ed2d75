#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What counts as an event, of a device and of all, for a kernel and nbdm alike.
#
# POLL runs poll-events.py with what follows.
set -u
: "${POLL:?}"
. "$(dirname "$0")/transcript.sh"

# The command, whether somebody who polls is told, and all event numbers.
e ()
{
    show "$@"
    $POLL "$DMSETUP" "$@" >out 2>err </dev/null
    report $?
    "$DMSETUP" info -c --noheadings -o name,events,uuid
}

section polled
e create a --notable
e ls
e load a --table "0 8 linear $DEV0 0"
e resume a
e resume a
e suspend a
e suspend a
e resume a
e load a --table "0 8 linear $DEV1 0"
e clear a
e load a --table "0 8 linear $DEV1 0"
e suspend a
e resume a
e message a 0 hello
e message a 0 @stats_list
e rename a b
e rename b b
e rename b --setuuid u
e rename b --setuuid v
e create b
e create c --notable
e rename c d
e rename d --setuuid w
e remove d
e wipe_table b
e remove nosuch
e create e --table "0 8 linear $DEV0 0"
e create f --table "0 8 nosuch"
e remove_all --deferred
e remove_all

section waited for
t create a --table "0 8 linear $DEV0 0"
t_while_waiting "wait a" rename a b
t_while_waiting "wait b 1" rename b a
t wait a
t wait a 99
t wait a 4294967295
t_while_waiting "wait -v a 2" rename a --setuuid u
t_while_waiting "wait a 3" remove a
t wait a
t ls
