# SPDX-License-Identifier: BSD-3-Clause
"""Starts a server as systemd does, with sockets and a place for notifications,
and ends it.  See test-service.sh.

  service.py FOLDER COMMAND...
"""
import os
import signal
import socket
import sys

import nbd

FOLDER, COMMAND = sys.argv[1], sys.argv[2:]


def check(what, got, expected):
    if got != expected:
        sys.exit("%s: %r instead of %r" % (what, got, expected))


def start(notify, listeners, name):
    pid = os.fork()
    if pid:
        return pid
    for i, listener in enumerate(listeners):
        os.dup2(listener.fileno(), 3 + i)
    os.environ.update(LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=name,
                      LISTEN_FDS=str(len(listeners)))
    os.execvp(COMMAND[0], COMMAND)


def told(notify):
    """What the next datagram says."""
    lines = notify.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def export_size(connect):
    h = nbd.NBD()
    h.set_export_name("a")
    connect(h)
    size = h.get_size()
    h.shutdown()
    return size


def serve(address, name):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(address)
    notify.settimeout(20)
    path = FOLDER + "/activated"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    tcp = socket.create_server(("127.0.0.1", 0))
    unix.listen()
    tables = FOLDER + "/tables.yaml"
    with open(tables, "w") as f:
        f.write("devices:\n  a:\n    table: 0 8 zero\n")
    # High numbers, so that dup2 overwrites none of them.
    high = [socket.socket(fileno=os.dup(s.fileno())) for s in (unix, tcp)]
    pid = start(notify, high, name)
    try:
        check("ready", told(notify), {"READY": "1", "STATUS": "Serving"})
        check("unix", export_size(lambda h: h.connect_unix(path)), 4096)
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(FOLDER + "/control")
        port = str(tcp.getsockname()[1])
        check("tcp", export_size(lambda h: h.connect_tcp("127.0.0.1", port)),
              4096)
        for text, result in [("0 16 zero", "went well"),
                             ("0 16 nosuch", "failed, nothing changed: ")]:
            with open(tables, "w") as f:
                f.write("devices:\n  a:\n    table: %s\n" % text)
            os.kill(pid, signal.SIGHUP)
            words = told(notify)
            check("reloading", (words["RELOADING"],
                                words["MONOTONIC_USEC"].isdigit()), ("1", True))
            words = told(notify)
            check("ready again", words["READY"], "1")
            check("status", result in words["STATUS"], True)
        check("unix", export_size(lambda h: h.connect_unix(path)), 8192)
        os.kill(pid, signal.SIGTERM)
        check("stopping", told(notify), {"STOPPING": "1"})
        check("its end", os.waitpid(pid, 0)[1], 0)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    os.unlink(path)


serve(FOLDER + "/notify", FOLDER + "/notify")
name = "nbdm-test-%d" % os.getpid()
serve("\0" + name, "@" + name)
