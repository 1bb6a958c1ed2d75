#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""thin-metadata.py: what the metadata of a thin pool cost.

Three tables: snapshots of a thin with few and with many mappings; what is
written to the metadata device for each block of 64 KiB that is provisioned by a
write of 4 KiB; how many MiB a server takes for many mappings.  The data
device is of the type zero, so nothing but metadata takes space or time.

Environment: MAPPINGS (1000000), RUN (the run script of this tree in build/).
Wants fio with the nbd engine, and the Python module nbd.
"""
import contextlib
import os
import random
import re
import statistics
import subprocess
import tempfile
import time

import nbd

from control import Control, resident_kib

run = os.environ.get("RUN", os.path.dirname(__file__) + "/../build/run")
mappings = int(os.environ.get("MAPPINGS", 1000000))
BLOCK = 65536
TABLES = """devices:
  meta: {export: false, table: 0 %(meta)d linear meta.img 0}
  data: {export: false, table: 0 %(size)d zero}
  pool:
    export: false
    table: 0 %(size)d thin-pool meta data 128 0
    messages: [create_thin 0]
  disk: {table: 0 %(size)d thin pool 0}
"""


class Pool:
    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.control = Control(folder + "/control")
        self.uri = "nbd+unix:///disk?socket=" + folder + "/nbd"

    def metadata(self):
        """What was written to the metadata: blocks, requests, flushes."""
        text = subprocess.run([run, "nbdmsetup", "--control",
                               self.folder + "/control", "metrics"],
                              check=True, stdout=subprocess.PIPE).stdout
        value = dict(re.findall(r'nbdm_device_(\w+)_total{device="meta"} (\d+)',
                                text.decode()))
        return (int(value["written_bytes"]) // 4096,
                int(value["writes_completed"]), int(value["flush_requests"]))

    def fio(self, count, *args):
        """One request of 4 KiB for each of so many blocks."""
        subprocess.run(["fio", "--name=fill", "--ioengine=nbd", "--bs=4k",
                        "--uri=" + self.uri, "--iodepth=16", "--numjobs=4",
                        "--thread", "--size=%d" % (count // 4 * BLOCK),
                        "--io_size=%d" % (count // 4 * 4096),
                        "--offset_increment=%d" % (count // 4 * BLOCK), *args],
                       check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def fill(self, count):
        self.fio(count, "--rw=write:60k", "--end_fsync=1")


@contextlib.contextmanager
def new_pool(blocks):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        with open(folder + "/meta.img", "wb") as f:
            f.truncate(256 << 20)
        with open(folder + "/t.yaml", "w") as f:
            f.write(TABLES % {"meta": 256 << 11, "size": blocks * 128})
        server = subprocess.Popen([run, "nbdkit", "-f", "-U", folder + "/nbd",
                                   "dm", folder + "/t.yaml",
                                   "control=" + folder + "/control"],
                                  stderr=subprocess.DEVNULL)
        try:
            yield Pool(folder, server)
        finally:
            server.terminate()
            server.wait()


def snapshots(count):
    with new_pool(count) as pool:
        pool.fill(count)
        figures = []
        for i in range(1, 102):
            before, begin = pool.metadata(), time.monotonic()
            pool.control.message(b"pool", "create_snap %d 0" % i)
            spent = time.monotonic() - begin
            figures.append([spent * 1e6] + [a - b for a, b in
                                            zip(pool.metadata(), before)])
        print("| %d | %s |" % (count, " | ".join(
            "%.0f" % statistics.median(f) for f in zip(*figures))), flush=True)


def provision(order, flush_every, count=20000):
    blocks = list(range(count))
    if order == "random":
        random.Random(1).shuffle(blocks)
    with new_pool(count) as pool:
        h = nbd.NBD()
        h.connect_uri(pool.uri)
        before, data = pool.metadata(), b"x" * 4096
        for n, block in enumerate(blocks):
            h.pwrite(data, block * BLOCK)
            if flush_every and n % flush_every == flush_every - 1:
                h.flush()
        h.flush()
        print("| %s | %s | %s |" % (order, flush_every or "the end", " | ".join(
            "%.4f" % ((a - b) / count)
            for a, b in zip(pool.metadata(), before))), flush=True)
        h.shutdown()


def memory(count):
    with new_pool(count) as pool:
        empty = resident_kib(pool.server.pid)
        pool.fill(count)
        filled = resident_kib(pool.server.pid)
        pool.fio(count, "--rw=read:60k")
        read = resident_kib(pool.server.pid)
        print("| %d | %.1f | %.1f | %.1f |" % (count, empty / 1024,
                                               filled / 1024, read / 1024))


print("| mappings | µs | metadata blocks | writes | flushes |")
print("|---|---|---|---|---|")
snapshots(1000)
snapshots(mappings)
print("\n| blocks | flush after | metadata blocks | writes | flushes |")
print("|---|---|---|---|---|")
for each in 0, 32, 1:
    provision("in order", each)
    provision("random", each)
print("\n| mappings | empty | all written | all read |")
print("|---|---|---|---|")
memory(mappings)
