#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The server as a service: sockets from systemd, and what it is told; the units.
. "${srcdir:-$(dirname "$0")}/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

/usr/bin/python3 "$srcdir/service.py" "$tmp" \
  "$run" nbdkit dm "$tmp/tables.yaml" control="$control" 2>"$tmp/log"

# A manager that is not there, or a strange one, stops nothing.
for name in "$tmp/nosuch" relative @ "$(printf '/%0200d' 0)" ''; do
  NOTIFY_SOCKET=$name start_nbdkit dm
  stop_nbdkit
done

requires command -v systemd-analyze
mkdir "$tmp/units"
cp "$builddir"/systemd/nbdm*.service "$srcdir"/../../systemd/nbdm.socket \
  "$tmp/units"
# It tells of other units, too, so only what it says of these counts.
systemd-analyze verify --man=no "$tmp"/units/nbdm.s* \
  "$tmp/units/nbdm@.service" >"$tmp/verify" 2>&1 || :
grep 'nbdm' "$tmp/verify" && fail "systemd does not like a unit"
exit 0
