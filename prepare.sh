# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by serve and check: the packages needed, and how the tree is built.

# The one list of Debian packages.
packages_build="
  autoconf automake gcc libc6-dev libtool make perl pkg-config
  nbdkit nbdkit-plugin-dev libnbd-dev libev-dev libyaml-dev
  libjansson-dev
"
packages_run="
  libnbd-bin
"
packages_test="
  libcriterion-dev universal-ctags
  python3 python3-libnbd qemu-utils fio gnutls-bin xz-utils
  dmsetup nbd-client e2fsprogs iproute2 thin-provisioning-tools
"

# have_package NAME
have_package ()
{
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: what is missing of them, with apt.
install_packages ()
{
  local p missing=() apt sudo=()

  if ! command -v dpkg-query >/dev/null; then
    echo "no dpkg here: install what Debian calls $*" >&2
    return 0
  fi
  for p; do
    have_package "$p" || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null ||
       ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
      echo "Packages are missing.  As root run this, then start me again:" >&2
      echo "  apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    sudo=(sudo)
  fi
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  echo "installing: ${missing[*]}"
  "${apt[@]}" update -qq &&
    "${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}" \
      >/dev/null || exit 1
}

# build_tree FOLDER [CONFIGURE-SWITCH...]: (re)build in FOLDER below the
# sources; starts afresh if the switches have changed.  Quiet unless it fails.
build_tree ()
(
  folder=$1
  shift
  echo "building in $folder"
  cd "$top" && mkdir -p "$folder" || exit 1
  if [ ! -x configure ]; then
    autoreconf -i >"$folder/autoreconf.log" 2>&1 ||
      { cat "$folder/autoreconf.log" >&2; exit 1; }
  fi
  cd "$folder" || exit 1
  if [ ! -f Makefile ] || [ "$(cat .switches 2>/dev/null)" != "$*" ]; then
    [ ! -f Makefile ] || make -s clean >/dev/null 2>&1 || true
    "$top/configure" --quiet "$@" && echo "$*" >.switches || exit 1
  fi
  make -s -j"$(nproc)" >make.log 2>&1 || { cat make.log >&2; exit 1; }
)
