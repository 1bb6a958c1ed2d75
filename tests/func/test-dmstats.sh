#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The real dmstats as an ordinary user with a server of his own; of a server
# that lets his group read he may read the statistics, but not clear them.
. "$(dirname "$0")/lib.sh"
requires dmsetup --version
requires qemu-io --version
[ "$(id -u)" = 0 ] || { echo "skipped: needs another user"; exit 77; }
ordinary=(setpriv --reuid=65534 --regid=65534 --clear-groups)
requires "${ordinary[@]}" test -r "$builddir/server/.libs/nbdkit-dm-plugin.so"

export NBDM_CONTROL=$control
as_user ()
{
  "${ordinary[@]}" "$run" nbdm-dmsetup "$@"
}

# regions COMMAND...: what each line is about.
regions ()
{
  "$@" --noheadings | cut -d : -f 4 | xargs
}

chown 65534:65534 "$tmp"
real_run=$run
run=$tmp/run
printf '#!/bin/sh\nexec %s %s "$@"\n' "${ordinary[*]}" "$real_run" >"$run"
chmod +x "$run"
start_nbdkit dm
run=$real_run
as_user create a --table '0 2048 zero'
as_user stats create a >/dev/null
as_user stats create --bounds 1ms,10ms --areas 2 a >/dev/null
qemu-io -f raw -c 'read 0 64k' -c 'write 512k 4k' "$(uri a)" >/dev/null
[ "$(regions as_user stats list)" = "region region" ]
as_user stats print --allregions a | has '^0+2048 1 0 128 '
[ "$(regions as_user stats report)" = "area area area region" ] ||
  fail "the report lacks something"
as_user stats print --allregions a | has '^0+2048 0 0 0 ' ||
  fail "the report has cleared nothing"
as_user stats delete --allregions a
[ -z "$(as_user stats list --noheadings)" ]
as_user remove a
stop_nbdkit

chown root:root "$tmp"
chmod 755 "$tmp"
start_nbdkit dm control-group=65534
"$run" nbdm-dmsetup create a --table '0 2048 zero'
"$run" nbdm-dmsetup stats create a >/dev/null
[ "$(regions as_user stats list)" = region ]
as_user stats print --allregions a | has '^0+2048 0 '
as_user stats report 2>&1 | has "may send messages that change" ||
  fail "a reader has cleared what others count"
expect_fail as_user stats delete --allregions a >/dev/null
expect_fail as_user stats create a >/dev/null
stop_nbdkit
