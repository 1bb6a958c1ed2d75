#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""make-corpus.py FOLDER: inputs that fuzz-control begins with.

Each is what a client sends on one connection: at least one frame of every
command, most of them right, some wrong in one place.
"""
import struct
import sys

MAGIC = 0x6D64626E
(VERSION, REMOVE_ALL, LIST, CREATE, REMOVE, RENAME, SUSPEND, STATUS, WAIT, LOAD,
 CLEAR, DEPS, TABLE, VERSIONS, MESSAGE, GEOMETRY, ARM, TARGET) = range(18)
SUSPEND_FLAG, TABLE_FLAG, NOFLUSH, INACTIVE, UUID, DEFERRED = (
    0x2, 0x10, 0x800, 0x1000, 0x4000, 0x20000)


def frame(command, payload=b"", magic=MAGIC, length=None, reserved=0):
    length = len(payload) if length is None else length
    return struct.pack("=4I", magic, command, length, reserved) + payload


def ioctl(command, name=b"", payload=b"", room=0, flags=0, count=0, event_nr=0,
          uuid=b"", dev=0, start=312, size=None):
    size = max(312 + len(payload), room) if size is None else size
    head = struct.pack("=6Ii3IQ128s129s7x", 4, 0, 0, size, start, count, 0,
                       flags, event_nr, 0, dev, name, uuid)
    return frame(command, (head + payload).ljust(max(size, 312), b"\0"))


def specs(*lines):
    data = b""
    for start, length, kind, params in lines:
        params += b"\0" * (8 - len(params) % 8)
        data += struct.pack("=QQiI16s", start, length, 0, 40 + len(params),
                            kind) + params
    return data


def load(name, *lines):
    return ioctl(LOAD, name, specs(*lines), count=len(lines))


def device(name, *lines):
    return ioctl(CREATE, name) + load(name, *lines) + ioctl(SUSPEND, name)


def message(name, text):
    return ioctl(MESSAGE, name, struct.pack("=Q", 0) + text + b"\0", room=1024)


A = device(b"a", (0, 32, b"linear", b"mem0 0"), (32, 32, b"zero", b""))
corpus = {
    "empty": b"",
    "list": A + ioctl(LIST, room=512) + ioctl(LIST, flags=UUID, room=330),
    "status": A + ioctl(STATUS, b"a") + ioctl(STATUS, dev=600 << 8) +
    ioctl(STATUS, b"nosuch") + ioctl(STATUS, b"a", uuid=b"b"),
    "rename": A + ioctl(RENAME, b"a", b"b\0") +
    ioctl(RENAME, b"b", b"uuid\0", flags=UUID) + ioctl(STATUS, uuid=b"uuid"),
    "tables": A + ioctl(TABLE, b"a", room=700, flags=TABLE_FLAG) +
    ioctl(TABLE, b"a", room=353) + ioctl(DEPS, b"a", room=330),
    "reload": A + load(b"a", (0, 64, b"striped", b"2 8 mem0 0 mem1 0")) +
    ioctl(TABLE, b"a", room=500, flags=TABLE_FLAG | INACTIVE) +
    ioctl(SUSPEND, b"a", flags=SUSPEND_FLAG | NOFLUSH) + ioctl(SUSPEND, b"a"),
    "clear": A + load(b"a", (0, 8, b"error", b"")) + ioctl(CLEAR, b"a"),
    "targets": device(b"d", (0, 64, b"delay", b"mem0 0 1")) +
    device(b"f", (0, 64, b"flakey", b"mem0 0 1 1 1 drop_writes")) +
    device(b"u", (0, 32, b"unstriped", b"2 8 1 mem0 0")) +
    device(b"s", (0, 64, b"switch", b"2 8 0 mem0 0 mem1 0")) +
    device(b"t", (0, 64, b"dust", b"mem0 0 512")) +
    device(b"e", (0, 64, b"ebs", b"mem0 0 8")) +
    message(b"s", b"set_region_mappings 0:0 :1 R2,1") +
    message(b"t", b"addbadblock 3"),
    "log-writes": device(b"l", (0, 64, b"log-writes", b"mem0 mem1")) +
    message(b"l", b"mark here"),
    "stack": A + device(b"b", (0, 64, b"linear", b"a 0")) +
    load(b"a", (0, 64, b"linear", b"b 0")) + ioctl(REMOVE, b"a") +
    ioctl(REMOVE, b"a", flags=DEFERRED) + ioctl(REMOVE, b"b"),
    "stats": A + message(b"a", b"@stats_create - /4 2 precise_timestamps "
                         b"histogram:1,2 p x") +
    message(b"a", b"@stats_create 0+8 8") + message(b"a", b"@stats_list") +
    message(b"a", b"@stats_print 0") + message(b"a", b"@stats_print_clear 0 1 2") +
    message(b"a", b"@stats_set_aux 1 y") + message(b"a", b"@stats_clear 0") +
    message(b"a", b"@stats_delete 0") + message(b"a", b"@stats_delete 1"),
    "messages": A + message(b"a", b"@cancel_deferred_remove") +
    message(b"a", b"") + message(b"a", b"hello \\ world\\"),
    "geometry": A + ioctl(GEOMETRY, b"a", b"1 2 3 4\0") +
    ioctl(GEOMETRY, b"a", b"99999 2 3 4\0"),
    "wait": A + ioctl(WAIT, b"a", event_nr=5, room=600),
    "wait-for-ever": A + ioctl(WAIT, b"a", room=600),
    "poll": ioctl(ARM) + ioctl(CREATE, b"a") + ioctl(ARM) + ioctl(VERSION),
    "versions": ioctl(VERSIONS, room=2048) + ioctl(VERSIONS, room=320) +
    ioctl(TARGET, b"linear", room=400) + ioctl(TARGET, b"nosuch"),
    "remove-all": A + ioctl(REMOVE_ALL, flags=DEFERRED),
    "text": A + b"".join(frame(c) for c in range(0x100, 0x105)),
    "extents": A + frame(0x105, struct.pack("=Q128s136sQQ", 0, b"a", b"", 0, 0)) +
    frame(0x105, struct.pack("=Q128s136sQQ", 600 << 8, b"", b"", 60, 9)) +
    frame(0x105, b"short"),
    "group": A + device(b"b", (0, 8, b"zero", b"")) +
    frame(0x106, struct.pack("=II", 0, 2) + b"a\0b\0") +
    load(b"a", (0, 8, b"linear", b"mem1 0")) +
    frame(0x107, struct.pack("=II", 0, 2) + b"b\0a\0") +
    frame(0x106, struct.pack("=II", 0, 9) + b"a\0"),
    "bad-magic": frame(VERSION, magic=1),
    "bad-length": frame(VERSION, length=0xFFFFFFFF),
    "bad-reserved": frame(VERSION, reserved=1),
    "bad-command": frame(99) + frame(0x999) + frame(0xFFFFFFFF, b"x"),
    "bad-version": frame(VERSION, b"\5\0\0\0" * 3) + frame(LIST, b"\4"),
    "bad-size": ioctl(LIST, size=7) + ioctl(LIST, size=305) +
    frame(LIST, ioctl(LIST, room=400)[16:320]),
    "bad-start": ioctl(LOAD, b"a", count=1, start=0xFFFFFFF0, room=400) +
    ioctl(RENAME, b"a", b"bcd", start=311) + ioctl(MESSAGE, b"a", start=318),
    "bad-specs": ioctl(CREATE, b"a") +
    ioctl(LOAD, b"a", specs((0, 8, b"zero", b""))[:47], count=2) +
    ioctl(LOAD, b"a", struct.pack("=QQiI16s8x", 0, 8, 0, 1, b"zero"),
          count=0xFFFFFFFF),
    "cut-off": A[:-20],
}

for name, data in corpus.items():
    with open("%s/%s" % (sys.argv[1], name), "wb") as f:
        f.write(data)
