#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write random data to devices, and to files that say what they hold then.

    snapshot-writes.py SEED COUNT DEVICE=FILE...

Each of COUNT writes goes to one of the devices and to its file: up to 64 KiB,
aligned to 512 bytes.  The devices are opened with O_DIRECT, so that requests
are what is said here, and flushed in the end.
"""
import mmap
import os
import random
import sys

BLOCK = 512
MOST = 128


def main(seed, count, *pairs):
    chance = random.Random(int(seed))
    opened = []
    for pair in pairs:
        device, file = pair.split("=")
        fd = os.open(device, os.O_RDWR | os.O_DIRECT)
        opened.append((fd, open(file, "r+b", buffering=0)))
    size = os.lseek(opened[0][0], 0, os.SEEK_END) // BLOCK
    aligned = mmap.mmap(-1, MOST * BLOCK)
    for _ in range(int(count)):
        fd, file = chance.choice(opened)
        length = chance.choice((1, 3, 8, 8, 8, 16, 50, MOST))
        at = chance.randrange(size - length + 1)
        if length % 8 == 0 and chance.random() < 0.7:
            at -= at % 8
        data = chance.randbytes(length * BLOCK)
        aligned.seek(0)
        aligned.write(data)
        view = memoryview(aligned)[:length * BLOCK]
        if os.pwritev(fd, [view], at * BLOCK) != length * BLOCK:
            raise OSError("short write")
        view.release()
        os.pwrite(file.fileno(), data, at * BLOCK)
    for fd, _ in opened:
        os.fsync(fd)


main(*sys.argv[1:])
