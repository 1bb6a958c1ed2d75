#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdm-dmsetup: the wrapper, and what its library does to a program.
. "${srcdir:-$(dirname "$0")}/lib.sh"
PATH=$PATH:/usr/sbin:/sbin requires command -v dmsetup
requires /usr/bin/python3 -c 'import nbd'
unset NBDM_CONTROL NBDM_QUIET DM_DEV_DIR

dm ()
{
  "$run" nbdm-dmsetup --control "$control" "$@"
}

# says TEXT COMMAND...: it fails, and this is a line on its stderr.
says ()
{
  local text=$1
  shift
  "$@" >/dev/null 2>"$tmp/err" && fail "'$*' should have failed"
  grep -qxF -- "$text" "$tmp/err" || fail "'$*' said: $(cat "$tmp/err")"
}

# The wrapper's own failures.  It must never run dmsetup on the kernel.
says 'nbdm-dmsetup: --control needs the path of a socket' \
  "$run" nbdm-dmsetup --control
says 'nbdm-dmsetup: --run needs a program' "$run" nbdm-dmsetup --run
says 'nbdm-dmsetup: there is no program nosuch' dm --run nosuch
mkdir "$tmp/lonely"
sed 's|^\[ -e .*|library=/nonexistent/x.so|' "$builddir/clients/nbdm-dmsetup" \
  >"$tmp/lonely/nbdm-dmsetup"
says 'nbdm-dmsetup: /nonexistent/x.so is missing' sh "$tmp/lonely/nbdm-dmsetup" ls

# Nobody listens.
says "nbdm: $control: No such file or directory" dm ls
NBDM_CONTROL=$tmp/env says "nbdm: $tmp/env: No such file or directory" \
  "$run" nbdm-dmsetup ls
XDG_RUNTIME_DIR=$tmp/x says "nbdm: $([ "$(id -u)" = 0 ] &&
  echo /run || echo "$tmp/x")/nbdm/control: No such file or directory" \
  "$run" nbdm-dmsetup ls

truncate -s 1M "$tmp/file"
start_nbdkit dm
dm create a -u UUID-a --table "0 64 linear $tmp/file 0"
dm create slow --table "0 64 delay $tmp/file 0 3000"
dm create above --table "0 64 linear /dev/mapper/slow 0"
NBDM_CONTROL=/nonexistent "$run" nbdm-dmsetup --control="$control" ls |
  grep -qx 'a	(600:0)'

# The reason that a kernel would have logged, once, before libdm's words.
says 'nbdm: bad: table line 1 (0 8 nosuch): unknown target type' \
  dm create bad --table '0 8 nosuch'
head -n 1 "$tmp/err" | grep -q '^nbdm: ' || fail "the reason is not said first"
[ "$(grep -c '^nbdm: ' "$tmp/err")" -eq 1 ]
NBDM_QUIET=1 dm create bad --table '0 8 nosuch' 2>"$tmp/err" && exit 1
grep -q '^nbdm: ' "$tmp/err" && fail "NBDM_QUIET=1 is not quiet"
says 'Device does not exist.' dm info nosuch
grep -q '^nbdm: ' "$tmp/err" && fail "a question was taken for a failure"

# Nodes that are not there.
dm info a >"$tmp/out" 2>"$tmp/err"
[ ! -s "$tmp/err" ] || fail "info complains: $(cat "$tmp/err")"
grep -qx 'Read Ahead:        0' "$tmp/out"
got=$(dm --run blockdev --getsize64 --getsz --getss --getro --getra \
        /dev/mapper/a | xargs)
[ "$got" = "32768 64 512 0 0" ] || fail "blockdev says $got"
expect_fail dm --run cat /dev/mapper/a >/dev/null
expect_fail dm --run sh -c 'echo >/dev/mapper/a' >/dev/null
expect_fail dm --run cat /dev/mapper/nosuch >/dev/null
[ "$(dm --run cat /sys/dev/block/600:0/dm/name)" = a ]
[ "$(dm --run cat /proc/devices | grep device-mapper)" = "600 device-mapper" ]
dm --run cat /proc/devices | grep -v device-mapper |
  diff - <(grep -v device-mapper /proc/devices)
DM_DEV_DIR=$tmp/dev dm info /dev/mapper/a >/dev/null 2>&1 &&
  fail "the folder of nodes is not where DM_DEV_DIR says"
DM_DEV_DIR=$tmp/dev/ dm info "$tmp/dev/mapper/a" | grep -q '^Name: *a$'
[ ! -e "$tmp/dev" ] || fail "something was made below DM_DEV_DIR"

# What is none of ours goes where it always went.
dm --run sh -c "echo here >$tmp/it && mv $tmp/it $tmp/that && cat $tmp/that" |
  grep -qx here
dm --run ls "$tmp" | grep -qx that
dm --run stat -c %s "$tmp/file" | grep -qx 1048576
dm --run rm "$tmp/that"
[ ! -e "$tmp/that" ]

# connections: how many the server has.
connections ()
{
  find "/proc/$server/fd" -lname 'socket:*' | wc -l
}

# Interrupted, a wait leaves nothing behind on the server …
before=$(connections)
status=0
timeout -s INT 1 "$run" nbdm-dmsetup --control "$control" wait a || status=$?
[ $status -eq 124 ]
for _ in $(seq 50); do
  [ "$(connections)" -gt "$before" ] || break
  sleep 0.1
