# SPDX-License-Identifier: BSD-3-Clause
"""Rewrites a table file again and again, has the server read it by SIGHUP, and
judges what came of it.  See test-sighup.sh."""

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import nbd

FOLDER, SERVER, ROUNDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SEED = int(sys.argv[4])
NBDMSETUP = sys.argv[5:]
TABLES = FOLDER + "/tables.yaml"
SIZE = 16384  # sectors of a device under load
HOUR = 3600 * 1000


def img(n):
    return "%s/%d.img" % (FOLDER, n)


def linear(*areas):
    """Lines for areas (device, offset, length), one after the other."""
    lines, at = [], 0
    for device, offset, length in areas:
        lines.append("%d %d linear %s %d" % (at, length, device, offset))
        at += length
    return lines


def cut(device, offset, length, n):
    step = length // n
    return linear(*((device, offset + i * step, step) for i in range(n)))


def same_range(device, offset, length):
    """Tables that put the range in the same place."""
    return [cut(device, offset, length, n) for n in (1, 2, 4)] + [
        ["0 %d striped 1 128 %s %d" % (length, device, offset)],
        ["0 %d flakey %s %d 3600 0 0 " % (length, device, offset)],
        ["0 %d delay %s %d 1" % (length, device, offset)],
    ]


half, quarter = SIZE // 2, SIZE // 4

# Device -> tables that are the same for its clients.  Clients of a, b, c and d
# write and verify all the time; still and top never change.
VARIANTS = {
    "a": same_range(img(1), 2048, SIZE) + same_range("window", 0, SIZE),
    "b": [["0 %d striped 2 %d %s 0 %s 0" % (SIZE, quarter, img(2), img(3))],
          linear((img(2), 0, quarter), (img(3), 0, quarter),
                 (img(2), quarter, quarter), (img(3), quarter, quarter))],
    "base": same_range(img(4), 0, 3 * SIZE),
    "c": same_range("base", 0, SIZE),
    "d": [linear((img(5), 0, half), ("base", SIZE, half)),
          linear((img(5), 0, quarter), (img(5), quarter, quarter),
                 ("base", SIZE, half))],
    "still": [["0 8 delay %s 0 %d %s 0 0" % (img(6), HOUR, img(6))]],
    "top": [["0 8 delay base %d %d base %d 0" %
             (2 * SIZE, HOUR, 2 * SIZE)]],
}


class File:
    """The text of a table file, and where its devices stand."""

    def __init__(self, tables, padding):
        # Reports are told apart by their lines.
        self.lines = ["# round"] * padding + [
            "backings:",
            "  window: {file: 1.img, offset: 1048576}",
            "devices:"]
        self.at = {}
        for name, table in random.sample(list(tables.items()), len(tables)):
            self.lines.append("  %s:" % name)
            if name == "base":
                self.lines.append("    export: false")
            self.lines.append("    table:")
            self.at[name] = len(self.lines)
            self.lines += ["      - %s" % line for line in table]

    def write(self):
        with open(TABLES + ".new", "w") as f:
            f.write("\n".join(self.lines) + "\n")
        os.rename(TABLES + ".new", TABLES)


# Mistakes: a device, its table, and words of the message.
BAD_TABLES = [
    ("c", "0 8 linaer base 0", "linaer"),
    ("a", "0 8 linear window", "Invalid argument count"),
    ("a", "0 8 linear /nonexistent 0", "/nonexistent: No such file"),
    ("d", "0 %d linear %s 0" % (64 * SIZE, img(6)), "too small"),
    ("base", "0 %d linear c 0" % SIZE, "base"),  # c stands on it
    ("still", "8 8 zero", "Gap in table"),
]


