#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A log written by a server: shown, replayed in part and whole, checked.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

log=$tmp/log.img
truncate -s 8M "$tmp/data" "$log" "$tmp/copy"
cat >"$tmp/tables.yaml" <<YAML
devices:
  disk:
    table: 0 16384 log-writes $tmp/data $log
YAML
start_nbdkit dm "$tmp/tables.yaml"

# nbd PYTHON...: one line each, all on one connection.
nbd ()
{
  { printf 'import nbd\nh = nbd.NBD ()\nh.connect_uri ("%s")\n' "$(uri disk)"
    printf '%s\n' "$@" 'h.shutdown ()'; } | /usr/bin/python3 -
}

mark ()
{
  nbdmsetup message disk 0 mark "$1"
}

logreplay ()
{
  "$run" nbdm-logreplay "$@" "$log"
}

# same WANTED COMMAND...
same ()
{
  diff <(echo "$1") <("${@:2}" 2>&1) || fail "${*:2}"
}

nbd 'h.pwrite (b"1" * 4096, 8192)' 'h.pwrite (b"2" * 512, 512)' 'h.flush ()'
mark one
nbd 'h.pwrite (b"3" * 1024, 8192)' 'h.trim (1 << 20, 1 << 20)' \
    'h.pwrite (b"4" * 512, 0, nbd.CMD_FLAG_FUA)' 'h.flush ()'
mark $'t\001o'
nbd 'h.pwrite (b"5" * 512, 512)'
stop_nbdkit

list='# 11 entries, blocks of 512 bytes
1 16 8 write
2 1 1 write
3 0 0 flush
4 0 0 mark one
5 0 1 write,fua
6 16 2 write
7 2048 2048 discard
8 0 0 flush
9 0 0 mark t\x01o
10 1 1 write
11 0 0 mark dm-log-writes-end'
same "$list" logreplay
same "$(sed -n '1p;4,5p' <<<"$list")" logreplay --from=3 --to=4
same "$(sed -n '1p;6,10p' <<<"$list")" logreplay --from=5 --to-mark=$'t\001o'
same "$(sed -n '1p;6,10p' <<<"$list")" \
     logreplay --from-mark=one --to-mark=$'t\001o'
same "nbdm-logreplay: $log: no mark 'two'" logreplay --to-mark=two
same "nbdm-logreplay: $log: no mark 'one'" \
     logreplay --from-mark=$'t\001o' --to-mark=one

# To the end of the log: what is on the device.
same '11 entries replayed' logreplay --replay="$tmp/copy"
cmp "$tmp/data" "$tmp/copy"

# To the first mark: what was before.
truncate -s 0 "$tmp/copy"
truncate -s 8M "$tmp/copy"
same '4 entries replayed' logreplay --replay="$tmp/copy" --to-mark=one
[ "$(tr -d '\0' <"$tmp/copy" | tr -s 12)" = 21 ] || fail "not what was flushed"

# A check at each flush, one that fails.
# shellcheck disable=SC2016
same "3:$tmp/copy
8:$tmp/copy
11 entries replayed, 2 checks passed" \
     logreplay --replay="$tmp/copy" --check='echo "$NBDM_ENTRY:$NBDM_TARGET"'
# shellcheck disable=SC2016
same "4:one
5:
9:t"$'\001'"o
11:dm-log-writes-end
11 entries replayed, 4 checks passed" \
     logreplay --replay="$tmp/copy" --check-at=mark,fua \
     --check='echo "$NBDM_ENTRY:$NBDM_MARK"'
# shellcheck disable=SC2016
same "nbdm-logreplay: $tmp/copy: entry 8: the check failed with status 3" \
     logreplay --replay="$tmp/copy" --check='[ $NBDM_ENTRY = 3 ] || exit 3'

# A device too small, a file that is no log.
truncate -s 1M "$tmp/copy"
same "nbdm-logreplay: $tmp/copy: entry 7 goes to byte 2097152 of 1048576" \
     logreplay --replay="$tmp/copy"
same "nbdm-logreplay: $tmp/data: this is not the log of a log-writes target \
(wrong magic)" "$run" nbdm-logreplay "$tmp/data"
# usage TEXT ARGUMENT...
usage ()
{
  expect_fail "$run" nbdm-logreplay "${@:2}" | has -x "nbdm-logreplay: $1" ||
    fail "${*:2}"
}
usage 'no log'
usage 'more than one log' a b
usage '--check and --check-at are of --replay' --check=true "$log"
usage '--check-at is of --check' --replay="$tmp/copy" --check-at=fua "$log"
usage 'an entry or a mark, not both' --to=1 --to-mark=one "$log"

# The log would be lost.
ln "$log" "$tmp/link"
same "nbdm-logreplay: $tmp/link: this is the log itself" \
     logreplay --replay="$tmp/link"
same "$list" logreplay
