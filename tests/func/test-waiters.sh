#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A thousand clients that wait for an event cost no thread, and all hear of it.
. "${srcdir:=$(dirname "$0")}/lib.sh"
requires python3 --version
# The server takes half of the files it may open for control connections.
ulimit -n 4096 2>/dev/null || { echo "skipped: needs 4096 open files"; exit 77; }

start_nbdkit dm
nbdmsetup create a --table '0 8 zero'
python3 "$srcdir/waiters.py" "$control" "$server" 1000 a \
  "$run" nbdmsetup --control "$control" rename a b
nbdmsetup remove b
stop_nbdkit
