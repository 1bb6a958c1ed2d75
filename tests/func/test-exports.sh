#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What clients find: names, sizes, descriptions, the default.
. "$(dirname "$0")/lib.sh"

two_exports
start_nbdkit dm "$tmp/tables.yaml"

nbdinfo --list "$(uri)" >"$tmp/list"
[ "$(grep -c '^export=' "$tmp/list")" = 2 ] || fail "not two exports"
grep -q '^export="a":' "$tmp/list"
grep -q 'description: two pieces' "$tmp/list"
[ "$(nbdinfo --size "$(uri a)")" = $((64 << 20)) ]
[ "$(nbdinfo --size "$(uri b)")" = $((16 << 20)) ]

# The default is the first by name.
[ "$(nbdinfo --size "$(uri)")" = $((64 << 20)) ]

# Hidden and unknown names are refused.
expect_fail nbdinfo --size "$(uri h)"
expect_fail nbdinfo --size "$(uri nobody)"

# What comes over the control socket is an export as soon as it is live.
nbdmsetup create c --notable
expect_fail nbdinfo --size "$(uri c)"
nbdmsetup load c --table '0 8 zero'
nbdmsetup resume c
[ "$(nbdinfo --size "$(uri c)")" = 4096 ]
stop_nbdkit

# With one export only that one exists, and is the default.
start_nbdkit dm "$tmp/tables.yaml" export=b
[ "$(nbdinfo --list "$(uri)" | grep -c '^export=')" = 1 ]
[ "$(nbdinfo --size "$(uri)")" = $((16 << 20)) ]
expect_fail nbdinfo --size "$(uri a)"
stop_nbdkit

# An empty registry has none.
start_nbdkit dm
expect_fail nbdinfo --size "$(uri)"
stop_nbdkit
