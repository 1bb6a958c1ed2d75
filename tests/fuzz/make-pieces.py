#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""make-pieces.py IMAGE >INPUT: metadata of a thin pool as fuzz-thin takes it.

Of what is not zero; blocks whose checksum no kind of block has are left out.
"""
import struct
import sys

SALTS = (121107, 240779, 160478, 160774)
BLOCK = 4096
GAP = 16


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def pieces(block):
    """(offset, bytes) of all but long runs of zeroes."""
    at = 12 if block[12:] else BLOCK
    while at < BLOCK:
        end = block.find(b"\0" * GAP, at)
        end = BLOCK if end < 0 else end
        if block[at:end].strip(b"\0"):
            yield at, block[at:end].rstrip(b"\0")
        at = end + 1


with open(sys.argv[1], "rb") as f:
    image = f.read()
for nr in range(len(image) // BLOCK):
    data = image[nr * BLOCK:(nr + 1) * BLOCK]
    salt = struct.unpack("<I", data[:4])[0] ^ crc32c(data[4:])
    if salt not in SALTS or not data.strip(b"\0"):
        continue
    head = nr | SALTS.index(salt) << 14
    for offset, part in [(4, data[4:8]), *pieces(data)]:
        sys.stdout.buffer.write(struct.pack("<3H", head, offset, len(part)) +
                                part)
