# SPDX-License-Identifier: BSD-3-Clause
# Persistent snapshots of a file, with chunks of 4 and 64 KiB, beside the file
# itself, qcow2 over it (64 KiB) and nbdkit's cow filter.  Each cell starts with
# an empty COW store.  nbdm-origin-N is the origin while it has N snapshots with
# chunks of 4 KiB.
subjects="nbdkit-file nbdm-4k nbdm-64k qemu-nbd nbdkit-cow nbdm-origin-1 \
nbdm-origin-4"
cells="r4k-q16-j4 w4k-q16-j4 wnew-q16-j4 wflush-q16-j4"

random "$data/disk" "$SIZE_MB"

# snapshot_tables CHUNK-SECTORS HOW-MANY: s1 … sN and their origin, o.
snapshot_tables ()
{
  local i
  echo "devices:"
  for i in $(seq "$2"); do
    rm -f "$data/cow$i"
    truncate -s $((SIZE_MB + SIZE_MB / 16 + 1))M "$data/cow$i"
    echo "  s$i:"
    echo "    table: 0 $sectors snapshot $data/disk $data/cow$i P $1"
  done
  echo "  o:"
  echo "    table: 0 $sectors snapshot-origin $data/disk"
}

# serve_snapshot EXPORT CHUNK-SECTORS HOW-MANY
serve_snapshot ()
{
  snapshot_tables "$2" "$3" >"$work/t.yaml"
  serve "$uri" "${nbdm[@]/export=disk/export=$1}" "$work/t.yaml"
}

start_nbdm-4k () { serve_snapshot s1 8 1; }
start_nbdm-64k () { serve_snapshot s1 128 1; }
start_nbdm-origin-1 () { serve_snapshot o 8 1; }
start_nbdm-origin-4 () { serve_snapshot o 8 4; }

start_qemu-nbd ()
{
  qemu-img create -q -f qcow2 -b "$data/disk" -F raw "$data/new.qcow2"
  serve "$uri" qemu-nbd -t -e 8 -k "$sock" -f qcow2 --cache=writeback \
    "$data/new.qcow2"
}

start_nbdkit-cow ()
{
  serve "$uri" env TMPDIR="$data" \
    nbdkit -f -U "$sock" --filter=cow file "$data/disk"
}
