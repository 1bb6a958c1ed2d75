#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes, kills and starts a server over and over; nothing flushed is lost.

   thin-kill.py ROUNDS SOCKET METADATA COMMAND...

COMMAND runs the server in the foreground, with an export "vol" on a thin.
"""
import os
import random
import subprocess
import sys
import threading
import time
import nbd

UNIT = 4096
UNITS = 2048

rounds, socket, metadata = int(sys.argv[1]), sys.argv[2], sys.argv[3]
command = sys.argv[4:]
# What each unit may hold: the last flushed value first, then later ones.
possible = [[0] for _ in range(UNITS)]


def start():
    """The server, and a connection to it."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    for _ in range(400):
        handle = nbd.NBD()
        handle.set_export_name("vol")
        try:
            handle.connect_unix(socket)
            return server, handle
        except nbd.Error:
            time.sleep(0.05)
    sys.exit("the server does not answer")


def verify(handle):
    """Each unit is one of those that it may be, as a whole."""
    for unit in range(UNITS):
        data = handle.pread(UNIT, unit * UNIT)
        value = int.from_bytes(data[:4], "little")
        if data != data[:4] * (UNIT // 4) or value not in possible[unit]:
            sys.exit(f"unit {unit}: {value}, not one of {possible[unit]}")
        possible[unit] = [value]


def work(handle):
    """Write at random until the server is gone."""
    dirty = set()
    try:
        while True:
            unit = random.randrange(UNITS)
            count = random.choice((1, 1, 1, 16, 20))
            value = random.randrange(1, 1 << 32)
            for i in range(unit, min(unit + count, UNITS)):
                possible[i].append(value)
                dirty.add(i)
            count = min(count, UNITS - unit)
            handle.pwrite(value.to_bytes(4, "little") * (count * UNIT // 4),
                          unit * UNIT)
            if random.random() < 0.05:
                handle.flush()
                for i in dirty:
                    possible[i] = possible[i][-1:]
                dirty.clear()
    except nbd.Error:
        pass


for number in range(rounds):
    random.seed(number)
    server, handle = start()
    verify(handle)
    killer = threading.Timer(random.uniform(0.02, 0.4), server.kill)
    killer.start()
    work(handle)
    killer.join()
    server.wait()
    os.unlink(socket)
    if subprocess.run(["thin_check", "-q", metadata]).returncode != 0:
        sys.exit(f"thin_check, after {number + 1} kills")
