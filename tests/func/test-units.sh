#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# systemd understands the units.
. "${srcdir:=$(dirname "$0")}/lib.sh"

# systemd takes the runtime directory away with the service: a socket in there
# would listen where nobody finds it.
grep ^ListenStream=/run/nbdm/ "$srcdir/../../systemd/nbdm.socket" &&
  fail "the socket is in the service's own folder"

requires systemd-analyze --version
mkdir "$tmp/units"
cp "$builddir"/systemd/nbdm*.service "$srcdir"/../../systemd/nbdm.socket \
  "$tmp/units"
# It tells of other units, too, so only what it says of these counts.
systemd-analyze verify --man=no "$tmp"/units/nbdm.s* \
  "$tmp/units/nbdm@.service" >"$tmp/verify" 2>&1 || :
grep 'nbdm' "$tmp/verify" && fail "systemd does not like a unit"
exit 0
