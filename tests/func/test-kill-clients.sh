#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Busy clients are killed: the server lives on, or where nbdkit cannot (before
# 1.34 it may abort) ./serve has it back within a second.  Its devices are as
# before, and nothing that was flushed is lost.
# NBDM_KILL_ROUNDS is how many are killed.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

rounds=${NBDM_KILL_ROUNDS:-20}
top_srcdir=$(cd "$(dirname "$0")/../.." && pwd)
export XDG_RUNTIME_DIR=$tmp
sock=$tmp/nbdm-serve-$(id -u)/nbd
control=$tmp/nbdm-serve-$(id -u)/control

truncate -s 2M "$tmp/1.img" "$tmp/2.img"
cat >"$tmp/tables.yaml" <<'END'
devices:
  disk:
    table: |
      0 4096 linear 1.img 0
      4096 4096 linear 2.img 0
  other: {table: 0 8 zero}
END

# Writes 16 blocks at a time and flushes now and then.  Each write is numbered,
# and the log tells which ones were about to be sent ("s") and up to which one
# all were flushed ("f"): what is in a block tells its write's number.
cat >"$tmp/write.py" <<'END'
import os, sys, struct, nbd

BLOCK, BLOCKS = 4096, 1024
uri, log, n = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND), \
    int(sys.argv[3])
h = nbd.NBD()
h.connect_uri(uri)
print("busy", flush=True)
while True:
    for _ in range(4):
        os.write(log, b"s %d\n" % (n + 16))
        cookies = [h.aio_pwrite(struct.pack("<Q", i) * (BLOCK // 8),
                                i * 7919 % BLOCKS * BLOCK)
                   for i in range(n + 1, n + 17)]
        n += 16
        for cookie in cookies:
            while not h.aio_command_completed(cookie):
                h.poll(-1)
    h.flush()
    os.write(log, b"f %d\n" % n)
END
# A block has what was in it when the client came, unless that has flushed
# another write to it, or any later one that the client was about to send.
cat >"$tmp/verify.py" <<'END'
import os, sys, struct, nbd

BLOCK, BLOCKS = 4096, 1024
uri, log, state, start = *sys.argv[1:4], int(sys.argv[4])
least = [0] * BLOCKS
if os.path.exists(state):
    least = [int(n) for n in open(state).read().split()]
sent = flushed = start
for line in open(log):
    kind, n = line.split()
    if kind == "s":
        sent = int(n)
    else:
        flushed = int(n)
for n in range(start + 1, flushed + 1):
    least[n * 7919 % BLOCKS] = n
h = nbd.NBD()
h.connect_uri(uri)
data = h.pread(BLOCK * BLOCKS, 0)
h.shutdown()
for block in range(BLOCKS):
    numbers = set(struct.unpack("<%dQ" % (BLOCK // 8),
                                data[block * BLOCK:(block + 1) * BLOCK]))
    for n in numbers:
        if n != least[block] and not max(least[block], start) < n <= sent:
            sys.exit(f"block {block} has write {n}, not {least[block]} or one "
                     f"from {start} to {sent}")
        if n and n * 7919 % BLOCKS != block:
            sys.exit(f"block {block} has write {n}, which is another's")
    least[block] = min(numbers)
with open(state, "w") as f:
    f.write(" ".join(map(str, least)))
print(sent)
END

NBDM_SERVE_BUILD=$builddir "$top_srcdir/serve" "$tmp/tables.yaml" \
  >"$tmp/out" 2>"$tmp/log" &
serve=$!
end_serve ()
{
  kill "$serve" 2>/dev/null
  wait "$serve" 2>/dev/null || true
}
at_end end_serve

# It answers, and what a dead client has sent is done.
is_quiet ()
{
  [ "$(nbdmsetup info -c --noheadings -o open disk 2>/dev/null)" = 0 ] &&
    nbdinfo --size "$(uri disk)" >/dev/null 2>&1
}

# Wait for that; the longest wait is $slowest milliseconds.
slowest=0
await_quiet ()
{
  local start=${EPOCHREALTIME/./} ms=0
  until is_quiet; do
    [ $ms -lt 20000 ] || fail "the server does not come back"
    sleep 0.02
    ms=$(((${EPOCHREALTIME/./} - start) / 1000))
  done
  [ $ms -le $slowest ] || slowest=$ms
}

await_quiet
slowest=0
nbdmsetup table >"$tmp/before"
n=0
for ((i = 1; i <= rounds; i++)); do
  : >"$tmp/writes"
  exec 3< <(exec /usr/bin/python3 "$tmp/write.py" "$(uri disk)" \
                 "$tmp/writes" "$n")
  client=$!
  read -r _ <&3
  sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
  kill -KILL "$client" 2>/dev/null ||
    fail "round $i: the client has ended by itself"
  exec 3<&-
  await_quiet
  nbdmsetup table | diff "$tmp/before" - || fail "round $i: other tables"
  n=$(/usr/bin/python3 "$tmp/verify.py" "$(uri disk)" "$tmp/writes" \
               "$tmp/state" "$n") ||
    fail "round $i: what was flushed is not there"
done
aborts=$(grep -c 'nbdkit has aborted' "$tmp/log" || :)
echo "$rounds clients killed, $aborts times nbdkit aborted," \
  "slowest answer after $slowest ms, $n blocks written"
kill "$serve"
wait "$serve" || fail "the server ended with status $?"
