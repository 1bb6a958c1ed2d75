#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Metadata that a kernel wrote, whole and damaged, shown without a server.
. "$(dirname "$0")/lib.sh"
requires xz --version
requires /usr/bin/python3 -c 'import json'
fixtures=$(cd "$(dirname "$0")/../fixtures/thin" && pwd)

# image NAME: unpack it, and print where it is.
image ()
{
  xz -dc "$fixtures/$1.img.xz" >"$tmp/$1"
  chmod a-w "$tmp/$1"
  echo "$tmp/$1"
}

inspect ()
{
  "$run" nbdm-inspect "$@"
}

# damage FILE BLOCK: change one bit in the middle of a block.
damage ()
{
  /usr/bin/python3 - "$@" <<'PYTHON'
import os, sys
os.chmod(sys.argv[1], 0o600)
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]) * 4096 + 100)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 1]))
PYTHON
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

# What a dump says, in the order of the dump.
snaps=$(image 03-snaps-overflow)
sum=$(md5sum <"$snaps")
inspect --json --data='/dev/a\ b' --pool=p "$snaps" >"$tmp/json"
dump=$(xz -dc "$fixtures/03-snaps-overflow.xml.xz" |
  sed -n 's/.*dev_id="\(.*\)" mapped_blocks="\(.*\)" tr.*/\1:\2/p' | xargs)
same "' '.join('%d:%d' % (t['id'], t['mapped_blocks'])
     for t in r[0]['thins'])" "$dump"
same "[t['exclusive_blocks'] for t in r[0]['thins']]" "[1, 3, 0, 0, 2, 0, 1]"
same "all(t['exclusive_blocks'] + t['shared_blocks'] == t['mapped_blocks']
     for t in r[0]['thins'])" True
same "r[0]['format']" thin-pool
same "r[0]['transaction_id'], r[0]['time'], r[0]['needs_check']" \
     "7 4 False"
same "r[0]['used_data_blocks'], r[0]['data_blocks']" "79 10240"
same "r[0]['table']" \
     "0 1310720 thin-pool $snaps /dev/a\\ b 128 0 1 read_only"
same "r[0]['thins'][1]['table']" "0 25600128 thin p 1"
[ "$(md5sum <"$snaps")" = "$sum" ] || fail "the image was written to"

# For people.
inspect "$snaps" >"$tmp/out"
grep -qE '^ +11 +65 +2 +63 +0 +2 +2$' "$tmp/out" || fail "$(cat "$tmp/out")"
grep -qxF '    12: 0 8192 thin pool 12' "$tmp/out" || fail "$(cat "$tmp/out")"

# Names of files may be anything.
cp "$snaps" "$tmp/two words"
cp "$snaps" "$tmp/"$'latin\xe4'
inspect --json "$tmp/two words" "$tmp/"$'latin\xe4' >"$tmp/json"
same "r[0]['table']" \
     "0 1310720 thin-pool $tmp/two\\ words DATA 128 0 1 read_only"
same "r[1]['image']" "$tmp/latin\\xe4"

# Flagged, and with a metadata snapshot.
inspect --json "$(image 08-needs-check)" "$(image 07-metasnap-held)" \
  >"$tmp/json"
same "r[0]['needs_check'], r[0]['metadata_snapshot']" "True None"
same "[t['id'] for t in r[1]['thins']], r[1]['metadata_snapshot']" \
     "[0, 5] 491"
inspect --json --metadata-snapshot "$tmp/07-metasnap-held" >"$tmp/json"
same "[t['id'] for t in r[0]['thins']], r[0]['transaction_id'],
     r[0]['metadata_snapshot']" "[0, 4] 0 491"
same "r[0]['table']" "0 2621440 thin-pool $tmp/07-metasnap-held DATA 128 0 2 \
read_only metadata_snap"
if inspect --metadata-snapshot "$snaps" >"$tmp/out" 2>&1; then
  fail "showed a metadata snapshot that is not there"
fi

# damaged BLOCK PROBLEM: one problem, and the exit status tells.
damaged ()
{
  cp "$snaps" "$tmp/damaged"
  damage "$tmp/damaged" "$1"
  if inspect --json "$tmp/damaged" >"$tmp/json"; then
    fail "block $1: the damage was not found"
  fi
  same "len(r[0]['problems'])" 1
  same "r[0]['problems'][0].startswith('$2')" True
}

damaged 45 'thin 1: cannot read its mappings from block 0 on'
same "[t['mapped_blocks'] for t in r[0]['thins']]" \
     "[64, 0, 0, 64, 65, 64, 64]"
damaged 104 'the map of the metadata is damaged'
same "[t['mapped_blocks'] for t in r[0]['thins']]" \
     "[64, 3, 0, 64, 65, 64, 64]"
damaged 99 'the list of thins cannot be read'
damaged 0 'cannot read the superblock'

# What is nothing of the kind.
for f in "$(image 15-cache-array-bitset)" /dev/null "$tmp" "$tmp/absent"; do
  if inspect "$f" >"$tmp/out" 2>&1; then fail "showed $f"; fi
  grep -q "^nbdm-inspect: " "$tmp/out" || fail "$(cat "$tmp/out")"
done
if inspect 2>/dev/null; then fail "no image is no error"; fi
inspect --help | grep -q "^usage: nbdm-inspect"
