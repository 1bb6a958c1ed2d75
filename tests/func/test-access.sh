#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Exports that not every client may use.
. "${srcdir:-$(dirname "$0")}/lib.sh"

# tables RULES: three devices, the second one with these rules.
tables ()
{
  cat >"$tmp/tables.yaml" <<END
devices:
  all:
    table: 0 8 zero
  some:
    allow: $1
    table: 0 8 zero
  none:
    allow: []
    table: 0 8 zero
END
}

# expect EXPORT...: these are listed, and can be opened, and no others.
expect ()
{
  local name
  [ "$(nbdinfo --list "$(uri)" | sed -n 's/^export="\(.*\)":$/\1/p' | xargs)" = \
    "$*" ] || fail "not these are listed: $*"
  for name in all some none; do
    case " $* " in
      *" $name "*) nbdinfo --size "$(uri $name)" >/dev/null ;;
      *) expect_fail nbdinfo --size "$(uri $name)" >/dev/null ;;
    esac
  done
}

me="{uid: $(id -u)}"
tables "[{uid: 4294967294}, $me]"
start_nbdkit dm "$tmp/tables.yaml"
expect all some

# reload RULES: have them read by SIGHUP.
reload ()
{
  tables "$1"
  nbdmsetup reload >/dev/null
}

reload "[{uid: 4294967294}]"
expect all
reload "[{gid: $(id -g), tls: false}]"
expect all some
reload "[{gid: $(id -g), tls: true}]"
expect all
reload "[{net: 0.0.0.0/0}, {net: '::/0'}]"
expect all
reload "[{}]"
expect all some
reload "[{uid: 0, gid: 1, net: 10.0.0.0/8, tls: true}, $me]"
nbdmsetup dump >"$tmp/dump.yaml"
grep -q 'net: "10.0.0.0/8"' "$tmp/dump.yaml" || fail "rules are not dumped"
cp "$tmp/dump.yaml" "$tmp/tables.yaml"
nbdmsetup reload | grep -q ' 3 unchanged' || fail "the dump says otherwise"
expect all some
stop_nbdkit

# Over TCP nobody is a user.
tables "[{net: 127.0.0.0/8}, {uid: $(id -u), net: '::1'}]"
port=$(/usr/bin/python3 -c '
import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
"$run" nbdkit -f -i 127.0.0.1 -p "$port" dm "$tmp/tables.yaml" control=none \
  2>"$tmp/log" </dev/null &
server=$!
uri () { echo "nbd://127.0.0.1:$port/${1-}"; }
for _ in $(seq 100); do
  nbdinfo --size "$(uri all)" >/dev/null 2>&1 && break
  sleep 0.05
done
expect all some
stop_nbdkit
