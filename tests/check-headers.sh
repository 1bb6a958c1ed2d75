#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Each header compiles alone, and twice: it includes what it needs.
set -u
cd "${top_srcdir:-.}" || exit 99
status=0
n=0

for header in {common,pdata,server,targets,config,clients,tests/lib}/*.h \
              targets/*/*.h; do
  [ -e "$header" ] || continue
  n=$((n + 1))
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
    ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. -fsyntax-only -Wall -Werror \
      -Wno-unused-function -x c - || { echo "$header: see above"; status=1; }
done
[ $n -gt 0 ] || { echo "found no headers" >&2; exit 99; }
echo "$n headers compile alone"
exit $status
