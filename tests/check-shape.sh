#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Sizes of functions and files, line width, the two lines on top of each file.
set -u
cd "${top_srcdir:-.}" || exit 99
ctags --version 2>/dev/null | grep -q Universal ||
  { echo "needs universal-ctags" >&2; exit 77; }

status=0
complain () { echo "$*" >&2; status=1; }

mapfile -t files < <(find common pdata server targets config clients tests \
                          -name '*.[ch]' 2>/dev/null | sort)
[ ${#files[@]} -gt 0 ] || { echo "found no sources" >&2; exit 99; }

for f in "${files[@]}"; do
  lines=$(wc -l <"$f")
  [ "$lines" -le 700 ] || complain "$f: $lines lines, 700 are allowed"
  sed -n 1p "$f" | grep -qxF '/* SPDX-License-Identifier: BSD-3-Clause */' ||
    complain "$f: line 1 is not the SPDX line"
  sed -n 2p "$f" | grep -q '^/\* .' ||
    complain "$f: line 2 does not say what the file is for"
done
while IFS= read -r where; do
  complain "$where: wider than 80 columns, or a tab"
done < <(LC_ALL=C.UTF-8 grep -nE $'^.{81}|\t' "${files[@]}" | cut -d: -f1,2)

mapfile -t program < <(printf '%s\n' "${files[@]}" | grep -v '^tests/')

# Functions of the program, static ones too: "lines file:line name", longest first.
functions=$(ctags --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne \
                  -f - "${program[@]}" |
  awk -F '\t' '{
    line = end = 0
    for (i = 4; i <= NF; i++) {
      if ($i ~ /^line:/) line = substr($i, 6)
      if ($i ~ /^end:/) end = substr($i, 5)
    }
    if (end) print end - line + 1, $2 ":" line, $1
  }' | sort -rn)
n=$(wc -l <<<"$functions")
[ "$n" -gt 10 ] || { echo "ctags found no functions" >&2; exit 99; }

while read -r lines where name; do
  [ "$lines" -le 80 ] || complain "$where: $name has $lines lines, 80 at most"
done <<<"$functions"

# nth TENTHS: the length that so many tenths of all functions do not exceed.
nth () { sed -n "$((n - n * $1 / 10 + 1))p" <<<"$functions" | cut -d' ' -f1; }

echo "$n functions: median $(nth 5) lines, nine in ten up to $(nth 9)"
[ "$(nth 5)" -le 12 ] || complain "the median function has more than 12 lines"
[ "$(nth 9)" -le 40 ] || complain "more than one in ten have over 40 lines"
exit $status
