#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# An increment: what clients copy of a snapshot-diff makes a copy of monday one
# of tuesday.
. "$(dirname "$0")/lib.sh"
requires nbdinfo --version
requires /usr/bin/python3 -c 'import nbd'

head -c 16M /dev/urandom >"$tmp/disk.img"
truncate -s 16M "$tmp/monday.cow" "$tmp/tuesday.cow"
cat >"$tmp/tables.yaml" <<END
devices:
  origin: {table: 0 32768 snapshot-origin disk.img}
  monday: {table: 0 32768 snapshot disk.img monday.cow P 128}
END
start_nbdkit dm "$tmp/tables.yaml"
nbdcopy "$(uri monday)" "$tmp/copy"

# write_origin OFFSET...: 4 KiB at each.
write_origin ()
{
  /usr/bin/python3 - "$(uri origin)" "$@" <<'PYTHON'
import os, sys
import nbd
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for at in sys.argv[2:]:
    h.pwrite(os.urandom(4096), int(at))
h.shutdown()
PYTHON
}

# Until tuesday, one of them across the border of two chunks …
write_origin 1048576 2095104
nbdmsetup create tuesday --table \
  "0 32768 snapshot $tmp/disk.img $tmp/tuesday.cow P 128"
nbdmsetup create increment --readonly --table \
  "0 32768 snapshot-diff $tmp/disk.img $tmp/monday.cow tuesday"
# … and after.
write_origin 8388608
nbdinfo --map --json "$(uri increment)" >"$tmp/map"
nbdcopy "$(uri tuesday)" "$tmp/tuesday"

/usr/bin/python3 - "$tmp/map" "$tmp/copy" "$(uri increment)" <<'PYTHON'
import json, sys
import nbd
h = nbd.NBD()
h.connect_uri(sys.argv[3])
extents = json.load(open(sys.argv[1]))
data = [e for e in extents if e["type"] == 0]
assert all(e["type"] == 1 for e in extents if e not in data), extents
with open(sys.argv[2], "r+b") as f:
    for e in data:
        f.seek(e["offset"])
        f.write(h.pread(e["length"], e["offset"]))
changed = sum(e["length"] for e in data)
assert changed == 4 * 65536, changed
h.shutdown()
PYTHON
cmp "$tmp/copy" "$tmp/tuesday" || fail "the copy is not that of tuesday"
nbdmsetup status increment | grep -q '^0 32768 snapshot-diff 4 128$' ||
  fail "$(nbdmsetup status increment)"
stop_nbdkit
