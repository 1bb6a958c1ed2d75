#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Exports for those whose certificates have the right names.  Where nbdkit
# cannot tell them, a table file that asks for them is refused.
. "$(dirname "$0")/lib.sh"
requires sh -c 'nbdkit --dump-config | grep -q ^tls=yes'

cat >"$tmp/tables.yaml" <<'END'
devices:
  any: {table: 0 8 zero}
  cert:
    allow: [{tls-dn: "CN=*,O=Home"}]
    table: 0 16 zero
  issuer:
    allow: [{tls-issuer-dn: 'CN=Home CA', tls-dn: 'CN=bob\, the second,O=Home'}]
    table: 0 32 zero
END

if ! nm -D "$builddir/server/.libs/nbdkit-dm-plugin.so" |
    has -w nbdkit_peer_tls_dn; then
  expect_fail "$run" nbdkit dm "$tmp/tables.yaml" check=true |
    has "tables.yaml:4:.*'tls-dn' needs a newer nbdkit" ||
    fail "the file is not refused for that"
  echo "skipped: nbdkit does not tell names"
  exit 77
fi
requires certtool --version

# issue CA NAME LINE...: a certificate signed by CA (itself if that is empty) in
# a folder for libnbd.
issue ()
{
  local ca=$1 name=$2 sign
  shift 2
  mkdir "$tmp/$name"
  printf '%s\n' "$@" signing_key encryption_key >"$tmp/$name.info"
  certtool --generate-privkey --key-type=ecdsa --outfile "$tmp/$name/key.pem"
  sign=(--generate-self-signed)
  [ -z "$ca" ] || sign=(--generate-certificate
    --load-ca-certificate "$tmp/$ca/cert.pem"
    --load-ca-privkey "$tmp/$ca/key.pem")
  certtool "${sign[@]}" --template "$tmp/$name.info" \
    --load-privkey "$tmp/$name/key.pem" --outfile "$tmp/$name/cert.pem"
  cp "$tmp/${ca:-$name}/cert.pem" "$tmp/$name/ca-cert.pem"
  cp "$tmp/$name/cert.pem" "$tmp/$name/client-cert.pem"
  cp "$tmp/$name/key.pem" "$tmp/$name/client-key.pem"
} 2>>"$tmp/certtool.log"

issue '' ca 'cn = "Home CA"' ca cert_signing_key
issue ca server 'cn = "localhost"' 'dns_name = "localhost"' tls_www_server
issue ca alice 'cn = "alice"' 'organization = "Home"' tls_www_client
issue ca bob 'cn = "bob, the second"' 'organization = "Home"' tls_www_client
issue ca mallory 'cn = "m,O=Home"' tls_www_client
cp "$tmp/server/cert.pem" "$tmp/server/server-cert.pem"
cp "$tmp/server/key.pem" "$tmp/server/server-key.pem"

# expect CLIENT EXPORT...: he may use these, and no others.
expect ()
{
  local client=$1 name uri
  shift
  for name in any cert issuer; do
    uri="nbds+unix://localhost/$name?socket=$sock&tls-certificates=$tmp/$client"
    case " $* " in
      *" $name "*) nbdinfo --size "$uri" >/dev/null ;;
      *) expect_fail nbdinfo --size "$uri" >/dev/null ;;
    esac
  done
}

start_nbdkit --tls=require --tls-verify-peer --tls-certificates="$tmp/server" \
  dm "$tmp/tables.yaml"
expect alice any cert
expect bob any issuer
expect mallory any
nbdmsetup dump >"$tmp/dump.yaml"
cp "$tmp/dump.yaml" "$tmp/tables.yaml"
nbdmsetup reload | has ' 3 unchanged' || fail "the dump says otherwise"
expect bob any issuer
stop_nbdkit

# Who was not verified has no name.
start_nbdkit --tls=require --tls-certificates="$tmp/server" dm "$tmp/tables.yaml"
expect alice any
stop_nbdkit
