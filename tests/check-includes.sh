#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Who may include what: the table of HACKING.md, enforced.
#
# Each line: the files (a pattern of bash) and the headers of ours they may
# include (an extended regular expression).  The first line that matches a file
# counts.  Tests may include anything.
set -u
cd "${top_srcdir:-.}" || exit 99

rules='
common/*                    common/.*
pdata/*                     (common|pdata)/.*
server/device-mapper.h      common/.*|server/(dm-io|dm-kcopyd).h
server/edge.h               common/.*|server/dm-interface.h
server/dm-interface.h       common/.*|server/bdev.h
server/dm-ioctl*            common/.*|server/(dm-interface|edge|dm-ioctl.*).h
server/dm-*                 common/.*|server/(device-mapper|bdev|dm-.*).h
server/bdev-md*             common/.*|server/(device-mapper|bdev.*|dm-.*).h
server/bdev*                common/.*|server/bdev.*.h
server/loop*                common/.*|server/(dm-interface|edge|loop|control.*).h
server/control*             common/.*|server/(dm-interface|edge|loop|control.*).h
server/reload*              common/.*|server/(dm-interface|edge|reload.*).h|config/.*
server/plugin*              common/.*|server/(dm-interface|edge|plugin).h|config/.*
targets/snapshot/exception-table* common/.*|targets/snapshot/(chunk|exception-table).h
targets/snapshot/@(cow|exception|store)-* common/.*|targets/snapshot/(chunk|cow-.*|exception-.*|store-.*).h
targets/*                   common/.*|pdata/.*|targets/.*|server/(device-mapper|dm-io|dm-kcopyd).h
config/*                    (common|config)/.*
clients/inspect-cow*        (common|clients)/.*|targets/snapshot/cow-(format|io).h
clients/inspect-thin*       (common|clients)/.*|targets/thin/thin-metadata.h
clients/*                   (common|clients)/.*
'

# Headers of outside libraries, and the one place that each may be used in.
libraries='
nbdkit-.*\.h                server/plugin*
libnbd\.h                   @(server/bdev-nbd*|clients/attach.c)
ev\.h                       server/@(loop|control)*
yaml\.h                     config/*
jansson\.h                  clients/*
openssl/.*                  targets/*
criterion/.*                tests/*
'

status=0
complain () { echo "$*" >&2; status=1; }
shopt -s extglob

# allowed FILE: the expression for its headers.
allowed ()
{
  local pattern headers
  while read -r pattern headers; do
    # shellcheck disable=SC2053
    [[ -n $pattern && $1 == $pattern ]] && { echo "$headers"; return; }
  done <<<"$rules"
}

check_ours ()
{
  local file=$1 header=$2 headers
  if [[ $header != */* ]]; then
    complain "$file: includes \"$header\" without its folder"
  elif [ ! -e "$header" ]; then
    complain "$file: includes \"$header\", which does not exist"
  elif [[ $file != tests/* ]]; then
    headers=$(allowed "$file")
    [[ $header =~ ^($headers)$ ]] || complain "$file: may not include $header"
  fi
  if [[ $file == targets/* && $header == pdata/*-@(internal|common).h ]]; then
    complain "$file: $header is private to pdata/"
  fi
}

check_library ()
{
  local file=$1 header=$2 library room
  while read -r library place; do
    [[ -n $library && $header =~ ^($library)$ ]] || continue
    # shellcheck disable=SC2053
    [[ $file == $place ]] ||
      complain "$file: <$header> is for $place only"
  done <<<"$libraries"
}

n=0
while IFS=: read -r file include; do
  n=$((n + 1))
  include=${include#*include}
  include=${include# }
  case $include in
    \"*) check_ours "$file" "${include//\"/}" ;;
    \<*) include=${include#<}; check_library "$file" "${include%>}" ;;
  esac
done < <(grep -rE -o --include='*.[ch]' '^ *# *include *["<][^">]+[">]' \
              common pdata server targets config clients tests 2>/dev/null)

[ $n -gt 0 ] || { echo "found no includes" >&2; exit 99; }
echo "$n includes checked"
exit $status
