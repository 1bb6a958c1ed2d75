#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""devices.py [COUNT...]: what each of many devices costs, as COUNT grows.

For each COUNT (250 1000 4000) a server is started, and over one control
connection that many devices are created with a linear table each on a file of
its own, listed, given another table, and removed.  The figures are
microseconds per device and, for memory, what the server has grown by.

Wants this tree built in build/ (or RUN, its run script).
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from control import (CREATE, LIST, LOAD, REMOVE, RESUME, Control,
                     resident_kib)

run = os.environ.get("RUN", os.path.dirname(__file__) + "/../build/run")


def load(control, name, path, offset):
    params = ("%s %d" % (path, offset)).encode() + b"\0"
    params = params.ljust((len(params) + 7) // 8 * 8, b"\0")
    control.call(LOAD, name, 1, struct.pack("=QQiI16s", 0, 8, 0, 0, b"linear") +
                 params)
    control.call(RESUME, name)


def each(count, fn):
    begin = time.monotonic()
    for i in range(count):
        fn(i, b"device-%d" % (i * 7919 % count))
    return (time.monotonic() - begin) / count * 1e6


def list_all(control, count):
    begin = time.monotonic()
    data = control.call(LIST, room=count * 64 + 1024)
    spent = (time.monotonic() - begin) / count * 1e6
    if data.count(b"device-") != count:
        sys.exit("not all devices are listed")
    return spent


def measure(count, folder):
    path = folder + "/control"
    server = subprocess.Popen([run, "nbdkit", "-f", "-U", folder + "/nbd", "dm",
                               "control=" + path], stderr=subprocess.DEVNULL)
    try:
        control = Control(path)
        for i in range(count):
            with open("%s/%d" % (folder, i), "wb") as f:
                f.truncate(8192)
        before = resident_kib(server.pid)
        figures = [
            each(count, lambda i, name: control.call(CREATE, name)),
            each(count, lambda i, name: load(control, name,
                                             "%s/%d" % (folder, i), 0)),
            list_all(control, count),
            (resident_kib(server.pid) - before) * 1024 / count,
            each(count, lambda i, name: load(control, name,
                                             "%s/%d" % (folder, i), 8)),
            each(count, lambda i, name: control.call(REMOVE, name)),
        ]
    finally:
        server.terminate()
        server.wait()
    print("| %d | %s |" % (count, " | ".join("%.1f" % f for f in figures)))


print("| devices | create | load, resume | list | bytes | swap | remove |")
print("|---|---|---|---|---|---|---|", flush=True)
for n in [int(a) for a in sys.argv[1:]] or [250, 1000, 4000]:
    work = tempfile.mkdtemp(dir="/dev/shm")
    try:
        measure(n, work)
    finally:
        shutil.rmtree(work)
