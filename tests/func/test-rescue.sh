#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A pool of files that may only be read, served by the tables of nbdm-inspect:
# every thin and block is there, and no byte is written.
. "$(dirname "$0")/lib.sh"
requires xz --version
requires /usr/bin/python3 -c 'import nbd, json'
fixtures=$(cd "$(dirname "$0")/../fixtures/thin" && pwd)

# rescue NAME [DUMP OPTION]: serve the pool, with data blocks that tell their
# numbers, and compare all thins with the dump.
rescue ()
{
  local meta=$tmp/meta data=$tmp/data allocated
  rm -f "$meta" "$data"
  xz -dc "$fixtures/$1.img.xz" >"$meta"
  xz -dc "$fixtures/${2:-$1}.xml.xz" >"$tmp/dump.xml"
  /usr/bin/python3 - "$tmp/dump.xml" "$data" <<'PYTHON'
import re, struct, sys
text = open(sys.argv[1]).read()
with open(sys.argv[2], "wb") as f:
    f.truncate(65536 * 20480)
    for m in re.finditer(r'data_(?:block|begin)="(\d+)"(?: length="(\d+)")?',
                         text):
        for b in range(int(m[1]), int(m[1]) + int(m[2] or 1)):
            f.seek(b * 65536)
            f.write(struct.pack("<Q", b + 1))
PYTHON
  chmod a-w "$meta" "$data"
  cp "$meta" "$tmp/meta-before"
  head -c 16M "$data" >"$tmp/data-before"
  sync "$data"
  allocated=$(stat -c %b "$data")
  "$run" nbdm-inspect --json ${3:+"$3"} --data="$data" "$meta" >"$tmp/json"
  /usr/bin/python3 - "$tmp/json" >"$tmp/tables.yaml" <<'PYTHON'
import json, sys
pool = json.load(open(sys.argv[1]))[0]
print("devices:\n  pool:\n    export: false\n    table:", pool["table"])
for thin in pool["thins"]:
    print("  thin%d:\n    readonly: true\n    table: %s" %
          (thin["id"], thin["table"]))
PYTHON
  start_nbdkit dm "$tmp/tables.yaml"
  compare "$tmp/dump.xml"
  stop_nbdkit
  cmp "$meta" "$tmp/meta-before" || fail "$1: the metadata were written to"
  # All blocks in use are there; a write to another would allocate it.
  cmp -n 16M "$data" "$tmp/data-before" || fail "$1: the data were written to"
  [ "$(stat -c %b "$data")" = "$allocated" ] || fail "$1: the data have grown"
}

# Every mapped block has its data block's number, and the rest is a hole.
compare ()
{
  /usr/bin/python3 - "$1" "$sock" <<'PYTHON'
import nbd, re, struct, sys

def mappings(text):
    for m in re.finditer(r'<(single|range)_mapping (\w+)="(\d+)" '
                         r'\w+="(\d+)"(?: length="(\d+)")?', text):
        for i in range(int(m[5] or 1)):
            yield int(m[3]) + i, int(m[4]) + i

def extents(h):
    at, mapped = 0, set()
    def note(_, offset, entries, err):
        nonlocal at
        for length, flags in zip(entries[::2], entries[1::2]):
            assert flags in (0, 3) and at % 65536 == length % 65536 == 0
            if flags == 0:
                mapped.update(range(at // 65536, (at + length) // 65536))
            at += length
    while at < h.get_size():
        h.block_status(min(h.get_size() - at, 1 << 30), at, note)
    return mapped

for device in re.split("<device ", open(sys.argv[1]).read())[1:]:
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.set_export_name("thin" + re.match(r'dev_id="(\d+)"', device)[1])
    h.connect_unix(sys.argv[2])
    wanted = dict(mappings(device))
    assert extents(h) == set(wanted), h.get_export_name()
    for block, data in wanted.items():
        found = struct.unpack("<Q", h.pread(512, block * 65536)[:8])[0]
        assert found == data + 1, (h.get_export_name(), block, found)
    h.shutdown()
PYTHON
}

rescue 03-snaps-overflow
rescue 08-needs-check
rescue 07-metasnap-held
rescue 07-metasnap-held 07-metasnap-held.metadata-snap --metadata-snapshot
grep -q "2 read_only metadata_snap" "$tmp/tables.yaml" ||
  fail "that was the present state"
