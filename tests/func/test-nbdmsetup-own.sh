#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The verbs of nbdmsetup that dmsetup has not, against answers that are known.
. "${srcdir:-$(dirname "$0")}/lib.sh"
requires script --version

/usr/bin/python3 "$(dirname "$0")/fake-control.py" "$control" 2>"$tmp/log" &
server=$!
for _ in $(seq 100); do
  [ ! -S "$control" ] || break
  sleep 0.1
done

# prints EXPECTED COMMAND...
prints ()
{
  local expected=$1
  shift
  diff <(echo "$expected") <(nbdmsetup "$@") || fail "'$*' prints otherwise"
}

# on_terminal COMMAND...: what is written to one.
on_terminal ()
{
  local quoted
  quoted=$(printf '%q ' "$run" nbdmsetup --control "$control" "$@")
  TERM=dumb script -qec "stty cols ${columns:-80} rows 10; $quoted" /dev/null </dev/null
}

prints '# EOF' metrics

# What one reply cuts off the next one goes on with.
prints '0 10 data
10 20 hole,zero
30 60 zero
90 10 hole' extents vol
nbdmsetup extents vol zed | has -x 'zed: 90 10 hole' || fail "no names"
nbdmsetup extents vol --json | /usr/bin/python3 -c 'import json, sys
e = json.load(sys.stdin)[0]["extents"]
assert len(e) == 4 and e[1] == {"start": 10, "length": 20, "hole": True,
                                "zero": True}' || fail "JSON of extents"
expect_fail nbdmsetup extents nosuch | has 'No such device' ||
  fail "extents of nothing"

# Groups.
prints 'suspend vol (0)
suspend slow (0)' suspend --group -v vol slow
prints 'resume vol (2048)' resume --group -v --noflush vol
expect_fail nbdmsetup suspend --group vol zed >"$tmp/out"
diff - "$tmp/out" <<'END' || fail "a group that cannot be suspended"
nbdm: zed does not want to
device-mapper: suspend of 2 devices as a group failed: Device or resource busy
Command failed.
END
expect_fail nbdmsetup suspend --group vol nosuch |
  has 'on nosuch  failed' || fail "a group with a device that is not there"
expect_fail nbdmsetup suspend --group | has 'No device specified' ||
  fail "a group of nothing"

# Rates: a hundred reads a second, or less if the machine is slow.
nbdmsetup stat --count 2 -o name,reads_per_sec,writes_per_sec,errors \
  --noheadings >"$tmp/out"
[ "$(grep -cE '^vol:(100|[1-9][0-9]?)(\.[0-9])?:0:3$' "$tmp/out")" = 2 ] ||
  fail "rates: $(cat "$tmp/out")"
[ "$(grep -c '^slow:0:0:3$' "$tmp/out")" = 2 ] || fail "there is more"
[ "$(grep -c '^$' "$tmp/out")" = 1 ] || fail "no empty line between them"
[ "$(nbdmsetup stat --count 1 --noheadings zed | wc -l)" = 1 ] ||
  fail "not only the device asked for"
expect_fail nbdmsetup stat vol nosuch | has '^Device does not exist' ||
  fail "the rates of nothing"
nbdmsetup stat --count 1 -O -reads_per_sec -o name | sed -n 2p |
  has '^vol ' || fail "not sorted"
nbdmsetup stat --json | /usr/bin/python3 -c 'import json, sys
j = {d["name"]: d for d in json.load(sys.stdin)}
assert j["vol"]["errors"] == 3 and j["vol"]["swaps"] == 4' ||
  fail "JSON of stat"
on_terminal stat --count 2 >"$tmp/out"
[ "$(grep -c $'\033\[H\033\[J3 devices' "$tmp/out")" = 2 ] ||
  fail "no page on a terminal"
tr -d '\r' <"$tmp/out" | has '^Name .* Errors$' || fail "too wide for a terminal"
columns=40 on_terminal stat --count 1 | tr -d '\r' >"$tmp/out"
grep -q '^Name  *R/s  *RKiB/s  *W/s *$' "$tmp/out" || fail "wider than the terminal"

# What takes long is told on a terminal only, and taken away.
on_terminal info slow >"$tmp/out"
grep -q $'\r\033\[Kinfo slow: 1 s\r\033\[Kinfo slow: 2 s\r\033\[K' \
  "$tmp/out" || fail "no progress on a terminal"
nbdmsetup info slow 2>"$tmp/err" >&2
[ "$(grep -c . "$tmp/err")" = 7 ] || fail "progress in a file"
kill "$server"
wait "$server" || :
server=
