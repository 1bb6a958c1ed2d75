# SPDX-License-Identifier: BSD-3-Clause
# An upstream export, beside nbdkit's nbd plugin; the upstream of both is
# nbdkit's file plugin.
subjects="nbdkit-nbd nbdm-upstream"
cells="r4k-q1-j1 r4k-q1-j4 r4k-q16-j1 r4k-q16-j4 w4k-q1-j1 w4k-q1-j4 \
w4k-q16-j1 w4k-q16-j4 r1m-q4-j1 w1m-q4-j1 copy-r copy-w"

random "$data/disk" "$SIZE_MB"
random "$data/disk.src" "$SIZE_MB"

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
