#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The upstream server dies, stops and comes back under I/O: with reconnect
# clients never see it, without they get errors, and nothing ever hangs.
. "$(dirname "$0")/lib.sh"
requires fio --enghelp=nbd
requires qemu-io --version

up=$tmp/up
upstream=

start_upstream ()
{
  rm -f "$up"
  nbdkit --foreground -U "$up" file "$tmp/up.img" 2>/dev/null &
  upstream=$!
  for _ in $(seq 200); do
    nbdinfo --size "nbd+unix:///?socket=$up" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "the upstream does not answer"
}

# wait_for PID: its exit status, or a failure if it takes a minute.
wait_for ()
{
  for _ in $(seq 600); do
    ended "$1" 2>/dev/null && { wait "$1" 2>/dev/null; return; }
    sleep 0.1
  done
  fail "process $1 hangs"
}

kill_upstream ()
{
  kill "-$1" "$upstream"
  wait_for "$upstream" || :
  upstream=
}

end_upstream ()
{
  [ -z "$upstream" ] || kill -KILL "$upstream"
}
at_end end_upstream

qio ()
{
  timeout 60 qemu-io -f raw -c "$2" "$(uri "$1")"
}

# fio_on EXPORT OPTION...: 16 requests at once of up to 64 KiB.
fio_on ()
{
  timeout 120 fio --name="$1" --ioengine=nbd --uri="$(uri "$1")" --size=8M \
    --bsrange=4k-64k --iodepth=16 --randrepeat=0 "${@:2}" >"$tmp/fio.$1" 2>&1
}

# Write everything and read it back, again and again; ends with $tmp/enough,
# or with the first error.
verify_on ()
{
  until [ -e "$tmp/enough" ]; do
    fio_on "$1" --rw=randwrite --verify=crc32c --verify_fatal=1 \
      --verify_state_save=0 || return
    echo >>"$tmp/rounds.$1"
  done
}

milliseconds ()
{
  echo $(($(date +%s%N) / 1000000))
}

tables ()
{
  cat >"$tmp/tables.yaml" <<END
backings:
  up: {nbd: "nbd+unix:///?socket=$up"$1}
devices:
  plain:
    table: 0 16384 linear up 0
  stripe:
    table: 0 32768 striped 2 128 up 16384 leg.img 0
  base:
    table: 0 16384 linear up 32768
  above:
    table: 0 16384 linear base 0
END
}

truncate -s 32M "$tmp/up.img"
truncate -s 8M "$tmp/leg.img"

# It comes back: no error, and the data is right.
tables ', reconnect: 60'
start_upstream
start_nbdkit dm "$tmp/tables.yaml"
jobs=()
for e in plain stripe above; do
  verify_on $e &
  jobs+=($!)
done
for how in KILL KILL TERM KILL STOP KILL TERM KILL STOP KILL; do
  sleep 0.3
  if [ $how = STOP ]; then
    kill -STOP "$upstream"
    sleep 1
    kill -CONT "$upstream"
  else
    kill_upstream $how
    sleep 0.2
    start_upstream
  fi
  for e in plain stripe above; do
    qio $e 'read 0 64k' >"$tmp/out" || fail "$e after $how: $(cat "$tmp/out")"
  done
done
touch "$tmp/enough"
for j in "${jobs[@]}"; do
  wait_for "$j" || fail "fio: $(cat "$tmp"/fio.*)"
done
wc -l "$tmp"/rounds.*
cmp -n 8M <(nbdcopy "$(uri plain)" -) "$tmp/up.img"
cmp -n 8M <(nbdcopy "$(uri above)" -) <(tail -c +$((16 * 1048576 + 1)) \
  "$tmp/up.img")
grep -q 'connected again' "$tmp/log" || fail "the connection was never lost"
stop_nbdkit

# fails_under SIGNAL: I/O that is under way gets EIO, and so does more of it.
fails_under ()
{
  fio_on plain --rw=randread --time_based --runtime=60 &
  job=$!
  sleep 1
  kill "-$1" "$upstream"
  start=$(milliseconds)
  wait_for $job && fail "fio has seen no error"
  echo "$2: error after $(($(milliseconds) - start)) ms"
  grep -q 'Input/output error' "$tmp/fio.plain" ||
    fail "$(cat "$tmp/fio.plain")"
  expect_fail qio plain 'read 0 64k' | grep -q 'Input/output error'
}

# Once it is back.
works_again ()
{
  for _ in $(seq 300); do
    qio plain 'read 0 64k' >/dev/null 2>&1 && break
    sleep 0.1
  done
  fio_on plain --rw=randwrite --verify=crc32c || fail "$(cat "$tmp/fio.plain")"
}

# Without reconnect.
tables ''
start_nbdkit dm "$tmp/tables.yaml"
fails_under KILL "no reconnect, killed"
wait_for "$upstream" || :
start_upstream
works_again
stop_nbdkit

tables ', timeout: 3'
start_nbdkit dm "$tmp/tables.yaml"
fails_under STOP "timeout of 3 s, stopped"
# nbdkit before 1.34 can abort when it finds that a client has left.
kill -KILL "$upstream"
wait_for "$upstream" || :
start_upstream
works_again
stop_nbdkit

# It does not come back.
tables ', reconnect: 3'
start_nbdkit dm "$tmp/tables.yaml"
fails_under KILL "reconnect for 3 s, killed"
wait_for "$upstream" || :
upstream=
[ $(($(milliseconds) - start)) -ge 2900 ] || fail "it has given up too soon"
stop_nbdkit

# Our end while I/O waits for it.
tables ', reconnect: 1000'
start_upstream
start_nbdkit dm "$tmp/tables.yaml"
for e in plain stripe above; do
  fio_on $e --rw=randrw --time_based --runtime=60 &
done
sleep 1
kill_upstream KILL
sleep 1
start=$(milliseconds)
kill "$server"
wait_for "$server" || fail "the server ended with status $?"
server=
echo "SIGTERM while I/O waits: ended after $(($(milliseconds) - start)) ms"
wait
