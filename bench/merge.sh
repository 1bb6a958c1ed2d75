#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# merge.sh: how fast snapshots go back into their origin, medians in MiB/s.
#
# A snapshot of a file is written to all over, chunk by chunk, in order or at
# random; then it is merged.  Environment: RUNS (3), SIZE_MB (256), DIR for the
# data (a new folder in /dev/shm).  Wants fio with the nbd engine, and this tree
# built in build/ (or RUN, its run script).
set -euo pipefail

RUNS=${RUNS:-3} SIZE_MB=${SIZE_MB:-256}
run=${RUN:-$(dirname "$0")/../build/run}
work=$(mktemp -d /tmp/nbdm-bench.XXXXXX)
data=${DIR:-$(mktemp -d /dev/shm/nbdm-bench.XXXXXX)}
sectors=$((SIZE_MB * 2048))
server=

stop_server ()
{
  [ -z "$server" ] || { kill "$server"; wait "$server" || :; }
  server=
}
trap 'stop_server; rm -rf "$work"; [ -n "${DIR:-}" ] || rm -rf "$data"' EXIT

setup () { "$run" nbdmsetup --control "$work/control" "$@" >>"$work/log"; }

start_server ()
{
  rm -f "$work/s"
  "$run" nbdkit -f -U "$work/s" dm control="$work/control" 2>>"$work/log" &
  server=$!
  for _ in $(seq 200); do
    setup version 2>/dev/null && return
    sleep 0.05
  done
  echo "merge: the server does not answer" >&2
  exit 1
}

# fill WRITE|RANDWRITE SECTORS: a store whose exceptions came in that order.
fill ()
{
  rm -f "$data/cow"
  truncate -s $((SIZE_MB + SIZE_MB / 16 + 1))M "$data/cow"
  setup create s --table "0 $sectors snapshot $data/disk $data/cow P $2"
  fio --name=fill --ioengine=nbd --uri="nbd+unix:///s?socket=$work/s" \
    --rw="$1" --bs=$(($2 / 2))k "--size=${SIZE_MB}M" --iodepth=1 \
    --randrepeat=0 >>"$work/log" 2>&1
  setup remove --retry s
}

# MiB/s of a merge.
merge ()
{
  local t0 t1
  setup create m --notable
  setup load m --table "0 $sectors snapshot-merge $data/disk $data/cow P 0"
  t0=$(date +%s.%N)
  setup resume m
  setup wait m 0
  t1=$(date +%s.%N)
  "$run" nbdmsetup --control "$work/control" status m |
    grep -q ' \([0-9]*\)/[0-9]* \1$' || { echo "merge: failed" >&2; exit 1; }
  setup remove m
  awk -v mb="$SIZE_MB" -v a="$t0" -v b="$t1" 'BEGIN { print mb / (b - a) }'
}

head -c "${SIZE_MB}M" /dev/urandom >"$data/disk"
start_server
echo "| chunks | written | MiB/s |"
echo "|---|---|---|"
for chunk in 8 128; do
  for order in write randwrite; do
    for _ in $(seq "$RUNS"); do
      fill $order $chunk
      merge
    done | sort -n | awk -v kb=$((chunk / 2)) -v o=$order '
      { x[NR] = $1 }
      END { printf "| %d KiB | %s | %.0f |\n", kb,
              o == "write" ? "in order" : "at random",
              (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'
  done
done
