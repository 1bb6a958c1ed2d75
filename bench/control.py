# SPDX-License-Identifier: BSD-3-Clause
"""A connection to the control socket, and what a server's memory is."""
import socket
import struct
import sys
import time

CREATE, REMOVE, RESUME, LOAD, LIST, MESSAGE = 3, 4, 6, 9, 2, 14


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.05)
        self.read = self.socket.makefile("rb").read

    def call(self, command, name=b"", count=0, payload=b"", room=0):
        size = max(312 + len(payload), room)
        ioctl = struct.pack("=6Ii3IQ128s136s", 4, 0, 0, size, 312, count, 0, 0,
                            0, 0, 0, name, b"") + payload
        ioctl = ioctl.ljust(size, b"\0")
        self.socket.sendall(struct.pack("=4I", 0x6D64626E, command, size, 0) +
                            ioctl)
        _, error, length, message = struct.unpack("=4I", self.read(16))
        data, text = self.read(length), self.read(message)
        if error:
            sys.exit("command %d: %s" % (command, text.decode()))
        return data

    def message(self, name, words):
        self.call(MESSAGE, name, payload=struct.pack("=Q", 0) +
                  words.encode() + b"\0")


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status
                    if line.startswith("VmRSS:"))
