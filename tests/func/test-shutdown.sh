#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# SIGTERM while requests are held where they could stay for an hour, while verbs
# wait for them, under load, as a daemon, with --run, and before the server is
# ready: the end comes soon, with what was acknowledged in the files.
# NBDM_SHUTDOWN_ROUNDS is how often load and start are tried.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

rounds=${NBDM_SHUTDOWN_ROUNDS:-15}
up=$tmp/up
truncate -s 16M "$tmp/1.img" "$tmp/2.img"
cat >"$tmp/tables.yaml" <<END
backings:
  up: {nbd: "nbd+unix:///?socket=$up", reconnect: 3600}
devices:
  disk: {table: 0 32768 linear 1.img 0}
  late: {table: 0 8 delay 2.img 0 3600000}
  remote: {table: 0 8 linear up 0}
END

upstream=
start_upstream ()
{
  "$run" nbdkit -f -U "$up" memory 1M &
  upstream=$!
  for _ in $(seq 200); do
    nbdinfo --size "nbd+unix:///?socket=$up" >/dev/null 2>&1 && return 0
    sleep 0.05
  done
  fail "the upstream does not answer"
}
kill_upstream ()
{
  kill -KILL "$upstream" 2>/dev/null
  wait "$upstream" 2>/dev/null || true
  rm -f "$up"
}
at_end kill_upstream

# Requests are under way when it says so.
cat >"$tmp/hold.py" <<'END'
import sys, nbd
h = nbd.NBD()
h.set_export_name(sys.argv[2])
h.connect_unix(sys.argv[1])
for n in range(8):
    h.aio_pwrite(b"x" * 512, 512 * n)
h.poll(300)
print("held" if h.aio_in_flight() == 8 else "not held", flush=True)
while h.aio_in_flight() > 0 and h.aio_get_direction() != 0:
    h.poll(-1)
END

# Writes all over the file until it cannot; then what is there must be, block by
# block, what was written last and acknowledged, or a later one.
cat >"$tmp/load.py" <<'END'
import sys, nbd

BLOCK, BLOCKS = 4096, 1024
sent, acked = [0] * BLOCKS, [0] * BLOCKS

def done(at, n):
    def callback(error):
        if error == 0:
            acked[at] = n
        return 1
    return callback

