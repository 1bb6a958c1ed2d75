#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Snapshots of an export in use, taken, removed and merged with one verb.
. "$(dirname "$0")/lib.sh"
requires qemu-io --version

cd "$tmp"
random_file one.img 4M
random_file two.img 4M
cat >tables.yaml <<END
devices:
  plain:
    table: 0 8192 linear one.img 0
  pieces:
    table: |
      0 4096 linear two.img 4096
      4096 4096 linear two.img 0
END
start_nbdkit dm tables.yaml

# client EXPORT: a client that stays; it is told what to do on fd 7 and
# answers on fd 8, line by line.
client ()
{
  coproc CLIENT { exec qemu-io -f raw "$(uri "$1")" 2>&1; }
  client_pid=$CLIENT_PID
  at_end end_client
}

end_client ()
{
  [ -z "$client_pid" ] || kill "$client_pid"
  [ -z "$client_pid" ] || wait "$client_pid" || :
  client_pid=
}

# tell COMMAND...: the client does it, and has done it.
tell ()
{
  local line
  echo "$*" >&"${CLIENT[1]}"
  while IFS= read -r -t 20 line <&"${CLIENT[0]}"; do
    case $line in
      *ops\;*) return 0 ;;
      *rror* | *failed*) fail "the client: $line" ;;
    esac
  done
  fail "the client does not answer"
}

# One line over a file: that file is the origin.
table=$(nbdmsetup table plain)
before=$(content plain)
client plain
tell write -P 1 0 64k
after=$(content plain)
nbdmsetup snapshot plain first
tell write -P 2 100k 300k
[ "$(content first)" = "$after" ] || fail "the snapshot has changed"
table_is plain "0 8192 snapshot-origin $tmp/one.img"
nbdmsetup snapshot plain second --cow second.file --size 2M
[ "$(stat -c %s second.file)" = $((2 << 20)) ] || fail "another size"
now=$(content plain)
tell write -P 3 1M 500k
[ "$(content second)" = "$now" ] || fail "the second snapshot has changed"
[ "$(content first)" = "$after" ] || fail "the first snapshot has changed"

# Removed one by one; the client notices nothing.
nbdmsetup snapshot --remove plain second
table_is plain "0 8192 snapshot-origin $tmp/one.img"
tell write -P 4 2M 64k
[ "$(content first)" = "$after" ] || fail "the first snapshot has changed"

# And back to what it was, with what was written to the snapshot.
qemu-io -f raw -c 'write -P 9 3M 64k' "$(uri first)" >/dev/null
back=$(content first)
nbdmsetup snapshot --merge plain first
[ "$(content plain)" = "$back" ] || fail "the merge has come to something else"
table_is plain "$table"
tell read -P 9 3M 64k
tell write -P 5 0 4k
expect_fail nbdmsetup info first >/dev/null

# A table of two lines: it moves to a device of its own.
table=$(nbdmsetup table pieces)
before=$(content pieces)
nbdmsetup snapshot pieces third
table_is pieces "0 8192 snapshot-origin pieces-real"
table_is pieces-real "$table"
qemu-io -f raw -c 'write -P 6 2000k 200k' "$(uri pieces)" >/dev/null
[ "$(content third)" = "$before" ] || fail "the third snapshot has changed"
nbdmsetup snapshot --merge pieces third
[ "$(content pieces)" = "$before" ] || fail "not what it was"
table_is pieces "$table"
expect_fail nbdmsetup info pieces-real >/dev/null

# What fails leaves everything as it was.
expect_fail nbdmsetup snapshot pieces third >/dev/null # the file is there
expect_fail nbdmsetup snapshot pieces plain --cow x.cow >/dev/null
[ ! -e x.cow ] || fail "a file is left"
table_is pieces "$table"
expect_fail nbdmsetup info pieces-real >/dev/null
expect_fail nbdmsetup snapshot pieces new --size 0 >/dev/null
expect_fail nbdmsetup snapshot --remove pieces plain >/dev/null
expect_fail nbdmsetup snapshot --merge pieces nosuch >/dev/null
nbdmsetup snapshot pieces fourth
expect_fail nbdmsetup snapshot --remove plain fourth >/dev/null
nbdmsetup snapshot --remove pieces fourth
table_is pieces "$table"
[ "$(content pieces)" = "$before" ] || fail "not what it was"

# In table files, on mapped devices; a check writes nothing.
end_client
stop_nbdkit
truncate -s 8M cow.img
cat >layers.yaml <<END
devices:
  a-snapshot:
    table: 0 8192 snapshot base cow P 8
  base:
    export: false
    table: 0 8192 linear one.img 0
  cow:
    export: false
    table: 0 16384 linear cow.img 0
  origin:
    table: 0 8192 snapshot-origin base
END
"$run" nbdkit dm layers.yaml check=true >check.out 2>&1 ||
  { cat check.out; fail "the check has failed"; }
cmp -n $((8 << 20)) cow.img /dev/zero || fail "a check has written"
start_nbdkit dm layers.yaml
before=$(content origin)
qemu-io -f raw -c 'write -P 7 1M 100k' "$(uri origin)" >/dev/null
[ "$(content a-snapshot)" = "$before" ] || fail "the snapshot has changed"
nbdmsetup reload >/dev/null
[ "$(content a-snapshot)" = "$before" ] || fail "the reload has changed it"
stop_nbdkit
start_nbdkit dm layers.yaml
[ "$(content a-snapshot)" = "$before" ] || fail "the snapshot is lost"
