#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The end comes soon, whatever clients do: idle ones, ones that wait on a
# suspended device, and both at once.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'
requires qemu-io --version

two_exports

cat >"$tmp/idle.py" <<'END'
import sys, time, nbd
h = nbd.NBD()
h.set_export_name("b")
h.connect_unix(sys.argv[1])
print("connected", flush=True)
time.sleep(60)
END

# ends_soon WHAT: seconds are generous here, and reported.
ends_soon ()
{
  local start end
  start=$(date +%s%N)
  stop_nbdkit
  end=$(date +%s%N)
  echo "$1: ended after $(((end - start) / 1000000)) ms"
  [ $((end - start)) -lt 10000000000 ] || fail "$1: takes too long"
}

start_idle ()
{
  exec 3< <(exec /usr/bin/python3 "$tmp/idle.py" "$sock")
  idle=$!
  at_end kill "$idle"
  read -r _ <&3
}

start_nbdkit dm "$tmp/tables.yaml"
ends_soon "no client"
[ ! -e "$control" ] || fail "the control socket is still there"

start_nbdkit dm "$tmp/tables.yaml"
start_idle
ends_soon "an idle client"

# Blocked ones are told; what was flushed before is in the files.
start_nbdkit dm "$tmp/tables.yaml"
qemu-io -f raw -c 'write -P 7 0 1M' -c flush "$(uri a)" >/dev/null
nbdmsetup suspend a
for i in 1 2 3; do
  qemu-io -f raw -c "write -P $i ${i}M 1M" "$(uri a)" >"$tmp/out$i" 2>&1 &
  at_end kill $!
done
sleep 0.5
start_idle
ends_soon "blocked clients"
head -c 1M "$tmp/1.img" | cmp - <(head -c 1M /dev/zero | tr '\0' '\7')
head -c 4M "$tmp/1.img" | tail -c 3M | cmp - <(head -c 3M /dev/zero)

# A signal while the server has hardly started.
for _ in 1 2 3 4 5; do
  rm -f "$sock"
  "$run" nbdkit -f -U "$sock" dm "$tmp/tables.yaml" control="$control" \
    2>"$tmp/log" &
  server=$!
  for _ in $(seq 1000); do
    [ -S "$sock" ] && break
    sleep 0.002
  done
  stop_nbdkit
done
