# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by every test here: a folder, a server, and their end.
#
# A test is a bash script that fails by its exit status (set -e is on), is
# skipped with 77, and leaves nothing behind: $tmp and all servers go when it
# ends, however it ends.

set -eu -o pipefail

builddir=${builddir:-$(cd "$(dirname "$0")/../../build" && pwd)}
run=$builddir/run

# Short: the path of a socket must fit into 107 bytes.
tmp=$(mktemp -d /tmp/nbdm.XXXXXX)
sock=$tmp/nbd
control=$tmp/control
server=

fail ()
{
  echo "FAILED: $*" >&2
  exit 1
}

# requires COMMAND...: skip the test unless the command succeeds.
requires ()
{
  "$@" >/dev/null 2>&1 || { echo "skipped: needs '$*'"; exit 77; }
}

# at_end COMMAND...: run it when the test ends, the last one first.
at_end_commands=()
at_end ()
{
  at_end_commands=("$(printf '%q ' "$@")" "${at_end_commands[@]}")
}

end_of_test ()
{
  local status=$? c
  set +e
  for c in "${at_end_commands[@]}"; do
    eval "$c"
  done
  if [ -n "$server" ]; then
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
  fi
  if [ $status -ne 0 ] && [ $status -ne 77 ]; then
    echo "--- log of the server" >&2
    cat "$tmp/log" >&2 2>/dev/null
  fi
  rm -rf "$tmp"
  exit $status
}
trap end_of_test EXIT
trap 'exit 1' INT TERM HUP

# uri [EXPORT]: where start_nbdkit serves it.
uri ()
{
  echo "nbd+unix:///${1-}?socket=$sock"
}

# start_nbdkit [NBDKIT-OPTION...] dm [PARAMETER...]: serve on $sock with the
# control socket $control, in the foreground, its log in $tmp/log.  Returns when
# clients are heard; false if the server has ended instead.
start_nbdkit ()
{
  rm -f "$sock"
  "$run" nbdkit --foreground -U "$sock" "$@" control="$control" \
    2>"$tmp/log" </dev/null &
  server=$!
  # Between bind and listen the socket exists but connections are refused.
  for _ in $(seq 200); do
    if ! kill -0 "$server" 2>/dev/null; then
      server=
      return 1
    fi
    case $(nbdinfo --list "$(uri)" 2>&1 || true) in
      *"connect: Connection refused"* | *"connect: No such file"*)
        sleep 0.05 ;;
      *) return 0 ;;
    esac
  done
  fail "the server does not answer"
}

# Ends the server; fails if it does not end well.
stop_nbdkit ()
{
  local pid=$server status=0
  kill "$pid"
  wait "$pid" || status=$?
  server=
  [ $status -eq 0 ] || fail "the server ended with status $status"
}

# ended PID: of a process that need not be our child.
ended ()
{
  [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"
}

nbdmsetup ()
{
  "$run" nbdmsetup --control "$control" "$@"
}

# random_file NAME BYTES
random_file ()
{
  head -c "$2" /dev/urandom >"$tmp/$1"
}

# expect_fail COMMAND...: its output, if it fails; otherwise the test does.
expect_fail ()
{
  local out
  if out=$("$@" 2>&1); then
    fail "'$*' should have failed; it said: $out"
  fi
  echo "$out"
}

# has GREP-ARGUMENT...: grep -q that reads all there is, since who writes to a
# pipe that nobody reads from any more fails.
has ()
{
  grep "$@" >/dev/null
}

# content EXPORT: its checksum.
content ()
{
  nbdcopy "$(uri "$1")" - | sha256sum
}

# table_is DEVICE TABLE: or the test fails.
table_is ()
{
  local table
  table=$(nbdmsetup table "$1")
  [ "$table" = "$2" ] || fail "$1 has the table '$table', not '$2'"
}

# two_exports: $tmp/tables.yaml with the exports a (64M, linear in two pieces
# over two files) and b (16M, striped over two), and the hidden device h.
two_exports ()
{
  local f
  for f in 1 2 3 4; do
    truncate -s 32M "$tmp/$f.img"
  done
  cat >"$tmp/tables.yaml" <<END
devices:
  a:
    description: two pieces
    table: |
      0 65536 linear 1.img 0
      65536 65536 linear 2.img 0
  b:
    table: 0 32768 striped 2 128 3.img 0 4.img 0
  h:
    export: false
    table: 0 2048 zero
END
}
