# SPDX-License-Identifier: BSD-3-Clause
# Linear and striped over files, beside nbdkit's file plugin.
subjects="nbdkit-file nbdm-linear nbdm-striped"
cells="r4k-q1-j4 r4k-q16-j1 r4k-q16-j4 w4k-q1-j4 w4k-q16-j4 r1m-q4-j1 \
w1m-q4-j1 copy-r copy-w"

random "$data/disk" "$SIZE_MB"
random "$data/disk.src" "$SIZE_MB"
for i in 1 2 3 4; do random "$data/s$i" $((SIZE_MB / 4)); done

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
