#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What nbdmsetup has that dmsetup has not: --json, completion, and its verbs.
. "${srcdir:-$(dirname "$0")}/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

top_srcdir=$(cd "$(dirname "$0")/../.." && pwd)
export NBDM_CONTROL=$control

# json PYTHON-EXPRESSION COMMAND...: the expression about j, the answer, holds.
json ()
{
  local expression=$1
  shift
  nbdmsetup "$@" --json >"$tmp/json" || fail "'$*' fails"
  /usr/bin/python3 -c 'import json, sys
j = json.load(open(sys.argv[1]))
if not eval(sys.argv[2]): sys.exit(f"{sys.argv[2]}: {j}")' \
    "$tmp/json" "$expression" || fail "'$*' answers otherwise"
}

two_exports
start_nbdkit dm
for verb in ls info 'info -c' status table measure deps extents stat; do
  # shellcheck disable=SC2086
  json 'j == []' $verb
done
stop_nbdkit
start_nbdkit dm "$tmp/tables.yaml"

# As JSON.
json '[d["name"] for d in j] == ["a", "b", "h"]' ls
json '[d["name"] for d in j] == ["h"]' ls --target zero
json 'j[0]["targets"] == 2 and j[0]["live"] and not j[0]["suspended"]' info a
json 'j == [{"name": "b", "segments": 1, "devs_used": ""}]' \
  info -c -o name,segments,devs_used -S name=b
json '[t["start"] for t in j[0]["targets"]] == [0, 65536]' table a
json 'j[1]["targets"][0]["status"].startswith ("2 ")' status a b
json 'len(j) == 1 and j[0]["targets"][0]["params"] == ""' table --target zero
json 'len(j[0]["deps"]) == 2 and "name" not in j[0]["deps"][0]' deps b
json '{t["name"]: t["version"] for t in j}["linear"] == [1, 4, 0]' targets
json 'j["driver"] == [4, 47, 0]' version
nbdmsetup create u --table '0 8 linear /dev/mapper/h 0'
json 'j[0]["deps"][0]["name"] == "h"' deps u
json 'j == []' ls -S name=nosuch
nbdmsetup create $'\xff\xfe' -n
json 'j[-1]["name"] == "\xff\xfe"' ls
nbdmsetup remove $'\xff\xfe' u
status=0
nbdmsetup info a nosuch --json >"$tmp/json" 2>/dev/null || status=$?
[ $status -eq 1 ] || fail "a failure is none with --json"
grep -q '"a"' "$tmp/json" || fail "what was found before is lost"

# Keys are not for everybody's eyes; only the one who asks sees them.  (There
# is no crypt here to ask: what counts is that nothing else is changed.)
diff <(nbdmsetup table) <(nbdmsetup table --showkeys) ||
  fail "--showkeys changes what is no key"

# Trees in all alphabets, and their compact form.
nbdmsetup create mid --table '0 8 linear /dev/mapper/h 0'
nbdmsetup create top --table '0 8 linear /dev/mapper/mid 0
8 8 linear /dev/mapper/h 0'
nbdmsetup ls --tree -o nodevice,ascii,compact >"$tmp/tree"
printf '%s\n' a b 'top-+-h' '    `-mid---h' | sort >"$tmp/expected"
sort "$tmp/tree" | diff "$tmp/expected" - || fail "compact tree"
LC_ALL=C.UTF-8 nbdmsetup ls --tree -o nodevice | has '^ ├─h$' ||
  fail "the locale's alphabet is not used"
nbdmsetup ls --tree -o nodevice,vt100 | has $'\033(0' || fail "vt100"
nbdmsetup remove top mid

# What the server counts and holds, and groups.
random_file data 65536
/usr/bin/python3 -c 'import nbd, sys
h = nbd.NBD ()
h.connect_uri (sys.argv[1])
h.pwrite (open (sys.argv[2], "rb").read (), 0)
h.flush ()
h.shutdown ()' "$(uri b)" "$tmp/data"
json '[j[1][k] for k in ("writes", "write_sectors", "flushes")] == [1, 128, 1]' \
  stat
json '[d["name"] for d in j] == ["b"]' stat -S name=b
json '[d["name"] for d in j] == ["a"]' stat /dev/mapper/a
[ "$(nbdmsetup metrics | tail -n 1)" = '# EOF' ] || fail "metrics"
nbdmsetup metrics | has '^nbdm_device_writes_completed_total{device="b"} 1$' ||
  fail "metrics do not count"
json 'j[0]["extents"][0]["length"] == 128' extents b
nbdmsetup create top --table '0 8 linear /dev/mapper/b 0'
nbdmsetup suspend --group -v b top >"$tmp/out"
printf 'suspend %s\n' top b | diff - "$tmp/out" || fail "group: suspend"
nbdmsetup load b --table '0 32768 zero'
nbdmsetup resume --group -v top b >"$tmp/out"
diff <(printf 'resume %s\n' b top) <(grep '^resume' "$tmp/out") ||
  fail "group: resume"
nbdmsetup table b | has zero || fail "group: no swap"
nbdmsetup remove top

nbdmsetup rename b --setuuid uuid-of-b

# complete WORD...: the last one is to be completed.
complete_words ()
{
  COMP_WORDS=("$builddir/clients/nbdmsetup" "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _nbdmsetup
  echo "${COMPREPLY[*]}"
}
. "$top_srcdir/clients/nbdmsetup.bash"
# expect_words EXPECTED WORD...
expect_words ()
{
  local expected=$1 words
  shift
  words=$(complete_words "$@" || true)
  [ "$words" = "$expected" ] || fail "'$*' is completed to '$words'"
}
expect_words 'measure' meas
expect_words 'a b h' suspend ''
expect_words '--select' clear --s
expect_words '--verbose' wait --verb
expect_words '--noflush' wait --nof
expect_words '--uuid' message --u
expect_words 'uuid-of-b' info -u uuid-of
expect_words '' version a
for option in $(nbdmsetup help | grep -oE -- '--[a-z]+' | sort -u); do
  grep -qw -- "$option" "$top_srcdir/clients/nbdmsetup.bash" ||
    fail "$option is never completed"
done
expect_words 'zero' ls --target z
expect_words 'names_using_dev' info -c -o names
expect_words 'inverted' ls --tree -o inv
expect_words '--group' resume --g
expect_words 'in_flight' stat -o in

. "$top_srcdir/clients/nbdm-attach.bash"
COMP_WORDS=(nbdm-attach --det) COMP_CWORD=1
_nbdm_attach || :
[ "${COMPREPLY[*]}" = --detach ] || fail "nbdm-attach is not completed"

stop_nbdkit
