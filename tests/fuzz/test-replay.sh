#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What fuzzers have found, and what they began with, does no harm.
set -eu
srcdir=${srcdir:-.}
corpus=$srcdir/corpus
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for target in control cow thin; do
  timeout 120 ./replay-$target "$corpus/$target"/*
done
timeout 120 ./replay-yaml "$srcdir"/../errors/*.yaml \
  "$srcdir"/../../examples/*.yaml "$corpus"/yaml/*

# The beginnings are what make-corpus.py makes of the protocol of today.
type python3 >/dev/null 2>&1 || exit 0
"$srcdir/make-corpus.py" "$tmp"
for input in "$tmp"/*/*; do
  cmp "$input" "$corpus/${input#"$tmp"/}"
done
