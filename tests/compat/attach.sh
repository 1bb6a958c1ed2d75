#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest: nbdm-attach, through a long suspend, a grow and a crash.
set -eu
. "$(dirname "$0")/lib.sh"
# The guest vanishes: unmounting a broken device could only hang.
trap - EXIT

attach=$top_builddir/clients/nbdm-attach
uri="nbd+unix:///vol?socket=$tmp/nbd"
mnt=$tmp/mnt

# expect_fail TEXT COMMAND...
expect_fail ()
{
    local text=$1
    shift
    ! "$@" >"$tmp/out" 2>&1 || fail "'$*' should fail"
    grep -q -- "$text" "$tmp/out" || fail "'$*' says: $(cat "$tmp/out")"
}

sectors ()
{
    cat /sys/block/nbd0/size
}

has_sectors ()
{
    [ "$(sectors)" = "$1" ]
}

serve ()
{
    "$top_builddir/run" nbdkit -f -U "$tmp/nbd" dm "$tmp/tables.yaml" \
        control="$NBDM_CONTROL" &
    server=$!
    wait_until 30 test -S "$tmp/nbd" || fail "no server"
}

no_errors ()
{
    ! dmesg | grep -iE 'i/o error|EXT4-fs (error|warning)' ||
        fail "the kernel saw errors"
}

modprobe nbd
mkdir "$mnt"
truncate -s 64M "$tmp/a"
export NBDM_CONTROL=$tmp/control
printf 'devices:\n  vol:\n    table: 0 65536 linear %s 0\n' "$tmp/a" \
    >"$tmp/tables.yaml"
serve

expect_fail "not found\|No such\|failed" "$attach" \
    "nbd+unix:///nosuch?socket=$tmp/nbd"
expect_fail 'cannot be the name' "$attach" --name a/b "$uri"
expect_fail 'is not attached' "$attach" --detach vol
[ "$("$attach" --interval 1 "$uri")" = /dev/nbdm/vol ] || fail "no path"
[ "$(readlink -f /dev/nbdm/vol)" = /dev/nbd0 ] || fail "no link"
[ "$(sectors)" = 65536 ] || fail "size $(sectors)"
[ "$("$attach" --list)" = $'vol\t/dev/nbd0\t65536' ] || fail "list"
expect_fail 'is attached already' "$attach" "$uri"
mkfs.ext4 -q /dev/nbdm/vol
mount /dev/nbdm/vol "$mnt"
expect_fail 'is in use' "$attach" --detach vol
head -c 4M /dev/urandom >"$mnt/data"
sync
sum=$(sha256sum <"$mnt/data")

# The kernel's patience with a request is 30 seconds; a suspend's is longer.
nbdmsetup suspend vol
dd if=/dev/zero of="$mnt/suspended" bs=64k count=16 conv=fsync status=none &
writer=$!
sleep 35
kill -0 $writer || fail "a write went through a suspended device"
nbdmsetup resume vol
wait $writer || fail "a write failed in a long suspend"

# It grows while it is mounted and written to.
(for ((i = 0; i < 40; i++)); do
    dd if=/dev/zero of="$mnt/growing" bs=64k count=16 conv=fsync status=none
done) &
writer=$!
sed -i 's/65536/131072/' "$tmp/tables.yaml"
nbdmsetup reload
wait_until 40 has_sectors 131072 || fail "it has not grown"
wait $writer || fail "a write failed while it grew"
resize2fs /dev/nbd0 >/dev/null 2>&1 || fail "its filesystem cannot grow"
[ "$(stat -f -c %b "$mnt")" -gt 50000 ] || fail "its filesystem is small"

# The server dies, and comes back.
(for ((i = 0; i < 40; i++)); do
    dd if=/dev/zero of="$mnt/crash" bs=64k count=16 conv=fsync status=none
done) &
writer=$!
sleep 0.2
kill -KILL $server
wait $server || :
rm -f "$tmp/nbd"
sleep 2
serve
wait $writer || fail "a write failed when the server died"

echo 3 >/proc/sys/vm/drop_caches
[ "$(sha256sum <"$mnt/data")" = "$sum" ] || fail "what was written has changed"
umount "$mnt"
fsck.ext4 -fn /dev/nbd0 >/dev/null 2>&1 || fail "the filesystem is not clean"
no_errors
"$attach" --detach /dev/nbdm/vol
[ ! -e /sys/block/nbd0/pid ] || fail "it is attached still"
[ -z "$("$attach" --list)" ] || fail "the link is still there"
wait_until 10 nbdmsetup remove vol || fail "a connection is left"

# Nothing holds a device that is attached read-only.
nbdmsetup reload >/dev/null
"$attach" --readonly --name other "$uri" >/dev/null
[ "$(cat /sys/block/nbd0/ro)" = 1 ] || fail "it can be written to"
"$attach" --detach other

# As the export of a name, which the server beside the control socket has.
[ "$("$attach" --control "$tmp/control" attach vol /dev/nbd3)" = \
    /dev/nbdm/vol ] || fail "no path"
[ "$(readlink -f /dev/nbdm/vol)" = /dev/nbd3 ] || fail "not the device wanted"
expect_fail 'cannot attach again' "$attach" --name again vol /dev/nbd3
"$attach" detach vol
echo "attached, suspended, grown, lost, detached"
