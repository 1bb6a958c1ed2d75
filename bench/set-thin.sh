# SPDX-License-Identifier: BSD-3-Clause
# Thin volumes, beside a plain file and qcow2 of the same block size (64 KiB).
#
# wnew starts with an empty volume, break is the same on a snapshot of (or an
# overlay over) a full one, all others have every block mapped: of qcow2, too,
# which is then as if it were preallocated.  qemu-storage-daemon is left out
# where there is none (Debian: qemu-system-common).
subjects="nbdkit-file nbdm-thin qemu-nbd qemu-storage-daemon"
cells="r4k-q16-j4 w4k-q16-j4 wnew-q16-j4 break-q16-j4 wflush-q16-j4 r1m-q4-j1 \
w1m-q4-j1"

thin_tables () # THIN-ID
{
  cat <<EOF
devices:
  pool:
    export: false
    table: 0 $((2 * sectors)) thin-pool $data/meta $data/blocks 128 0
    messages: [create_thin 1, create_snap 2 1]
  disk:
    table: 0 $sectors thin pool $1
EOF
}

thin_fresh ()
{
  rm -f "$data/meta" "$data/blocks"
  truncate -s 64M "$data/meta"
  truncate -s $((2 * SIZE_MB))M "$data/blocks"
}

start_nbdm-thin ()
{
  local id=1
  if [[ $1 = wnew-* ]]; then
    thin_fresh
  else
    cp "$data/meta.full" "$data/meta"
    cp "$data/blocks.full" "$data/blocks"
    [[ $1 != break-* ]] || id=2
  fi
  thin_tables $id >"$work/t.yaml"
  serve "$uri" "${nbdm[@]}" "$work/t.yaml"
}

# Sets $image to what the cell begins with.
qcow2_image () # CELL
{
  image=$data/full.qcow2
  case $1 in
    wnew-*) image=$data/new.qcow2
      qemu-img create -q -f qcow2 "$image" "${SIZE_MB}M" ;;
    break-*) image=$data/new.qcow2
      qemu-img create -q -f qcow2 -b "$data/full.qcow2" -F qcow2 "$image" ;;
  esac
}

start_qemu-nbd ()
{
  local image
  qcow2_image "$1"
  serve "$uri" qemu-nbd -t -e 8 -k "$sock" -f qcow2 --cache=writeback "$image"
}

skip_qemu-storage-daemon () { ! command -v qemu-storage-daemon >/dev/null; }

start_qemu-storage-daemon ()
{
  local image
  qcow2_image "$1"
  serve "$uri" qemu-storage-daemon \
    --blockdev "driver=file,node-name=file,filename=$image" \
    --blockdev driver=qcow2,node-name=disk,file=file \
    --nbd-server "addr.type=unix,addr.path=$sock,max-connections=8" \
    --export nbd,id=disk,node-name=disk,name=,writable=on
}

# What a plain file has to do for wnew is to grow.
start_nbdkit-file ()
{
  local file=$data/disk
  case $1 in
    wnew-*) file=$data/new; rm -f "$file"; truncate -s "${SIZE_MB}M" "$file" ;;
  esac
  serve "$uri" nbdkit -f -U "$sock" file "$file"
}

random "$data/disk" "$SIZE_MB"
qemu-img convert -O qcow2 "$data/disk" "$data/full.qcow2"
start_nbdm-thin wnew-prepare
nbdcopy "$data/disk" "$uri"
stop_servers
mv "$data/meta" "$data/meta.full"
mv "$data/blocks" "$data/blocks.full"