done
[ "$(connections)" -le "$before" ] || fail "the server still waits"

# … and a suspend is put back while what it waited for is still on its way.
/usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(b"x" * 512, 0)' "$(uri above)" &
writer=$!
sleep 1
status=0
timeout -s INT 0.5 "$run" nbdm-dmsetup --control "$control" suspend above ||
  status=$?
[ $status -eq 124 ] || fail "the suspend was not interrupted"
for _ in $(seq 10); do
  dm info above | grep -q '^State: *ACTIVE$' && break
  sleep 0.1
done
dm info above | grep -q '^State: *ACTIVE$' || fail "still suspended"
kill -0 "$writer" || fail "the write was over too early"
wait "$writer"

# All that a program may do with the control node, by ioctl itself.
cat >"$tmp/ioctls.py" <<'END'
import ctypes, errno, os, select, signal, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
VERSION, STATUS, RENAME, WAIT, ARM_POLL = 0, 7, 5, 8, 16

def call(fd, nr, name=b"", event_nr=0, payload=b"", size=None, type=0xfd):
    size = 16384 if size is None else size
    buf = ctypes.create_string_buffer(max(size, 16384))
    struct.pack_into("=IIIIIIiIIIQ128s129s", buf, 0, 4, 0, 0, size, 312, 0, 0,
                     0, event_nr, 0, 0, name, b"")
    buf[312:312 + len(payload)] = payload
    request = ctypes.c_ulong(0xc1380000 | type << 8 | nr)
    r = libc.ioctl(fd, request, buf)
    return (ctypes.get_errno() if r < 0 else 0), buf.raw

def check(what, got, expected):
    if got != expected:
        sys.exit("%s: %r instead of %r" % (what, got, expected))

fd = os.open("/dev/mapper/control", os.O_RDWR)
check("version", call(fd, VERSION)[1][:12], struct.pack("=III", 4, 47, 0))
check("a device", call(fd, STATUS, b"a")[0], 0)
check("no device", call(fd, STATUS, b"nosuch")[0], errno.ENXIO)
check("command", call(fd, 99)[0], errno.ENOTTY)
check("type", call(fd, VERSION, type=0x12)[0], errno.ENOTTY)
check("small size", call(fd, STATUS, b"a", size=304)[0], errno.EINVAL)
check("smallest size", call(fd, STATUS, b"a", size=305)[0], 0)
check("no buffer", libc.ioctl(fd, ctypes.c_ulong(0xc138fd00), None), -1)
e, buf = call(fd, STATUS, b"a")
check("uuid", buf[176:183], b"UUID-a\0")

# Not ours, though its number was.
other = os.open("/dev/null", os.O_RDWR)
check("other file", call(other, STATUS, b"a")[0], errno.ENOTTY)
os.dup2(fd, other)
check("a duplicate", call(other, STATUS, b"a")[0], 0)
os.close(fd)
fd = os.open("/dev/null", os.O_RDWR)
check("a closed one", call(fd, STATUS, b"a")[0], errno.ENOTTY)
fd = other

# Threads and children have the node for themselves.
results = []
waiters = [threading.Thread(target=lambda: results.append(call(fd, WAIT, b"a")))
           for _ in range(20)]
for t in waiters:
    t.start()
time.sleep(0.5)
check("waiting", results, [])
child = os.fork()
if child == 0:
    os._exit(call(fd, RENAME, b"a", payload=b"b\0")[0])
check("child", os.waitpid(child, 0)[1], 0)
for t in waiters:
    t.join()
check("waiters", [r[0] for r in results], [0] * 20)
check("event number", {r[1][32:36] for r in results}, {struct.pack("=I", 1)})

# A handler that does not restart calls ends a wait; one that does, does not.
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.3)
check("interrupted", call(fd, WAIT, b"b", event_nr=1)[0], errno.EINTR)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.3)
t = threading.Timer(1, lambda: call(fd, RENAME, b"b", payload=b"a\0"))
t.start()
check("restarted", call(fd, WAIT, b"b", event_nr=1)[0], 0)
t.join()

# Events make the node readable, until it is armed again.
def readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])

polled = os.open("/dev/mapper/control", os.O_RDWR | os.O_CLOEXEC)
for name, other in [(b"a", b"b"), (b"b", b"a")]:
    check("arm", call(polled, ARM_POLL)[0], 0)
    check("no event", readable(polled, 0.2), False)
    check("rename", call(fd, RENAME, name, payload=other + b"\0")[0], 0)
    check("event", readable(polled, 5), True)
    check("still there", readable(polled, 0), True)
    check("close on exec", os.get_inheritable(polled), False)
check("other ioctls", call(polled, STATUS, b"a")[0], 0)
os.close(polled)

# Nodes.
st = os.stat("/dev/mapper/a")
check("number", (os.major(st.st_rdev), os.minor(st.st_rdev)), (600, 0))
os.unlink("/dev/mapper/a")
os.rename("/dev/mapper/a", "/dev/mapper/b")
check("still there", os.stat("/dev/mapper/a").st_rdev, st.st_rdev)
check("its link", os.path.basename(os.readlink("/sys/dev/block/600:0")), "dm-0")
check("open files", len(os.listdir("/proc/self/fd")) < 12, True)
END
NBDM_QUIET=1 dm --run /usr/bin/python3 "$tmp/ioctls.py"
stop_nbdkit
