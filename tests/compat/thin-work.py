#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random work on a thin device, and on a file that must be the same then.

   thin-work.py SEED OPERATIONS DEVICE IMAGE

Before and after the work the two are compared.
"""
import fcntl
import os
import random
import sys

BLOCK = 65536
BLKDISCARD = 0x1277
BLKFLSBUF = 0x1261


def compare(device, image, size):
    """The whole of the two, as the disk has it."""
    fcntl.ioctl(device, BLKFLSBUF)
    for at in range(0, size, 1 << 20):
        if os.pread(device, 1 << 20, at) != os.pread(image, 1 << 20, at):
            for block in range(at, at + (1 << 20), BLOCK):
                if os.pread(device, BLOCK, block) != \
                   os.pread(image, BLOCK, block):
                    sys.exit(f"{sys.argv[3]}: block {block // BLOCK} differs")


def write(device, image, size):
    """Anything from a sector to three blocks."""
    length = random.choice((1, 8, 8, 64, 128, 300)) * 512
    at = random.randrange((size - length) // 512) * 512
    if random.random() < 0.2:
        at -= at % BLOCK
    data = random.randbytes(512) * (length // 512)
    os.pwrite(device, data, at)
    os.pwrite(image, data, at)


def discard(device, image, size):
    """Some whole blocks, which then read as zeroes."""
    blocks = size // BLOCK
    first = random.randrange(blocks)
    length = random.randrange(1, min(9, blocks - first + 1)) * BLOCK
    # What is in the cache must not be written after it.
    os.fsync(device)
    fcntl.ioctl(device, BLKDISCARD,
                (first * BLOCK).to_bytes(8, "little") +
                length.to_bytes(8, "little"))
    os.pwrite(image, bytes(length), first * BLOCK)


def main():
    seed, operations, device, image = sys.argv[1:]
    random.seed(int(seed))
    device = os.open(device, os.O_RDWR)
    image = os.open(image, os.O_RDWR)
    size = os.fstat(image).st_size
    compare(device, image, size)
    for _ in range(int(operations)):
        random.choice((write, write, write, write, discard))(device, image,
                                                             size)
        if random.random() < 0.1:
            os.fsync(device)
    os.fsync(device)
    compare(device, image, size)


main()
