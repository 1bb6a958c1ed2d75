#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Snapshots in table files: reloads take and drop them below a client at work.
. "$(dirname "$0")/lib.sh"
requires qemu-io --version

cd "$tmp"
random_file one.img 4M
random_file two.img 4M
truncate -s 8M before.cow after.cow third.cow

# tables DISK PIECES: the table file, with what these two have besides.
tables ()
{
  cat >new.yaml <<END_OF_TABLES
devices:
  disk:
    table: 0 8192 linear one.img 0
$1
  pieces:
    table: |
      0 4096 linear two.img 4096
      4096 4096 linear two.img 0
$2
END_OF_TABLES
  mv new.yaml tables.yaml
}

# It writes and verifies the second MiB of the disk until there is a file "stop".
start_client ()
{
  local i=0
  while [ ! -e stop ]; do
    i=$((i + 1))
    echo "write -P $((i % 255)) $((1024 + i * 37 % 1020))k 4k"
    echo "read -P $((i % 255)) $((1024 + i * 37 % 1020))k 4k"
  done | qemu-io -f raw "$(uri disk)" >client.out 2>&1 &
  client=$!
}

stop_client ()
{
  [ -z "$client" ] || kill "$client"
}
client=
at_end stop_client

end_client ()
{
  touch stop
  wait "$client"
  client=
  ! grep -E 'rror|failed' client.out || fail "the client has met an error"
  [ "$(grep -c 'ops;' client.out)" -gt 100 ] || fail "a lazy client"
}

tables '' ''
start_nbdkit dm tables.yaml
plain=$(nbdmsetup table)
pieces=$(content pieces)
start_client

# Both take one; the disk has a client.
tables '    snapshots: {before: }' '    snapshots: {third: {chunk: 65536}}'
nbdmsetup reload >/dev/null
table_is disk "0 8192 snapshot-origin $tmp/one.img"
table_is before "0 8192 snapshot $tmp/one.img $tmp/before.cow P 8"
table_is pieces "0 8192 snapshot-origin pieces-real"
table_is third "0 8192 snapshot pieces-real $tmp/third.cow P 128"
nbdinfo --list "$(uri)" | grep 'export=' >exports
! grep -q 'real' exports || fail "the hidden device can be seen"
before=$(content before)
qemu-io -f raw -c 'write -P 1 1000k 2000k' "$(uri pieces)" >/dev/null
[ "$(content third)" = "$pieces" ] || fail "the third snapshot has changed"

# And a second one, by a signal.
tables '    snapshots: {before: , after: {cow: after.cow, readonly: true}}' \
  '    snapshots: {third: {chunk: 65536}}'
kill -HUP "$server"
for _ in $(seq 100); do
  nbdinfo --size "$(uri after)" >/dev/null 2>&1 && break
  sleep 0.05
done
after=$(content after)
both=$(nbdmsetup table)

# What cannot be changes nothing.
tables '    snapshots: {before: , after: {readonly: true}, more: }' ''
expect_fail nbdmsetup reload | has 'more.cow' || fail "another reason"
[ "$(nbdmsetup table)" = "$both" ] || fail "a failed reload has changed tables"

# Nor does a snapshot go while somebody reads it.
tables '' ''
mkfifo held
qemu-io -r -f raw "$(uri before)" <held >/dev/null 2>&1 &
reader=$!
exec 9>held
for _ in $(seq 100); do
  nbdmsetup info before | has '^Open count: *1' && break
  sleep 0.05
done
expect_fail nbdmsetup reload | has "'before' cannot go" ||
  fail "another reason"
[ "$(nbdmsetup table)" = "$both" ] || fail "a failed reload has changed tables"
exec 9>&-
wait "$reader"
[ "$(content before)" = "$before" ] || fail "the snapshot has changed"
[ "$(content after)" = "$after" ] || fail "the second snapshot has changed"

# They outlive the server, whose devices begin to be written to at once.
end_client
stop_nbdkit
tables '    snapshots: {before: , after: {cow: after.cow, readonly: true}}' \
  '    snapshots: {third: {chunk: 65536}}'
start_nbdkit dm tables.yaml
[ "$(nbdmsetup table)" = "$both" ] || fail "other tables after a restart"
rm stop
start_client
[ "$(content before)" = "$before" ] || fail "the snapshot is lost"
[ "$(content after)" = "$after" ] || fail "the second snapshot is lost"

# They go, and the layer with them.
tables '' ''
nbdmsetup reload >/dev/null
[ "$(nbdmsetup table)" = "$plain" ] || fail "not the tables of before"
end_client

# The command makes the same of the same.
rm -f ./*.cow
nbdmsetup snapshot disk before
nbdmsetup snapshot disk after
nbdmsetup snapshot pieces third
nbdmsetup table | sed 's/ P 8$/ P/' >command
sed 's/ P [0-9]*$/ P/' <<<"$both" >yaml
diff yaml command || fail "the command has made other tables"
