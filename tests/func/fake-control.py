# SPDX-License-Identifier: BSD-3-Clause
"""A control socket that answers our own commands just so, one client a time.

fake-control.py SOCKET: the devices vol and zed of 100 sectors, and slow, for
which every command of the kernel's takes 2.5 seconds.  Groups that contain
zed cannot be changed.
"""
import errno
import os
import socket
import struct
import sys
import time

MAGIC = 0x6d64626e
HEADER = struct.Struct("=3I3Ii3IQ128s129s7x")  # struct dm_ioctl
assert HEADER.size == 312
SIZE = 100
EXTENTS = [(0, 10, 0), (10, 20, 3), (30, 10, 2), (40, 50, 2), (90, 10, 1)]
DEVICES = [b"slow", b"vol", b"zed"]


def text(raw):
    return raw.split(b"\0")[0]


def kernels(command, data):
    """DM_TABLE_STATUS and whatever needs no more than a header."""
    field = list(HEADER.unpack_from(data))
    name = text(field[11])
    if name == b"slow":
        time.sleep(2.5)
    if name not in DEVICES:
        return errno.ENXIO, b"", b""
    spec = struct.pack("=QQiI16s", 0, SIZE, 0, 48, b"zero") + bytes(8)
    field[3:6] = [312 + len(spec), 312, 1]
    return 0, HEADER.pack(*field[:11], name, text(field[12])) + spec, b""


def extents(data):
    begin, length = struct.unpack_from("=QQ", data, 8 + 128 + 129 + 7)
    found = [e for e in EXTENTS if e[0] >= begin][:2]
    assert found and length == SIZE - begin
    return 0, b"".join(struct.pack("=QQII", *e, 0) for e in found), b""


calls = 0


def counters():
    """A hundred reads of 4 KiB more each time, and one write in all."""
    global calls
    calls += 1
    reply = b""
    for minor, name in enumerate(DEVICES):
        n = 100 * calls if name == b"vol" else 0
        reply += struct.pack("=128s15Q", name, minor, SIZE, n, 8 * n, 1, 8,
                             0, 0, 0, 3, 0, 2, 5, 1, 4)
    return 0, reply, b""


def group(what, data):
    flags, count = struct.unpack_from("=II", data)
    names = data[8:].split(b"\0")[:-1]
    assert len(names) == count
    if b"zed" in names:
        return errno.EBUSY, b"", b"zed does not want to"
    return 0, b"".join(b"%s %s (%d)\n" % (what, n, flags) for n in names), b""


def answer(command, data):
    if command == 0x103:
        return 0, b"# EOF\n", b""
    if command == 0x104:
        return counters()
    if command == 0x105:
        return extents(data)
    if command in (0x106, 0x107):
        return group(b"suspend" if command == 0x106 else b"resume", data)
    if command < 0x100:
        return kernels(command, data)
    return errno.ENOTTY, b"", b""


def serve(peer):
    with peer.makefile("rb") as stream:
        while head := stream.read(16):
            magic, command, length, reserved = struct.unpack("=4I", head)
            assert magic == MAGIC and reserved == 0
            error, reply, message = answer(command, stream.read(length))
            try:
                peer.sendall(struct.pack("=4I", MAGIC, error, len(reply),
                                         len(message)) + reply + message)
            except BrokenPipeError:
                break


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    connection, _ = listener.accept()
    with connection:
        serve(connection)
