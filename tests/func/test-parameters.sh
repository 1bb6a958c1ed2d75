#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Wrong parameters and tables end the start with a clear message.
. "$(dirname "$0")/lib.sh"

# refused TEXT PARAMETER...: the server does not start and says TEXT.
refused ()
{
  local text=$1 out
  shift
  out=$(expect_fail "$run" nbdkit -f -U "$sock" dm control=none "$@")
  grep -qF -- "$text" <<<"$out" || fail "no '$text' in: $out"
}

cd "$tmp"
refused "unknown parameter 'colour'" colour=red
refused "given twice" tables=a tables=b
refused "shutdown-timeout" shutdown-timeout=-1
refused "check=" check=true
refused "none.yaml" none.yaml
refused "there is no such group" control-group=no-such-group
refused "control-group=0: root's own group is none" control-group=0
refused "given twice" metrics=a metrics=b

printf 'devices:\n  a:\n    table: 0 8 linear none.img 0\n' >file.yaml
refused "none.img" file.yaml
printf 'devices:\n  a:\n    table: 0 8 linaer x 0\n' >type.yaml
refused "linaer" type.yaml
printf 'devices:\n  a: [\n' >syntax.yaml
refused "syntax.yaml:" syntax.yaml

# A control socket that somebody listens on is not taken away.
start_nbdkit dm
out=$(expect_fail "$run" nbdkit -f -U "$tmp/other" dm control="$control")
grep -q "$control" <<<"$out" || fail "the socket is not named: $out"
nbdmsetup ls >/dev/null
stop_nbdkit
[ ! -e "$control" ]

# One that nobody listens on any more is.
start_nbdkit dm
kill -KILL "$server"
wait "$server" 2>/dev/null || true
start_nbdkit dm
nbdmsetup ls >/dev/null
stop_nbdkit

# A group that may read gets the socket, and the counters are in a file.
if [ "$(id -u)" = 0 ]; then
  start_nbdkit dm metrics="$tmp/nbdm.prom" control-group=12345
  [ "$(stat -c '%a %g' "$control")" = "660 12345" ]
  chmod 711 "$tmp"
  as_reader="setpriv --reuid=65534 --regid=65534 --groups=12345"
  if $as_reader test -x "$builddir/clients/nbdmsetup"; then
    NBDM_CONTROL=$control $as_reader "$run" nbdmsetup ls >/dev/null
    NBDM_CONTROL=$control $as_reader "$run" nbdmsetup create x --notable \
      2>"$tmp/err" && fail "a reader has made a device"
    grep -q "may change" "$tmp/err"
  fi
  for _ in $(seq 100); do
    [ -e "$tmp/nbdm.prom" ] && break
    sleep 0.1
  done
  [ "$(tail -n 1 "$tmp/nbdm.prom")" = "# EOF" ]
  stop_nbdkit
  [ ! -e "$tmp/nbdm.prom" ]
fi
