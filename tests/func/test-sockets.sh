#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The other ways to be reached: --run, standard input, socket activation, the
# background.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

two_exports
size=$((64 << 20))

# -U - --run: ends with the command, and has its status.
got=$("$run" nbdkit -U - dm "$tmp/tables.yaml" control=none \
        --run 'nbdinfo --size "$uri"')
[ "$got" = $size ]
status=0
"$run" nbdkit -U - dm "$tmp/tables.yaml" control=none --run 'exit 3' ||
  status=$?
[ $status -eq 3 ]

# The command of --run gets SIGHUP as it should.
"$run" nbdkit -U - dm control=none \
  --run 'grep -q "^SigBlk:.*0$" /proc/self/status'

# -s: the connection is standard input and output.
got=$(/usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_command(sys.argv[1:])
print(h.get_size())
h.shutdown()' "$run" nbdkit -s dm "$tmp/tables.yaml" control=none)
[ "$got" = $size ]

# Socket activation.
cat >"$tmp/activate.py" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
END
/usr/bin/python3 "$tmp/activate.py" "$sock" \
  "$run" nbdkit dm "$tmp/tables.yaml" control="$control" 2>"$tmp/log" &
server=$!
for _ in $(seq 100); do
  [ -S "$sock" ] && break
  sleep 0.05
done
[ "$(nbdinfo --size "$(uri a)")" = $size ]
stop_nbdkit

# In the background: relative paths still hold, and a signal sent as soon as
# the pid is known is a reload, not the end.
cd "$tmp"
rm -f "$sock"
"$run" nbdkit -P "$tmp/pid" -U "$sock" dm tables.yaml control=control
pid=$(cat "$tmp/pid")
kill -HUP "$pid"
at_end kill -KILL "$pid"
[ "$(nbdinfo --size "$(uri a)")" = $size ]
nbdmsetup reload >/dev/null
kill "$pid"
for _ in $(seq 200); do
  ended "$pid" && exit 0
  sleep 0.05
done
fail "the server in the background does not end"
