#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# bench.sh SET: compare us with peers, interleaved, by medians.
#
#   bench/bench.sh file      linear and striped over files : nbdkit file
#   bench/bench.sh upstream  an upstream export            : nbdkit nbd
#   bench/bench.sh snapshot  snapshots of a file           : nbdkit file, qcow2
#   bench/bench.sh thin      thin volumes                  : nbdkit file, qcow2
#                            by qemu-nbd and by qemu-storage-daemon
#
# Environment: RUNS (5), SECS a cell (2), SIZE_MB (1024), DIR for the data (a
# new folder in /dev/shm), CELLS (all of the set), SUBJECTS (all), KEEP (a file
# for the single figures).  Wants fio with the nbd engine, nbdcopy, qemu-nbd
# for qcow2, and this tree built in build/ (or RUN, its run script).
#
# Every run starts each server afresh; servers take turns, in an order that
# rotates with the run.  A figure is IOPS (or copies of the device a second)
# and the CPU time of all server processes per request, read from /proc.  The
# table shows medians, and ratios to the reference, which is the first subject.
#
# bench/set-NAME.sh is the set: it names $subjects and $cells, makes what all
# runs share, and has a function start_SUBJECT CELL that starts the server(s)
# at $sock with what the cell begins with.  A subject without a cell of its own
# says so in skip_SUBJECT CELL.
set -euo pipefail

RUNS=${RUNS:-5} SECS=${SECS:-2} SIZE_MB=${SIZE_MB:-1024}
here=$(dirname "$0")
run=${RUN:-$here/../build/run}
set_name=${1:?usage: bench.sh SET}
work=$(mktemp -d /tmp/nbdm-bench.XXXXXX)
data=${DIR:-$(mktemp -d /dev/shm/nbdm-bench.XXXXXX)}
pids=()

stop_servers ()
{
  # All before waiting for any: nbdkit does not end while it has a client.
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || :; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || :; done
  pids=()
  rm -f "$work/s" "$work/up" # nbdkit leaves them behind
}
trap 'stop_servers; rm -rf "$work"; [ -n "${DIR:-}" ] || rm -rf "$data"' EXIT

sock=$work/s
up=$work/up

wait_ready ()
{
  for _ in $(seq 200); do
    nbdinfo --size "$1" >/dev/null 2>&1 && return
    sleep 0.05
  done
  echo "bench: $1 does not answer" >&2
  exit 1
}

# serve URI COMMAND …: start a server in the background, wait until it answers.
serve ()
{
  local uri=$1
  shift
  "$@" >>"$work/log" 2>&1 &
  pids+=($!)
  wait_ready "$uri"
}

sectors=$((SIZE_MB * 2048))
uri="nbd+unix:///?socket=$sock"
nbdm=("$run" nbdkit -f -U "$sock" dm "control=$work/control" export=disk)
start_nbdkit-file () { serve "$uri" nbdkit -f -U "$sock" file "$data/disk"; }
control () { "$run" nbdmsetup --control "$work/control" "$@" >>"$work/log"; }

# random FILE MIB
random () { dd if=/dev/urandom of="$1" bs=1M count="$2" status=none; }

[ -f "$here/set-$set_name.sh" ] ||
  { echo "bench: unknown set $set_name" >&2; exit 1; }
. "$here/set-$set_name.sh"
cells=${CELLS:-$cells}
subjects=${SUBJECTS:-$subjects}

# CPU ticks of the servers so far, children not counted (they have none).
ticks ()
{
  local p sum=0 f
  for p in "${pids[@]}"; do
    f=($(sed 's/.*) //' "/proc/$p/stat"))
    sum=$((sum + f[11] + f[12]))
  done
  echo $sum
}

