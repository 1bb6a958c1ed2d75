#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Filters of nbdkit over the plugin.
. "$(dirname "$0")/lib.sh"
requires nbdcopy --version

two_exports
random_file data $((16 << 20))

# filter EXPORT NAME [PARAMETER...]: copy in and out through it.
through ()
{
  local export=$1 filter=$2
  shift 2
  if ! nbdkit --filter="$filter" null --dump-plugin >/dev/null 2>&1; then
    echo "no $filter filter here"
    return 0
  fi
  echo "filter $filter"
  start_nbdkit --filter="$filter" dm "$tmp/tables.yaml" "$@"
  nbdcopy --flush "$tmp/data" "$(uri "$export")"
  nbdcopy "$(uri "$export")" "$tmp/back"
  cmp -n $((16 << 20)) "$tmp/data" "$tmp/back"
  stop_nbdkit
}

through b blocksize minblock=4k maxdata=64k
through b delay delay-read=1ms delay-write=1ms
through b log logfile="$tmp/logfile"
grep -q 'Write id' "$tmp/logfile"
through b stats statsfile="$tmp/stats"
grep -q '^write' "$tmp/stats"
through b rate rate=8G
through b fua fuamode=emulate
through b noextents
through b nozero zeromode=emulate
through b retry
through b truncate truncate=32M

# These keep one state for all exports, so they get one export.
through b readahead export=b
through b cow export=b
cmp -s "$tmp/data" "$tmp/back"
through b cache export=b

# A partition of 16 MiB at 1 MiB, by a table of one entry.
truncate -s 64M "$tmp/disk"
printf '\0\0\2\0\203\377\377\377\0\10\0\0\0\200\0\0' |
  dd of="$tmp/disk" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$tmp/disk" bs=1 seek=510 conv=notrunc status=none
start_nbdkit dm "$tmp/tables.yaml"
nbdcopy "$tmp/disk" "$(uri a)"
stop_nbdkit
through a partition export=a partition=1
cmp -n $((16 << 20)) --ignore-initial=1048576:0 "$tmp/1.img" "$tmp/data"
