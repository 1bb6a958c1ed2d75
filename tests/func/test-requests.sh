#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Each kind of request, with its flags, and what is refused.
. "$(dirname "$0")/lib.sh"
requires /usr/bin/python3 -c 'import nbd'

two_exports
start_nbdkit dm "$tmp/tables.yaml"
nbdmsetup create e --table '0 2048 error'
nbdmsetup create z --table '0 20971520 zero'

cat >"$tmp/test.py" <<'END'
import sys, nbd

def connect(export):
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.add_meta_context("base:allocation")
    h.set_export_name(export)
    h.connect_unix(sys.argv[1])
    return h

def refused(err, fn, *args):
    try:
        fn(*args)
    except nbd.Error as e:
        assert e.errno == err, "%s, not %s" % (e.errno, err)
    else:
        raise AssertionError("not refused")

def extents(h, count, offset, flags=0):
    out = []
    h.block_status(count, offset, lambda c, o, e, err: out.extend(e), flags)
    return out

h = connect("a")
size = h.get_size()
assert h.can_fua() and h.can_flush() and h.can_trim() and h.can_zero()
assert h.can_fast_zero() and h.can_cache() and h.can_multi_conn()
assert not h.is_read_only()
assert h.get_block_size(nbd.SIZE_MINIMUM) == 512
assert h.get_block_size(nbd.SIZE_MAXIMUM) == 32 << 20

# Across the border of the two pieces.
border = size // 2
data = bytes(range(256)) * 16
h.pwrite(data, border - 2048, nbd.CMD_FLAG_FUA)
assert h.pread(4096, border - 2048) == data
h.flush()
h.cache(4096, border - 2048)

h.zero(1024, border - 512, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
assert h.pread(1024, border - 512) == bytes(1024)
assert h.pread(512, border - 1024) == data[1024:1536]
h.trim(4096, border - 2048, nbd.CMD_FLAG_FUA)

# The last sector, and what lies behind it.
h.pwrite(data[:512], size - 512)
assert h.pread(512, size - 512) == data[:512]
refused("EINVAL", h.pread, 512, size)
refused("ENOSPC", h.pwrite, data[:512], size)

# Not in whole sectors.
refused("EINVAL", h.pread, 100, 0)
refused("EINVAL", h.pread, 512, 100)
refused("EINVAL", h.pwrite, b"x" * 100, 0)
refused("EINVAL", h.trim, 100, 0)
refused("EINVAL", h.zero, 512, 1)

# A bad sector is an I/O error, of reads and writes alike.
e = connect("e")
refused("EIO", e.pread, 512, 0)
refused("EIO", e.pwrite, bytes(512), 0)

# The zero target offers no zeroing: emulated, unless it has to be fast.
z = connect("z")
z.zero(3 << 20, 512)
refused("ENOTSUP", z.zero, 512, 0, nbd.CMD_FLAG_FAST_ZERO)
z.trim(1 << 20, 0)

# An answer about 4 GiB - 512 stays below 4 GiB, and the server lives.
count = (1 << 32) - 512
got = extents(z, count, 0)
assert sum(got[0::2]) <= count, got
assert got[1] == nbd.STATE_HOLE | nbd.STATE_ZERO, got
assert len(extents(h, size, 0, nbd.CMD_FLAG_REQ_ONE)) == 2
assert z.pread(512, 0) == bytes(512)
for x in h, e, z:
    x.shutdown()
END
/usr/bin/python3 "$tmp/test.py" "$sock"

# A table that shrinks under a connection: errors beyond its end, no crash.
cat >"$tmp/shrink.py" <<'END'
import subprocess, sys, nbd

h = nbd.NBD()
h.add_meta_context("base:allocation")
h.set_export_name("z")
h.connect_unix(sys.argv[1])
for args in ["load", "z", "--table", "0 8 zero"], ["resume", "z"]:
    subprocess.check_call(sys.argv[2:] + args)
assert h.pread(4096, 0) == bytes(4096)
for fn in (lambda: h.pread(512, 4096), lambda: h.pwrite(bytes(512), 4096),
           lambda: h.zero(512, 4096), lambda: h.trim(512, 4096),
           lambda: h.block_status(512, 4096, lambda *a: 0)):
    try:
        fn()
    except nbd.Error as e:
        assert e.errno == "EIO", e
    else:
        raise AssertionError("not refused")
h.shutdown()
END
/usr/bin/python3 "$tmp/shrink.py" "$sock" \
  "$run" nbdmsetup --control "$control"
stop_nbdkit