h = nbd.NBD()
h.set_export_name("disk")
h.connect_unix(sys.argv[1])
n = 0
try:
    while True:
        n += 1
        at = n * 7 % BLOCKS
        if n == 2000:
            print("under load", flush=True)
        sent[at] = n
        h.aio_pwrite(n.to_bytes(8, "big") * (BLOCK // 8), at * BLOCK,
                     done(at, n))
        while h.aio_in_flight() >= 16:
            h.poll(-1)
except nbd.Error:
    pass
try:
    while h.aio_in_flight() > 0:
        h.poll(-1)
except nbd.Error:
    pass

with open(sys.argv[2], "rb") as f:
    for at in range(BLOCKS):
        block = f.read(BLOCK)
        n = int.from_bytes(block[:8], "big")
        if block != block[:8] * (BLOCK // 8):
            sys.exit("block %d is half-written" % at)
        if not acked[at] <= n <= sent[at]:
            sys.exit("block %d: %d was acknowledged, %d sent, %d is there" %
                     (at, acked[at], sent[at], n))
END

# hold EXPORT: eight writes wait there.
hold ()
{
  local line
  exec 3< <(exec /usr/bin/python3 "$tmp/hold.py" "$sock" "$1" 2>/dev/null)
  at_end kill_quietly $!
  read -r line <&3
  [ "$line" = held ] || fail "requests to $1: $line"
}
kill_quietly () { kill "$1" 2>/dev/null; }

# ends_soon WHAT COMMAND...: what the command does takes seconds at most.
ends_soon ()
{
  local what=$1 start end
  shift
  start=$(date +%s%N)
  "$@"
  end=$(date +%s%N)
  echo "$what: $(((end - start) / 1000000)) ms"
  [ $((end - start)) -lt 10000000000 ] || fail "$what: takes too long"
  [ ! -e "$control" ] || fail "$what: the control socket is still there"
}

start_upstream
start_nbdkit dm "$tmp/tables.yaml"
hold late
ends_soon "requests held by a target" stop_nbdkit

start_nbdkit dm "$tmp/tables.yaml"
kill_upstream
hold remote
ends_soon "requests to a lost upstream" stop_nbdkit
grep -q "up: could not be flushed" "$tmp/log"
expect_fail grep "still under way" "$tmp/log"

# Verbs that wait for such requests: they fail, and do not keep the others up.
start_upstream
start_nbdkit dm "$tmp/tables.yaml"
kill_upstream
hold late
hold remote
nbdmsetup suspend disk
hold disk
nbdmsetup create upper --table '0 8 linear remote 0'
hold upper
verbs=()
for verb in "suspend remote" "suspend --noflush upper" "wait late"; do
  # shellcheck disable=SC2086
  nbdmsetup $verb >"$tmp/verb" 2>&1 &
  verbs+=($!)
done
sleep 0.3
for verb in "${verbs[@]}"; do
  kill -0 "$verb" || fail "a verb has not waited: $(cat "$tmp/verb")"
done
ends_soon "all of it, and verbs that wait" stop_nbdkit
for verb in "${verbs[@]}"; do
  ! wait "$verb" || fail "a verb that was broken off has succeeded"
done

# A daemon, and the server of a command.
start_upstream
stop_daemon ()
{
  kill "$1"
  while ! ended "$1"; do sleep 0.01; done
}
rm -f "$sock"
"$run" nbdkit -U "$sock" -P "$tmp/pid" dm "$tmp/tables.yaml" \
  control="$control"
daemon=$(cat "$tmp/pid")
at_end kill_quietly "$daemon"
hold late
nbdmsetup suspend disk
hold disk
ends_soon "a daemon" stop_daemon "$daemon"

rm -f "$sock"
cat >"$tmp/command" <<END
nbdmsetup --control "$control" suspend disk
/usr/bin/python3 "$tmp/hold.py" "$sock" disk >"$tmp/held" 2>/dev/null &
until [ -s "$tmp/held" ]; do sleep 0.01; done
END
ends_soon "a command's server, with the command" \
  "$run" nbdkit -U "$sock" dm "$tmp/tables.yaml" control="$control" \
  --run ". $tmp/command" 2>"$tmp/log"
grep -qx held "$tmp/held"

for i in $(seq "$rounds"); do
  start_nbdkit dm "$tmp/tables.yaml"
  exec 3< <(/usr/bin/python3 "$tmp/load.py" "$sock" "$tmp/1.img" 2>&1 ||
            echo FAILED)
  read -r line <&3
  [ "$line" = "under load" ] || fail "$line"
  ends_soon "under load" stop_nbdkit
  line=$(cat <&3)
  [ -z "$line" ] || fail "$line"
done

# early SIGNAL FILE: as soon as the file is there.
early ()
{
  rm -f "$sock" "$tmp/pid"
  "$run" nbdkit -f -U "$sock" -P "$tmp/pid" dm "$tmp/tables.yaml" \
    control="$control" 2>"$tmp/log" &
  server=$!
  while [ ! -e "$2" ]; do
    kill -0 "$server" || fail "the server has not started"
  done
  kill "-$1" "$server"
  # A server that a SIGHUP has ended would not do this well.
  [ "$1" = TERM ] || stop_nbdkit
  [ "$1" = HUP ] || wait "$server" || fail "the server ended with status $?"
  server=
}
for _ in $(seq "$rounds"); do
  early TERM "$sock"
  early TERM "$tmp/pid"
  early HUP "$sock"
  early HUP "$tmp/pid"
done
