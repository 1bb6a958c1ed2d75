#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A server with a thin pool is killed while it works; nothing flushed is lost.
#
# NBDM_KILLS is how often, 20 if not set.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'
requires thin_check -V

truncate -s 4M "$tmp/meta.img"
truncate -s 64M "$tmp/data.img"
cat >"$tmp/tables.yaml" <<END
devices:
  pool:
    export: false
    table: 0 131072 thin-pool meta.img data.img 128 0
    messages: [create_thin 1]
  vol:
    table: 0 16384 thin pool 1
END
/usr/bin/python3 "$(dirname "$0")/thin-kill.py" "${NBDM_KILLS:-20}" "$sock" \
  "$tmp/meta.img" "$run" nbdkit --foreground -U "$sock" dm "$tmp/tables.yaml" \
  control="$control"
