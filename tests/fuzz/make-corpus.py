#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""make-corpus.py FOLDER: inputs that fuzz-control and fuzz-cow begin with, in
FOLDER/control and FOLDER/cow.

The former are what a client sends on one connection: at least one frame of
every command, most of them right, some wrong in one place; the latter are
beginnings of COW devices.
"""
import os
import struct
import sys

MAGIC = 0x6D64626E
(VERSION, REMOVE_ALL, LIST, CREATE, REMOVE, RENAME, SUSPEND, STATUS, WAIT, LOAD,
 CLEAR, DEPS, TABLE, VERSIONS, MESSAGE, GEOMETRY, ARM, TARGET) = range(18)
(RELOAD, RELOAD_STATUS, DUMP, METRICS, COUNTERS, EXTENTS, SUSPEND_GROUP,
 RESUME_GROUP) = range(0x100, 0x108)
(READONLY, SUSPEND_FLAG, PERSISTENT, TABLE_FLAG, SKIP_LOCKFS, NOFLUSH, INACTIVE,
 UUID, SECURE, DEFERRED) = (
     0x1, 0x2, 0x8, 0x10, 0x400, 0x800, 0x1000, 0x4000, 0x8000, 0x20000)


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
    return ioctl(MESSAGE, name, struct.pack("=Q", 0) + text + b"\0", room=512)


def messages(name, *texts):
    return b"".join(message(name, t) for t in texts)


def show(*names):
    """What can be asked of devices, in both ways for each."""
    return b"".join(
        ioctl(TABLE, n, room=500, flags=f) for n in names
        for f in (0, TABLE_FLAG, INACTIVE | TABLE_FLAG)) + b"".join(
            ioctl(DEPS, n, room=400) + extents(n) for n in names)


def extents(name=b"", dev=0, begin=0, length=0):
    return frame(EXTENTS, struct.pack("=Q128s136sQQ", dev, name, b"", begin,
                                      length))


def group(command, *names, flags=0):
    return frame(command, struct.pack("=II", flags, len(names)) +
                 b"".join(n + b"\0" for n in names))


def lines(*targets):
    """A device of so many targets, each of 64 sectors."""
    return [(64 * i, 64, *t.split(b" ", 1), b"")[:4]
            for i, t in enumerate(targets)]


def suspend(name, flags=0):
    return ioctl(SUSPEND, name, flags=SUSPEND_FLAG | flags)


POOL = device(b"p", (0, 1024, b"thin-pool", b"mem2 mem0 128 2"))
THINS = POOL + messages(b"p", b"create_thin 0", b"create_thin 1") + device(
    b"t", (0, 512, b"thin", b"p 0"))
ORIGIN = device(b"o", (0, 512, b"snapshot-origin", b"mem0"))
SNAPSHOT = ORIGIN + device(b"s", (0, 512, b"snapshot", b"mem0 mem1 P 8"))
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
    "stats": A + messages(
        b"a", b"@stats_create - /4 2 precise_timestamps histogram:1,2 p x",
        b"@stats_create 0+8 8", b"@stats_list", b"@stats_list p",
        b"@stats_print 0", b"@stats_print_clear 0 1 2", b"@stats_set_aux 1 y",
        b"@stats_clear 0", b"@stats_delete 0", b"@stats_delete 1"),
    "stats-wrong": A + messages(b"a", *(b"@stats_" + m for m in (
        b"create", b"create -", b"create 5 1", b"create 5+0 1", b"create x+1 1",
        b"create - /0", b"create - 0", b"create - 1 1", b"create - 1 1 other",
        b"create - 1 1 histogram:2,1", b"create - 1 2 histogram:1 histogram:1",
        b"create - 1 0 p a x", b"create 0+18446744073709551615 1", b"list p q",
        b"print", b"print 0", b"print 0 1", b"print 0 x y", b"print_clear 7",
        b"clear", b"clear x", b"clear 9", b"delete", b"delete 9", b"set_aux 1",
        b"set_aux 9 a", b"other"))),
    "pool-wrong": POOL + messages(
        b"p", b"create_thin x", b"create_thin 16777216", b"create_snap x 0",
        b"create_snap 1 x", b"delete x", b"delete", b"set_transaction_id x 1",
        b"set_transaction_id 0 x", b"set_transaction_id 7 8",
        b"release_metadata_snap", b"other"),
    "snapshot-wrong": ioctl(CREATE, b"x") + b"".join(
        load(b"x", (0, 512, b"snapshot", b"mem0 " + p)) for p in (
            b"mem1 X 8", b"mem0 P 8", b"mem1 P 7", b"mem1 P x", b"mem1 N 0",
            b"mem1 P 8 3", b"mem1 P 8 1 other", b"mem1 P 8 1 "
            b"discard_passdown_origin", b"nosuch P 8")) +
    load(b"x", (0, 512, b"snapshot-merge", b"mem0 mem1 N 8")),
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
    "extents": A + extents(b"a") + extents(dev=600 << 8, begin=60, length=9) +
    extents(b"a", begin=99) + frame(EXTENTS, b"short"),
    "group": A + device(b"b", (0, 8, b"zero", b"")) +
    group(SUSPEND_GROUP, b"a", b"b") +
    load(b"a", (0, 8, b"linear", b"mem1 0")) +
    group(RESUME_GROUP, b"b", b"a") +
    frame(SUSPEND_GROUP, struct.pack("=II", 0, 9) + b"a\0"),
    "group-stack": SNAPSHOT + device(b"u", (0, 512, b"linear", b"s 0")) +
    group(SUSPEND_GROUP, b"u", b"s", b"o", flags=NOFLUSH | SKIP_LOCKFS) +
    load(b"s", (0, 512, b"snapshot", b"mem0 mem1 P 8")) +
    group(RESUME_GROUP, b"o", b"s", b"u") + group(SUSPEND_GROUP, b"u", b"u"),
    "options": device(b"x", *lines(
        b"flakey mem0 0 1 1 5 error_writes corrupt_bio_byte 32 r 1 0",
        b"flakey mem0 0 0 1 2 error_reads error_writes",
        b"delay mem0 0 1 mem1 8 2 mem1 16 3", b"ebs mem0 0 2 8",
        b"striped 1 64 file 0", b"linear window 0", b"unstriped 4 16 3 file 0",
        b"log-writes mem0 mem1", b"switch 1 8 0 mem1 0", b"error")) +
    show(b"x") + suspend(b"x", SKIP_LOCKFS) + ioctl(SUSPEND, b"x"),
    "no-parameters": ioctl(CREATE, b"x") + b"".join(
        load(b"x", (0, 8, kind, b"")) for kind in (
            b"delay", b"dust", b"ebs", b"flakey", b"linear", b"log-writes",
            b"snapshot", b"snapshot-diff", b"snapshot-merge",
            b"snapshot-origin", b"striped", b"switch", b"thin", b"thin-delta",
            b"thin-pool", b"unstriped")),
    "dust": device(b"d", (0, 64, b"dust", b"mem0 0 512")) +
    messages(b"d", b"addbadblock 3", b"addbadblock 4 9", b"enable", b"disable",
             b"quiet", b"countbadblocks", b"listbadblocks", b"queryblock 3",
             b"removebadblock 3", b"clearbadblocks") + show(b"d"),
    "switch": device(b"s", (0, 64, b"switch", b"3 8 0 mem0 0 mem1 0 mem2 8")) +
    messages(b"s", b"set_region_mappings 0:0 1:1 :2 R2,4",
             b"set_region_mappings 5:0 R1,ffffffff") + show(b"s"),
    "pool": POOL + messages(
        b"p", b"create_thin 0", b"create_snap 1 0", b"create_thin 0",
        b"set_transaction_id 0 1", b"reserve_metadata_snap") + show(b"p") +
    messages(b"p", b"release_metadata_snap", b"delete 1", b"delete 7"),
    "thin": THINS + message(b"p", b"create_snap 2 0") +
    device(b"v", (0, 512, b"thin", b"p 2 mem1")) +
    device(b"w", (0, 512, b"thin-delta", b"p 2 0")) + show(b"t", b"v", b"w") +
    message(b"p", b"delete 0") + ioctl(REMOVE, b"p"),
    "pool-reload": THINS + load(b"p", (0, 1024, b"thin-pool", b"mem2 mem0 128 "
                                       b"0 4 skip_block_zeroing ignore_discard "
                                       b"no_discard_passdown "
                                       b"error_if_no_space")) +
    suspend(b"t") + suspend(b"p", NOFLUSH) + ioctl(SUSPEND, b"p") +
    ioctl(SUSPEND, b"t") + load(b"p", (0, 1024, b"thin-pool",
                                       b"mem2 mem0 128 0 1 read_only")) +
    ioctl(SUSPEND, b"p") + show(b"p", b"t") +
    load(b"p", (0, 512, b"thin-pool", b"mem2 mem0 128 0")) +
    ioctl(SUSPEND, b"p") + extents(b"t"),
    "pool-smaller": THINS + ioctl(REMOVE, b"t") + ioctl(REMOVE, b"p") +
    device(b"q", (0, 256, b"thin-pool", b"mem2 mem0 128 0")) +
    device(b"r", (0, 1024, b"thin-pool", b"mem2 mem0 256 0")) + show(b"q"),
    "snapshot": SNAPSHOT + show(b"o", b"s") +
    device(b"d", (0, 512, b"snapshot-diff", b"mem0 mem1 s")) + show(b"d") +
    device(b"n", (0, 512, b"snapshot", b"mem0 mem2 N 16 2 discard_zeroes_cow "
                  b"discard_passdown_origin")) + show(b"n") +
    ioctl(REMOVE, b"s"),
    "snapshot-merge": SNAPSHOT + ioctl(REMOVE, b"s") +
    load(b"o", (0, 512, b"snapshot-merge", b"mem0 mem1 P 8")) +
    suspend(b"o") + ioctl(SUSPEND, b"o") + show(b"o"),
    "snapshot-handover": SNAPSHOT +
    load(b"s", (0, 512, b"snapshot", b"mem0 mem1 PO 0")) + suspend(b"s") +
    ioctl(SUSPEND, b"s") + suspend(b"o") + ioctl(SUSPEND, b"s") +
    ioctl(SUSPEND, b"o") + show(b"s"),
    "reloads": frame(RELOAD) + show(b"a", b"y", b"pool") + frame(DUMP) +
    ioctl(REMOVE, b"y") + load(b"a", (0, 64, b"zero", b"")) +
    frame(RELOAD_STATUS) + frame(RELOAD) + suspend(b"pool") + frame(RELOAD) +
    frame(METRICS) + frame(COUNTERS) + ioctl(REMOVE_ALL) + frame(RELOAD),
    "create": ioctl(CREATE, b"a", uuid=b"u", flags=PERSISTENT,
                    dev=600 << 8 | 7) +
    ioctl(LOAD, b"a", specs((0, 8, b"zero", b"")), count=1,
          flags=READONLY | SECURE) + ioctl(SUSPEND, uuid=b"u") +
    ioctl(STATUS, dev=600 << 8 | 7) + ioctl(CREATE, b"b", uuid=b"u") +
    ioctl(CREATE, b"c", flags=PERSISTENT, dev=600 << 8 | 7) + frame(METRICS),
    "suspend": A + suspend(b"a") + suspend(b"a") + ioctl(LIST, room=512) +
    ioctl(WAIT, b"a", event_nr=9, room=600) + ioctl(REMOVE, b"a") +
    extents(b"a"),
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



def cow(chunk, *entries, magic=0x70416E53, valid=1, version=1):
    """Exceptions in order; numbers stand for the chunks that come by themselves
    in a store of chunks of so many sectors."""
    per_area = chunk * 512 // 16
    image = bytearray(struct.pack("<4I", magic, valid, version, chunk))
    for i, entry in enumerate(entries):
        old, new = entry if isinstance(entry, tuple) else (
            entry, i + 2 + i // per_area)
        at = (1 + i // per_area * (per_area + 1)) * chunk * 512 + (
            i % per_area * 16)
        image = image.ljust(at, b"\0") + struct.pack("<QQ", old, new)
    return bytes(image)


images = {
    "blank": b"\0",
    "empty": cow(16),
    "few": cow(8, 1, 2, 3, 77, 0, 125),
    "neighbours": cow(8, *range(40)),
    "two-areas": cow(1, *range(60)),
    "full-area": cow(1, *range(500, 532)),
    "any-order": cow(8, (4, 9), (5, 8), (6, 3), (1, 2), (9, 20)),
    "repeated": cow(4, 5, 5, 6, 5, (7, 2)),
    "beyond": cow(8, 1, 99999, (2, 1 << 40), (3, 1 << 60), (1 << 60, 5)),
    "in-metadata": cow(8, 1, (2, 1), (3, 514)),
    "stale": cow(8, 1, 2, (3, 0), 4, 5),
    "invalid": cow(8, 1, 2, valid=0),
    "version": cow(8, 1, version=2),
    "foreign": cow(8, 1, magic=0x12345678),
    "odd-chunks": cow(3, 1, 2),
    "no-chunks": struct.pack("<4I", 0x70416E53, 1, 1, 0),
    "huge-chunks": struct.pack("<4I", 0x70416E53, 1, 1, 1 << 21),
}

for folder, files in ("control", corpus), ("cow", images):
    os.makedirs(os.path.join(sys.argv[1], folder), exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(sys.argv[1], folder, name), "wb") as f:
            f.write(data)
