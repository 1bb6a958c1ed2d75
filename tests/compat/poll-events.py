#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""poll-events.py COMMAND...: is there an event while it runs?

Arms /dev/mapper/control, runs the command, says whether the node is readable
then, and again after it has been armed once more.
"""
import fcntl
import os
import select
import struct
import subprocess
import sys

DEV_ARM_POLL = 0xC138FD10


def arm(fd):
    buf = bytearray(312)
    struct.pack_into("=5I", buf, 0, 4, 0, 0, 312, 312)
    fcntl.ioctl(fd, DEV_ARM_POLL, buf)


def readable(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])


control = os.open("/dev/mapper/control", os.O_RDWR)
arm(control)
before = readable(control, 0)
status = subprocess.call(sys.argv[1:])
told = readable(control, 0.5)
arm(control)
print("event" if told else "no event")
if before or readable(control, 0):
    print("readable though it was armed")
sys.exit(status)
