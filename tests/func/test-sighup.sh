#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Table files that change under verified I/O, every tenth of them invalid: no
# request fails, and a device that a change does not name is not suspended.
# NBDM_SIGHUP_ROUNDS says how often, NBDM_SEED repeats a run.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'
requires fio --enghelp=nbd

rounds=${NBDM_SIGHUP_ROUNDS:-1000}
seed=${NBDM_SEED:-$RANDOM}

for f in 1 2 3 4 5 6; do
  truncate -s 32M "$tmp/$f.img"
done
# The first variants of sighup.py.
cat >"$tmp/tables.yaml" <<'END'
devices:
  a: {table: 0 16384 linear 1.img 2048}
  b: {table: 0 16384 striped 2 4096 2.img 0 3.img 0}
  base: {export: false, table: 0 49152 linear 4.img 0}
  c: {table: 0 16384 linear base 0}
  d: {table: [0 8192 linear 5.img 0, 8192 8192 linear base 16384]}
  still: {table: 0 8 delay 6.img 0 3600000 6.img 0 0}
  top: {table: 0 8 delay base 32768 3600000 base 32768 0}
END
start_nbdkit dm "$tmp/tables.yaml"

clients=()
for e in a b c d; do
  fio --name="$e" --ioengine=nbd --uri="$(uri $e)" --rw=randwrite \
    --bssplit=512/10:4k/50:16k/20:64k/20 --iodepth=8 --size=8M \
    --thinktime=2000 --thinktime_blocks=8 \
    --verify=crc32c --verify_backlog=64 --verify_fatal=1 --verify_state_save=0 \
    --time_based --runtime=3600 >"$tmp/fio.$e" 2>&1 &
  clients+=($!)
done
kill_clients () { kill -KILL "${clients[@]}" 2>/dev/null; }
at_end kill_clients

/usr/bin/python3 "$(dirname "$0")/sighup.py" "$tmp" "$server" "$rounds" \
  "$seed" "$run" nbdmsetup --control "$control"

# 0 errors, and something was there to fail.
for c in "${clients[@]}"; do
  kill -INT "$c" || fail "a client has ended"
done
for c in "${clients[@]}"; do
  wait "$c" || true
done
for e in a b c d; do
  grep -q 'err= 0' "$tmp/fio.$e" &&
    grep -qE 'issued rwts: total=[1-9][0-9]*,[1-9]' "$tmp/fio.$e" ||
    fail "$(cat "$tmp/fio.$e")"
done

# Many signals for one change: the last is heard.
echo 'devices: {last: {table: 0 8 zero}}' >"$tmp/new.yaml"
mv "$tmp/new.yaml" "$tmp/tables.yaml"
for _ in $(seq 50); do
  kill -HUP "$server"
done
for _ in $(seq 100); do
  [ "$(nbdmsetup table)" != "last: 0 8 zero " ] || break
  sleep 0.1
done
[ "$(nbdmsetup table)" = "last: 0 8 zero " ] || fail "$(nbdmsetup table)"
stop_nbdkit
echo "$rounds rounds, seed $seed"
