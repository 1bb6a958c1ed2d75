#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# stats.sh: what a region of statistics costs a request of 4 KiB.
#
# One server, one linear device; runs of fio with no region, with one over the
# whole device, and with one of 64 areas and a histogram take turns.  Medians of
# IOPS and of the server's CPU time per request, and the ratios to no region.
# Environment: RUNS (7), SECS (2), RUN.  Wants fio with the nbd engine.
set -euo pipefail

RUNS=${RUNS:-7} SECS=${SECS:-2}
run=${RUN:-$(dirname "$0")/../build/run}
work=$(mktemp -d /dev/shm/nbdm-bench.XXXXXX)
export NBDM_CONTROL=$work/control
"$run" nbdkit -f -U "$work/nbd" dm control="$NBDM_CONTROL" 2>"$work/log" &
server=$!
trap 'kill $server; wait $server || :; rm -rf "$work"' EXIT
until [ -S "$NBDM_CONTROL" ]; do sleep 0.1; done
truncate -s 256M "$work/file"
dd if=/dev/zero of="$work/file" bs=1M count=256 status=none

nbdmsetup () { "$run" nbdmsetup "$@"; }
nbdmsetup create disk --table "0 524288 linear $work/file 0"

cpu_ticks () { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# cell DEPTH: prints IOPS and microseconds of the server per request.
cell ()
{
  local before iops
  before=$(cpu_ticks)
  # Field 6 of a terse line is the KiB read.
  iops=$(fio --name=x --ioengine=nbd \
    --uri="nbd+unix:///disk?socket=$work/nbd" --rw=randread --bs=4k \
    --iodepth="$1" --thread --time_based --runtime="$SECS" --size=256M \
    --randrepeat=0 --norandommap --output-format=terse --terse-version=3 \
    2>>"$work/log" | awk -F';' -v s="$SECS" '/^3;/ { print $6 / 4 / s }')
  awk -v i="$iops" -v t=$(($(cpu_ticks) - before)) -v s="$SECS" \
    'BEGIN { print i, t * 10000 / (i * s) }'
}

regions=(none "@stats_create - 524288"
  "@stats_create - /64 2 precise_timestamps histogram:10000,100000,1000000")

for depth in 1 16; do
  for ((r = 0; r < RUNS; r++)); do
    for ((k = 0; k < 3; k++)); do
      i=$(((r + k) % 3))
      [ $i = 0 ] || nbdmsetup message disk 0 "${regions[i]}" >/dev/null
      cell $depth >>"$work/$depth-$i"
      [ $i = 0 ] || nbdmsetup message disk 0 @stats_delete 0
    done
  done
done

# median FILE COLUMN
median ()
{
  sort -n -k "$2,$2" "$1" | awk -v c="$2" -v n=$(((RUNS + 1) / 2)) \
    'NR == n { print $c }'
}

echo "| depth | region | IOPS | ratio | server µs/request | ratio |"
echo "|---|---|---|---|---|---|"
for depth in 1 16; do
  for i in 0 1 2; do
    awk -v d=$depth -v n="${regions[i]}" \
      -v a="$(median "$work/$depth-$i" 1)" -v a0="$(median "$work/$depth-0" 1)" \
      -v b="$(median "$work/$depth-$i" 2)" -v b0="$(median "$work/$depth-0" 2)" \
      'BEGIN { printf "| %d | `%s` | %d | %.2f | %.2f | %.2f |\n", d, n, a,
               a / a0, b, b / b0 }'
  done
done