def bad_table(tables):
    name, line, words = BAD_TABLES[number // 10 % len(BAD_TABLES)]
    f = File(tables | {name: [line]}, number)
    return f, f.at[name] + 1, words


def too_late(tables):
    """Found when base has been swapped already."""
    f = File(tables | {"base": ["0 %d zero" % (2 * SIZE + 64)],
                       "c": ["0 8 linear base %d" % (2 * SIZE + 64)]}, number)
    return f, f.at["c"] + 1, "too small"


def bad_syntax(tables):
    f = File(tables, number)
    f.lines.append("\tfoo: bar")
    return f, len(f.lines), "tab character"


def bad_key(tables):
    f = File(tables, number)
    f.lines.insert(f.at["b"] - 1, "    colour: red")
    return f, f.at["b"], "unknown key 'colour'"


def duplicate(tables):
    f = File(tables, number)
    f.lines += ["  a:", "    table: 0 8 zero"]
    return f, len(f.lines) - 1, "a"


# Each returns a file, the line of the mistake, from 1, and words of the
# message.
SPOILERS = [bad_table, too_late, bad_table, bad_syntax, bad_table, bad_key,
            duplicate]


class Control:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(FOLDER + "/control")
        self.file = self.socket.makefile("rb")

    def last_reload(self):
        """Errno, report and message of the last reload."""
        self.socket.sendall(struct.pack("=4I", 0x6D64626E, 0x101, 0, 0))
        _, error, length, rest = struct.unpack("=4I", self.file.read(16))
        return (error, self.file.read(length).decode(),
                self.file.read(rest).decode())


def check(condition, *what):
    if not condition:
        print(*what, sep="\n", file=sys.stderr)
        sys.exit("round %d (seed %d) failed" % (number, SEED))


def await_reload(mark):
    """The last reload, once mark shows that it is ours."""
    deadline = time.monotonic() + 20
    while True:
        error, report, message = control.last_reload()
        if mark in report:
            return error, report, message
        check(time.monotonic() < deadline, "no reload, looking for " + mark,
              report)
        time.sleep(0.002)


def check_tables(tables):
    """What the server has is what it should have."""
    out = subprocess.run(NBDMSETUP + ["table"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    got = [line.rstrip() for line in out.splitlines()]
    expected = [("%s: %s" % (name, line)).rstrip() for name in sorted(tables)
                for line in tables[name]]
    check(got == expected, "expected:", *expected, "", "got:", *got)


def next_tables(tables):
    """Some devices get other tables, some come and go."""
    new = {name: random.choice(VARIANTS[name])
           if name in tables and random.random() < 0.4 else tables[name]
           for name in VARIANTS}
    for n in range(4):
        if random.random() < 0.5:
            new["extra%d" % n] = ["0 8 linear base %d" % (2 * SIZE + 8 * n)]
    new["round%d" % number] = ["0 8 zero"]
    return new


def valid_round(tables):
    new = next_tables(tables)
    File(new, number).write()
    os.kill(SERVER, signal.SIGHUP)
    error, report, message = await_reload("create round%d\n" % number)
    check(error == 0, message)
    changed = {n for n in new if n in tables and new[n] != tables[n]}
    suspended = {line.split()[1] for line in report.splitlines()
                 if line.startswith("suspend ")}
    check(changed == suspended, "changed, suspended:", changed, suspended)
    check_tables(new)
    return new


def invalid_round(tables):
    spoiler = SPOILERS[number // 10 % len(SPOILERS)]
    f, line, words = spoiler(next_tables(tables))
    f.write()
    os.kill(SERVER, signal.SIGHUP)
    error, report, message = await_reload("%s:%d:" % (TABLES, line))
    check(error != 0 and words in message, report, message)
    check_tables(tables)
    return tables


def hold(export):
    """A read that stays where it is for an hour, or until the device is
    suspended."""
    h = nbd.NBD()
    h.set_export_name(export)
    h.connect_unix(FOLDER + "/nbd")
    buf = nbd.Buffer(512)
    return h, h.aio_pread(buf, 0), buf


def is_done(held, seconds):
    h, cookie, _ = held
    deadline = time.monotonic() + seconds
    while not h.aio_command_completed(cookie):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        h.poll(int(left * 1000) + 1)
    return True


random.seed(SEED)
number = 0
tables = {name: variants[0] for name, variants in VARIANTS.items()}
control = Control()
held = {name: hold(name) for name in ("still", "top")}

for number in range(1, ROUNDS + 1):
    if number % 10 == 0:
        tables = invalid_round(tables)
    else:
        tables = valid_round(tables)
    if number % 100 == 0:
        for name in held:
            check(not is_done(held[name], 0), name + " was suspended")

# That is how it would have shown.
for name in held:
    check(not is_done(held[name], 0.1), name + " was suspended")
    subprocess.run(NBDMSETUP + ["suspend", name], check=True)
    check(is_done(held[name], 60), name + " held on to a request")
    subprocess.run(NBDMSETUP + ["resume", name], check=True)
