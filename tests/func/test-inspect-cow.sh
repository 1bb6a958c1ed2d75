#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# COW devices that a kernel wrote, whole and damaged, shown without a server;
# and served by the tables that are shown.
. "$(dirname "$0")/lib.sh"
requires xz --version
requires /usr/bin/python3 -c 'import json'
fixtures=$(cd "$(dirname "$0")/../fixtures/snapshot" && pwd)

# image FOLDER/NAME: unpack it to $tmp/NAME.
image ()
{
  xz -dc "$fixtures/$1.img.xz" >"$tmp/$(basename "$1")"
}

inspect ()
{
  (cd "$tmp" && "$run" nbdm-inspect "$@")
}

# same EXPRESSION WANTED: ask the JSON text in $tmp/json.
same ()
{
  local got
  got=$(/usr/bin/python3 -c "
import json, sys
r = json.load(open('$tmp/json'))
print($1)")
  [ "$got" = "$2" ] || fail "$1 is '$got', not '$2'"
}

image a-p8-basic/cow
image a-p8-basic/origin
chmod a-w "$tmp/cow"
sum=$(md5sum <"$tmp/cow")
inspect --json --origin=origin cow >"$tmp/json"
same "r[0]['format'], r[0]['valid'], r[0]['chunk_sectors']" \
     "snapshot-cow True 8"
same "'%(allocated_sectors)d/%(total_sectors)d %(metadata_sectors)d' % r[0]" \
     "496/2048 16"
same "r[0]['exceptions'], r[0]['highest_chunk']" "60 511"
same "r[0]['table']" "0 4096 snapshot $tmp/origin $tmp/cow P 8"
same "r[0]['merge_table']" "0 4096 snapshot-merge $tmp/origin $tmp/cow P 8"
same "'problems' in r[0]" False
inspect --origin=disk cow >"$tmp/out"
grep -qxF "    snapshot: 0 4096 snapshot disk $tmp/cow P 8" "$tmp/out" ||
  fail "$(cat "$tmp/out")"
[ "$(md5sum <"$tmp/cow")" = "$sum" ] || fail "the image was written to"

# What its table serves is what the kernel showed.
chmod u+w "$tmp/cow"
echo "devices: {s: {table: '$(/usr/bin/python3 -c "
import json; print(json.load(open('$tmp/json'))[0]['table'])")'}}" \
  >"$tmp/tables.yaml"
start_nbdkit dm "$tmp/tables.yaml"
nbdcopy "$(uri s)" "$tmp/view"
stop_nbdkit
sha256sum "$tmp/view" | grep -q ^0c20f197f6cca7ca || fail "another view"

# A store that is lost, an empty one, one with the remains of another.
image e-invalid-and-overflow/cow
inspect --json cow >"$tmp/json"
same "r[0]['valid'], 'table' in r[0]" "False False"
inspect cow | grep -q 'invalid: the snapshot is lost' || fail "not invalid"
image d-midmerge/cow-merged
inspect --json cow-merged >"$tmp/json"
same "r[0]['exceptions'], r[0]['runs'], r[0]['allocated_sectors']" \
     "0 0 16"
image g-handmade/g5
if inspect --json g5 >"$tmp/json"; then fail "nothing behind the end"; fi
same "r[0]['exceptions'], len(r[0]['problems'])" "1 1"

# patch NAME OFFSET BYTES...
patch_file ()
{
  /usr/bin/python3 - "$@" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    f.write(bytes(int(b) for b in sys.argv[3:]))
PYTHON
}

# problem TEXT OFFSET BYTES...: what is told of a store with 300 exceptions,
# chunk size 2 KiB, changed there.
problem ()
{
  local text=$1
  shift
  image g-handmade/g1
  patch_file "$tmp/g1" "$@"
  if inspect --json g1 >"$tmp/json"; then fail "no problem: $text"; fi
  same "any('$text' in p for p in r[0]['problems'])" True
}

problem 'exception 1 is at chunk 1, which holds metadata' 2072 1 0
problem 'exception 1 is at chunk 65538, which is beyond the end' 2072 2 0 1
problem 'is no chunk number' 2079 1
problem '1 exceptions repeat an earlier one' 2064 151 2
problem '1 exceptions are at the chunk of another' 2072 2
problem 'unknown version' 8 2
problem 'Chunk size is not a power of 2' 12 3
problem 'cannot read exceptions from' 12 128
inspect --json --origin=g5 g1 >"$tmp/json" || true

# Chunks that the origin does not have.
image g-handmade/g1
truncate -s 64K "$tmp/small"
if inspect --json --origin=small g1 >"$tmp/json"; then
  fail "no problem with a small origin"
fi
same "'beyond the end of the origin' in r[0]['problems'][0]" True

# Any bytes at all: an answer, and no crash.
for i in $(seq 25); do
  /usr/bin/python3 - "$tmp/g1" "$i" <<'PYTHON'
import random, sys
random.seed(int(sys.argv[2]))
with open(sys.argv[1], "r+b") as f:
    for _ in range(random.randrange(40)):
        f.seek(4 + random.randrange(random.choice([12, 5000, 600000])))
        f.write(bytes([random.randrange(256)]))
PYTHON
  status=0
  inspect --json g1 >"$tmp/json" 2>/dev/null || status=$?
  [ $status -le 1 ] || fail "round $i ended with $status"
  same "r[0]['format']" snapshot-cow
done
