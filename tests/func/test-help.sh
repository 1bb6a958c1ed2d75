#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What the plugin says of itself.
. "$(dirname "$0")/lib.sh"

"$run" nbdkit dm --dump-plugin >"$tmp/dump"
grep -qx 'name=dm' "$tmp/dump"
grep -qx 'dm_interface_version=4.47.0' "$tmp/dump"
grep -qx 'thread_model=parallel' "$tmp/dump"
grep -qxE 'dm_target_linear=[0-9]+\.[0-9]+\.[0-9]+' "$tmp/dump"
grep -q '^dm_libnbd_version=1' "$tmp/dump"

"$run" nbdkit dm --help >"$tmp/help"
grep -q 'tables=' "$tmp/help"
grep -qE '^ +linear +[^ ]' "$tmp/help"
"$run" nbdkit dm --version | grep -q '^dm '

# Nothing but plugin_init is shown to the rest of nbdkit.
if command -v nm >/dev/null; then
  [ "$(nm -D --defined-only "$builddir/server/.libs/nbdkit-dm-plugin.so" |
       awk '{ print $3 }')" = plugin_init ]
fi
