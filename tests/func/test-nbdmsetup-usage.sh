#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdmsetup without a server: wrong command lines, help, and who is missing.
. "${srcdir:-$(dirname "$0")}/lib.sh"
unset NBDM_CONTROL

# says TEXT COMMAND...: exit status 1, TEXT first on stderr, nothing on stdout.
says ()
{
  local text=$1 status=0 out
  shift
  out=$("$run" nbdmsetup "$@" 2>"$tmp/err" </dev/null) || status=$?
  [ $status -eq 1 ] || fail "'$*': status $status"
  [ -z "$out" ] || fail "'$*' wrote '$out' to stdout"
  grep -qxF -- "$text" <(head -n 1 "$tmp/err") ||
    fail "'$*' said: $(head -n 1 "$tmp/err")"
}

says 'Usage:'
says 'Unknown command.' frobnicate
grep -q '^Usage:' "$tmp/err" || fail "no usage after an unknown command"
for command in 'create a b c' 'load a b c' 'rename' 'rename a b c' \
               'message a' 'wait a b c' 'ls x' 'targets x' 'version x' \
               'remove_all x' 'target-version' 'setgeometry a 1 2 3'; do
  # shellcheck disable=SC2086
  says 'Incorrect number of arguments.' $command
done
[ "$(grep -c '^  setgeometry ' "$tmp/err")$(grep -c '^  [a-z]' "$tmp/err")" = 11 ] ||
  fail "the usage is not the verb's"
for verb in remove suspend resume clear wipe_table wait; do
  says 'No device specified.' $verb
  grep -qxF 'Command failed.' "$tmp/err" || fail "$verb does not say it failed"
done
says 'Please provide a name for the new device.' create
says 'Please specify device.' load
says 'Please specify device.' reload --table '0 8 zero'
says 'Too many command line arguments.' load -u UUID a b
says '--notable only available when creating new device.' load a -n
says "nbdm: not a table line: 'zero': expected START LENGTH TYPE [PARAMETERS]" \
  create a --table 'zero'
grep -qxF 'Invalid format on line 1 of table .' "$tmp/err" || fail "which line?"
says "nbdm: not a table line: '8 zero': expected START LENGTH TYPE [PARAMETERS]" \
  create a --table $'0 8 zero\n# blocks\n8 zero'
grep -qxF 'Invalid format on line 3 of table .' "$tmp/err" || fail "which line?"
says 'nbdm: /nonexistent: No such file or directory' create a /nonexistent
grep -qxF "Couldn't open '/nonexistent' for reading." "$tmp/err" ||
  fail "not dmsetup's words"
says 'nbdm: /: Is a directory' create a /
says '--status is of the table files, not of a device.' reload --status a
says 'Invalid sector.' message a x hello
says 'Name "a/b" invalid. It contains "/".' create a/b -n
says 'Device a/b not found' info a/b
says "Name \"$(printf %0128d 0)\" too long." info "$(printf %0128d 0)"
says 'Non empty new name is required.' rename a ''

# Options are judged before the verb.
says '--table and --notable are incompatible.' create a -n --table '0 8 zero'
grep -qxF "Couldn't process command line." "$tmp/err" ||
  fail "wrong options are not told from failed commands"
says 'Please specify both major number and minor number.' info -j 600
says 'Invalid argument for --minor: x.' info -j 600 -m x
says 'Option not recognised: nosuch.' ls -o devno,nosuch
says '--merge and --remove are incompatible.' snapshot --merge --remove a b
says '--cow and --size are of new snapshots only.' snapshot --remove --cow c a b
says 'Unknown name mangling mode.' ls --manglename nosuch

for help in help --help -h; do
  "$run" nbdmsetup $help 2>&1 >"$tmp/help" | grep . && fail "$help: stderr"
  grep -q '^  suspend ' "$tmp/help" || fail "$help does not list the verbs"
done
"$run" nbdmsetup mknodes a b
sh -c '"$0" nbdmsetup help >/dev/full' "$run" 2>/dev/null &&
  fail "a full disk went unnoticed"

# no_server COMMAND...: one line that names the socket.
no_server ()
{
  local expected=$1 status=0
  shift
  "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
  [ $status -eq 1 ] || fail "without a server: status $status"
  [ ! -s "$tmp/out" ] || fail "without a server: stdout"
  [ "$(wc -l <"$tmp/err")" -eq 1 ] || fail "not one line: $(cat "$tmp/err")"
  grep -qF -- "$expected" "$tmp/err" || fail "it said: $(cat "$tmp/err")"
}
no_server "$control: No such file" "$run" nbdmsetup --control "$control" ls
NBDM_CONTROL=$tmp/env no_server 'NBDM_CONTROL names' "$run" nbdmsetup info a
touch "$tmp/file"
no_server 'Connection refused' "$run" nbdmsetup --control "$tmp/file" table
no_server 'File name too long' \
  "$run" nbdmsetup --control "$tmp/$(printf %0200d 0)" table
