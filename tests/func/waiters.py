# SPDX-License-Identifier: BSD-3-Clause
"""Many clients of the control socket wait for an event of one device.  See
test-waiters.sh.

  waiters.py SOCKET SERVER-PID COUNT DEVICE COMMAND...

COMMAND raises the event.
"""
import os
import select
import socket
import struct
import subprocess
import sys
import time

SOCKET, SERVER, COUNT, DEVICE = (sys.argv[1], sys.argv[2], int(sys.argv[3]),
                                 sys.argv[4])
COMMAND = sys.argv[5:]
MAGIC, DEV_WAIT, HEADER = 0x6d64626e, 8, 312


def threads():
    return len(os.listdir("/proc/%s/task" % SERVER))


def wait_for_event():
    """A connection that waits for event 1 of the device."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCKET)
    s.settimeout(20)
    header = struct.pack("=5IIiIIIQ128s", 4, 0, 0, HEADER, HEADER, 0, 0, 0, 0,
                         0, 0, DEVICE.encode())
    s.sendall(struct.pack("=4I", MAGIC, DEV_WAIT, HEADER, 0) +
              header.ljust(HEADER, b"\0"))
    return s


def event_nr(s):
    head = s.recv(16, socket.MSG_WAITALL)
    magic, error, length, message = struct.unpack("=4I", head)
    body = s.recv(length, socket.MSG_WAITALL)
    if magic != MAGIC or error or message:
        sys.exit("a waiter is told %r %r" % (head, body))
    return struct.unpack_from("=I", body, 32)[0]


before = threads()
waiters = [wait_for_event() for _ in range(COUNT)]
for _ in range(100):
    time.sleep(0.1)
    during = threads()
    if during <= before:
        break
poll = select.poll()
for s in waiters:
    poll.register(s, select.POLLIN)
if poll.poll(0):
    sys.exit("somebody did not wait")
if during > before:
    sys.exit("%d threads, %d with %d waiters" % (before, during, COUNT))
start = time.monotonic()
subprocess.check_call(COMMAND)
if {event_nr(s) for s in waiters} != {1}:
    sys.exit("not all are told of event 1")
print("%d threads with and without %d waiters; all told after %d ms" %
      (during, COUNT, (time.monotonic() - start) * 1000))
