#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Nothing can be written with -r, nor to a read-only table.
. "$(dirname "$0")/lib.sh"
requires nbdcopy --version

two_exports
cat >>"$tmp/tables.yaml" <<'END'
  r:
    readonly: true
    table: 0 2048 linear 1.img 0
END
sed -i '/^  a:/,/65536 65536/d' "$tmp/tables.yaml" # only r uses 1.img now
random_file data 1048576
cp "$tmp/data" "$tmp/1.img"
chmod a-w "$tmp/1.img"

start_nbdkit dm "$tmp/tables.yaml"
nbdinfo --is readonly "$(uri r)"
expect_fail nbdinfo --is readonly "$(uri b)"
nbdcopy "$(uri r)" "$tmp/back"
cmp "$tmp/data" "$tmp/back"
expect_fail nbdcopy "$tmp/data" "$(uri r)"
cmp "$tmp/data" "$tmp/1.img"
stop_nbdkit

start_nbdkit -r dm "$tmp/tables.yaml"
nbdinfo --is readonly "$(uri b)"
expect_fail nbdcopy "$tmp/data" "$(uri b)"
stop_nbdkit
