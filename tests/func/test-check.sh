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

# Also while a server has the files open.
start_nbdkit dm "$tmp/tables.yaml"
[ "$(check "$tmp/tables.yaml" check=true)" = "$tmp/tables.yaml: ok" ]
sed 's/linear 1.img/linaer 1.img/' "$tmp/tables.yaml" >"$tmp/bad.yaml"
expect_fail check "$tmp/bad.yaml" check=true | grep -q 'bad.yaml:5'
stop_nbdkit