# fio_cell CELL: prints the number of requests and the seconds.
#
# A cell is KIND-qDEPTH-jCLIENTS.  wnew, break: one write of 4 KiB in each 64
# KiB, all over the device once; wflush: a flush after every 32 requests.
fio_cell ()
{
  local mode q j kb=4 args=(--time_based "--runtime=$SECS" --norandommap)
  IFS=- read -r mode q j <<<"$1"
  j=${j#j}
  case $mode in
    r4k) args+=(--rw=randread) ;;
    w4k) args+=(--rw=randwrite) ;;
    wflush) args+=(--rw=randwrite --fsync=32) ;;
    wnew | break)
      args=(--rw=write:60k "--size=$((SIZE_MB / j))M"
            "--io_size=$((SIZE_MB / j / 16))M"
            "--offset_increment=$((SIZE_MB / j))M") ;;
    r1m) kb=1024 args+=(--rw=read) ;;
    w1m) kb=1024 args+=(--rw=write) ;;
    *) echo "bench: unknown cell $1" >&2; exit 1 ;;
  esac
  # Field 6 and 47 of a terse line are the KiB read and written, 9 and 50 the
  # milliseconds.
  fio --name=cell --ioengine=nbd --uri="$uri" --bs=${kb}k "--size=${SIZE_MB}M" \
    --iodepth="${q#q}" --numjobs="$j" --thread "${args[@]}" \
    --group_reporting --randrepeat=0 \
    --output-format=terse --terse-version=3 2>>"$work/log" |
    awk -F';' -v kb=$kb \
      '/^3;/ { print ($6 + $47) / kb, ($9 > $50 ? $9 : $50) / 1000 }'
}

# copy_cell CELL: the same for one pass of nbdcopy, 256 KiB counted as one.
copy_cell ()
{
  local t0 t1
  t0=$(date +%s.%N)
  if [ "$1" = copy-r ]; then nbdcopy "$uri" null:
  else nbdcopy --destination-is-zero "$data/disk.src" "$uri"; fi
  t1=$(date +%s.%N)
  awk -v n=$((SIZE_MB * 4)) -v a="$t0" -v b="$t1" 'BEGIN { print n, b - a }'
}

# One figure line: CELL SUBJECT IOPS CPU_US
run_cell ()
{
  local cell=$1 subject=$2 before after result
  before=$(ticks)
  case $cell in copy-*) result=$(copy_cell "$cell") ;;
                *) result=$(fio_cell "$cell") ;; esac
  after=$(ticks)
  awk -v c="$cell" -v s="$subject" -v t=$((after - before)) \
    -v hz="$(getconf CLK_TCK)" '{ printf "%s %s %.1f %.2f\n", c, s, $1 / $2,
      t / hz * 1e6 / $1 }' <<<"$result" >>"$work/figures"
}

skips () { declare -F "skip_$1" >/dev/null && "skip_$1" "$2"; }

: >"$work/figures"
order=($subjects)
for n in $(seq "$RUNS"); do
  for cell in $cells; do
    for subject in "${order[@]}"; do
      skips "$subject" "$cell" && continue
      "start_$subject" "$cell"
      run_cell "$cell" "$subject"
      stop_servers
    done
    order=("${order[@]:1}" "${order[0]}")
  done
  echo "bench: run $n of $RUNS done" >&2
done
[ -z "${KEEP:-}" ] || cp "$work/figures" "$KEEP"

# Medians; the reference is the first subject.
echo "| cell | subject | IOPS | ratio | server µs/request | ratio |"
echo "|---|---|---|---|---|---|"
for cell in $cells; do
  for subject in $subjects; do
    skips "$subject" "$cell" && continue
    grep "^$cell $subject " "$work/figures" | awk '
      function median (a, n,  i, j, t) {
        for (i = 2; i <= n; i++)
          for (j = i; j > 1 && a[j] < a[j-1]; j--) {
            t = a[j]; a[j] = a[j-1]; a[j-1] = t }
        return n % 2 ? a[(n+1)/2] : (a[n/2] + a[n/2+1]) / 2 }
      { n++; x[n] = $3 + 0; y[n] = $4 + 0 }
      END { print $1, $2, median(x, n), median(y, n) }'
  done | awk 'NR == 1 { i = $3; c = $4 }
    { printf "| %s | %s | %.0f | %.2f | %.2f | %.2f |\n",
        $1, $2, $3, $3 / i, $4, $4 / c }'
done
