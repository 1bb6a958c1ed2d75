#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The server is stopped while a request waits on a suspended device: a client
# that knows how to come back sees no error.  Needs nbdkit 1.34.
. "$(dirname "$0")/lib.sh"
requires qemu-io --version
requires sh -c "nm -D '$builddir/server/.libs/nbdkit-dm-plugin.so' |
  grep -qw nbdkit_disconnect"

two_exports
start_nbdkit dm "$tmp/tables.yaml"
nbdmsetup suspend a
qemu-io --image-opts -c 'write -P 7 0 64k' -c flush \
  "driver=nbd,export=a,server.type=unix,server.path=$sock,reconnect-delay=30" \
  >"$tmp/out" 2>&1 &
client=$!
at_end kill $client
for _ in $(seq 100); do
  [ "$(nbdmsetup info -c --noheadings -o open a)" = 0 ] || break
  sleep 0.05
done
sleep 0.3
stop_nbdkit
sleep 0.5
kill -0 $client || fail "the client has given up: $(cat "$tmp/out")"
start_nbdkit dm "$tmp/tables.yaml"
wait $client || fail "the write failed: $(cat "$tmp/out")"
grep -q 'wrote 65536/65536' "$tmp/out" || fail "it said: $(cat "$tmp/out")"
head -c 65536 "$tmp/1.img" | cmp - <(head -c 65536 /dev/zero | tr '\0' '\7')
stop_nbdkit
