#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The server as a service: sockets from systemd, and what it is told.
. "${srcdir:=$(dirname "$0")}/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

/usr/bin/python3 "$srcdir/service.py" "$tmp" \
  "$run" nbdkit dm "$tmp/tables.yaml" control="$control" 2>"$tmp/log"

# A manager that is not there, or a strange one, stops nothing.
for name in "$tmp/nosuch" relative @ "$(printf '/%0200d' 0)" ''; do
  NOTIFY_SOCKET=$name start_nbdkit dm
  stop_nbdkit
done
