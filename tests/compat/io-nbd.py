#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""io-nbd.py SOCKET NAME r|w|d SECTOR COUNT: one request on an export."""
import sys
import nbd

sock, name, op, sector, count = sys.argv[1:]
h = nbd.NBD()
h.set_export_name(name)
h.connect_unix(sock)
at, length = int(sector) * 512, int(count) * 512
if op == "r":
    h.pread(length, at)
elif op == "d":
    h.trim(length, at)
else:
    h.pwrite(bytes(length), at)
h.shutdown()
