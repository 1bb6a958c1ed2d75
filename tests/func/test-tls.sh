#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS with pre-shared keys.
. "$(dirname "$0")/lib.sh"
requires psktool --version
requires nbdcopy --version
requires sh -c 'nbdkit --dump-config | grep -q ^tls=yes'

psktool -u alice -p "$tmp/keys" >/dev/null 2>&1
two_exports
start_nbdkit --tls=require --tls-psk="$tmp/keys" dm "$tmp/tables.yaml"

tls="nbds+unix://alice@/b?socket=$sock&tls-psk-file=$tmp/keys"
[ "$(nbdinfo --size "$tls")" = $((16 << 20)) ]
random_file data $((16 << 20))
nbdcopy "$tmp/data" "$tls"
nbdcopy "$tls" "$tmp/back"
cmp "$tmp/data" "$tmp/back"
expect_fail nbdinfo --size "$(uri b)"
stop_nbdkit
