#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# bench.sh FILE | UPSTREAM …: compare us with a peer, interleaved, by medians.
#
#   bench/bench.sh file      linear and striped over files : nbdkit file
#   bench/bench.sh upstream  an upstream export            : nbdkit nbd
#
# Environment: RUNS (5), SECS a cell (2), SIZE_MB (1024), DIR for the data (a
# new folder in /dev/shm), CELLS (all of the set).  Wants fio with the nbd
# engine, nbdcopy, and this tree built in build/ (or RUN, its run script).
#
# Every run starts each server afresh; servers take turns, in an order that
# rotates with the run.  A figure is IOPS (or copies of the device a second)
# and the CPU time of all server processes per request, read from /proc.  The
# table shows medians, and ratios to the reference, which is the first subject.
set -euo pipefail

RUNS=${RUNS:-5} SECS=${SECS:-2} SIZE_MB=${SIZE_MB:-1024}
run=${RUN:-$(dirname "$0")/../build/run}
set_name=${1:?usage: bench.sh file|upstream}
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
  for _ in $(seq 100); do
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
nbdm=("$run" nbdkit -f -U "$sock" dm control=none export=disk)

# One function per subject: starts its server(s) and sets $uri.
start_nbdkit-file () { serve "$uri" nbdkit -f -U "$sock" file "$data/disk"; }
start_nbdm-linear ()
{
  printf 'devices:\n  disk:\n    table: 0 %d linear %s 0\n' \
    $sectors "$data/disk" >"$work/t.yaml"
  serve "$uri" "${nbdm[@]}" "$work/t.yaml"
}
start_nbdm-striped ()
{
  printf 'devices:\n  disk:\n    table: 0 %d striped 4 128 %s 0 %s 0 %s 0 %s 0\n' \
    $sectors "$data/"{s1,s2,s3,s4} >"$work/t.yaml"
  serve "$uri" "${nbdm[@]}" "$work/t.yaml"
}
start_upstream ()
{
  serve "nbd+unix:///?socket=$up" \
    nbdkit -f -U "$up" --filter=noextents file "$data/disk"
}
start_nbdkit-nbd ()
{
  start_upstream
  serve "$uri" nbdkit -f -U "$sock" nbd socket="$up"
}
start_nbdm-upstream ()
{
  start_upstream
  printf 'devices:\n  disk:\n    table: "0 %d linear nbd+unix:///?socket=%s 0"\n' \
    $sectors "$up" >"$work/t.yaml"
  serve "$uri" "${nbdm[@]}" "$work/t.yaml"
}

case $set_name in
  file) subjects="nbdkit-file nbdm-linear nbdm-striped" ;;
  upstream) subjects="nbdkit-nbd nbdm-upstream" ;;
  *) echo "bench: unknown set $set_name" >&2; exit 1 ;;
esac
cells=${CELLS:-r4k-q1-j1 r4k-q1-j4 r4k-q16-j1 r4k-q16-j4 w4k-q1-j4 w4k-q16-j4 \
r1m-q4-j1 w1m-q4-j1 copy-r copy-w}

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
fio_cell ()
{
  local rw kb q j mode
  IFS=- read -r mode q j <<<"$1"
  case $mode in
    r4k) rw=randread kb=4 ;; w4k) rw=randwrite kb=4 ;;
    r1m) rw=read kb=1024 ;; w1m) rw=write kb=1024 ;;
  esac
  # Field 6 and 47 of a terse line are the KiB read and written.
  fio --name=cell --ioengine=nbd --uri="$uri" --rw=$rw --bs=${kb}k \
    --iodepth="${q#q}" --numjobs="${j#j}" --thread --size="${SIZE_MB}M" \
    --time_based --runtime="$SECS" --group_reporting --randrepeat=0 \
    --norandommap --output-format=terse --terse-version=3 2>>"$work/log" |
    awk -F';' -v kb=$kb -v secs="$SECS" \
      '/^3;/ { print ($6 + $47) / kb, secs }'
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

for f in disk disk.src; do
  dd if=/dev/urandom of="$data/$f" bs=1M count="$SIZE_MB" status=none
done
for i in 1 2 3 4; do
  dd if="$data/disk" of="$data/s$i" bs=1M count=$((SIZE_MB / 4)) status=none
done

: >"$work/figures"
order=($subjects)
for run in $(seq "$RUNS"); do
  for cell in $cells; do
    for subject in "${order[@]}"; do
      "start_$subject"
      run_cell "$cell" "$subject"
      stop_servers
    done
    order=("${order[@]:1}" "${order[0]}")
  done
  echo "bench: run $run of $RUNS done" >&2
done
[ -z "${KEEP:-}" ] || cp "$work/figures" "$KEEP"

# Medians; the reference is the first subject.
echo "| cell | subject | IOPS | ratio | server µs/request | ratio |"
echo "|---|---|---|---|---|---|"
for cell in $cells; do
  for subject in $subjects; do
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
