#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check=true says whether the table files are good, and does nothing else.
. "$(dirname "$0")/lib.sh"

two_exports
check ()
{
  "$run" nbdkit dm "$@" </dev/null
}

[ "$(check "$tmp/tables.yaml" check=true)" = "$tmp/tables.yaml: ok" ]
check "$tmp/tables.yaml" check=dump >"$tmp/normal.yaml"
cp "$tmp/normal.yaml" "$tmp/again.yaml"
check "$tmp/again.yaml" check=dump | cmp "$tmp/normal.yaml"

# A new pool and a new exception store stay blank.
cat >"$tmp/fresh.yaml" <<'EOF'
devices:
  pool: {table: 0 2048 thin-pool meta.img data.img 128 0, messages: [create_thin 1]}
  thin: {table: 0 4096 thin pool 1}
  snap: {table: 0 2048 snapshot data.img cow.img P 8}
EOF
truncate -s 1M "$tmp"/{meta,data,cow}.img
[ "$(check "$tmp/fresh.yaml" check=true)" = "$tmp/fresh.yaml: ok" ]
cmp -n 1048576 "$tmp/meta.img" /dev/zero
cmp -n 1048576 "$tmp/cow.img" /dev/zero

# Also while a server has the files open.
start_nbdkit dm "$tmp/tables.yaml"
[ "$(check "$tmp/tables.yaml" check=true)" = "$tmp/tables.yaml: ok" ]
sed 's/linear 1.img/linaer 1.img/' "$tmp/tables.yaml" >"$tmp/bad.yaml"
expect_fail check "$tmp/bad.yaml" check=true | grep -q 'bad.yaml:5'
stop_nbdkit
